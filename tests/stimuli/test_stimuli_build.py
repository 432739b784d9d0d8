"""A frozen set: fits its schema, gives nothing away; each leak that is put into it is found."""

import hashlib
import shutil
from contextlib import nullcontext
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from occlumap.cli.group import occlumap as command_line
from occlumap.errors import ArgumentError, FileFormatError, OcclumapError, OcclumapWarning, StimuliError
from occlumap.stimuli.schema import check_manifest
from tests.stimuli.sets import CONFIG, built, errors, manifest_of, warnings, written

pytest.importorskip("torch")
pytest.importorskip("captum")
pytest.importorskip("jsonschema")
pytest.importorskip("yaml")


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


def test_when_a_file_was_written_tells_nothing(frozen):
    assert len({path.stat().st_mtime_ns for path in frozen.rglob("*.*")}) == 1


def test_scores_in_the_manifest_are_the_classifier_s(drawn, trained, frozen):
    from occlumap.stimuli.train import load
    from occlumap.stimuli.voc import read_split

    split, model = read_split(drawn, "train"), load(trained)
    task = manifest_of(frozen)["tasks"][0]
    scores = model.classifier(split.image(split.ids.index(task["source"]))[None])[0]
    np.testing.assert_allclose(list(task["scores"].values()), scores, atol=2e-6)
    assert list(task["scores"]) == list(split.classes)


@pytest.mark.parametrize(
    ("score", "threshold", "written"),
    [(0.1234567, 0.5, 0.123457), (0.5000001, 0.5, 0.5000001), (0.49999999, 0.49999998, 0.5)],
)
def test_a_score_is_written_on_its_side_of_the_threshold(score, threshold, written):
    from occlumap.stimuli.build import _written

    assert _written(score, threshold) == written


def test_building_again_gives_the_same_bits(drawn, trained, frozen):
    again = built(drawn, "again")
    assert (again / "manifest.json").read_bytes() == (frozen / "manifest.json").read_bytes()


def test_a_frozen_set_is_not_overwritten(drawn, frozen):
    from occlumap.stimuli.build import build, read_config

    with pytest.raises(StimuliError, match="frozen"):
        build(read_config(written(drawn, "frozen")))


def test_a_set_that_another_run_froze_meanwhile_is_left_and_the_own_kept(drawn, trained, tmp_path):
    from occlumap.stimuli.build import build, read_config

    folder = tmp_path / "set"

    def other_run(done, total):
        (folder / "images").mkdir(parents=True, exist_ok=True)

    with pytest.raises(StimuliError, match="another run has made it meanwhile") as caught:
        build(read_config(written(drawn, "both", out=str(folder), conditions=["none"])), other_run)
    own = Path(str(caught.value).rpartition(" kept in ")[2])
    assert set(tmp_path.iterdir()) == {folder, own}
    assert [one.name for one in folder.iterdir()] == ["images"]
    assert errors(own) == []


def test_what_is_whole_has_no_errors(frozen):
    assert errors(frozen) == []


def test_a_constant_answer_above_chance_is_warned_of(frozen):
    assert any('"yes" is right in 4 of 6' in one for one in warnings(frozen))


def test_jpeg_carries_no_metadata(drawn, trained):
    assert errors(built(drawn, "jpeg", format="jpg", conditions=["none"])) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exmaples": {}}, "did you mean examples"),
        ({"format": "png"}, "webp or jpg"),
        ({"tasks": {"TP": -1}}, "0 or more"),
        ({"tasks": 14}, "like {TP: 3"),
        ({"tasks": None}, "got null"),
        ({"side": "wide"}, "side"),
        ({"model": 3}, "model"),
        ({"tasks": {"TP": 10_000, "FP": 1, "FN": 1}}, "too few images"),
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


