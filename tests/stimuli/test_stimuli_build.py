"""A frozen set: fits its schema, gives nothing away; each leak that is put into it is found."""

import hashlib
import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from occlumap.cli.group import occlumap as command_line
from occlumap.errors import FileFormatError, StimuliError
from occlumap.stimuli.schema import check_manifest

pytest.importorskip("torch")
pytest.importorskip("captum")
pytest.importorskip("jsonschema")
yaml = pytest.importorskip("yaml")

CONFIG = {
    "data": ".",
    "model": "model",
    "classes": ["cat", "horse"],
    "tasks": {"TP": 1, "FP": 1, "FN": 1},
    "examples": {"TP": 2, "FP": 1, "FN": 1},
    "conditions": {"lrp": None, "random": {"blur": 0.1}, "none": None},
    "side": 64,
    "quality": 80,
}


def written(drawn, name, **changes):
    path = drawn / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "out": name, **changes}))
    return path


def built(drawn, name, **changes):
    from occlumap.stimuli.build import build, read_config

    build(read_config(written(drawn, name, **changes)))
    return drawn / name


@pytest.fixture(scope="module")
def frozen(drawn, trained):
    return built(drawn, "frozen")


@pytest.fixture
def copy(frozen, tmp_path):
    shutil.copytree(frozen, tmp_path / "set")
    return tmp_path / "set"


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def errors(folder):
    from occlumap.stimuli.check import check

    return [one.text for one in check(folder) if one.level == "error"]


def warnings(folder):
    from occlumap.stimuli.check import check

    return [one.text for one in check(folder) if one.level == "warning"]


def test_the_manifest_fits_its_schema_and_every_file_is_there(frozen):
    manifest = manifest_of(frozen)
    check_manifest(manifest)
    assert len(manifest["tasks"]) == 6
    there = {one.relative_to(frozen).as_posix() for one in frozen.rglob("images/*")}
    assert there == set(manifest["files"])
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((frozen / name).read_bytes()).hexdigest() == digest
        with Image.open(frozen / name) as picture:
            assert picture.size == (64, 64)
    for task in manifest["tasks"]:
        for one in task["examples"]:
            assert set(one["heatmaps"]) == {"lrp", "random"}


def test_scores_in_the_manifest_are_the_classifier_s(drawn, trained, frozen):
    from occlumap.stimuli.train import load
    from occlumap.stimuli.voc import read_split

    split, model = read_split(drawn, "train"), load(trained)
    task = manifest_of(frozen)["tasks"][0]
    scores = model.classifier(split.image(split.ids.index(task["source"]))[None])[0]
    np.testing.assert_allclose(list(task["scores"].values()), scores, atol=2e-6)
    assert list(task["scores"]) == list(split.classes)


def test_building_again_gives_the_same_bits(drawn, trained, frozen):
    again = built(drawn, "again")
    assert (again / "manifest.json").read_bytes() == (frozen / "manifest.json").read_bytes()


def test_a_frozen_set_is_not_overwritten(drawn, frozen):
    from occlumap.stimuli.build import build, read_config

    with pytest.raises(StimuliError, match="frozen"):
        build(read_config(written(drawn, "frozen")))


def test_what_is_whole_has_no_errors(frozen):
    assert errors(frozen) == []


def test_a_constant_answer_above_chance_is_warned_of(frozen):
    assert any('"yes" is right in 4 of 6' in one for one in warnings(frozen))


def test_jpeg_carries_no_metadata(drawn, trained):
    assert errors(built(drawn, "jpeg", format="jpg", conditions=["none"])) == []


def test_a_name_that_tells_is_found(copy):
    shutil.copy(next((copy / "images").iterdir()), copy / "images" / "horse-FN.webp")
    assert any("horse-FN.webp may tell" in one for one in errors(copy))
    assert any("horse-FN.webp is not in the manifest" in one for one in errors(copy))


def test_metadata_are_found(copy):
    path = copy / manifest_of(copy)["tasks"][0]["image"]
    with Image.open(path) as picture:
        exif = picture.getexif()
        exif[270] = "a horse that is not recognised"
        picture.load()
        picture.save(path, exif=exif)
    assert any("metadata: exif" in one for one in errors(copy))
    assert any("has changed" in one for one in errors(copy))


