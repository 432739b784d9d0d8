"""Each leak and each change that is put into a frozen set is found."""

import hashlib
import io
import json
import os
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from occlumap.cli.group import occlumap as command_line
from occlumap.errors import FileFormatError
from occlumap.stimuli.demo import notes
from tests.stimuli.sets import errors, manifest_of, warnings


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


def rewritten(folder, change):
    """The set with its manifest changed, as somebody would who changes SHA256SUMS, too."""
    manifest = manifest_of(folder)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    sums = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("fairness.json", "manifest.json")
    )
    (folder / "SHA256SUMS").write_text(sums)


def replaced(folder, content, ending="webp", name=None, task=0):
    """The image of a task in other bytes, under the name of their hash unless told."""
    digest = hashlib.sha256(content).hexdigest()
    name = f"images/{name or digest[:32]}.{ending}"

    def change(manifest):
        old = manifest["tasks"][task]["image"]
        (folder / old).unlink()
        del manifest["files"][old]
        (folder / name).write_bytes(content)
        manifest["files"][name] = digest
        manifest["tasks"][task]["image"] = name

    rewritten(folder, change)
    return name


def saved(picture, kind="WEBP", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def picture_of(folder, task, example=None):
    one = manifest_of(folder)["tasks"][task]
    with Image.open(folder / (one if example is None else one["examples"][example])["image"]) as picture:
        return picture.convert("RGB")


def test_bytes_that_no_picture_needs_are_found(copy):
    content = saved(picture_of(copy, 0))
    replaced(copy, content + b"cat TP")
    assert any("6 bytes after its end" in one for one in errors(copy))


def test_a_name_that_is_text_in_hexadecimal_is_found(copy):
    replaced(copy, saved(picture_of(copy, 0)), name=b"cat_TP_2008_0001".hex())
    assert any('is hexadecimal for "cat_TP_2008_0001"' in one for one in errors(copy))


@pytest.mark.parametrize("name", ["cat_TP", "ABCDEF01" * 4])
def test_a_name_that_tells_hides_no_other_leak(copy, name):
    replaced(copy, saved(picture_of(copy, 0, 0)) + b"cat TP", name=name)
    found = errors(copy)
    assert f"the name images/{name}.webp may tell something; expected a folder and 32 hexadecimal" in found[0]
    assert any(f"{name}.webp has 6 bytes after its end" in one for one in found)
    assert any("nearly equals" in one for one in warnings(copy))


def test_a_key_that_is_not_of_a_manifest_is_found(copy):
    rewritten(copy, lambda one: one.update(truth="cat TP"))
    assert "'truth' was unexpected" in errors(copy)[0]


def test_a_heatmap_that_is_a_task_s_image_or_another_s_is_found(copy):
    def heatmaps(manifest, example=0):
        return manifest["tasks"][0]["examples"][example]["heatmaps"]

    task = manifest_of(copy)["tasks"][0]
    rewritten(copy, lambda one: heatmaps(one).update(lrp=task["image"]))
    assert any(
        f"heatmap of lrp of example 0 of task {task['id']} is the image of task {task['id']}" in one
        for one in errors(copy)
    )
    rewritten(copy, lambda one: heatmaps(one).update(lrp=task["examples"][1]["heatmaps"]["lrp"]))
    assert any("is the heatmap of several images" in one for one in errors(copy))
    rewritten(copy, lambda one: heatmaps(one).update(lrp=heatmaps(one)["random"]))
    told = "is the heatmap of lrp and random for one image: they are equal"
    assert any(told in one for one in warnings(copy))


def heatmap_of(folder, example, condition="lrp"):
    return manifest_of(folder)["tasks"][0]["examples"][example]["heatmaps"][condition]


@pytest.mark.parametrize("condition", ["lrp", "random"])
def test_heatmaps_of_two_examples_that_are_exchanged_are_found(copy, condition):
    def exchange(manifest):
        one, other = (manifest["tasks"][0]["examples"][place]["heatmaps"] for place in (0, 1))
        one[condition], other[condition] = other[condition], one[condition]

    assert not any("over another image" in one for one in errors(copy))
    rewritten(copy, exchange)
    task = manifest_of(copy)["tasks"][0]
    told = f"of {condition} of example 0 of task {task['id']} is over another image, {task['examples'][1]['image']}"
    assert any(told in one for one in errors(copy))


def test_a_heatmap_of_another_size_and_noise_in_its_place_are_found(copy):
    name = heatmap_of(copy, 0)
    with Image.open(copy / name) as picture:
        smaller = picture.convert("RGB").resize((50, 30))
    smaller.save(copy / name)
    assert any(
        "example 0 of task" in one and "has 50 x 30 pixels, its image 64 x 64" in one for one in errors(copy)
    )
    Image.effect_noise((64, 64), 90).convert("RGB").save(copy / name)
    assert any("does not show its image under the colours" in one for one in warnings(copy))
    (copy / name).write_bytes(b"no image")
    assert not any("does not show its image" in one for one in warnings(copy))


def test_one_heatmap_of_a_condition_for_two_classes_is_none_s_in_another_s_place(copy):
    """What `random` shows for an image hangs on no class."""

    def share(manifest):
        first = manifest["tasks"][0]
        other = next(one for one in manifest["tasks"] if one["class"] != first["class"])
        mine, theirs = first["examples"][0], other["examples"][0]
        theirs["image"], theirs["heatmaps"]["random"] = mine["image"], mine["heatmaps"]["random"]

    rewritten(copy, share)
    assert not any("is the heatmap of" in one for one in warnings(copy))


def test_a_pipe_is_found(copy):
    os.mkfifo(copy / "images" / "pipe")
    assert any("images/pipe is neither a file nor a folder" in one for one in errors(copy))


def test_a_name_that_counts_is_found(copy):
    replaced(copy, saved(picture_of(copy, 0)), name="0" * 31 + "1")
    assert any("only 2 different digits" in one for one in errors(copy))


def test_a_name_that_is_not_its_content_s_hash_is_told(copy):
    replaced(copy, saved(picture_of(copy, 0)), name=hashlib.sha256(b"horse").hexdigest()[:32])
    assert any("not the beginning of its content's hash" in one for one in warnings(copy))
    assert errors(copy) == []


def test_folders_and_links_that_are_not_of_the_set_are_found(copy):
    (copy / "cat_TP").mkdir()
    (copy / "images" / ("f" * 16 + "0123456789abcdef.webp")).symlink_to(copy / "manifest.json")
    assert any("the folder cat_TP is not of the set, and empty" in one for one in errors(copy))
    assert any("is a link" in one for one in errors(copy))


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (ImageOps.mirror, ", mirrored"),
        (lambda one: one.crop((4, 3, 62, 60)).resize((64, 64)), ", cropped"),
        (lambda one: ImageOps.mirror(one).crop((2, 4, 60, 61)).resize((64, 64)), ", mirrored and cropped"),
        (lambda one: one.point(lambda value: min(255, int(value * 1.1))), ""),
    ],
)
def test_a_copy_of_an_example_is_found_however_it_was_changed(copy, change, how):
    replaced(copy, saved(change(picture_of(copy, 0, 0)), quality=90))
    task = manifest_of(copy)["tasks"][0]["id"]
    assert any(
        f"task {task} nearly equals the example" in one and one.endswith(how) for one in warnings(copy)
    )
    assert errors(copy) == []