def test_the_demo_is_the_whole_chain_and_goes_on_where_it_was_stopped(tmp_path):
    """With fewer scenes, epochs and masks than by default; the same 14 tasks of 12 examples."""
    from occlumap.stimuli.demo import demo
    from occlumap.stimuli.train import Training

    steps = []

    def bar(unit, step, stop_at="image"):
        steps.append((unit, step[0]))

        def progress(done, total):
            if unit == stop_at:
                raise KeyboardInterrupt

        return nullcontext(progress)

    settings = Training("vgg-narrow", 32, 6, 6, None, 2e-3, 16)
    options = {"scenes": 240, "size": 32, "training": settings, "conditions": {"lrp": {}}}
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, bar, **options)
    assert steps == [("scene", "1"), ("batch", "2"), ("image", "3")]
    for other in ({"seed": 1}, {"training": Training("vgg-narrow", 32)}):
        with pytest.raises(StimuliError, match="with other settings"):
            demo(tmp_path, bar, **{**options, **other})
    manifest = demo(tmp_path, lambda unit, step: bar(unit, step, stop_at=None), **options)
    assert steps[3:] == [("image", "3")]
    assert [task["class"] for task in manifest["tasks"]] == ["cat"] * 7 + ["horse"] * 7
    assert all(len(task["examples"]) == 12 for task in manifest["tasks"])
    assert errors(tmp_path / "stimuli") == []
    with pytest.raises(StimuliError, match="already"):
        demo(tmp_path, bar)


def test_copies_under_another_id_change_nothing_and_are_told(drawn, trained, frozen, tmp_path):
    """Every image a second time: no task is an example of itself, nor is there a task twice."""
    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    root = next((tmp_path / "VOCdevkit").iterdir())
    listed = root / "ImageSets" / "Main" / "train.txt"
    ids = listed.read_text().split()
    for one in ids:
        for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            shutil.copy(root / folder / f"{one}.{ending}", root / folder / f"z{one}.{ending}")
    (listed.parent / "twice.txt").write_text(
        "".join(f"{one}\n" for one in [*[f"z{one}" for one in ids], *ids])
    )
    with pytest.warns(OcclumapWarning, match="not trained or judged on a split 'twice'.*has train, val"):
        after = manifest_of(built(tmp_path, "set", model=str(trained), split="twice"))
    before = manifest_of(frozen)
    assert after["copies"] == {f"z{one}": one for one in ids}
    assert after["tasks"] == before["tasks"]


def test_data_that_the_model_was_not_trained_on_are_refused(drawn, trained, tmp_path):
    """Under the name of a split that the model's card records: labels of cats that have become dogs."""
    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    annotations = next((tmp_path / "VOCdevkit").iterdir()) / "Annotations"
    for path in annotations.iterdir():
        path.write_text(path.read_text().replace("<name>cat<", "<name>dog<"))
    with pytest.raises(StimuliError, match="expected train in .* got other labels than model.json records"):
        built(tmp_path, "set", model=str(trained))
    assert not (tmp_path / "set").exists()


def test_numbers_that_are_none_in_a_heatmap_are_told_with_condition_and_image(drawn, trained, monkeypatch):
    from importlib.metadata import EntryPoint

    from occlumap.stimuli import conditions

    def holes(request):
        found = request.image[..., 0].astype(float)
        found[0, :2] = np.nan, np.inf
        return found

    monkeypatch.setattr(conditions, "entry_points", lambda group: [EntryPoint("holes", "numpy:mean", group)])
    monkeypatch.setattr(np, "mean", holes)
    with pytest.raises(
        ArgumentError,
        match=r"image 2008_\d+, class cat: expected condition 'holes' to give finite numbers, got 2 of 1024 that are "
        r"not \(inf, nan\).*leave it out",
    ):
        built(drawn, "refused", conditions=["holes"])


def _hooks_backward(request):
    for one in request.classifier.network.modules():
        if type(one).__name__ == "ReLU":
            one.register_full_backward_hook(lambda module, given, got: (given[0].clamp(min=0),))