def test_missing_files_are_found(copy):
    name = manifest_of(copy)["tasks"][0]["examples"][0]["heatmaps"]["lrp"]
    (copy / name).unlink()
    assert f"{name} is missing" in errors(copy)


def test_a_task_among_the_examples_is_found(copy):
    manifest = manifest_of(copy)
    task, other = manifest["tasks"][0], manifest["tasks"][1]
    task["image"] = other["examples"][0]["image"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert any(f"task {task['id']} is an example" in one for one in errors(copy))


def test_a_task_that_looks_like_an_example_is_found(copy):
    manifest = manifest_of(copy)
    task, example = manifest["tasks"][0], manifest["tasks"][0]["examples"][0]
    with Image.open(copy / example["image"]) as picture:
        picture.load()
        picture.save(copy / task["image"], quality=60)
    assert any(f"task {task['id']} nearly equals" in one for one in warnings(copy))


def test_an_example_without_its_heatmap_is_found(copy):
    manifest = manifest_of(copy)
    del manifest["tasks"][0]["examples"][0]["heatmaps"]["lrp"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert any("no heatmap for lrp" in one for one in errors(copy))


def test_heatmaps_that_show_nothing_are_told(copy):
    report = json.loads((copy / "fairness.json").read_text())
    report["lrp"] |= {"empty": 3, "ink": 0.0}
    (copy / "fairness.json").write_text(json.dumps(report))
    assert any(
        f"3 of {report['lrp']['heatmaps']} heatmaps of lrp show nothing" in one for one in warnings(copy)
    )
    assert any("random shows" in one for one in warnings(copy))
    (copy / "fairness.json").unlink()
    assert any("unknown" in one for one in warnings(copy))


def test_a_manifest_that_breaks_the_schema_is_found(copy, tmp_path):
    manifest = manifest_of(copy)
    manifest["tasks"][0]["outcome"] = "TN" if manifest["tasks"][0]["outcome"] in ("TP", "FP") else "TP"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "cannot be" in errors(copy)[0]
    with pytest.raises(FileFormatError, match="stimulus set"):
        errors(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exmaples": {}}, "did you mean examples"),
        ({"format": "png"}, "webp or jpg"),
        ({"tasks": {"TP": -1}}, "0 or more"),
        ({"tasks": 14}, "dict"),
        ({"side": "wide"}, "side"),
        ({"model": 3}, "model"),
        ({"tasks": {"TP": 10_000}}, "too few images"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(drawn, trained, changes, message):
    with pytest.raises(StimuliError, match=message):
        built(drawn, "refused", **changes)
    assert not (drawn / "refused").exists()


def test_the_command_line_builds_and_checks(drawn, trained):
    result = CliRunner().invoke(command_line, ["stimuli", "build", str(written(drawn, "by-command"))])
    assert result.exit_code == 0, result.output
    assert "6 tasks with 24 examples" in result.output
    result = CliRunner().invoke(command_line, ["stimuli", "check", str(drawn / "by-command")])
    assert (result.exit_code, "0 errors" in result.output) == (0, True)
    next((drawn / "by-command" / "images").iterdir()).unlink()
    assert CliRunner().invoke(command_line, ["stimuli", "check", str(drawn / "by-command")]).exit_code == 1


def test_the_demo_is_the_whole_chain(tmp_path):
    """With fewer scenes, epochs and masks than by default; the same 14 tasks of 12 examples."""
    from occlumap.stimuli.demo import demo
    from occlumap.stimuli.train import Training

    steps = []

    def bar(unit):
        steps.append(unit)
        return nullcontext(lambda done, total: None)

    manifest = demo(
        tmp_path,
        bar,
        scenes=240,
        size=32,
        training=Training("vgg-narrow", 32, 6, 6, None, 2e-3, 16),
        conditions={"lrp": {}},
    )
    assert steps == ["scene", "batch", "image"]
    assert [task["class"] for task in manifest["tasks"]] == ["cat"] * 7 + ["horse"] * 7
    assert all(len(task["examples"]) == 12 for task in manifest["tasks"])
    assert errors(tmp_path / "stimuli") == []
    with pytest.raises(StimuliError, match="already"):
        demo(tmp_path, bar)
