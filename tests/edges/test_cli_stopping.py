"""Stopping a command, or a classifier that fails, loses nothing; --resume goes on."""

import contextlib
import re
import signal
import sys
import time
from pathlib import Path

import pytest

import occlumap
from occlumap import _archive
from occlumap.cli.stopping import swallowed_ctrl_c_counts
from occlumap.explanation import KIND
from tests.edges.command_line import TOY, explain, files, run, same, start


def test_a_classifier_that_ends_the_program_is_a_failing_one(folder):
    result = explain("--batch-size", 7, classifier="occlumap_toy:leaving", code=1)
    assert "error: the classifier 'occlumap_toy:leaving' raised SystemExit: 3" in result.stderr
    assert "--resume out/measurements.npz" in result.stderr
    explain("--resume", "out/measurements.npz")


def test_a_failing_classifier_leaves_its_measurements_and_says_how_to_go_on(folder):
    result = explain("--batch-size", 7, classifier="occlumap_toy:failing", code=1)
    assert "the accelerator fell off" in result.stderr
    assert "--resume out/measurements.npz" in result.stderr
    assert "error.measurements" not in result.stderr  # that is Python, not a command line
    assert files(folder / "out") == ["measurements.npz"]
    kept = len(occlumap.Measurements.load("out/measurements.npz"))
    assert 93 <= kept <= 107
    went_on = explain("--resume", "out/measurements.npz")
    resumed = occlumap.Explanation.load("out/explanation.npz")
    assert resumed.provenance["calls"] == 2 + len(resumed.measurements) - kept
    assert f"{resumed.provenance['calls']} classifier calls" in went_on.stdout
    explain("--out", "whole")
    same(resumed, occlumap.Explanation.load("whole/explanation.npz"))


def test_resume_takes_an_explanation_too(folder):
    explain()
    explain("--resume", "out/explanation.npz", "--best-k", "1", "--out", "best")
    assert occlumap.Explanation.load("best/explanation.npz").provenance["calls"] == 2