def _hooks_forward(request):
    request.classifier.network.features[0].register_forward_hook(lambda module, given, got: got + 0.5)


def _swaps_a_layer(request):
    import torch

    request.classifier.network.features[1] = torch.nn.Softplus()


def _takes_another_size(request):
    request.classifier.size = 48


def _halves(request):
    request.classifier.network.train().half()


def _sets_the_default(request):
    import torch

    torch.set_default_dtype(torch.float64)


def _forbids_gradients(request):
    import torch

    torch.set_grad_enabled(False)


@pytest.mark.parametrize(
    "change",
    [
        *(_hooks_backward, _hooks_forward, _swaps_a_layer, _takes_another_size, _halves),
        *(_sets_the_default, _forbids_gradients),
    ],
)
def test_what_a_package_s_condition_changes_reaches_none_of_ours(drawn, trained, frozen, monkeypatch, change):
    from importlib.metadata import EntryPoint

    from occlumap.stimuli import conditions

    def changing(request, options):
        change(request)
        options.append("more")
        return request.mask.astype(float)

    monkeypatch.setattr(
        conditions, "entry_points", lambda group: [EntryPoint("own", "numpy:changing", group)]
    )
    monkeypatch.setattr(np, "changing", changing, raising=False)
    asked = {"own": {"options": ["some"]}, **CONFIG["conditions"]}
    changed = manifest_of(built(drawn, f"beside-{change.__name__}", conditions=asked))
    assert changed["provenance"]["conditions"]["own"] == {"options": ["some"]}

    def ours(manifest):
        return [
            {name: file for name, file in one["heatmaps"].items() if name != "own"}
            for task in manifest["tasks"]
            for one in task["examples"]
        ]

    assert ours(changed) == ours(manifest_of(frozen))


def test_a_set_is_not_put_into_the_model_s_folder(drawn, trained):
    with pytest.raises(StimuliError, match="outside the model's"):
        built(drawn, "inside", out="model/set")


def test_an_image_and_its_heatmaps_have_one_size(drawn, trained, tmp_path):
    """Heatmaps are made of a smaller image, whose sides have another ratio by rounding."""
    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    root = next((tmp_path / "VOCdevkit").iterdir())
    lists = root / "ImageSets" / "Main"
    shutil.copy(lists / "train.txt", lists / "wide.txt")
    shutil.rmtree(root / "SegmentationObject")
    for path in (root / "JPEGImages").iterdir():
        with Image.open(path) as picture:
            wide = picture.resize((500, 332))
        wide.save(path)
    for path in (root / "Annotations").iterdir():
        path.write_text(
            path.read_text().replace("<width>32<", "<width>500<").replace("<height>32<", "<height>332<")
        )
    options = {"conditions": ["mask"], "explain_side": 224, "side": 320, "split": "wide"}
    with catch_warnings():
        simplefilter("ignore", OcclumapWarning)
        made = built(tmp_path, "set", model=str(trained), **options)
    for path in (made / "images").iterdir():
        with Image.open(path) as picture:
            assert picture.size == (320, 212)


def test_what_check_would_refuse_is_not_frozen(drawn, trained, monkeypatch):
    from occlumap.stimuli import build

    monkeypatch.setattr(build, "mix", lambda tasks: {"cat": {"TP": 7}})
    with pytest.raises(
        StimuliError, match="not frozen:\n  the mix of cat is stated as 7 TP.*\n  the mix of horse"
    ):
        built(drawn, "refused", conditions=["none"])
    assert not (drawn / "refused").exists()


