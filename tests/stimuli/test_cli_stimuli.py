"""occlumap stimuli, as it is typed: draw, train, parts; one plain line where something is missing."""

import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from occlumap.cli.group import occlumap as command_line
from occlumap.cli.progress import ProgressBar
from occlumap.errors import ArgumentError, FileFormatError
from tests.stimuli.sets import written


def run(*arguments, code=0):
    result = CliRunner().invoke(command_line, ["stimuli", *map(str, arguments)])
    assert result.exit_code == code, f"{result.output}\n{result.exc_info}"
    return result.output


def test_draw_train_and_parts(tmp_path):
    pytest.importorskip("torch")
    data, model = tmp_path / "data", tmp_path / "model"
    assert "120 scenes to train on and 40 to validate on" in run(
        "draw", data, "--train", 120, "--val", 40, "--size", 32
    )
    told = run(
        *("train", data, "--out", model, "--backbone", "vgg-narrow", "--size", 32, "--epochs", 1),
        *("--learning-rate", 0.001),
    )
    assert "mean AP: train 0." in told
    assert "nearly every image is recognised" not in told
    page = (model / "MODEL_CARD.md").read_text()
    assert page.startswith("# Model card: vgg-narrow")
    assert "for 1 epoch (" in page
    lines = run("parts", model, data, "--class", "horse", "--scenes", 5).splitlines()
    assert lines[0].startswith("part")
    assert {"body", "legs"} <= {line.split()[0] for line in lines[1:]}
    assert {"wing", "horns"}.isdisjoint(
        line.split()[0] for line in lines[1:]
    )  # of birds and cows beside horses
    assert lines[0].split()[-3:] == ["%", "interval", "scenes"]
    assert "did you mean horse" in run("parts", model, data, "--class", "hors", code=1)


def test_training_that_learnt_nothing_is_told_on_the_terminal_too(tmp_path):
    data, model = tmp_path / "data", tmp_path / "model"
    run("draw", data, "--train", 16, "--val", 8, "--size", 32)
    told = run(
        *("train", data, "--out", model, "--backbone", "vgg-narrow", "--size", 32, "--epochs", 1),
        *("--learning-rate", 50),
    )
    assert "nearly every image is recognised" in told
    assert "nearly every image is recognised" in (model / "MODEL_CARD.md").read_text()


def test_parts_are_the_asked_animal_s_and_come_with_intervals():
    """A classifier that sees only how bright the picture is, on scenes of which some show a bird beside the cat."""
    from scipy.stats import ttest_1samp

    from occlumap.stimuli.draw import PARTS, draw_scene
    from occlumap.stimuli.truth import parts_used

    def brightness(batch):
        return batch.reshape(len(batch), -1).mean(axis=1, dtype=float)[:, None] / 255

    seeds = [seed for seed in range(400) if "cat" in [one.name for one in draw_scene(seed, 32).drawn]][:60]
    found = {one.part: one for one in parts_used(brightness, 0, "cat", seeds, 32)}
    assert "wing" not in found
    assert any("bird" in [one.name for one in draw_scene(seed, 32).drawn] for seed in seeds)
    drops = []
    for seed in seeds:
        whole = draw_scene(seed, 32)
        number = 1 + [one.name for one in whole.drawn].index("cat")
        if (whole.parts[whole.objects == number] == 1 + PARTS.index("legs")).any():
            without = draw_scene(seed, 32, without=["legs"], of="cat")
            drops.append(brightness(np.stack([whole.image, without.image])) @ [1.0])
    drops = [float(one[0] - one[1]) for one in drops]
    legs = found["legs"]
    assert (legs.scenes, legs.mean_drop) == (len(drops), pytest.approx(np.mean(drops)))
    assert (legs.low, legs.high) == pytest.approx(tuple(ttest_1samp(drops, 0).confidence_interval(0.95)))
    means = [one.mean_drop for one in found.values()]
    assert means == sorted(means, reverse=True)


def test_of_one_scene_there_is_no_interval():
    from occlumap.stimuli.draw import draw_scene
    from occlumap.stimuli.truth import parts_used

    seed = next(seed for seed in range(99) if "cat" in [one.name for one in draw_scene(seed, 32).drawn])
    found = parts_used(lambda batch: batch[:, :1, 0, 0] / 255.0, 0, "cat", [seed], 32)
    assert {(one.scenes, one.low, one.high) for one in found} == {(1, None, None)}