def test_a_copy_of_another_task_is_found(copy):
    replaced(copy, saved(picture_of(copy, 1), quality=70), task=3)
    first, other = (manifest_of(copy)["tasks"][one]["id"] for one in (1, 3))
    assert any(f"task {other} nearly equals that of task {first}" in one for one in warnings(copy))
    replaced(copy, saved(picture_of(copy, 1), lossless=True), task=3)
    assert any(f"task {other} equals that of task {first}" in one for one in errors(copy))


def test_other_examples_than_stated_are_found(copy):
    rewritten(copy, lambda one: one["tasks"][0]["examples"].pop())
    told = "has 2 TP, 1 FP, 0 FN, 0 TN examples, the manifest states 2 TP, 1 FP, 1 FN"
    assert any(told in one for one in errors(copy))


@pytest.mark.parametrize("key", ["conditions", "files", "mix", "example_mix", "repetitions", "provenance"])
def test_a_manifest_that_does_not_state_what_build_states_is_found(copy, key):
    rewritten(copy, lambda one: one.pop(key))
    assert any(f"no '{key}'" in one for one in errors(copy))


def test_tasks_other_than_the_mix_and_files_that_nothing_shows_are_found(copy):
    rewritten(copy, lambda one: one["files"].update({f"images/{'ab12cd34' * 4}.webp": "0" * 64}))
    assert any("no task or example shows it" in one for one in errors(copy))
    rewritten(copy, lambda one: one["tasks"].pop(0))
    assert any(
        "the mix of cat is stated as 1 TP, 1 FP, 1 FN, 0 TN, the tasks are" in one for one in errors(copy)
    )