def test_an_id_twice_in_the_list_is_refused_before_anything_is_made(drawn, trained, tmp_path):
    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    listed = next((tmp_path / "VOCdevkit").iterdir()) / "ImageSets" / "Main" / "train.txt"
    listed.write_text(listed.read_text() + "2008_000007\n")
    with pytest.raises(FileFormatError, match=r"train.txt, got '2008_000007' in lines 7 and 241"):
        built(tmp_path, "set", model=str(trained))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "examples: {TP: 0}",
            "expected examples to give a number for each of TP, FP, FN, got none for FP, FN",
        ),
        ("tasks: {TP: 3}", "got none for FP, FN"),
        ("tasks: {TP: 0, FP: 0, FN: 0}", "only zeros"),
        ("tasks: {tp: 3}", "did you mean TP"),
        ("tasks: {TP: true, FP: 1, FN: 1}", "for TP, got true"),
        ("classes: [cat, cat]", "cat more than once"),
        ("classes: cat", "like .cat, horse."),
        ("classes: [[cat]]", "like .cat, horse."),
        ("split: 5", "split"),
        ("format: [webp]", r"webp or jpg, got \["),
        ("conditions: {occlusion: 4}", "options of condition 'occlusion'.*got 4"),
        ("conditions: {occlusion: deep}", "options of condition 'occlusion'.*got \"deep\""),
        ("conditions: {occlusion: {dpeth: 4}}", "did you mean depth"),
        ("conditions: {lrp: {rules: foo}}", "'lrp': expected rules to be one of .* got 'foo'"),
        ("conditions: {occlusion: {depth: 99}}", "'occlusion': expected depth to be .* from 1 to 8, got 99"),
        ("conditions: {occlusion: {depth: 8}}", "at least 2.depth = 256 pixels .* got 224 x 224"),
        ("conditions: {joint: {budget: 1}}", "'joint': expected a budget of at least 3 calls"),
        ("conditions: {single_scale: {window: 225}}", "'single_scale': expected window .* from 1 to 224"),
        ("conditions: {random: {blur: 2}}", "'random': expected blur to be a number from 0 to 1, got 2"),
        ("conditions: [lpr]", "did you mean lrp"),
        ("conditions: [[none]]", "names, each with options"),
        ("conditions: [none, none]", "every condition once"),
        ("conditions: {}", "write .none."),
        ("seed: 1\nseed: 2", "'seed' again in line 5"),
        ("tasks: {TP: 1, FP: 1, FN: 1, TP: 2}", "'TP' again in line 4"),
        ("seed: 99999999999", "seed"),
        ("seed: [", "expected YAML"),
        ("seed: 2020-13-45", "expected YAML"),
        ("# \udcff", "in UTF-8 in .*other bytes in line 4"),
    ],
)
def test_a_configuration_s_mistake_is_told_with_the_file(tmp_path, text, message):
    from occlumap.stimuli.build import read_config

    path = tmp_path / "config.yaml"
    path.write_text(f"data: .\nmodel: model\nout: out\n{text}\n", errors="surrogateescape")
    with pytest.raises(OcclumapError, match=message) as caught:
        read_config(path)
    assert "config.yaml" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("dict", "None", "NoneType"))


def test_values_that_conditions_can_use_are_taken(tmp_path):
    from occlumap.stimuli.build import Config

    options = {
        "occlusion": {"depth": 7, "best_k": "all"},
        "joint": {"budget": 900, "fill": "blur"},
        "single_scale": {"window": 224, "stride": 100},
        "lrp": {"rules": "epsilon"},
        "random": {"blur": 0},
        **{name: {} for name in ("grad_cam", "mask", "none")},
    }
    assert Config(tmp_path, tmp_path, tmp_path, conditions=options).conditions == options


@pytest.mark.parametrize("blur", [-5, "abc", True])
def test_a_blur_that_is_none_is_refused(blur):
    from occlumap.stimuli.conditions import check_values

    with pytest.raises(ArgumentError, match="expected blur to be a number from 0 to 1"):
        check_values("random", {"blur": blur}, 32)


