"""The command line: what explain and classify write and print, and how they fail."""

import inspect
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import occlumap
from occlumap.cli.explain import explain as explain_command
from occlumap.cli.progress import ProgressBar
from tests.edges.command_line import TOY, explain, files, is_png, run, same, single_scale, start


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
        method="paper",
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
    single_scale("6,4")
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
        (["photo.png", "--resume", "no.npz"], "no.npz: no such file"),
        (["photo.png", "--resume", "photo.png"], "photo.png: expected"),
        (["photo.png", "--out", "photo.png"], "got the file 'photo.png'"),
        (["photo.png", "--out", "photo.png/below"], "expected a folder to write into"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_1(folder, arguments, expected):
    before = files(folder)
    defaults = [] if "--classifier" in arguments else ["--classifier", "occlumap_toy:good"]
    defaults += ["--method", "paper", *([] if "--depth" in arguments else ["--depth", "2"])]
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
        ["explain", "photo.png", "--depth", "2"],
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


def test_classify_lists_classes_best_first(folder):
    lines = run("classify", "photo.png", "--classifier", "occlumap_toy:good").stdout.splitlines()
    assert lines[0].split() == ["class", "score", "name"]
    assert lines[1].split()[0] == "0"
    assert lines[1].endswith("lit, bright")
    assert len(lines) == 3


def test_classify_shows_the_classifier_what_explain_shows_it(folder):
    run("explain", "photo.png", "--classifier", "occlumap_toy:small", "--method", "paper", "--depth", "2")
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


def test_help_names_every_exit_code():
    for command in ([], ["explain"], ["classify"], ["show"]):
        assert "Exit codes:" in run(*command, "--help").stdout
    assert "130" in run("explain", "--help").stdout


def test_version_is_the_packages():
    assert occlumap.__version__ in run("--version").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_is_no_error(folder):
    process = start("classify", "photo.png", "--classifier", "occlumap_toy:good")
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""


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


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_costs_no_file(folder):
    process = start(
        "explain", "photo.png", "--method", "paper", "--depth", "2", "--classifier", "occlumap_toy:good"
    )
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


def test_a_target_named_twice_is_written_once(folder):
    said = explain("--target", "0", "--target", "bright").stdout
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]
    assert said.count("lit, bright (0)") == 1


def test_segments_that_all_speak_against_the_class_are_told(folder):
    from occlumap.cli.account import account

    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)

    def hidden(batch):  # the more is hidden, the more it is of this class
        share = (batch != image).any(axis=3).mean(axis=(1, 2))
        return np.stack([0.1 + 0.8 * share, 0.9 - 0.8 * share], axis=1)

    found = occlumap.explain(hidden, image, 0, budget=100, tolerance=0.001)
    most, trust = account(found)
    assert most.startswith("  matter most: none for the class, against it rows ")
    assert "for none of it" in trust
    assert trust.endswith("may be chance (the tolerance, 0%, was not reached)")


def test_the_joint_method_writes_all_files_and_accounts_for_itself(folder):
    result = run(
        "explain", "photo.png", "--classifier", "occlumap_toy:good", "--method", "joint", "--budget", 60
    )
    assert files(folder / "out") == ["explanation.npz", "overlay.png", "tree.json"]
    lines = result.stdout.splitlines()
    assert "60 classifier calls" in lines[0]
    assert lines[1].startswith("  matter most: rows ")
    assert "% of the score (" in lines[1]
    assert "pixels that the classifier saw; what hiding each costs on average while half of them" in lines[1]
    assert re.match(
        "  trust: sums of importances explain .* for the whole image, which scores [0-9.]+, and [-0-9.]+ for none of ",
        lines[2],
    )
    shown = run("show", "out").stdout
    assert "masks        59 measured" in shown
    assert "most important segments" in shown


@pytest.mark.parametrize("option", ["--regions=grid", "--tolerance=0.5", "--time-limit=9"])
def test_options_of_the_joint_method_belong_to_it(folder, option):
    command = ("explain", "photo.png", "--classifier", "occlumap_toy:good", option)
    run(*command, "--method", "joint", "--budget", 40)
    assert "belongs to --method joint" in run(*command, "--method", "paper", code=2).stderr


@pytest.mark.parametrize("command", [["explain", "photo.png"], ["benchmark", "--photos", "."]])
def test_an_empty_folder_name_is_not_the_current_folder(folder, command):
    stderr = run(*command, "--classifier", "occlumap_toy:good", "--out", "", code=2).stderr
    assert "got an empty name; write . for the current folder" in stderr


def test_what_ended_a_run_early_is_told(folder):
    limits = ("--method", "joint", "--budget", 200, "--tolerance", 1)
    told = run("explain", "photo.png", "--classifier", "occlumap_toy:good", *limits).stdout.splitlines()[0]
    assert told.endswith("ended by the tolerance")
    assert "ended by the tolerance" in run("show", "out").stdout
    explain()
    assert "ended by" not in run("show", "out").stdout


@pytest.mark.parametrize(("target", "index"), [("1", 0), ("2", 1), ("0", 0), (" 1 ", 0)])
@pytest.mark.parametrize("kind", ["digits", "floats"])
def test_a_number_that_is_the_name_of_a_class_is_that_class(folder, target, index, kind):
    explain("--target", target, classifier=f"occlumap_toy:{kind}")
    assert occlumap.Explanation.load("out/explanation.npz").target == index


def test_the_help_tells_what_a_classifier_may_be():
    text = run("--help").stdout
    assert all(word in text for word in ("m.onnx", "m.keras", "transformers", "https://", "module:callable"))
