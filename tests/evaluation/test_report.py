import csv
import io
import json
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

from occlumap.errors import FileFormatError
from occlumap.evaluation import report
from occlumap.evaluation.statistics import Paired, holm, mean_interval, paired

HOSTILE = "=1+1|</code><script>alert('x')</script>\n| `a` \\| \u202e<img src=x onerror=y>"
COLUMNS = ["photo", "classifier", "method", "budget", "calls", "seconds", "metric", "reference", "value"]


def srg(
    photo,
    method,
    value,
    *,
    classifier="net",
    budget=100,
    calls=None,
    seconds=0.5,
    references=("mean", "noise"),
):
    """SRG rows whose mean over the two headline references is `value`."""
    offsets = np.linspace(-0.05, 0.05, len(references)) if len(references) > 1 else [0.0]
    calls = budget if calls is None else calls
    return [
        [photo, classifier, method, budget, calls, seconds, "srg", name, round(value + offset, 6)]
        for name, offset in zip(references, offsets, strict=True)
    ]


def photographs(n, suffix=""):
    return [f"n{number:02}.jpg{suffix}" for number in range(n)]


def folder(path, rows, **about):
    with (path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    (path / "benchmark.json").write_text(
        json.dumps({"headline_references": ["mean", "noise"], "command": "occlumap benchmark", **about})
    )
    return path


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def two_methods(n=12, difference=0.2):
    values = np.random.default_rng(0).uniform(0.2, 0.6, n).round(3)
    return [
        row
        for photo, value in zip(photographs(n), values, strict=True)
        for row in srg(photo, "good", value + difference) + srg(photo, "poor", value)
    ], values


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


def test_the_headline_is_the_mean_over_its_references(tmp_path):
    rows = [
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "mean", 0.5],
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "noise", 0.25],
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "blur", -9.0],
    ]
    report.write(folder(tmp_path, rows))
    (headline,) = [row for row in table(tmp_path / "summary.csv") if row["metric"] == "headline"]
    assert (headline["mean"], headline["n"], headline["low"]) == ("0.375", "1", "")
    assert (headline["mean calls"], headline["median seconds"]) == ("90.0", "1.5")


def test_a_photograph_without_all_headline_references_has_no_headline(tmp_path):
    rows, _ = two_methods(4)
    report.write(
        folder(tmp_path, [row for row in rows if row[:3] != ["n01.jpg", "net", "good"] or row[7] != "mean"])
    )
    n = {row["method"]: row["n"] for row in table(tmp_path / "summary.csv") if row["metric"] == "headline"}
    assert n == {"good": "3", "poor": "4"}
    assert "3 of 4" in (tmp_path / "report.md").read_text()


def test_summaries_are_those_of_the_statistics(tmp_path):
    rows, values = two_methods()
    report.write(folder(tmp_path, rows))
    expected = mean_interval(values)
    (found,) = [
        row
        for row in table(tmp_path / "summary.csv")
        if (row["metric"], row["method"]) == ("headline", "poor")
    ]
    np.testing.assert_allclose(
        [float(found[name]) for name in ("mean", "low", "high")], [expected.mean, expected.low, expected.high]
    )


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


def test_a_difference_takes_an_interval_without_zero_and_a_small_corrected_p():
    def pair(low, high, p):
        return report.Pair(
            "methods", "net", "centre", 100, "a", "b", Paired((low + high) / 2, low, high, p, 9), p
        )

    assert pair(0.1, 0.2, 0.01).verdict == "better"
    assert pair(-0.2, -0.1, 0.01).verdict == "worse"
    assert pair(0.1, 0.2, 0.05).verdict == "no difference shown"
    assert pair(0.0, 0.2, 0.01).verdict == "no difference shown"
    assert pair(-0.1, 0.2, 0.01).verdict == "no difference shown"
    assert pair(math.nan, math.nan, 1.0).verdict == "no difference shown"


def test_only_photographs_that_both_methods_have_are_paired(tmp_path):
    values = {"a": [0.9, 0.5, 0.7, 0.8, 0.4], "b": [0.1, 0.4, 0.5]}
    rows = [
        row for method, of in values.items() for photo, v in zip(photographs(5), of, strict=False)
        for row in srg(photo, method, v)
    ]  # fmt: skip
    report.write(folder(tmp_path, rows))
    (pair,) = table(tmp_path / "pairs.csv")
    expected = paired(values["a"][:3], values["b"])
    assert pair["n"] == "3"
    assert float(pair["difference"]) == pytest.approx(expected.difference)
    assert float(pair["p"]) == pytest.approx(expected.p)
    assert "3 of 5" in (tmp_path / "report.md").read_text()


def test_each_family_is_corrected_by_itself(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        row
        for budget in (100, 300)
        for photo in photographs(10)
        for method, mean in (("a", 0.5), ("b", 0.4), ("c", 0.3))
        for row in srg(photo, method, float(rng.normal(mean, 0.1)), budget=budget)
    ]
    report.write(folder(tmp_path, rows))
    for budget in ("100", "300"):
        family = [row for row in table(tmp_path / "pairs.csv") if row["budget"] == budget]
        assert len(family) == 3
        expected = holm([float(row["p"]) for row in family])
        np.testing.assert_allclose([float(row["p after Holm"]) for row in family], expected)


def test_a_method_without_calls_is_compared_at_every_budget(tmp_path):
    rows = [
        row
        for photo in photographs(6)
        for row in srg(photo, "a", 0.5)
        + srg(photo, "a", 0.6, budget=300)
        + srg(photo, "random", 0.1, budget=0)
    ]
    report.write(folder(tmp_path, rows))
    found = {(row["budget"], row["method"], row["other"]) for row in table(tmp_path / "pairs.csv")}
    assert found == {("100", "a", "random"), ("300", "a", "random")}


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