def test_measurements_that_cannot_be_saved_do_not_hide_the_error(folder, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(occlumap.Measurements, "save", full)
    stderr = explain(classifier="occlumap_toy:failing", code=1).stderr
    assert "the accelerator fell off" in stderr
    assert "could not be saved" in stderr


def test_a_full_disk_is_code_1_and_hides_not_what_was_found(folder, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(occlumap.Explanation, "save", full)
    stderr = explain(code=1).stderr
    assert "No space left on device; free some" in stderr
    assert "classifier calls in" in stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX has them")
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_stopping_keeps_what_was_measured_and_resume_gives_the_same(folder, sent, code):
    command = [
        "explain",
        "photo.png",
        "--method",
        "paper",
        "--depth",
        "2",
        "--batch-size",
        "2",
        "--classifier",
    ]
    process = start(*command, "occlumap_toy:slow")
    deadline = time.monotonic() + 60
    while not (folder / "under_way").exists() and time.monotonic() < deadline:
        time.sleep(0.02)  # the whole run takes about 5 s
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert "--resume out/measurements.npz" in stderr
    assert files(folder / "out") == ["measurements.npz"]
    kept = len(occlumap.Measurements.load("out/measurements.npz"))
    assert kept >= 18

    explain("--resume", "out/measurements.npz")
    resumed = occlumap.Explanation.load("out/explanation.npz")
    assert resumed.provenance["calls"] == 2 + len(resumed.measurements) - kept
    explain("--out", "whole")
    same(resumed, occlumap.Explanation.load("whole/explanation.npz"))


def test_what_a_run_resumed_from_stays(folder):
    explain("--target", "0", "--target", "1")
    explain("--target", "0", "--resume", "out/1-dark/explanation.npz", "--budget", "50")
    assert len(occlumap.Explanation.load("out/1-dark/explanation.npz").measurements) == 186
    assert not (folder / "out" / "0-lit").exists()


def test_measurements_of_another_run_are_never_replaced(folder):
    explain("--batch-size", 7, classifier="occlumap_toy:failing", code=1)
    more = (folder / "out" / "measurements.npz").read_bytes()
    sys.modules.pop("occlumap_toy")  # its classifiers count their calls
    stderr = explain("--batch-size", 7, "--fill", "mean", classifier="occlumap_toy:failing", code=1).stderr
    assert "--resume out/measurements-2.npz" in stderr
    assert (folder / "out" / "measurements.npz").read_bytes() == more
    assert occlumap.Measurements.load("out/measurements-2.npz").fill == "mean"


def test_measurements_that_are_all_in_the_new_ones_are_replaced(folder):
    (folder / "occlumap_toy.py").write_text(TOY.replace("fail_after=100", "fail_after=50"))
    explain("--batch-size", 7, classifier="occlumap_toy:failing", code=1)
    kept = len(occlumap.Measurements.load("out/measurements.npz"))
    sys.modules.pop("occlumap_toy")
    resume = ("--resume", "out/measurements.npz")
    stderr = explain("--batch-size", 7, *resume, classifier="occlumap_toy:failing", code=1).stderr
    assert "--resume out/measurements.npz" in stderr
    assert files(folder / "out") == ["measurements.npz"]
    assert len(occlumap.Measurements.load("out/measurements.npz")) > kept


def test_what_a_finished_run_had_resumed_from_is_removed_if_the_result_holds_it(folder):
    explain("--batch-size", 7, classifier="occlumap_toy:failing", code=1)
    (folder / "mine.npz").write_bytes((folder / "out" / "measurements.npz").read_bytes())
    explain("--resume", "mine.npz", "--out", ".")
    assert (folder / "mine.npz").exists()
    explain("--resume", "out/measurements.npz", "--budget", 30)
    assert (folder / "out" / "measurements.npz").exists()  # a result of 30 calls does not hold it
    said = explain("--resume", "out/measurements.npz").stdout
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]
    assert re.search(r"\d+ known before", said)
    assert re.search(r"\d+ known before", run("show", "out").stdout)


def test_ctrl_c_while_drawing_keeps_what_was_measured(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("occlumap.cli.explain.plotting.overlay", interrupted)
    assert "--resume out/measurements.npz" in explain(code=130).stderr
    assert len(occlumap.Measurements.load("out/measurements.npz")) == 186


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX has them")
def test_ctrl_c_leaves_the_joint_methods_best_heatmap_so_far(folder):
    command = ["explain", "photo.png", "--method", "joint", "--batch-size", "2", "--classifier"]
    process = start(*command, "occlumap_toy:slow")
    deadline = time.monotonic() + 60
    while not (folder / "under_way").exists() and time.monotonic() < deadline:
        time.sleep(0.02)  # the whole run takes about 7 s
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the best heatmap so far: out/overlay.png" in stderr
    assert files(folder / "out") == ["explanation.npz", "measurements.npz", "overlay.png", "tree.json"]
    best = occlumap.Explanation.load("out/explanation.npz")
    assert best.provenance["ended_by"] == "KeyboardInterrupt"
    assert len(best.measurements) == len(occlumap.Measurements.load("out/measurements.npz")) >= 18
    run(*command, "occlumap_toy:good", "--resume", "out/measurements.npz")
    assert len(occlumap.Explanation.load("out/explanation.npz").measurements) == 299
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]


def test_a_stopped_runs_heatmap_replaces_only_what_it_holds(folder):
    joint = ["explain", "photo.png", "--method", "joint", "--batch-size", "7", "--classifier"]

    def stopped(*options):
        sys.modules.pop("occlumap_toy", None)
        return run(*joint, "occlumap_toy:failing", *options, code=1).stderr

    assert "the best heatmap so far: out/overlay.png" in stopped()
    first = len(occlumap.Explanation.load("out/explanation.npz").measurements)
    assert "the best heatmap so far: out/overlay.png" in stopped("--resume", "out/measurements.npz")
    assert len(occlumap.Explanation.load("out/explanation.npz").measurements) > first
    both = ["--target", "0", "--target", "1", "--out", "both"]
    run(*joint, "occlumap_toy:good", *both)
    finished = {path: path.read_bytes() for path in Path("both").rglob("*.npz")}
    assert len(finished) == 2
    said = stopped(*both, "--seed", "1")
    assert said.count("holds another result") == 2
    assert all(path.read_bytes() == content for path, content in finished.items())


def test_what_was_resumed_from_is_kept_where_the_result_does_not_hold_it(folder):
    joint = ["explain", "photo.png", "--classifier", "occlumap_toy:good", "--budget"]
    run(*joint, 120)
    said = run(*joint, 40, "--resume", "out/explanation.npz", "--seed", 1).stdout
    assert "out/measurements.npz: what was resumed from" in said
    assert len(occlumap.Measurements.load("out/measurements.npz")) == 119
    assert len(occlumap.Explanation.load("out/explanation.npz").measurements) == 39


def test_a_damaged_explanation_is_told_by_what_is_wrong_with_it(folder):
    explain()
    document, arrays = _archive.read("out/explanation.npz", KIND)
    arrays["heatmap"] = arrays["heatmap"][1:]
    _archive.write(
        "damaged.npz",
        KIND,
        {key: value for key, value in document.items() if not key.startswith("format")},
        arrays,
    )
    result = explain("--resume", "damaged.npz", code=1)
    assert "expected a finite float32 heatmap" in result.stderr


def test_ctrl_c_that_was_swallowed_ends_the_block_all_the_same():
    before = signal.getsignal(signal.SIGINT)
    swallowed = contextlib.suppress(KeyboardInterrupt)  # as Python does in a callback of a weak reference
    with pytest.raises(KeyboardInterrupt), swallowed_ctrl_c_counts(), swallowed:
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    with swallowed_ctrl_c_counts():
        pass
