"""The benchmark's runner on small photographs and a classifier that is plain arithmetic."""

import csv
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlumap import _archive
from occlumap.errors import (
    ArgumentError,
    ClassifierError,
    FileFormatError,
    ImageError,
    MissingDependencyError,
    OcclumapWarning,
    TargetError,
)
from occlumap.evaluation import gallery, methods
from occlumap.evaluation.benchmark import run
from occlumap.evaluation.counting import CountedClass
from occlumap.evaluation.judging import slug
from occlumap.evaluation.maps import Maps, forget
from occlumap.evaluation.methods import METHODS, Method
from occlumap.evaluation.photographs import Entry, control_of, others, read, read_table, right_ones
from occlumap.evaluation.protocol import METRICS, REFERENCES, Protocol, headline_references
from occlumap.evaluation.rows import Row, append, recover

FAST = ("single_scale", "rise", "random")
LOOKS = 6 + 5
"""Calls of a run that only sees which of the photographs are right, and these blurred."""


class Brightest:
    """Five classes: which fifth of the rows is the brightest; scores sum to 1."""

    input_size = (20, 20)

    def __init__(self):
        self.calls = 0

    def __call__(self, batch):
        self.calls += len(batch)
        light = batch.reshape(len(batch), 5, -1).astype(np.float64).mean(axis=2) + 1
        return light**2 / (light**2).sum(axis=1, keepdims=True)