def test_a_hash_in_a_name_is_not_a_crop(tmp_path):
    report.write(folder(tmp_path, srg("a#1.jpg", "a", 0.5)))
    assert {row["crops"] for row in table(tmp_path / "summary.csv")} == {"centre"}


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
        {"photo": "n03.jpg", "classifier": "net", "method": "b", "budget": 100, "problem": "no memory"}
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


def test_undefined_figures_count_nowhere_and_are_said(tmp_path):
    rows = [["n00.jpg", "net", "a", 100, 100, 1, "grid_pointing", "", value] for value in ("nan",)]
    rows += [["n01.jpg", "net", "a", 100, 100, 1, "grid_pointing", "", 0.5], *srg("n01.jpg", "a", 0.3)]
    report.write(folder(tmp_path, rows))
    (found,) = [row for row in table(tmp_path / "summary.csv") if row["metric"] == "grid_pointing"]
    assert (found["n"], found["mean"]) == ("1", "0.5")
    assert "undefined (nan) and count nowhere: 1." in (tmp_path / "report.md").read_text()


def test_references_say_why_they_are_in_the_headline(tmp_path):
    rows = srg("n00.jpg", "a", 0.5, references=("blur", "mean", "noise"))
    report.write(folder(tmp_path, rows, fills={"a": ["blur"]}))
    text = (tmp_path / "report.md").read_text()
    assert "| `blur` | no: it was the fill of `a` |" in text
    assert "| `mean` | yes: no method of the table used it as fill |" in text


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
        "fills": {HOSTILE: ["blur"]},
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


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a|b", "`a\\|b`"),
        ("a\\|b", "`a\\\u200b\\|b`"),  # GitHub would cut the cell after two backslashes
        ("a`b``c", "``` a`b``c ```"),
        ("a\nb", "`a\\nb`"),
        ("*a* <b>", "`*a* <b>`"),
        (" ", "`?`"),
    ],
)
def test_names_are_code_that_stays_in_its_cell(name, written):
    assert report._markdown([report.Name(name)], in_table=True) == written


def test_hostile_names_are_no_formulas_in_csv(tmp_path):
    hostile_run(tmp_path)
    for name in ("summary.csv", "pairs.csv"):
        for row in csv.reader(io.StringIO((tmp_path / name).read_text(encoding="utf-8"))):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\r")), cell
                assert not cell.startswith(("+", "-")) or math.isfinite(float(cell))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", " =1", "＝1", "\t=1"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_or_an_escape(text):
    assert report._csv_cell(text)[0] in "'\\"


def test_numbers_stay_numbers_in_csv():
    assert report._csv_cell(-0.5) == -0.5
    assert report._csv_cell(math.nan) == ""


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


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="give the folder that `occlumap benchmark --out` wrote"):
        report.write(tmp_path)


def test_a_folder_without_its_description_is_refused(tmp_path):
    folder(tmp_path, srg("n00.jpg", "a", 0.5))
    (tmp_path / "benchmark.json").unlink()
    with pytest.raises(FileFormatError, match="benchmark.json"):
        report.write(tmp_path)


@pytest.mark.parametrize(
    "about",
    [
        {"headline_references": "mean"},
        {"settings": []},
        {"left_out": {"net": 3}},
        {"failures": [1]},
        {"fills": {"a": "b"}},
    ],
)
def test_a_damaged_description_is_refused(tmp_path, about):
    with pytest.raises(FileFormatError, match="to describe the benchmark as the runner writes it"):
        report.write(folder(tmp_path, srg("n00.jpg", "a", 0.5), **about))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("photo", "", "expected a name under 'photo' in row 2"),
        ("budget", "many", "expected a whole number from 0 under 'budget' in row 2 .* got 'many'"),
        ("budget", "1.5", "a whole number from 0"),
        ("calls", "-1", "a whole number from 0"),
        ("calls", "", "a whole number from 0"),
        ("seconds", "soon", "a number from 0, or nothing"),
        ("value", "inf", "a finite number, or nan"),
        ("value", "", "a finite number, or nan"),
        ("metric", "headline", "another name than 'headline'"),
        ("reference", "mean", "one row for each photograph"),
    ],
)
def test_damaged_rows_are_refused(tmp_path, column, value, message):
    rows = srg("n00.jpg", "a", 0.5)
    rows[1][COLUMNS.index(column)] = value
    with pytest.raises(FileFormatError, match=message):
        report.write(folder(tmp_path, rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b"reference", b"baseline"), "expected .* to have the columns"),
        (lambda text: text[:-3], "a last row cut off"),
        (lambda text: text + b"n01.jpg,net,a\n", "expected a name under 'metric' in row 3"),
        (lambda text: text + b"1,2,3,4,5,6,7,8,9,10\n", "to be a CSV file"),
        (lambda text: text + b'"\n', "to be a CSV file"),
        (lambda text: text + b"\xff\n", "to be a CSV file in UTF-8"),
        (lambda text: text.split(b"\n")[0] + b"\n", "expected .* to have rows, got none"),
        (lambda text: b"", "to be a CSV file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = folder(tmp_path, srg("n00.jpg", "a", 0.5)) / "rows.csv"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FileFormatError, match=message):
        report.write(tmp_path)


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
    assert report._number(value) == text


def test_the_names_beside_the_curves_lie_apart():
    found = report._apart([0.0, 0.5, 0.5, 0.51, 0.99, 1.0], 0.1)
    assert found == sorted(found)
    assert min(np.diff(found)) >= 0.1 - 1e-12
    assert max(found) <= 1
