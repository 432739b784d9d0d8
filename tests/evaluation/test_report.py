import csv
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("statsmodels")
pytest.importorskip("matplotlib")

from PIL import Image

from occlumap.evaluation import report
from occlumap.evaluation.wording import calls_allowed, number
from tests.evaluation.folders import folder, photographs, srg, table, two_methods

HOSTILE = "=1+1|</code><script>alert('x')</script>\n| `a` \\| \u202e<img src=x onerror=y>"


class Text(HTMLParser):
    """The tags and the text of a page as a browser would see them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def markdown_rows(text):
    """The cells of all table rows, cut as GitHub cuts them: at bars without a backslash."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


def test_the_files_written_are_given(tmp_path):
    rows, _ = two_methods()
    files = report.write(folder(tmp_path, rows))
    assert [path.name for path in files] == [
        "report.md",
        "report.html",
        "summary.csv",
        "pairs.csv",
        "curves-1-centre.svg",
    ]
    assert all(path.stat().st_size for path in files)


def test_a_constant_difference_is_one(tmp_path):
    rows, _ = two_methods(12, difference=0.2)
    report.write(folder(tmp_path, rows))
    (pair,) = table(tmp_path / "pairs.csv")
    assert (pair["method"], pair["other"], pair["n"], pair["verdict"]) == ("good", "poor", "12", "better")
    np.testing.assert_allclose([float(pair[name]) for name in ("difference", "low", "high")], 0.2)
    assert float(pair["p"]) == pytest.approx(2 / 2**12)
    assert "**+0.200** [+0.200, +0.200], n = 12" in (tmp_path / "report.md").read_text()


def test_equal_methods_are_not_told_apart(tmp_path):
    rows, _ = two_methods(12, difference=0.0)
    report.write(folder(tmp_path, rows))
    (pair,) = table(tmp_path / "pairs.csv")
    assert (float(pair["difference"]), float(pair["p"]), pair["verdict"]) == (0, 1, "no difference shown")
    text = (tmp_path / "report.md").read_text()
    assert "No difference between any two methods is shown" in text
    assert "**+" not in text
    assert "better than whom" not in text
    assert "Every method against the others" not in text


def test_controls_stand_beside_their_methods_and_in_a_family_of_their_own(tmp_path):
    rows = [
        row
        for photo in photographs(8)
        for row in srg(photo, "rise", 0.5) + srg(photo, "rise~blurred", 0.4) + srg(photo, "rise~other", 0.1)
    ]
    report.write(folder(tmp_path, rows))
    found = [(row["family"], row["method"], row["other"]) for row in table(tmp_path / "pairs.csv")]
    assert found == [("controls", "rise", "rise~blurred"), ("controls", "rise", "rise~other")]
    assert "**+0.100** [+0.100, +0.100], n = 8" in (tmp_path / "report.md").read_text()


def test_crops_stand_side_by_side_and_are_paired_by_photograph(tmp_path):
    rows = [row for photo in photographs(8) for row in srg(photo, "centre-prior", 0.5)]
    rows += [row for photo in photographs(7, "#off-centre") for row in srg(photo, "centre-prior", 0.2)]
    report.write(folder(tmp_path, rows))
    (pair,) = table(tmp_path / "pairs.csv")
    assert (pair["family"], pair["crops"], pair["n"]) == ("crops", "off-centre minus centre", "7")
    assert float(pair["difference"]) == pytest.approx(-0.3)
    assert {row["crops"] for row in table(tmp_path / "summary.csv")} == {"centre", "off-centre"}


def test_one_photograph_has_no_interval_and_the_report_says_so(tmp_path):
    report.write(folder(tmp_path, srg("n00.jpg", "a", 0.5) + srg("n00.jpg", "b", 0.1)))
    text = (tmp_path / "report.md").read_text()
    assert "There is a single photograph" in text
    assert "no interval, n = 1" in text
    assert "better" not in re.sub("higher is better|called one|[Ll]ower is better|better than", "", text)
    assert table(tmp_path / "pairs.csv")[0]["verdict"] == "no difference shown"


def test_too_few_photographs_for_any_difference_are_said(tmp_path):
    rows, _ = two_methods(5)
    report.write(folder(tmp_path, rows))
    text = (tmp_path / "report.md").read_text()
    assert "not even the clearest difference could come below p = 0.05" in text
    assert "5 photographs at most: bootstrap intervals of so few are rather too narrow" in text


def test_a_run_without_a_whole_headline_is_reported(tmp_path):
    report.write(folder(tmp_path, srg("n00.jpg", "a", 0.5, references=("blur",))))
    assert "no photograph has the headline" in (tmp_path / "report.md").read_text()