@pytest.fixture
def photos(tmp_path):
    """Six photographs, 40 x 30 pixels: five with the bright stripe that the table says, one without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,class_index"]
    for number in range(6):
        pixels = rng.integers(0, 100, (40, 30, 3), np.uint8)
        stripe = number if number < 5 else 0
        pixels[5 + 6 * stripe : 11 + 6 * stripe] = rng.integers(180, 255, 3, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{min(number, 4)}")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")
    return folder


def rows_of(out):
    with (out / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def go(photos, out, protocol=None, classifier=None, **settings):
    protocol = protocol or Protocol(methods=FAST, budgets=(30,), steps=4)
    return run(
        {"brightest": classifier or Brightest()}, photos, photos / "photos.csv", out, protocol, **settings
    )


def test_one_row_for_each_number(photos, tmp_path):
    go(photos, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == list(Row._fields)
    per_group = len(REFERENCES) * (len(METRICS["curves"]) + len(METRICS["regions"]))
    assert len(rows) == 5 * len(FAST) * per_group
    assert {row["budget"] for row in rows if row["method"] == "random"} == {"0"}
    assert all(int(row["calls"]) <= 30 for row in rows)
    assert all(float(row["seconds"]) >= 0 for row in rows)
    for group in {(row["photo"], row["method"], row["reference"]) for row in rows}:
        value = {
            row["metric"]: float(row["value"])
            for row in rows
            if (row["photo"], row["method"], row["reference"]) == group
        }
        assert value["srg"] == value["insertion"] - value["deletion"]


def test_what_the_classifier_gets_wrong_is_left_out_and_counted(photos, tmp_path):
    go(photos, tmp_path / "out")
    assert "5.png" not in {row["photo"] for row in rows_of(tmp_path / "out")}
    document = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert document["left_out"] == {"brightest": {"wrong": 1, "of": 6, "files": ["5.png"]}}


def test_enough_are_photographs_that_are_right(photos, tmp_path):
    lines = (photos / "photos.csv").read_text().splitlines()
    (photos / "photos.csv").write_text("\n".join([lines[0], lines[6], *lines[1:6]]))  # the wrong one first
    classifier = Brightest()
    go(photos, tmp_path / "out", Protocol(("random",), steps=4), classifier, enough=2)
    assert {row["photo"] for row in rows_of(tmp_path / "out")} == {"0.png", "1.png"}
    document = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert document["left_out"] == {"brightest": {"wrong": 1, "of": 3, "files": ["5.png"]}}
    go(photos, tmp_path / "out", Protocol(("random",), steps=4), classifier)
    assert len({row["photo"] for row in rows_of(tmp_path / "out")}) == 5


def test_what_each_method_hides_with_is_written_down(photos, tmp_path):
    go(photos, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert document["fills"] == {"single_scale": "neighbours", "rise": "black", "random": ""}


def test_the_headline_leaves_out_what_a_method_hides_with():
    assert headline_references(["black", ""]) == list(REFERENCES)
    assert headline_references(["black", "blur"]) == ["mean", "linear", "photograph", "noise"]


def test_what_a_method_of_ones_own_hides_with_is_known_to_later_runs_without_it(photos, tmp_path):
    def about():
        return json.loads((tmp_path / "out" / "benchmark.json").read_text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "mine", Method("mine", METHODS["random"].run, fill="mean"))
        go(photos, tmp_path / "out", Protocol(("mine", "rise"), budgets=(30,), steps=4))
    before = about()
    go(photos, tmp_path / "out", Protocol(("random",), budgets=(30,), steps=4))
    assert (
        about()["fills"]
        == {**before["fills"], "random": ""}
        == {"mine": "mean", "rise": "black", "random": ""}
    )
    assert about()["headline_references"] == before["headline_references"]
    assert "mean" not in about()["headline_references"]


def test_faithful_methods_beat_chance_here(photos, tmp_path):
    go(photos, tmp_path / "out", Protocol(methods=FAST, budgets=(60,), steps=5))
    gains = {
        name: np.mean(
            [
                float(row["value"])
                for row in rows_of(tmp_path / "out")
                if (row["method"], row["metric"]) == (name, "srg")
            ]
        )
        for name in FAST
    }
    assert gains["single_scale"] > gains["random"] + 0.02
    assert gains["rise"] > gains["random"] + 0.02


class StopsAt:
    """Runs `classifier` until a number of calls, then Ctrl-C."""

    input_size = (20, 20)

    def __init__(self, calls):
        self.classifier, self.left = Brightest(), calls

    def __call__(self, batch):
        self.left -= len(batch)
        if self.left < 0:
            raise KeyboardInterrupt
        return self.classifier(batch)


@pytest.mark.parametrize("calls", [3, 700, 4000])
def test_a_stopped_run_goes_on_to_the_same_numbers(photos, tmp_path, calls):
    go(photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        go(photos, tmp_path / "stopped", classifier=StopsAt(calls))
    go(photos, tmp_path / "stopped")

    def numbers(out):
        return {tuple(value for key, value in row.items() if key != "seconds") for row in rows_of(out)}

    assert numbers(tmp_path / "stopped") == numbers(tmp_path / "whole")
    assert len(rows_of(tmp_path / "stopped")) == len(rows_of(tmp_path / "whole"))


def test_a_finished_run_only_looks_at_the_photographs_again(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = (tmp_path / "out" / "rows.csv").read_bytes()
    classifier = Brightest()
    go(photos, tmp_path / "out", classifier=classifier)
    assert classifier.calls == LOOKS
    assert (tmp_path / "out" / "rows.csv").read_bytes() == before


def test_other_methods_and_budgets_are_added(photos, tmp_path):
    go(photos, tmp_path / "out")
    go(photos, tmp_path / "out", Protocol(methods=("single_scale", "centre"), budgets=(60,), steps=4))
    groups = {(row["method"], row["budget"]) for row in rows_of(tmp_path / "out")}
    assert groups == {
        ("single_scale", "30"),
        ("single_scale", "60"),
        ("rise", "30"),
        ("random", "0"),
        ("centre", "0"),
    }
    settings = json.loads((tmp_path / "out" / "benchmark.json").read_text())["settings"]
    assert settings["methods"] == [*FAST, "centre"]
    assert settings["budgets"] == [30, 60]


def test_another_protocol_in_the_same_folder_is_refused(photos, tmp_path):
    go(photos, tmp_path / "out")
    with pytest.raises(ArgumentError, match="steps as in the run"):
        go(photos, tmp_path / "out", Protocol(methods=FAST, budgets=(30,), steps=5))


@pytest.mark.parametrize("metrics", [("curves",), ("curves", "grid-pointing")])
def test_a_table_that_gives_a_photograph_another_reference_is_refused(photos, tmp_path, metrics):
    table, out = photos / "photos.csv", tmp_path / "out"
    header, *lines = table.read_text().splitlines()
    protocol = Protocol(("random",), metrics=metrics, steps=4)
    go(photos, out, protocol, limit=1)
    table.write_text("\n".join([header, *lines[:-1], "5.png,4"]))  # the same
    go(photos, out, protocol, limit=2)
    table.write_text("\n".join([header, lines[0], *lines[2:], lines[1]]))
    before = (out / "rows.csv").read_bytes()
    with pytest.raises(ArgumentError, match=r"0.png to be judged beside 1.png, 2.png.*got 2.png, 3.png"):
        go(photos, out, protocol, limit=1)
    assert (out / "rows.csv").read_bytes() == before


@pytest.mark.parametrize(
    "values",
    [
        lambda noise: noise * 1e300,
        lambda noise: noise * 1e-60,
        lambda noise: 1e9 + noise,
        lambda noise: 1e-50 * (noise > 0.5),
    ],
)
def test_a_heatmap_that_float32_does_not_hold_is_its_methods_failure_alone(
    photos, tmp_path, monkeypatch, values
):
    def odd(image, classifier, target, calls, seed):
        return values(np.random.default_rng(0).random(image.shape[:2]))

    monkeypatch.setitem(METHODS, "odd", Method("odd", odd, "black"))
    with pytest.warns(match="odd made no heatmap.*that float32 tells apart"):
        go(photos, tmp_path / "out", Protocol(("odd", "random"), budgets=(30,), steps=4), limit=1)
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"random"}
    monkeypatch.setitem(METHODS, "odd", Method("odd", METHODS["random"].run, "black"))
    go(photos, tmp_path / "out", Protocol(("odd", "random"), budgets=(30,), steps=4), limit=1)
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"odd", "random"}


def leaves(*_):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            lambda image, classifier, *_: classifier(image),
            r"expected a batch.*got uint8 of shape \(20, 20, 3\)",
        ),
        (
            lambda image, classifier, *_: classifier(image[None, ::2, ::2]),
            r"\(n, 20, 20, 3\), got .*10, 10, 3",
        ),
        (leaves, "SystemExit: 3"),
    ],
)
def test_a_method_that_asks_with_no_batch_or_leaves_is_told_as_its_own_failure(
    photos, tmp_path, monkeypatch, method, message
):
    monkeypatch.setitem(METHODS, "one", Method("one", method, "black"))
    with pytest.warns(match=f"one made no heatmap.*{message}"):
        go(photos, tmp_path / "out", Protocol(("one", "random"), budgets=(30,), steps=4), limit=1)
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"random"}


def test_the_same_protocol_said_otherwise_goes_on(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = (tmp_path / "out" / "rows.csv").read_bytes()
    reordered = Protocol(FAST, budgets=(30,), steps=4, metrics=("regions", "curves"), size=20)
    go(photos, tmp_path / "out", reordered)
    assert (tmp_path / "out" / "rows.csv").read_bytes() == before
    settings = json.loads((tmp_path / "out" / "benchmark.json").read_text())["settings"]
    assert (settings["metrics"], settings["size"]) == (["curves", "regions"], None)
    with pytest.raises(ArgumentError, match="size of 20.*brightest.*got 30"):
        go(photos, tmp_path / "out", Protocol(FAST, budgets=(30,), steps=4, size=30))


OF_LATER_VERSIONS = ("scores", "blurred_scores", "sides", "beside", "anew")


def test_a_folder_of_a_run_that_wrote_no_scores_and_sides_goes_on(photos, tmp_path):
    go(photos, tmp_path / "out", Protocol(FAST, budgets=(30,), steps=4, size=20))
    file = tmp_path / "out" / "benchmark.json"
    about = json.loads(file.read_text())
    file.write_text(json.dumps({key: about[key] for key in about if key not in OF_LATER_VERSIONS}))
    for scores in (tmp_path / "out" / "maps").glob("*/*-judging.npz"):
        scores.unlink()
    with pytest.raises(ArgumentError, match="size of 20"):
        go(photos, tmp_path / "out", Protocol(FAST, budgets=(30,), steps=4, size=30))
    classifier = Brightest()
    go(photos, tmp_path / "out", classifier=classifier)
    assert classifier.calls == LOOKS
    assert json.loads(file.read_text()) == about


def test_a_classifier_that_changed_under_its_name_is_refused(photos, tmp_path):
    class Sharper(Brightest):
        def __call__(self, batch):
            scores = super().__call__(batch) ** self.power
            return scores / scores.sum(axis=1, keepdims=True)

    go(photos, tmp_path / "out", limit=2)
    changed = Sharper()
    changed.power = 1.001  # what a machine may change
    go(photos, tmp_path / "out", limit=2, classifier=changed)
    changed.power = 2
    with pytest.raises(
        ArgumentError, match=r"brightest to be the classifier.*0\.png the score 0\.\d+ .*got 0\."
    ):
        go(photos, tmp_path / "out", classifier=changed)


def test_a_sure_classifier_that_changed_under_its_name_is_refused(photos, tmp_path):
    class Sure(Brightest):
        def __call__(self, batch):
            found = super().__call__(batch)
            sure = found.max(axis=1) > 0.75
            found = np.where(sure[:, None], found**30, found**self.power)
            return found / found.sum(axis=1, keepdims=True)

    classifier = Sure()
    classifier.power = 1
    go(photos, tmp_path / "out", classifier=classifier, limit=2)
    classifier.power = 1.001  # what a machine may change
    go(photos, tmp_path / "out", classifier=classifier, limit=2)
    classifier.power = 2
    with pytest.raises(ArgumentError, match=r"photograph 0\.png, blurred, the score 0\.\d+ .*got 0\."):
        go(photos, tmp_path / "out", classifier=classifier)


def test_a_refused_run_leaves_the_record_as_it_was(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = (tmp_path / "out" / "benchmark.json").read_bytes()
    both = {"new": Brightest(), "brightest": lambda batch: 2 * Brightest()(batch)}
    with pytest.raises(ArgumentError, match="brightest to be the classifier"):
        run(both, photos, photos / "photos.csv", tmp_path / "out", Protocol(("centre",), steps=4, size=20))
    assert (tmp_path / "out" / "benchmark.json").read_bytes() == before


def test_what_is_known_of_a_classifier_is_kept_when_another_is_run(photos, tmp_path):
    go(photos, tmp_path / "out")
    before = json.loads((tmp_path / "out" / "benchmark.json").read_text())["left_out"]
    run(
        {"other": Brightest()},
        photos,
        photos / "photos.csv",
        tmp_path / "out",
        Protocol(("random",), steps=4),
    )
    after = json.loads((tmp_path / "out" / "benchmark.json").read_text())["left_out"]
    assert after == {**before, "other": before["brightest"]}


def test_both_crops_are_judged(photos, tmp_path):
    go(photos, tmp_path / "out", Protocol(methods=("random",), steps=4, crops=("centre", "off-centre")))
    names = {row["photo"] for row in rows_of(tmp_path / "out")}
    assert {name for name in names if "#" not in name} == {f"{number}.png" for number in range(5)}
    assert any(name.endswith("#off-centre") for name in names)


def test_all_metrics_and_controls(photos, tmp_path):
    protocol = Protocol(
        methods=("rise", "random"), budgets=(100,), metrics=tuple(METRICS), controls=True, steps=3
    )
    go(photos, tmp_path / "out", protocol)
    rows = rows_of(tmp_path / "out")
    assert {row["method"] for row in rows} == {"rise", "rise~blurred", "rise~other", "random"}
    assert {row["metric"] for row in rows} == {name for metric in METRICS.values() for name in metric}
    assert {row["reference"] for row in rows if row["metric"] in ("grid_pointing", "other_class")} == {""}
    assert not [row for row in rows if "~" in row["method"] and row["metric"] == "grid_pointing"]

    def mean(method, metric):
        return np.mean(
            [float(row["value"]) for row in rows if (row["method"], row["metric"]) == (method, metric)]
        )

    assert mean("rise", "srg") > mean("rise~other", "srg")
    assert mean("random", "grid_pointing") == pytest.approx(0.25, abs=0.06)
    assert mean("random", "other_class") == pytest.approx(1)  # it knows no class
    assert mean("rise", "other_class") < 0.9
    before = (tmp_path / "out" / "rows.csv").read_bytes()
    go(photos, tmp_path / "out", protocol)
    assert (tmp_path / "out" / "rows.csv").read_bytes() == before


def test_the_control_is_the_map_of_another_photograph_than_the_reference():
    entries = [Entry(str(place), index, "centre") for place, index in enumerate((0, 0, 1, 1, 2))]
    assert [others(entries, entry, 1)[0].file for entry in entries] == ["2", "2", "4", "4", "0"]
    assert [control_of(entries, entry).file for entry in entries] == ["3", "3", "0", "0", "1"]
    assert control_of(entries[1:3], entries[1]) == entries[2]  # two photographs: there is no other


def test_the_control_is_judged_with_the_map_of_the_second_photograph_after(photos, tmp_path, monkeypatch):
    def first_pixel(image, classifier, target, calls, seed):
        classifier(image[None])
        return image[:, :, 0].astype(float)

    monkeypatch.setitem(METHODS, "pixels", Method("pixels", first_pixel, "black"))
    go(photos, tmp_path / "out", Protocol(("pixels",), budgets=(30,), steps=4, controls=True), limit=1)
    kept = {
        path.name[:5] for path in (tmp_path / "out" / "maps").glob("*/*.npz") if "judging" not in path.name
    }
    assert kept == {"0.png", "2.png"}  # 1.png is the reference


def test_a_method_that_fails_costs_no_other_its_numbers(photos, tmp_path, monkeypatch):
    def broken(image, classifier, target, calls, seed):
        raise ZeroDivisionError("no luck")

    monkeypatch.setitem(METHODS, "broken", Method("broken", broken, "black"))
    with pytest.warns(match="broken made no heatmap with 30 calls: ZeroDivisionError: no luck"):
        go(photos, tmp_path / "out", Protocol(methods=("broken", "random"), budgets=(30,), steps=4))
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"random"}
    failures = json.loads((tmp_path / "out" / "benchmark.json").read_text())["failures"]
    assert len(failures) == 5
    assert failures[0] == {
        "photo": "0.png",
        "classifier": "brightest",
        "method": "broken",
        "budget": 30,
        "problem": "ZeroDivisionError: no luck",
    }


def test_a_method_that_spends_more_than_its_budget_has_failed(photos, tmp_path, monkeypatch):
    def greedy(image, classifier, target, calls, seed):
        classifier(np.repeat(image[None], calls + 1, axis=0))
        return np.zeros(image.shape[:2])

    monkeypatch.setitem(METHODS, "greedy", Method("greedy", greedy, "black"))
    with pytest.warns(match="greedy made no heatmap.*at most 30 calls to be spent, got 31"):
        go(photos, tmp_path / "out", Protocol(methods=("greedy", "random"), budgets=(30,)))
    assert {row["method"] for row in rows_of(tmp_path / "out")} == {"random"}


def test_a_failure_is_tried_again(photos, tmp_path, monkeypatch):
    working = METHODS["random"].run

    def broken(*arguments):
        raise MemoryError

    for run_, expected in ((broken, {"centre"}), (working, {"centre", "flaky"})):
        monkeypatch.setitem(METHODS, "flaky", Method("flaky", run_, "black"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            go(photos, tmp_path / "out", Protocol(methods=("flaky", "centre"), budgets=(30,), steps=4))
        assert {row["method"] for row in rows_of(tmp_path / "out")} == expected
    assert json.loads((tmp_path / "out" / "benchmark.json").read_text())["failures"] == []


def test_a_failure_is_told_until_it_is_mended(photos, tmp_path):
    def broken(*arguments):
        raise MemoryError

    def failures():
        return json.loads((tmp_path / "out" / "benchmark.json").read_text())["failures"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "flaky", Method("flaky", broken, "black"))
        protocol = Protocol(("flaky", "centre"), budgets=(30,), steps=4)
        with pytest.warns(match="flaky made no heatmap"):
            go(photos, tmp_path / "out", protocol)
    before = failures()
    assert {line["photo"] for line in before} == {f"{number}.png" for number in range(5)}
    go(photos, tmp_path / "out", Protocol(("random",), budgets=(30,), steps=4))
    assert failures() == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "flaky", Method("flaky", METHODS["random"].run, "black"))
        go(photos, tmp_path / "out", Protocol(("flaky",), budgets=(30,), steps=4), limit=2)
    assert failures() == before[2:]


def test_a_classifier_that_fails_stops_the_run_and_keeps_what_was_done(photos, tmp_path):
    class Fails(StopsAt):
        def __call__(self, batch):
            try:
                return super().__call__(batch)
            except KeyboardInterrupt:
                raise OSError("gone") from None

    with pytest.raises(ClassifierError, match="gone"):
        go(photos, tmp_path / "out", classifier=Fails(1500))
    kept = len(rows_of(tmp_path / "out"))
    assert kept > 0
    go(photos, tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) > kept


def test_the_calls_that_an_error_names_are_counted_over_the_whole_run(photos, tmp_path):
    class Fails(Brightest):
        def __call__(self, batch):
            if self.calls >= 1500:
                raise OSError("gone")
            return super().__call__(batch)

    failing = Fails()
    with pytest.raises(ClassifierError, match=r"in calls (\d+) to") as caught:
        go(photos, tmp_path / "out", classifier=failing)
    assert f"in calls {failing.calls + 1} to" in str(caught.value)
    assert "Fails" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"methods": ("rize",)}, ArgumentError, "did you mean rise"),
        ({"methods": ()}, ArgumentError, "a method or more"),
        ({"methods": ("rise", "rise")}, ArgumentError, "twice"),
        ({"metrics": ("curve",)}, ArgumentError, "did you mean curves"),
        ({"crops": ("middle",)}, ArgumentError, "centre, off-centre"),
        ({"budgets": (0,)}, ArgumentError, "budget"),
        ({"budgets": ()}, ArgumentError, "budget"),
        ({"steps": 0}, ArgumentError, "steps"),
        ({"size": 3}, ArgumentError, "size"),
        ({"seed": -1}, ArgumentError, "seed"),
    ],
)
def test_a_protocol_is_checked_at_the_door(settings, error, message):
    with pytest.raises(error, match=message):
        Protocol(**settings)


@pytest.mark.parametrize(
    ("key", "method", "message"),
    [
        ("mine", Method("other", np.ones, fill="black"), "of the same name.*'other'"),
        (
            "mine~blurred",
            Method("mine~blurred", np.ones, fill="black"),
            "of the same name, at most 60 letters",
        ),
        ("my/own", Method("my/own", np.ones, fill="black"), "at most 60 letters"),
        ("my\0own", Method("my\0own", np.ones, fill="black"), "at most 60 letters"),
        ("m" * 61, Method("m" * 61, np.ones, fill="black"), "at most 60 letters"),
        ("mine", Method("mine", np.ones, fill=None), "a text as the fill of mine, got NoneType"),
        ("mine", Method("mine", np.ones, fill="Mean colour"), "got 'Mean colour'; did you mean mean"),
        ("mine", Method("mine", np.ones, fill="gaussian-blur"), "did you mean blur"),
        ("mine", np.ones, "to be a Method"),
        ("mine", Method("mine", np.ones, fill="Blurred"), "did you mean blur"),
    ],
)
def test_a_method_of_ones_own_is_checked_at_the_door(monkeypatch, key, method, message):
    monkeypatch.setitem(METHODS, key, method)
    with pytest.raises(ArgumentError, match=message):
        Protocol(methods=(key,))


def test_classifiers_come_with_names(photos, tmp_path):
    with pytest.raises(ArgumentError, match=r"\{'name': classifier\}"):
        run([Brightest()], photos, photos / "photos.csv", tmp_path / "out", Protocol(("random",)))


def test_a_method_without_its_package_is_told(monkeypatch):
    monkeypatch.setattr(methods, "find_spec", lambda package: None)
    with pytest.raises(MissingDependencyError, match="lime needs lime.*benchmark,peers"):
        Protocol(methods=("lime",))
    assert "lime" not in methods.installed()
    assert "rise" in methods.installed()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "no lines"),
        ("file,label\n0.png,1\n", "file, label"),
        ("file,class_index\n0.png,cat\n", "line 2"),
        ("file,class_index\n0.png,-1\n", "line 2"),
        ("file,class_index\n0.png\n", "line 2"),
        ("file,class_index\n0.png,1,7\n", "as many fields in line 2"),
        ("file,class_index\n0\0.png,1\n", "no NUL"),
        ("file,class_index\n0.png,1\n0.png,1\n", "more than once"),
        ("file,class_index\n0.png,1\n./0.png,1\n", "more than once"),
    ],
)
def test_a_table_is_checked(tmp_path, table, message):
    (tmp_path / "photos.csv").write_text(table)
    with pytest.raises(ArgumentError, match=message):
        read_table(tmp_path / "photos.csv")


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(ArgumentError, match="expected a CSV table"):
        read_table(tmp_path / "none.csv")


def test_files_outside_the_folder_are_refused(photos):
    (photos.parent / "secret.png").write_bytes((photos / "0.png").read_bytes())
    (photos / "photos.csv").write_text("file,class_index\n../secret.png,0\n")
    (entry,) = read_table(photos / "photos.csv")
    with pytest.raises(ImageError, match="inside"):
        read(photos, entry, 20)


def test_a_class_that_the_classifier_lacks_is_told(photos):
    (photos / "photos.csv").write_text("file,class_index\n0.png,5\n")
    with pytest.raises(TargetError, match="up to 4"):
        right_ones(Brightest(), photos, read_table(photos / "photos.csv"), 20)


def test_too_few_classes_for_another_photograph_are_told(photos, tmp_path):
    (photos / "photos.csv").write_text("file,class_index\n0.png,0\n")
    with pytest.raises(ArgumentError, match="at least 2 classes"):
        go(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_centre_square_is_pillows(photos):
    (entry, *_) = read_table(photos / "photos.csv")
    with Image.open(photos / "0.png") as picture:
        by_hand = picture.crop((0, 5, 30, 35)).resize((20, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(read(photos, entry, 20).pixels, by_hand)


def test_off_centre_windows_are_as_seeded_and_inside(photos):
    entries = read_table(photos / "photos.csv", ("off-centre",))
    first, again, other = (read(photos, entries[0], 20, seed).pixels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert entries[0].name == "0.png#off-centre"


def test_counted_class_counts_every_image_and_asks_once():
    classifier = Brightest()
    scores = {}
    counted = CountedClass(classifier, 2, (20, 20, 3), scores, scores)
    batch = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), np.uint8)
    first = counted(batch)
    assert (counted.calls, counted.fresh, classifier.calls) == (5, 5, 5)
    np.testing.assert_array_equal(first[:, 0], Brightest()(batch)[:, 2])
    np.testing.assert_array_equal(first[:, 1], Brightest()(batch)[:, [0, 1, 3, 4]].max(axis=1))
    again = counted(np.concatenate([batch, batch[:2] // 2]))
    np.testing.assert_array_equal(again[:5], first)
    np.testing.assert_array_equal(again[5:, 0], Brightest()(batch[:2] // 2)[:, 2])
    assert (counted.calls, counted.fresh, classifier.calls) == (12, 7, 7)


def test_a_changed_estimator_is_judged_again_without_new_calls(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)

    def double(*arguments):
        return METHODS["rise"].run(*arguments) * 2

    first = Maps(Brightest(), image, 1, 0, tmp_path / "maps.npz")
    made = first.make(METHODS["rise"], 25)
    first.save()
    classifier = Brightest()
    again = Maps(classifier, image, 1, 0, tmp_path / "maps.npz")
    np.testing.assert_array_equal(again.make(METHODS["rise"], 25).heatmap, made.heatmap)
    assert again.make(METHODS["rise"], 25).seconds == made.seconds
    changed = again.make(Method("rise2", double, "black"), 25)
    np.testing.assert_array_equal(changed.heatmap, made.heatmap * 2)
    assert (classifier.calls, changed.calls, changed.seconds) == (0, 25, None)


def test_a_method_that_joins_later_tells_its_time_though_the_photograph_is_known(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    first = Maps(Brightest(), image, 1, 0, tmp_path / "maps.npz")
    first.make(METHODS["hipe"], 60)  # asks for the photograph itself
    first.save()
    classifier = Brightest()
    later = Maps(classifier, image, 1, 0, tmp_path / "maps.npz").make(METHODS["joint"], 60)
    assert (later.calls, classifier.calls) == (60, 59)
    assert later.seconds is not None


def test_what_judging_asked_is_kept_for_later_runs(photos, tmp_path, monkeypatch):
    protocol = Protocol(
        FAST, budgets=(30,), steps=4, metrics=("curves", "areas", "regions", "sensitivity", "infidelity")
    )
    go(photos, tmp_path / "out", protocol)

    def values():
        return {
            (*tuple(row.values())[:4], row["metric"], row["reference"], row["value"])
            for row in rows_of(tmp_path / "out")
        }

    before = values()
    unchanged = Brightest()
    go(photos, tmp_path / "out", protocol, classifier=unchanged, again=FAST)
    assert (unchanged.calls, values()) == (LOOKS, before)
    changed = METHODS["rise"].run
    monkeypatch.setitem(METHODS, "rise", Method("rise", lambda *arguments: changed(*arguments) ** 3, "black"))
    same_order = Brightest()
    go(photos, tmp_path / "out", protocol, classifier=same_order, again=["rise"])
    assert same_order.calls == LOOKS
    assert values() != before
    new_map = Brightest()
    go(photos, tmp_path / "out", Protocol(("centre",), steps=4, metrics=protocol.metrics), classifier=new_map)
    assert LOOKS < new_map.calls <= LOOKS + 5 * len(REFERENCES) * 3 * (4 + 5 + 2 * 5)  # its curves, no drops


def test_what_is_kept_of_another_image_or_damaged_is_refused(photos, tmp_path):
    go(photos, tmp_path / "out")
    first, second = sorted((tmp_path / "out" / "maps").glob("*/*-judging.npz"))[:2]
    good = first.read_bytes()
    for content, message in (
        (second.read_bytes(), "same image for class 0"),
        (good[:-100], "could not read"),
    ):
        first.write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{message}.*delete it"):
            go(photos, tmp_path / "out", again=["random"])
    first.unlink()
    go(photos, tmp_path / "out", again=["random"])
    assert first.exists()


def test_the_heatmap_of_every_row_is_kept_though_a_run_is_killed(photos, tmp_path, monkeypatch):
    def killed(path, rows):
        append(path, rows)
        if len({row["method"] for row in rows_of(path.parent)}) == 2:
            monkeypatch.setattr(Maps, "save", lambda maps: None)  # nothing more is written
            raise SystemExit

    monkeypatch.setattr("occlumap.evaluation.benchmark.append", killed)
    with pytest.raises(SystemExit):
        go(photos, tmp_path / "out")
    monkeypatch.undo()
    (file,) = (tmp_path / "out" / "maps").glob("*/*0.png-????????.npz")
    made = _archive.read(file, "occlumap-benchmark-maps")[0]["made"]
    assert set(made) == {f"{row['method']}@{row['budget']}" for row in rows_of(tmp_path / "out")}


def test_kept_maps_of_another_class_are_refused(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    maps = Maps(Brightest(), image, 1, 0, tmp_path / "maps.npz")
    maps.make(METHODS["random"], 0)
    maps.save()
    with pytest.raises(FileFormatError, match="class 2.*delete it"):
        Maps(Brightest(), image, 2, 0, tmp_path / "maps.npz")


ROW = Row("a,b.png", "c", "rise", 10, 10, 0.5, "srg", "mean", 0.1 + 0.2)


def test_rows_read_back_equal(tmp_path):
    append(tmp_path / "rows.csv", [ROW, ROW._replace(seconds=None, metric="insertion")])
    (first, second) = rows_of(tmp_path)
    assert first["photo"] == "a,b.png"
    assert float(first["value"]) == 0.1 + 0.2
    assert second["seconds"] == ""


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_torn_group_is_cut_off(tmp_path, cut):
    path = tmp_path / "rows.csv"
    append(path, [ROW, ROW._replace(metric="insertion")])
    whole = path.read_bytes()
    append(path, [ROW._replace(budget=20), ROW._replace(budget=20, metric="insertion")])
    path.write_bytes(path.read_bytes()[:-cut] if cut < len(path.read_bytes()) - len(whole) else whole)
    assert recover(path, lambda method: 2) == {("a,b.png", "c", "rise", 10)}
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", ["hello\n", "photo,classifier\n1,2\n"])
def test_other_files_are_not_taken_for_rows(tmp_path, content):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(FileFormatError, match="another file"):
        recover(tmp_path / "rows.csv", lambda method: 2)


def test_a_torn_header_is_no_loss(tmp_path):
    (tmp_path / "rows.csv").write_text("photo,cla")
    assert recover(tmp_path / "rows.csv", lambda method: 2) == set()
    append(tmp_path / "rows.csv", [ROW])
    assert len(rows_of(tmp_path)) == 1


def test_the_first_photographs_are_drawn_for_every_method(photos, tmp_path):
    go(photos, tmp_path / "out")
    folder = tmp_path / "out" / "gallery" / slug("brightest") / slug("0.png")
    assert {path.name for path in folder.iterdir()} == {
        "photo.png",
        "random@0.png",
        "rise@30.png",
        "single_scale@30.png",
    }
    (folder / "photo.png").unlink()  # as if the run had been stopped while drawing
    go(photos, tmp_path / "out")
    assert (folder / "photo.png").exists()


def test_a_drawing_is_red_where_the_map_is_high_and_grey_elsewhere():
    image = np.full((10, 10, 3), (10, 100, 190), np.uint8)
    heatmap = np.zeros((10, 10), np.float32)
    heatmap[:2] = 7
    drawn = gallery.draw(image, heatmap)
    assert (drawn[5] == 100).all()
    assert drawn[0, 0, 0] > 180
    assert (gallery.draw(image, np.zeros((10, 10), np.float32)) == 100).all()


@pytest.mark.parametrize("size", [(20, 24), 20, (20,), (0, 0), ("20", "20")])
def test_a_classifier_of_oblong_images_asks_for_a_size(photos, tmp_path, size):
    classifier = Brightest()
    classifier.input_size = size
    with pytest.raises(ArgumentError, match="input_size"):
        go(photos, tmp_path / "out", classifier=classifier)
    go(photos, tmp_path / "out", Protocol(methods=("random",), size=20, steps=4), classifier)


def test_a_table_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "photos.csv").write_bytes(b"\xef\xbb\xbffile,class_index\n0.png,1\n")
    assert read_table(tmp_path / "photos.csv")[0].class_index == 1


def test_what_two_runs_at_once_wrote_twice_is_kept_once(tmp_path):
    path = tmp_path / "rows.csv"
    append(path, [ROW, ROW._replace(metric="insertion")])
    whole = path.read_bytes()
    append(path, [ROW._replace(seconds=9.0), ROW._replace(metric="insertion", seconds=9.0)])
    assert recover(path, lambda method: 2) == {("a,b.png", "c", "rise", 10)}
    assert path.read_bytes() == whole


def test_a_changed_method_is_judged_again_from_kept_scores(photos, tmp_path, monkeypatch):
    go(photos, tmp_path / "out")

    positive = METHODS["rise"].run

    def negative(*arguments):
        return -positive(*arguments)

    def gain():
        rows = rows_of(tmp_path / "out")
        return {
            row["photo"]: float(row["value"])
            for row in rows
            if (row["method"], row["metric"]) == ("rise", "srg")
        }

    before = gain()
    monkeypatch.setitem(METHODS, "rise", Method("rise", negative, "black"))
    go(photos, tmp_path / "out")
    assert gain() == before
    go(photos, tmp_path / "out", again=["rise"])
    assert all(gain()[photo] == pytest.approx(-before[photo], abs=0.2) for photo in before)
    assert np.mean(list(gain().values())) < 0 < np.mean(list(before.values()))
    assert {row["seconds"] for row in rows_of(tmp_path / "out") if row["method"] == "rise"} == {""}


def test_only_what_a_run_makes_anew_loses_its_rows(photos, tmp_path):
    def numbers():
        return sorted((*list(row.values())[:5], *list(row.values())[6:]) for row in rows_of(tmp_path / "out"))

    go(photos, tmp_path / "out")
    before = numbers()
    with pytest.raises(ArgumentError, match="make again to be one of random; got 'rise'"):
        go(photos, tmp_path / "out", Protocol(("random",), steps=4), again=["rise"])
    with pytest.warns(OcclumapWarning, match="keeps its earlier rows on 4 photographs with brightest"):
        go(photos, tmp_path / "out", again=["random"], limit=1)
    assert numbers() == before


def test_a_method_made_anew_that_was_stopped_goes_on_with_its_new_heatmaps(photos, tmp_path, monkeypatch):
    whole = METHODS["rise"].run

    def numbers():
        return sorted((row["photo"], row["metric"], row["value"]) for row in rows_of(tmp_path / "out"))

    made = []

    def changed(image, *arguments):
        made.append(image)
        if len(made) == 3:
            raise KeyboardInterrupt
        return -whole(image, *arguments)

    protocol = Protocol(("rise",), budgets=(30,), steps=4)
    go(photos, tmp_path / "out", protocol)
    monkeypatch.setitem(METHODS, "rise", Method("rise", changed, "black"))
    with pytest.raises(KeyboardInterrupt):
        go(photos, tmp_path / "out", protocol, again=["rise"])
    assert len(rows_of(tmp_path / "out")) == 2 * protocol.group_size("rise")
    go(photos, tmp_path / "out", protocol)
    stopped = numbers()
    go(photos, tmp_path / "out", protocol, again=["rise"])
    assert numbers() == stopped


def reds(sign):
    """A method: the red of an image, or its opposite."""
    return Method("reds", lambda image, *_: sign * image[:, :, 0].astype(float), "black")


@pytest.mark.parametrize("files", [0, 1, 4])
def test_a_method_made_anew_that_was_stopped_while_its_heatmaps_were_forgotten_keeps_no_old_row(
    photos, tmp_path, monkeypatch, files
):
    def numbers(out):
        return sorted((*list(row.values())[:4], *list(row.values())[6:]) for row in rows_of(out))

    def stopped(file, names):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        forget(file, names)

    left = [None] * files
    monkeypatch.setitem(METHODS, "reds", reds(1))
    protocol = Protocol(("reds",), budgets=(30,), steps=4)
    go(photos, tmp_path / "out", protocol)
    monkeypatch.setitem(METHODS, "reds", reds(-1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("occlumap.evaluation.judging.forget", stopped)
        with pytest.raises(KeyboardInterrupt):
            go(photos, tmp_path / "out", protocol, again=["reds"])
    go(photos, tmp_path / "out", protocol, limit=2)
    go(photos, tmp_path / "out", protocol)
    go(photos, tmp_path / "new", protocol)
    assert numbers(tmp_path / "out") == numbers(tmp_path / "new")


def test_the_control_of_a_method_made_anew_is_its_new_heatmap(photos, tmp_path, monkeypatch):
    def numbers(out):
        return sorted((*list(row.values())[:4], *list(row.values())[6:]) for row in rows_of(out))

    monkeypatch.setitem(METHODS, "reds", reds(1))
    plain, controlled = (
        Protocol(("reds",), budgets=(30,), steps=4, controls=controls) for controls in (False, True)
    )
    go(photos, tmp_path / "out", controlled, limit=1)
    monkeypatch.setitem(METHODS, "reds", reds(-1))
    with pytest.warns(OcclumapWarning, match="reds~other at 30 calls are taken out"):
        go(photos, tmp_path / "out", plain, again=["reds"], limit=1)
    go(photos, tmp_path / "out", controlled, limit=1)
    go(photos, tmp_path / "new", controlled, limit=1)
    assert numbers(tmp_path / "out") == numbers(tmp_path / "new")


def test_a_table_with_too_few_classes_for_a_mosaic_is_refused_before_anything_is_made(photos, tmp_path):
    lines = (photos / "photos.csv").read_text().splitlines()
    (photos / "photos.csv").write_text("\n".join(lines[:4]))
    go(photos, tmp_path / "curves", Protocol(("random",), steps=4))
    with pytest.raises(ArgumentError, match="photographs of at least 4 classes, got 3"):
        go(photos, tmp_path / "out", Protocol(("random",), steps=4, metrics=("grid-pointing",)))
    assert not (tmp_path / "out").exists()


def test_a_second_run_in_a_folder_at_once_is_refused(photos, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    go(photos, tmp_path / "out")
    before = rows_of(tmp_path / "out")
    with (tmp_path / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ArgumentError, match="no other benchmark in .*, got one that is under way"):
            go(photos, tmp_path / "out", Protocol(("centre",), steps=4))
    assert rows_of(tmp_path / "out") == before
    go(photos, tmp_path / "out", Protocol(("centre",), steps=4))
    assert len(rows_of(tmp_path / "out")) > len(before)


def test_numbers_at_other_budgets_that_a_run_takes_out_are_told(photos, tmp_path):
    go(photos, tmp_path / "out", Protocol(("rise",), budgets=(20, 30), steps=4))
    with pytest.warns(OcclumapWarning, match="rise at 30 calls are taken out"):
        go(photos, tmp_path / "out", Protocol(("rise",), budgets=(20,), steps=4), again=["rise"])
    assert {row["budget"] for row in rows_of(tmp_path / "out")} == {"20"}


@pytest.mark.parametrize("metrics", [("curves",), ("sanity", "grid-pointing")])
def test_a_classifier_or_method_that_writes_into_what_it_gets_changes_no_number(
    photos, tmp_path, monkeypatch, metrics
):
    class Writes(Brightest):
        def __call__(self, batch):
            found = super().__call__(batch)
            batch[:] = 0
            return found

    def scribbles(image, *arguments):
        image[:] = 0
        return np.zeros(image.shape[:2])

    monkeypatch.setitem(METHODS, "scribbles", Method("scribbles", scribbles, "black"))
    protocol = Protocol(("scribbles", *FAST), budgets=(30,), steps=4, metrics=metrics)
    found = []
    for name, classifier in (("plain", Brightest()), ("writes", Writes())):
        go(photos, tmp_path / name, protocol, classifier)
        rows = [row for row in rows_of(tmp_path / name) if row["method"] != "scribbles"]
        found.append([{**row, "seconds": ""} for row in rows])
    go(photos, tmp_path / "alone", Protocol(FAST, budgets=(30,), steps=4, metrics=metrics))
    alone = [{**row, "seconds": ""} for row in rows_of(tmp_path / "alone")]
    assert found == [alone, alone]


def test_other_pixels_or_another_class_under_the_same_name_are_refused(photos, tmp_path):
    go(photos, tmp_path / "out")
    with Image.open(photos / "1.png") as picture:
        Image.fromarray(np.asarray(picture) // 2).save(photos / "1.png")
    with pytest.raises(ArgumentError, match="photograph 1.png as in the run"):
        go(photos, tmp_path / "out")


@pytest.mark.parametrize(("number", "metrics"), [(1, ("curves",)), (2, ("curves",)), (3, tuple(METRICS))])
def test_other_pixels_of_a_photograph_beside_one_that_is_judged_are_refused(
    photos, tmp_path, number, metrics
):
    protocol = Protocol(("random",), steps=4, metrics=metrics, controls=True)
    go(photos, tmp_path / "out", protocol, limit=1)
    go(photos, tmp_path / "out", protocol, limit=1)
    with Image.open(photos / f"{number}.png") as picture:
        Image.fromarray(np.asarray(picture) // 2).save(photos / f"{number}.png")
    with pytest.raises(ArgumentError, match=rf"photograph {number}.png, beside which 0.png is judged"):
        go(photos, tmp_path / "out", protocol, limit=1)
    (photos / f"{number}.png").unlink()
    with pytest.raises(ImageError):
        go(photos, tmp_path / "other", protocol, limit=1)
    assert not (tmp_path / "other" / "rows.csv").exists()


def test_what_is_compared_does_not_depend_on_what_else_is_run(photos, tmp_path):
    def numbers(out, photo):
        names = ("method", "budget", "metric", "reference", "value")
        return {tuple(row[name] for name in names) for row in rows_of(out) if row["photo"] == photo}

    both = Protocol(methods=FAST, budgets=(30,), steps=4, crops=("off-centre", "centre"))
    go(photos, tmp_path / "short", limit=2)
    go(photos, tmp_path / "long")
    go(photos, tmp_path / "both", both)
    for photo in ("0.png", "1.png"):
        assert (
            numbers(tmp_path / "short", photo)
            == numbers(tmp_path / "long", photo)
            == numbers(tmp_path / "both", photo)
        )
    go(photos, tmp_path / "short")
    for number in range(5):
        assert numbers(tmp_path / "short", f"{number}.png") == numbers(tmp_path / "long", f"{number}.png")


def test_chance_is_not_the_same_on_all_photographs(photos, tmp_path):
    go(photos, tmp_path / "out")
    maps = [
        Maps(Brightest(), photograph.pixels, photograph.entry.class_index, seed, tmp_path / f"{seed}.npz")
        for seed, photograph in enumerate(
            read(photos, entry, 20) for entry in read_table(photos / "photos.csv")[:2]
        )
    ]
    first, second = (one.make(METHODS["random"], 0).heatmap for one in maps)
    assert not np.array_equal(first, second)


def test_no_photograph_right_is_told_before_anything_is_made(photos, tmp_path):
    (photos / "photos.csv").write_text("file,class_index\n0.png,1\n1.png,2\n")
    with pytest.raises(ArgumentError, match="gets right, got 2, all of them wrong"):
        go(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_refused_run_leaves_nothing_behind(photos, tmp_path):
    with pytest.raises(ArgumentError, match="steps for 20 x 20 pixels"):
        go(photos, tmp_path / "out", Protocol(methods=FAST, budgets=(30,), steps=401))
    assert not (tmp_path / "out").exists()


def test_the_versions_are_those_of_all_runs_that_made_rows(photos, tmp_path, monkeypatch):
    def versions():
        return json.loads((tmp_path / "out" / "benchmark.json").read_text())["versions"]

    go(photos, tmp_path / "out", Protocol(("random",), steps=4), limit=1)
    before = versions()
    assert before["numpy"] == np.__version__
    monkeypatch.setattr("occlumap._versions.version", lambda package: "9.9")
    go(photos, tmp_path / "out", Protocol(("random",), steps=4), limit=1)
    assert versions() == before
    for _ in range(2):
        go(photos, tmp_path / "out", Protocol(("random", "centre"), steps=4), again=["random"], limit=1)
    assert versions()["numpy"] == f"{np.__version__}, 9.9"


def test_commands_and_photographs_of_several_runs_add_up(photos, tmp_path):
    go(photos, tmp_path / "out", limit=2, command="one")
    go(photos, tmp_path / "out", command="two")
    go(photos, tmp_path / "out", limit=1, command="two")
    document = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert document["command"] == "one && two"
    assert document["left_out"]["brightest"] == {"wrong": 1, "of": 6, "files": ["5.png"]}


def test_rows_of_another_encoding_are_no_traceback(tmp_path):
    append(tmp_path / "rows.csv", [ROW])
    with (tmp_path / "rows.csv").open("ab") as file:
        file.write(b"\xff\xfe")
    assert recover(tmp_path / "rows.csv", lambda method: 1) == {("a,b.png", "c", "rise", 10)}


def test_the_example_of_the_docs_judges_a_method_of_ones_own_and_makes_a_report(
    photos, tmp_path, monkeypatch
):
    page = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text()
    (example,) = [
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if 'METHODS["mine"]' in block
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(METHODS, "mine", METHODS["random"])  # and so taken out again
    known = {"classifier": Brightest(), "my_method": METHODS["random"].run}
    exec(example.replace('"rise", "lime"', '"rise"'), known)
    assert "mine" in (tmp_path / "results" / "report.md").read_text()