def test_a_changed_manifest_is_found_by_its_hash(copy):
    own = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()

    def run(*options):
        return CliRunner().invoke(command_line, ["stimuli", "check", str(copy), *options])

    assert run("--manifest-hash", own).exit_code == 0
    swap = {"TP": "FP", "FP": "TP", "FN": "TN", "TN": "FN"}
    manifest = manifest_of(copy)
    manifest["tasks"][0]["outcome"] = swap[manifest["tasks"][0]["outcome"]]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "manifest.json has changed since the set was frozen" in run().output
    manifest["tasks"][0]["outcome"] = swap[manifest["tasks"][0]["outcome"]]
    manifest["provenance"]["seed"] = 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    rewritten(copy, lambda one: None)
    assert run().exit_code == 0
    short = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()[:4] + " " * 8
    assert "manifest.json has changed" in run("--manifest-hash", short).output
    told = run("--manifest-hash", own[:12])
    assert (told.exit_code, "manifest.json has changed" in told.output) == (1, True)


def test_constant_answers_are_judged_class_by_class(copy):
    """In the set: "yes" is right in 2 of 3 of each class; then one class is a no in 2 of 3."""
    assert any('"yes" is right in 2 of 3 tasks of horse' in one for one in warnings(copy))
    manifest = manifest_of(copy)
    for task in manifest["tasks"]:
        if task["class"] == "horse" and task["outcome"] != "FN":
            task["outcome"] = "FN"
            task["scores"]["horse"] = 0.0
            break
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert any('"yes" for cat, "no" for horse is right in 4 of 6' in one for one in warnings(copy))
    assert not any("right in 3 of 6" in one for one in warnings(copy))


def test_like_lines_are_grouped_unless_all_are_asked_for(copy):
    for one in (copy / "images").iterdir():
        one.unlink()
    count = len(manifest_of(copy)["files"])
    told = CliRunner().invoke(command_line, ["stimuli", "check", str(copy)]).output
    assert told.count(" is missing") == 3
    assert f"... and {count - 3} more: files missing" in told
    report = json.loads((copy / "fairness.json").read_text())
    report |= {f"own {power}": report["lrp"] | {"ink": 10.0**-power} for power in range(4)}
    (copy / "fairness.json").write_text(json.dumps(report))
    told = CliRunner().invoke(command_line, ["stimuli", "check", str(copy)]).output
    assert told.count(" ink, ") == 3
    assert " more: pairs of conditions of unequal ink" in told
    every = CliRunner().invoke(command_line, ["stimuli", "check", str(copy), "--all"]).output
    assert every.count(" is missing") == count


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fairness.json", "[1]", "no fairness.json that can be read"),
        (
            "fairness.json",
            '{"lrp": {"ink": null, "coverage": 1, "range": 1, "heatmaps": 3, "empty": 0}}',
            "can be read",
        ),
        ("fairness.json", "[" * 100_000, "can be read"),
        ("fairness.json", b"\xff\xfe", "can be read"),
        ("fairness.json", "{}", "has nothing of lrp"),
        ("SHA256SUMS", "nothing", "no SHA256SUMS that can be read"),
    ],
)
def test_broken_reports_are_told(copy, name, content, message):
    (copy / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert any(message in one for one in warnings(copy))


@pytest.mark.parametrize("content", ["[" * 100_000, "\xff", '{"thresholds": {"cat": NaN}}', ""])
def test_a_manifest_that_is_no_json_is_refused(copy, content):
    (copy / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(FileFormatError, match="manifest.json"):
        errors(copy)


def test_a_method_s_doubts_are_told_by_check_and_by_who_builds(copy):
    rewritten(copy, lambda one: one["provenance"].update(caveats={"joint": 17}))
    told = "the method of joint had doubts about 17 of its heatmaps; see conditions in docs/stimuli.md"
    assert told in warnings(copy)
    assert told in notes(manifest_of(copy))


@pytest.mark.parametrize("caveats", [["x"], {"lrp": "many"}, 3])
def test_caveats_that_are_none_are_found(copy, caveats):
    rewritten(copy, lambda one: one["provenance"].update(caveats=caveats))
    assert any("caveats" in one for one in errors(copy))