def test_what_is_missing_is_named(tmp_path):
    rows = [
        row for photo in photographs(4) for row in srg(photo, "a", 0.5) + srg(photo, "a", 0.6, budget=300)
    ]
    rows += [row for photo in photographs(2) for row in srg(photo, "b", 0.5)]
    failures = [
        {"photo": "n03.jpg", "classifier": "net", "method": method, "budget": 100, "problem": "no memory"}
        for method in ("b", "b~blurred")
    ]
    about = {
        "settings": {"methods": ["a", "b", "ghost"]},
        "left_out": {"net": {"wrong": 2, "of": 9, "files": ["x.jpg", "y.jpg"]}},
        "failures": failures,
    }
    report.write(folder(tmp_path, rows, **about))
    text = (tmp_path / "report.md").read_text()
    for expected in (
        "Methods asked for, without a single figure: `ghost`.",
        "`net` has figures of 4 of the 7 photographs that it gets right.",
        "| `b` | 100 | `net` | centre | 2 of 4 | 2 of 4 |",
        "| `b` | 300 | `net` | centre | 0 of 4 | 0 of 4 |",
        "`no memory`",
        "2 of 9",
        "`x.jpg`, `y.jpg`",
    ):
        assert expected in text
    assert text.count("`no memory`") == 1  # not again for the controls of a method that failed


def test_undefined_figures_count_nowhere_and_are_said(tmp_path):
    rows = [["n00.jpg", "net", "a", 100, 100, 1, "grid_pointing", "", value] for value in ("nan",)]
    rows += [["n01.jpg", "net", "a", 100, 100, 1, "grid_pointing", "", 0.5], *srg("n01.jpg", "a", 0.3)]
    report.write(folder(tmp_path, rows))
    (found,) = [row for row in table(tmp_path / "summary.csv") if row["metric"] == "grid_pointing"]
    assert (found["n"], found["mean"]) == ("1", "0.5")
    assert "undefined (nan) and count nowhere: 1." in (tmp_path / "report.md").read_text()


def test_references_say_whose_fill_they_are(tmp_path):
    rows = srg("n00.jpg", "a", 0.5, references=("blur", "mean", "noise"))
    report.write(folder(tmp_path, rows, fills={"a": "blur", "b": "blur", "random": ""}))
    text = (tmp_path / "report.md").read_text()
    assert "| `blur` | no: fill of `a`, `b` |" in text
    assert "| `mean` | yes: fill of no method |" in text


def test_rows_that_the_description_does_not_know_are_told_of(tmp_path):
    rows = srg("n00.jpg", "a", 0.5) + srg("n00.jpg", "b", 0.5)
    report.write(folder(tmp_path, rows, settings={"methods": ["a"]}))
    text = (tmp_path / "report.md").read_text()
    assert "**Mind:** there are figures of `b`, of which benchmark.json says nothing" in text
    assert "| `mean` | yes: fill of no method that benchmark.json names |" in text


def test_losses_stand_beside_wins(tmp_path):
    rows, _ = two_methods()
    report.write(folder(tmp_path, rows))
    text = (tmp_path / "report.md").read_text()
    in_short = text[: text.index("## How to read it")]
    assert "| `good` | 1 / 0 / 0 |" in in_short
    assert "| `poor` | 0 / 0 / 1 |" in in_short
    assert "| `poor` | **-0.200** [-0.200, -0.200], n = 12 |" in text  # the matrix has both halves
    assert '<strong class="minus">-0.200</strong>' in (tmp_path / "report.html").read_text()


def test_with_many_methods_markdown_names_the_table_of_pairs_instead_of_a_matrix(tmp_path):
    rows = [row for photo in photographs(2) for n in range(9) for row in srg(photo, f"m{n}", n / 10)]
    report.write(folder(tmp_path, rows))
    text = (tmp_path / "report.md").read_text()
    assert "row minus column, centre crops, 100 calls allowed. `pairs.csv` has all 36." in text
    assert max(len(cells) for cells in markdown_rows(text)) < 9
    assert "+0.800" in (tmp_path / "report.html").read_text()  # which keeps it


def test_a_budget_in_words():
    assert [calls_allowed(budget) for budget in (0, 1, 1000)] == [
        "no calls needed",
        "1 call allowed",
        "1,000 calls allowed",
    ]


def test_too_few_photographs_to_tell_are_no_verdict_on_the_leader(tmp_path):
    rows, _ = two_methods(5)
    report.write(folder(tmp_path, rows))
    assert "too few photographs to tell" in (tmp_path / "report.md").read_text()


def test_without_headline_references_all_make_it_and_the_report_warns(tmp_path):
    report.write(folder(tmp_path, srg("n00.jpg", "a", 0.5), headline_references=[]))
    text = (tmp_path / "report.md").read_text()
    assert "**Mind:** Every reference was the fill of some method" in text
    assert any(row["metric"] == "headline" for row in table(tmp_path / "summary.csv"))


