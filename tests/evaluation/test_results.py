import math

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("statsmodels")

from occlumap.errors import FileFormatError
from occlumap.evaluation import results
from occlumap.evaluation.statistics import Paired, holm, mean_interval, paired
from tests.evaluation.folders import COLUMNS, folder, photographs, srg, two_methods


def headline(run, method, **where):
    """The summary of a method's headline, on the centre crops of `net` at 100 calls unless said."""
    key = {"classifier": "net", "crops": "centre", "budget": 100, "metric": "headline", "reference": ""}
    return run.summaries[results.Key(method=method, **(key | where))]


def test_the_headline_is_the_mean_over_its_references(tmp_path):
    rows = [
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "mean", 0.5],
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "noise", 0.25],
        ["n00.jpg", "net", "a", 100, 90, 1.5, "srg", "blur", -9.0],
    ]
    found = headline(results.read(folder(tmp_path, rows)), "a")
    assert (found.interval.mean, found.interval.n, found.calls, found.seconds) == (0.375, 1, 90, 1.5)


def test_a_reference_that_a_method_hides_with_is_not_in_the_headline(tmp_path):
    rows = srg("n00.jpg", "a", 0.5, references=("blur", "mean", "noise"))
    about = {"headline_references": ["blur", "mean", "noise"], "fills": {"a": "blur", "random": ""}}
    run = results.read(folder(tmp_path, rows, **about))
    assert (run.headline, run.neutral) == (["mean", "noise"], True)


def test_when_every_reference_is_a_fill_all_make_the_headline(tmp_path):
    fills = {"a": "mean", "b": "noise"}
    run = results.read(folder(tmp_path, srg("n00.jpg", "a", 0.5), fills=fills))
    assert (run.headline, run.neutral) == (["mean", "noise"], False)


def test_a_photograph_without_all_headline_references_has_no_headline(tmp_path):
    rows, _ = two_methods(4)
    kept = [row for row in rows if row[:3] != ["n01.jpg", "net", "good"] or row[7] != "mean"]
    run = results.read(folder(tmp_path, kept))
    assert (headline(run, "good").interval.n, headline(run, "poor").interval.n) == (3, 4)


def test_summaries_are_those_of_the_statistics(tmp_path):
    rows, values = two_methods()
    found, expected = headline(results.read(folder(tmp_path, rows)), "poor").interval, mean_interval(values)
    np.testing.assert_allclose(
        (found.mean, found.low, found.high), (expected.mean, expected.low, expected.high)
    )


def test_a_difference_takes_an_interval_without_zero_and_a_small_corrected_p():
    def pair(low, high, p):
        return results.Pair(
            "methods", "net", "centre", 100, "a", "b", Paired((low + high) / 2, low, high, p, 9), p
        )

    assert pair(0.1, 0.2, 0.01).verdict == "better"
    assert pair(-0.2, -0.1, 0.01).verdict == "worse"
    assert pair(0.1, 0.2, 0.05).verdict == "no difference shown"
    assert pair(0.0, 0.2, 0.01).verdict == "no difference shown"
    assert pair(-0.1, 0.2, 0.01).verdict == "no difference shown"
    assert pair(math.nan, math.nan, 1.0).verdict == "no difference shown"


def test_a_pair_turned_round_says_the_opposite():
    pair = results.Pair("methods", "net", "centre", 100, "a", "b", Paired(0.25, 0.125, 0.5, 0.01, 9), 0.01)
    assert (pair.turned.method, pair.turned.other, pair.turned.verdict) == ("b", "a", "worse")
    assert pair.turned.paired == Paired(-0.25, -0.5, -0.125, 0.01, 9)
    assert pair.turned.turned == pair


def test_only_photographs_that_both_methods_have_are_paired(tmp_path):
    values = {"a": [0.9, 0.5, 0.7, 0.8, 0.4], "b": [0.1, 0.4, 0.5]}
    rows = [
        row for method, of in values.items() for photo, v in zip(photographs(5), of, strict=False)
        for row in srg(photo, method, v)
    ]  # fmt: skip
    (pair,) = results.read(folder(tmp_path, rows)).pairs
    expected = paired(values["a"][:3], values["b"])
    assert pair.paired.n == 3
    assert pair.paired.difference == pytest.approx(expected.difference)
    assert pair.paired.p == pytest.approx(expected.p)


def test_each_family_is_corrected_by_itself(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        row
        for budget in (100, 300)
        for photo in photographs(10)
        for method, mean in (("a", 0.5), ("b", 0.4), ("c", 0.3))
        for row in srg(photo, method, float(rng.normal(mean, 0.1)), budget=budget)
    ]
    run = results.read(folder(tmp_path, rows))
    for budget in (100, 300):
        family = run.family("methods", "net", "centre", budget)
        assert len(family) == 3
        np.testing.assert_allclose([pair.p_holm for pair in family], holm([pair.paired.p for pair in family]))


