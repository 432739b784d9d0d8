"""The command line: what it writes and prints, how it fails, and that stopping it loses nothing."""

import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import occlumap
from occlumap.cli.explain import explain as explain_command
from occlumap.cli.group import occlumap as command_line
from occlumap.cli.progress import ProgressBar

TOY = '''
import time

import numpy as np


class Toy:
    """Class 0 scores what is bright in the middle; may be slow, may fail after some calls."""

    classes = ("lit, bright", "dark")

    def __init__(self, fail_after=None, seconds=0.0):
        self.calls, self.fail_after, self.seconds = 0, fail_after, seconds

    def __call__(self, batch):
        time.sleep(self.seconds)
        if self.fail_after is not None and self.calls >= self.fail_after:
            raise OSError("the accelerator fell off")
        self.calls += len(batch)
        if self.seconds and self.calls > 20:
            open("under_way", "w").close()
        lit = batch[:, 6:14, 4:12].mean(axis=(1, 2, 3)) / 255
        return np.stack([lit, 1 - lit], axis=1)


class Small(Toy):
    input_size = (16, 16)


good = Toy()
small = Small()
failing = Toy(fail_after=100)
slow = Toy(seconds=0.05)
nan = lambda batch: np.full((len(batch), 2), np.nan)
unnamed = lambda batch: good(batch)
short = Toy()
short.classes = ("lit",)
steering = Small()
steering.classes = ("lit\\x1b[2J", "dark")


def hostile(batch):
    raise ValueError("clear\\x1b[2J this\\nand that")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a photograph and a module of toy classifiers."""
    (tmp_path / "occlumap_toy.py").write_text(TOY)
    picture = np.random.default_rng(3).integers(0, 120, (24, 20, 3), dtype=np.uint8)
    picture[6:14, 4:12] += 120
    Image.fromarray(picture).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "occlumap_toy", raising=False)
    yield tmp_path
    sys.modules.pop("occlumap_toy", None)


def run(*arguments, code=0):
    result = CliRunner().invoke(command_line, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exc_info}"
    return result


def explain(*arguments, classifier="occlumap_toy:good", code=0):
    return run("explain", "photo.png", "--depth", 2, "--classifier", classifier, *arguments, code=code)


def files(path):
    return sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def same(one, other):
    np.testing.assert_array_equal(one.heatmap, other.heatmap)
    np.testing.assert_array_equal(one.measurements.scores, other.measurements.scores)
    np.testing.assert_array_equal(
        one.measurements.perturbations.bounds, other.measurements.perturbations.bounds
    )
    assert (one.settings, one.offsets, one.densities) == (other.settings, other.offsets, other.densities)


def test_options_have_the_defaults_of_occlumap_explain():
    ours = explain_command.make_context("explain", ["photo.png"]).params
    theirs = {
        name: parameter.default
        for name, parameter in inspect.signature(occlumap.explain).parameters.items()
        if name not in ("classifier", "image", "target", "resume", "progress", "unknown")
    }
    assert {name: ours[name] for name in theirs} == theirs


def test_explain_writes_overlay_tree_and_result(folder):
    result = explain("--out", "found")
    assert files(folder / "found") == ["explanation.npz", "overlay.png", "tree.json"]
    assert all(str(Path("found") / name) in result.stdout for name in files(folder / "found"))
    assert is_png(folder / "found" / "overlay.png")
    assert json.loads((folder / "found" / "tree.json").read_text())["target_name"] == "lit, bright"


def test_explain_gives_what_the_function_gives(folder):
    explain(
        "--target",
        "DARK",
        "--best-k",
        "all",
        "--fill",
        "constant:255",
        "--threshold",
        "0.001",
        "--pruning",
        "optimal",
    )
    expected = occlumap.explain(
        occlumap.load("occlumap_toy:good"),
        "photo.png",
        target=1,
        depth=2,
        best_k="all",
        fill="constant:255",
        threshold="0.001",
        pruning="optimal",
    )
    same(occlumap.Explanation.load("out/explanation.npz"), expected)


def test_several_targets_get_a_folder_each(folder):
    explain("--target", "bright", "--target", "1")
    assert files(folder / "out") == [
        f"{target}/{name}"
        for target in ("0-lit", "1-dark")
        for name in ("explanation.npz", "overlay.png", "tree.json")
    ]


def test_a_method_without_trees_leaves_no_tree_of_an_earlier_run(folder):
    explain()
    run(
        "explain",
        "photo.png",
        "--classifier",
        "occlumap_toy:good",
        "--method",
        "single-scale",
        "--window",
        "6,4",
    )
    assert files(folder / "out") == ["explanation.npz", "overlay.png"]
    assert occlumap.Explanation.load("out/explanation.npz").settings["window"] == [6, 4]


def test_what_is_no_terminal_gets_no_progress(folder):
    assert explain().stderr == ""


def test_a_terminal_gets_calls_done_rate_and_time_left(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar() as progress:
        progress(33, 187)
        time.sleep(0.15)
        progress(65, 187)
    drawn = terminal.getvalue().split("\r")[-1]
    assert re.search(r"35%.*65/187 \[00:00<00:0\d, +[\d.]+call/s\]", drawn)


def test_warnings_are_one_plain_line(folder):
    Image.new("RGBA", (20, 24), (250, 250, 250, 128)).save("photo.png")
    lines = explain("--classifier", "occlumap_toy:good").stderr.splitlines()
    assert lines
    assert all(line.startswith("warning: ") for line in lines)
    assert sum("transparen" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no.png"], "no file at 'no.png'"),
        (["occlumap_toy.py"], "which is none"),
        (["."], "got the folder '.'"),
        (["photo.png", "--classifier", "effnet"], "expected efficientnet-lite0"),
        (["photo.png", "--classifier", "nowhere:f"], "no such module"),
        (["photo.png", "--classifier", "occlumap_toy:god"], "did you mean good"),
        (["photo.png", "--classifier", "occlumap_toy:nan"], "expected finite scores"),
        (["photo.png", "--target", "drak"], "did you mean dark"),
        (["photo.png", "--target", "7"], "expected a class index from 0 to 1, got 7"),
        (["photo.png", "--target", "-1"], "expected a class index from 0 to 1, got -1"),
        (["photo.png", "--classifier", "occlumap_toy:unnamed", "--target", "dark"], "has no names"),
        (["photo.png", "--depth", "99"], "expected depth"),
        (["photo.png", "--depth", "6"], "expected an image of at least"),
        (["photo.png", "--best-k", "0"], "expected best_k"),
        (["photo.png", "--best-k", "most"], "expected best_k"),
        (["photo.png", "--fill", "pink"], "expected fill"),
        (["photo.png", "--threshold", "some"], "expected threshold"),
        (["photo.png", "--budget", "3"], "expected a budget"),
        (["photo.png", "--window", "4"], "only with method='single-scale'"),
        (["photo.png", "--resume", "no.npz"], "no.npz: no such file"),
        (["photo.png", "--resume", "photo.png"], "photo.png: expected"),
        (["photo.png", "--out", "photo.png"], "got the file 'photo.png'"),
        (["photo.png", "--out", "photo.png/below"], "expected a folder to write into"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_1(folder, arguments, expected):
    before = files(folder)
    defaults = [] if "--classifier" in arguments else ["--classifier", "occlumap_toy:good"]
    defaults += [] if "--depth" in arguments else ["--depth", "2"]
    result = run("explain", *arguments, *defaults, code=1)
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [name for name in files(folder) if not name.endswith(".pyc")] == before
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["explain", "photo.png", "--depth", "deep"],
        ["explain", "photo.png", "--method", "magic"],
        ["explain", "photo.png", "--window", "1,2,3"],
        ["explain", "photo.png", "--method", "single-scale", "--depth", "2"],
        ["classify", "photo.png", "--top", "0"],
        ["show", "explanation.npz", "--plot", "tree"],
        ["show", "explanation.npz", "--out", "picture.pdf"],
        ["frobnicate"],
    ],
)
def test_a_wrong_command_line_is_code_2(folder, arguments):
    assert "Error: " in run(*arguments, code=2).stderr


def test_a_folder_that_takes_no_files_is_found_out_before_any_call(folder, monkeypatch):
    def refuse(*, dir):  # noqa: A002
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("occlumap.cli.folders.tempfile.TemporaryFile", refuse)
    result = explain(classifier="occlumap_toy:failing", code=1)
    assert "Permission denied" in result.stderr
    assert not (folder / "out").exists()


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


def test_a_full_disk_is_code_1(folder, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(occlumap.Explanation, "save", full)
    assert "No space left" in explain(code=1).stderr


def test_classify_lists_classes_best_first(folder):
    lines = run("classify", "photo.png", "--classifier", "occlumap_toy:good").stdout.splitlines()
    assert lines[0].split() == ["class", "score", "name"]
    assert lines[1].split()[0] == "0"
    assert lines[1].endswith("lit, bright")
    assert len(lines) == 3


def test_classify_shows_the_classifier_what_explain_shows_it(folder):
    run("explain", "photo.png", "--classifier", "occlumap_toy:small", "--depth", "2")
    score = occlumap.Explanation.load("out/explanation.npz").original_score
    line = run("classify", "photo.png", "--classifier", "occlumap_toy:small", "--top", 1).stdout.splitlines()[
        1
    ]
    assert float(line.split()[1]) == pytest.approx(score, rel=1e-3)


@pytest.mark.parametrize("command", ["classify", "explain"])
def test_too_few_names_are_an_error_of_every_command(folder, command):
    stderr = run(command, "photo.png", "--classifier", "occlumap_toy:short", code=1).stderr
    assert "expected 2 class names for 2 scores, got 1" in stderr


def test_classify_reports_bad_scores(folder):
    assert (
        "expected finite scores"
        in run("classify", "photo.png", "--classifier", "occlumap_toy:nan", code=1).stderr
    )


@pytest.mark.parametrize("where", ["out", "out/explanation.npz"])
def test_show_describes_a_result(folder, where):
    explain("--target", "lit")
    shown = run("show", where).stdout
    for part in (
        "lit, bright (class 0)",
        "method       paper",
        "depth 2",
        "fill neighbours",
        "most important leaves",
    ):
        assert part in shown


def test_show_lists_the_most_important_region_first(folder):
    explain("--offsets", "none")
    lines = run("show", "out").stdout.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("importance")) + 1 :]
    importances = [float(line.split()[0]) for line in table]
    leaves = occlumap.Explanation.load("out/explanation.npz").trees()[0].leaves()
    assert importances == pytest.approx(
        sorted((leaf.importance for leaf in leaves), reverse=True)[:10], rel=1e-3
    )


def test_show_describes_windows(folder):
    run(
        "explain",
        "photo.png",
        "--classifier",
        "occlumap_toy:good",
        "--method",
        "single-scale",
        "--window",
        "8",
    )
    assert "most important windows" in run("show", "out").stdout


@pytest.mark.parametrize("plot", ["overlay", "side-by-side", "contour", "signed", "tree", "scales"])
def test_show_draws_every_plot(folder, plot):
    explain()
    run("show", "out", "--plot", plot, "--photo", "photo.png", "--out", f"pictures/{plot}.png")
    assert is_png(folder / "pictures" / f"{plot}.png")


def test_show_notices_another_photograph(folder):
    run("explain", "photo.png", "--classifier", "occlumap_toy:small", "--depth", "2")
    Image.new("RGB", (20, 24)).save("other.png")
    assert "does not look like" in run("show", "out", "--photo", "other.png", "--out", "a.png").stderr
    Image.new("RGB", (30, 24)).save("other.png")
    assert "24 x 20 pixels" in run("show", "out", "--photo", "other.png", "--out", "a.png", code=1).stderr


@pytest.mark.parametrize("name", ["no.npz", "photo.png", "."])
def test_show_says_what_is_no_result(folder, name):
    assert run("show", name, code=1).stderr.startswith("error: ")


def test_show_lets_no_file_steer_the_terminal(folder):
    occlumap.explain(occlumap.load("occlumap_toy:steering"), "photo.png", target=0, depth=2).save(
        "hostile.npz"
    )
    assert "\x1b" not in run("show", "hostile.npz").stdout


def test_help_names_every_exit_code():
    for command in ([], ["explain"], ["classify"], ["show"]):
        assert "Exit codes:" in run(*command, "--help").stdout
    assert "130" in run("explain", "--help").stdout


def test_version_is_the_packages():
    assert occlumap.__version__ in run("--version").stdout


def start(*arguments, **options):
    """The real program in a process of its own, as a shell would start it."""
    source = str(Path(occlumap.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "occlumap", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
        # a test runner started in the background has SIGINT ignored, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX has them")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_keeps_what_was_measured_and_resume_gives_the_same(folder, sent, code):
    command = ["explain", "photo.png", "--depth", "2", "--batch-size", "2", "--classifier"]
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


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_is_no_error(folder):
    process = start("classify", "photo.png", "--classifier", "occlumap_toy:good")
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_costs_no_picture(folder):
    explain()
    process = start("show", "out", "--out", "picture.png")
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""
    assert is_png(folder / "picture.png")


def test_results_of_an_earlier_run_for_other_targets_do_not_stay(folder):
    ours = ["explanation.npz", "overlay.png", "tree.json"]
    explain("--target", "0")
    explain("--target", "0", "--target", "1")
    assert files(folder / "out") == [f"{target}/{name}" for target in ("0-lit", "1-dark") for name in ours]
    (folder / "out" / "1-dark" / "mine.txt").write_text("kept")
    (folder / "out" / "2-else").mkdir()
    (folder / "out" / "2-else" / "explanation.npz").write_bytes(b"no result")
    explain("--target", "1")
    kept = [*(f"1-dark/{name}" for name in sorted(["mine.txt", *ours])), "2-else/explanation.npz", *ours]
    assert files(folder / "out") == kept


def test_what_a_run_resumed_from_stays(folder):
    explain("--target", "0", "--target", "1")
    explain("--target", "0", "--resume", "out/1-dark/explanation.npz", "--budget", "50")
    assert len(occlumap.Explanation.load("out/1-dark/explanation.npz").measurements) == 186
    assert not (folder / "out" / "0-lit").exists()


def test_show_names_the_folders_of_several_targets(folder):
    explain("--target", "0", "--target", "1")
    assert f"results in {Path('out/0-lit')}, {Path('out/1-dark')}" in run("show", "out", code=1).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_costs_no_file(folder):
    process = start("explain", "photo.png", "--depth", "2", "--classifier", "occlumap_toy:good")
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]


def test_without_click_the_command_says_what_to_install(folder):
    script = "import sys; sys.modules['click'] = None; from occlumap.cli.main import run; run([])"
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(occlumap.__file__).parents[1])},
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr == (
        "error: the command line needs click, which is not installed; run, in a clone of occlumap: "
        "pip install '.[cli]'\n"
    )


def test_a_failing_classifier_is_shown_with_the_line_that_raised(folder):
    stderr = explain("--batch-size", 7, classifier="occlumap_toy:failing", code=1).stderr.splitlines()
    assert stderr[0].startswith("error: the classifier 'occlumap_toy:Toy' raised OSError: the accelerator")
    line = 1 + TOY.splitlines().index('            raise OSError("the accelerator fell off")')
    assert stderr[1] == f"  raised in {folder / 'occlumap_toy.py'}, line {line}, in __call__"
    assert stderr[2].strip() == 'raise OSError("the accelerator fell off")'
    assert "above" not in "".join(stderr)


def test_a_module_that_fails_is_shown_with_the_line_that_raised(folder):
    (folder / "occlumap_broken.py").write_text("import math\n\nmath.sqrt(-1)\n")
    stderr = explain(classifier="occlumap_broken:f", code=1).stderr
    assert "raised ValueError" in stderr
    assert f"raised in {folder / 'occlumap_broken.py'}, line 3, in <module>\n    math.sqrt(-1)\n" in stderr


def test_a_module_that_is_not_there_shows_no_line_of_pythons_own(folder):
    assert explain(classifier="occlumap_nowhere:f", code=1).stderr.count("\n") == 1


def test_a_name_that_is_not_there_offers_no_module(folder):
    stderr = explain(classifier="occlumap_toy:nqn", code=1).stderr
    assert "did you mean nan?" in stderr
    assert "did you mean" not in explain(classifier="occlumap_toy:npp", code=1).stderr


def test_a_classifiers_message_does_not_steer_the_terminal(folder):
    stderr = explain(classifier="occlumap_toy:hostile", code=1).stderr
    assert "clear?[2J this" in stderr
    assert "\x1b" not in stderr


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
    assert re.search(r"\d+ regions known before", said)
    assert re.search(r"\d+ regions known before", run("show", "out").stdout)


def test_ctrl_c_while_drawing_keeps_what_was_measured(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("occlumap.cli.explain.plotting.overlay", interrupted)
    assert "--resume out/measurements.npz" in explain(code=130).stderr
    assert len(occlumap.Measurements.load("out/measurements.npz")) == 186


def test_a_target_named_twice_is_written_once(folder):
    said = explain("--target", "0", "--target", "bright").stdout
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]
    assert said.count("lit, bright (0)") == 1