def test_a_build_that_is_ended_by_sigterm_leaves_nothing(drawn, trained):
    """As a scheduler ends it: no hidden folder stays, and the next build is as the first."""
    pytest.importorskip("captum")
    pytest.importorskip("yaml")
    config = written(drawn, "ended", conditions=["joint"])
    command = [sys.executable, "-m", "occlumap", "stimuli", "build", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as building:
        while not list(drawn.glob(".ended-*/images/*")):
            assert building.poll() is None, building.stderr.read()
            time.sleep(0.01)
        building.terminate()
        assert building.stderr.read() == (
            f"stopped\nno heatmaps are kept and nothing is left of {drawn / 'ended'}: the same command begins again\n"
        )
    assert building.returncode == 143
    assert list(drawn.glob("*ended*")) == [config]


def test_in_a_log_the_demo_has_a_line_for_every_tenth(capsys):
    with ProgressBar("scene", "1 of 3, drawing", lines=True) as progress:
        for done in range(1, 1001):
            progress(done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        f"1 of 3, drawing: scene {done} of 1000" for done in (1, *range(100, 1001, 100))
    ]


def test_an_error_of_the_system_is_told_in_words(drawn, trained, tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "file").touch()
    config = written(drawn, "nowhere", out=str(tmp_path / "file" / "set"), conditions=["none"])
    places = (["build", config], ["draw", tmp_path / "file"], ["demo", "--out", tmp_path / "file" / "demo"])
    for arguments in places:
        told = run(*arguments, code=1)
        assert f"to write into, got the file {tmp_path / 'file'}; choose another place" in told
    for arguments in (*places, ["check", tmp_path]):
        told = run(*arguments, code=1)
        assert "Errno" not in told
        assert str(tmp_path) in told
    assert "No such file or directory" in told


def test_a_data_set_of_photographs_has_no_parts(drawn, trained, tmp_path):
    from occlumap.stimuli.draw import draw_dataset
    from occlumap.stimuli.train import load
    from occlumap.stimuli.truth import parts_used, parts_used_in

    for one in ("Annotations", "ImageSets/Main"):
        (tmp_path / one).mkdir(parents=True)
    with pytest.raises(FileFormatError, match="scenes of"):
        parts_used_in(tmp_path, load(trained).classifier, "cat")
    root = draw_dataset(tmp_path / "drawn", train=1, val=1, size=32)
    for content, words in (
        ("[" * 100_000, "recursion"),
        ("{}", "got no 'size'"),
        ('{"size": "32"}', "got another kind of 'size'"),
        ('{"size": 32, "scenes": [3]}', "for scene 1, no names with values"),
        ('{"size": 32, "scenes": [{"seed": 3}]}', "for scene 1, no 'bias'"),
        ("\xff", "decode"),
    ):
        (root / "scenes.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(FileFormatError, match=f"scenes.json, .*{words}|scenes.json, got: .*{words}"):
            parts_used_in(root, load(trained).classifier, "cat")
    with pytest.raises(ArgumentError, match="zebra"):
        parts_used(load(trained).classifier, 0, "zebra", [1, 2], 32)


def test_without_torch_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    run("draw", tmp_path, "--train", 2, "--val", 1, "--size", 32)
    told = run("train", tmp_path, "--out", tmp_path / "model", code=1)
    assert told.count("\n") == 1
    assert "pip install '.[stimuli]'" in told


def test_there_is_no_drawing_over_a_data_set(tmp_path):
    run("draw", tmp_path, "--train", 1, "--val", 1, "--size", 32)
    assert "choose another" in run("draw", tmp_path, code=1)


def test_scenes_that_lack_something_are_told_by_the_demo(tmp_path):
    scenes = tmp_path / "data" / "VOCdevkit" / "VOC2008" / "scenes.json"
    scenes.parent.mkdir(parents=True)
    scenes.write_text("{}")
    assert f"in {scenes}, got no 'size'; choose another folder" in run("demo", "--out", tmp_path, code=1)


@pytest.mark.parametrize(
    "arguments", [["draw", ""], ["demo", "--out", ""], ["train", "data", "--out", ""], ["check", ""]]
)
def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert "got an empty name; write . for the current folder" in run(*arguments, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("demo.demo", ["demo", "--out", "dm"], "the same command goes on from what is whole in dm"),
        ("draw.draw_dataset", ["draw", "dm"], "nothing is left in dm, so the same command begins again"),
    ],
)
def test_stopped_is_told_once(monkeypatch, name, arguments, words):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"occlumap.stimuli.{name}", stop)
    assert run(*arguments, code=130) == f"stopped\n{words}\n"


def test_a_fall_of_nothing_has_no_sign(monkeypatch, drawn, trained):
    from occlumap.stimuli import truth

    monkeypatch.setattr(truth, "parts_used_in", lambda *_: [truth.PartUse("nose", -1e-5, 9, -2e-5, -1e-9)])
    assert run("parts", trained, drawn, "--class", "cat").splitlines()[1].split() == [
        *("nose", "0.000", "0.000", "to", "0.000", "9")
    ]


def test_no_header_stands_over_an_error(drawn, trained):
    pytest.importorskip("torch")
    assert "part " not in run("parts", trained, drawn, "--class", "zebra", code=1).splitlines()[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--learning-rate", "inf"], "finite learning rate above 0, got inf"),
        (["--learning-rate", "nan"], "learning"),
        (["--stop-at-ap", "nan"], "average precision from 0 to 1 to stop at, got nan"),
        (["--seed", 2**64], "seed"),
    ],
)
def test_numbers_that_are_none_are_refused(drawn, tmp_path, options, words):
    pytest.importorskip("torch")
    result = CliRunner().invoke(
        command_line, ["stimuli", "train", str(drawn), "--out", str(tmp_path / "model"), *map(str, options)]
    )
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert words in result.output