def test_a_method_without_calls_is_compared_at_every_budget(tmp_path):
    rows = [
        row
        for photo in photographs(6)
        for row in srg(photo, "a", 0.5)
        + srg(photo, "a", 0.6, budget=300)
        + srg(photo, "random", 0.1, budget=0)
    ]
    run = results.read(folder(tmp_path, rows))
    assert [(pair.budget, pair.method, pair.other) for pair in run.pairs] == [
        (100, "a", "random"),
        (300, "a", "random"),
    ]


def test_wins_and_losses_are_seen_from_both_sides(tmp_path):
    rows, _ = two_methods()
    run = results.read(folder(tmp_path, rows))
    assert run.against("net", "centre", 100, "good")["better"] == ["poor"]
    assert run.against("net", "centre", 100, "poor")["worse"] == ["good"]


def test_crops_are_told_by_the_end_of_the_name(tmp_path):
    run = results.read(folder(tmp_path, srg("a#1.jpg", "a", 0.5) + srg("b.jpg#off-centre", "a", 0.5)))
    assert run.photographs == {("net", "centre"): 1, ("net", "off-centre"): 1}


def test_rows_of_two_runs_put_one_after_another_are_read_together(tmp_path):
    ours = [row for photo in photographs(3) for row in srg(photo, "a", 0.5)]
    theirs = [row for photo in photographs(2) for row in srg(photo, "b", 0.3, classifier="other")]
    run = results.read(folder(tmp_path, [*ours, COLUMNS, *theirs]))
    assert run.photographs == {("net", "centre"): 3, ("other", "centre"): 2}
    assert run.classifiers == {"net": ["centre"], "other": ["centre"]}


def test_a_figure_that_two_runs_agree_on_counts_once(tmp_path):
    rows = srg("n00.jpg", "a", 0.5, seconds=0.5) + srg("n00.jpg", "a", 0.5, seconds=0.75)
    assert headline(results.read(folder(tmp_path, rows)), "a").interval.n == 1


def test_a_figure_that_two_runs_disagree_on_is_refused(tmp_path):
    rows = srg("n00.jpg", "a", 0.5) + srg("n00.jpg", "a", 0.75)
    with pytest.raises(FileFormatError, match="one value for each photograph.* in row 3"):
        results.read(folder(tmp_path, rows))


def test_what_the_description_does_not_name_is_undescribed(tmp_path):
    rows = srg("n00.jpg", "a", 0.5) + srg("n00.jpg", "b", 0.5) + srg("n00.jpg", "b~blurred", 0.5)
    rows += srg("n00.jpg", "a", 0.5, classifier="other")
    about = {"settings": {"methods": ["a"]}, "left_out": {"net": {"wrong": 0, "of": 1, "files": []}}}
    assert results.read(folder(tmp_path, rows, **about)).undescribed == ["other", "b"]
    assert results.read(folder(tmp_path, rows)).undescribed == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", " =1", "＝1", "\t=1"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_or_an_escape(text):
    assert results._csv_cell(text)[0] in "'\\"


def test_numbers_stay_numbers_in_csv():
    assert results._csv_cell(-0.5) == -0.5
    assert results._csv_cell(math.nan) == ""


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="give the folder that `occlumap benchmark --out` wrote"):
        results.read(tmp_path)


def test_a_folder_without_its_description_is_refused(tmp_path):
    folder(tmp_path, srg("n00.jpg", "a", 0.5))
    (tmp_path / "benchmark.json").unlink()
    with pytest.raises(FileFormatError, match="benchmark.json"):
        results.read(tmp_path)


@pytest.mark.parametrize(
    "about",
    [
        {"headline_references": "mean"},
        {"settings": []},
        {"left_out": {"net": 3}},
        {"failures": [1]},
        {"fills": {"a": ["blur"]}},
    ],
)
def test_a_damaged_description_is_refused(tmp_path, about):
    with pytest.raises(FileFormatError, match="to describe the benchmark as the runner writes it"):
        results.read(folder(tmp_path, srg("n00.jpg", "a", 0.5), **about))


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
        ("reference", "mean", "one value for each photograph"),
    ],
)
def test_damaged_rows_are_refused(tmp_path, column, value, message):
    rows = srg("n00.jpg", "a", 0.5)
    rows[1][COLUMNS.index(column)] = value
    with pytest.raises(FileFormatError, match=message):
        results.read(folder(tmp_path, rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b"reference", b"baseline"), "expected .* to have the columns"),
        (lambda text: text[:-3], "a last row cut off"),
        (lambda text: text + b"n01.jpg,net,a\n", "expected a name under 'metric' in row 3"),
        (lambda text: text + b"1,2,3,4,5,6,7,8,9,10\n", "to be a CSV file"),
        (lambda text: text + b'"\n', "to be a CSV file"),
        (lambda text: text + b"\xff\n", "to be a CSV file in UTF-8"),
        (
            lambda text: text.split(b"\n")[0] + b"\n",
            "expected .* to have rows, got none: .* no method made a heatmap",
        ),
        (lambda text: b"", "to be a CSV file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = folder(tmp_path, srg("n00.jpg", "a", 0.5)) / "rows.csv"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FileFormatError, match=message):
        results.read(tmp_path)