def test_a_condition_whose_heatmaps_are_all_blank_is_told(drawn, trained, monkeypatch):
    from occlumap.stimuli import conditions

    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: request.image[..., 0] / -255)
    with pytest.warns(OcclumapWarning, match=r"^all \d+ heatmaps of random show nothing: no value"):
        built(drawn, "blank", conditions={"random": {}})


def test_what_lrp_leaves_to_the_biases_is_told(drawn, trained, frozen):
    from occlumap.stimuli.lrp import relevances
    from occlumap.stimuli.train import load
    from occlumap.stimuli.voc import read_split

    told = manifest_of(frozen)["provenance"]["lrp"]
    assert told["images"] == 20
    split, classifier = read_split(drawn, "train"), load(trained).classifier
    gaps = []
    shown = {
        (task["class"], one["source"]) for task in manifest_of(frozen)["tasks"] for one in task["examples"]
    }
    rows = sorted((split.ids.index(source), label) for label, source in shown)[:20]
    for row, label in rows:
        image, target = split.image(row), split.classes.index(label)
        logit = classifier.network(classifier.inputs(image[None]))[0, target].item()
        gaps.append(
            abs(relevances(classifier, image, target, "epsilon-plus-flat").sum() - logit) / abs(logit)
        )
    assert told["median_gap"] == pytest.approx(np.median(gaps), abs=1e-4)


def test_an_image_that_exif_turns_has_its_mask_turned_in_the_set(drawn, trained, tmp_path):
    """The heatmap of `mask` over an upright example is red where the object is, though its file lies on its side."""
    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    root = next((tmp_path / "VOCdevkit").iterdir())
    lists = root / "ImageSets" / "Main"
    shutil.copy(lists / "train.txt", lists / "turned.txt")
    options = {"model": str(trained), "conditions": ["mask"], "format": "webp", "quality": 100}
    before = manifest_of(built(tmp_path, "before", **options))
    task = before["tasks"][0]
    example = next(one for one in task["examples"] if one["outcome"] == "TP")
    exif = Image.Exif()
    exif[0x0112] = 3  # the file holds it upside down
    for folder, ending, kind in (
        ("JPEGImages", "jpg", {"quality": 100, "exif": exif}),
        ("SegmentationObject", "png", {}),
    ):
        path = root / folder / f"{example['source']}.{ending}"
        with Image.open(path) as picture:
            turned = picture.transpose(Image.Transpose.ROTATE_180)
        turned.save(path, **kind)
    with catch_warnings():
        simplefilter("ignore", OcclumapWarning)
        after = manifest_of(built(tmp_path, "after", **options, split="turned"))
    same = next(t for t in after["tasks"] if t["id"] == task["id"])["examples"]
    other = next(one for one in same if one["source"] == example["source"])
    shown = [
        np.asarray(Image.open(tmp_path / name / one["heatmaps"]["mask"]), dtype=float)
        for name, one in (("before", example), ("after", other))
    ]
    assert np.abs(shown[0] - shown[1]).mean() < 4


def test_a_resized_copy_of_a_data_set_is_refused_before_any_heatmap(drawn, trained, tmp_path, monkeypatch):
    from occlumap.stimuli import build

    shutil.copytree(drawn / "VOCdevkit", tmp_path / "VOCdevkit")
    root = next((tmp_path / "VOCdevkit").iterdir())
    shutil.rmtree(root / "SegmentationObject")
    lists = root / "ImageSets" / "Main"
    shutil.copy(lists / "train.txt", lists / "resized.txt")
    for path in (root / "JPEGImages").iterdir():
        with Image.open(path) as picture:
            picture.resize((60, 40)).save(path)
    monkeypatch.setattr(build, "heatmap", lambda *arguments: pytest.fail("a heatmap was made"))
    with catch_warnings():
        simplefilter("ignore", OcclumapWarning)
        with pytest.raises(FileFormatError, match="an image of 60 x 40 pixels, got a <size> of 32 x 32"):
            built(tmp_path, "set", model=str(trained), split="resized", conditions=["random"])