def test_metrics_are_shown_with_their_direction(tmp_path):
    rows = [*srg("n00.jpg", "a", 0.5), ["n00.jpg", "net", "a", 100, 100, "", "deletion", "mean", 0.2]]
    rows.append(["n00.jpg", "net", "a", 100, 100, "", "grid_pointing", "", 0.9])
    report.write(folder(tmp_path, rows, directions={"deletion": "lower"}))
    text = (tmp_path / "report.md").read_text()
    assert "`deletion` by reference, centre crops; lower is better" in text
    assert "`grid_pointing` direction not recorded" in text


def hostile_run(path):
    rows = [
        row for n in range(3) for method in ("a", HOSTILE) for row in srg(f"{n}{HOSTILE}", method, 0.1 * n)
    ]
    rows += [[f"{n}{HOSTILE}", "net", "a", 100, 100, 1, HOSTILE, HOSTILE, 0.1] for n in range(3)]
    rows = [[row[0], HOSTILE, *row[2:]] for row in rows]
    about = {
        "command": HOSTILE,
        "settings": {HOSTILE: HOSTILE},
        "versions": {HOSTILE: HOSTILE},
        "left_out": {HOSTILE: {"wrong": HOSTILE, "of": 3, "files": [HOSTILE]}},
        "failures": [{"photo": HOSTILE, "problem": HOSTILE}],
        "fills": {HOSTILE: "blur"},
    }
    report.write(folder(path, rows, **about))


def test_hostile_names_are_text_in_html(tmp_path):
    hostile_run(tmp_path)
    page = Text((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert [
        value for name, value in page.attributes if name == "src" and not value.startswith("data:image/")
    ] == []
    assert "<script>alert('x')</script>\\n" in page.text
    assert "\u202e" not in page.text


def test_hostile_names_stay_in_their_cells_in_markdown(tmp_path):
    hostile_run(tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "\u202e" not in text
    width = None
    for line in text.splitlines():
        cells = re.split(r"(?<!\\)\|", re.sub(r"\\\\", "", line))[1:-1] if line.startswith("|") else None
        assert cells is None or width is None or len(cells) == width, line
        width = cells and len(cells)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)  # what no code span holds
    assert "<" not in outside
    assert "script" not in outside


def test_hostile_names_are_no_formulas_in_csv(tmp_path):
    hostile_run(tmp_path)
    for name in ("summary.csv", "pairs.csv"):
        for row in csv.reader(io.StringIO((tmp_path / name).read_text(encoding="utf-8"))):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r")), cell
                assert not cell.startswith(("+", "-")) or math.isfinite(float(cell))


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    rows, _ = two_methods()
    report.write(folder(tmp_path, rows))
    page = Text((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all(value.startswith(("data:", "#")) for name, value in page.attributes if name in ("src", "href"))
    assert "default-src 'none'" in (tmp_path / "report.html").read_text()


def test_the_same_rows_give_the_same_files(tmp_path):
    rows, _ = two_methods(6)
    first = [path.read_bytes() for path in report.write(folder(tmp_path, rows))]
    again = [path.read_bytes() for path in report.write(folder(tmp_path, rows[::-1]))]
    assert first == again


def test_the_gallery_shows_the_same_photographs_for_every_method(tmp_path):
    rows, _ = two_methods(3)
    for photo in ("n00.jpg", "n01.jpg"):
        place = tmp_path / "gallery" / "net" / photo
        place.mkdir(parents=True)
        for name in ("photo", "good@100", "poor@100"):
            Image.new("RGB", (224, 224), "red").save(place / f"{name}.png")
    (tmp_path / "gallery" / "net" / "n01.jpg" / "poor@100.png").unlink()
    (tmp_path / "gallery" / "net" / "n01.jpg" / "good@100.png").write_bytes(b"not a picture")
    report.write(folder(tmp_path, rows))
    cells = [[cell.strip() for cell in row] for row in markdown_rows((tmp_path / "report.md").read_text())]
    assert [
        "`good`",
        "![](gallery/net/n00.jpg/good%40100.png)",
        "![](gallery/net/n01.jpg/good%40100.png)",
    ] in cells
    assert ["`poor`", "![](gallery/net/n00.jpg/poor%40100.png)", "–"] in cells
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert page.count("not readable") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4126, "0.413"),
        (-0.0, "0.000"),
        (0.0, "0.000"),
        (0.0004, "0.0004"),
        (-2e-9, "-2e-09"),
        (math.nan, "–"),
    ],
)
def test_a_figure_says_zero_only_of_zero(value, text):
    assert number(value) == text
