"""The schema of manifest.json: its example fits, what breaks a rule is named, and it comes without torch."""

import copy
import json
import subprocess
import sys

import pytest

from occlumap.errors import FileFormatError
from occlumap.stimuli.schema import check_manifest, example_manifest, manifest_schema
from occlumap.study import demo_stimuli

pytest.importorskip("jsonschema")


def broken(change):
    manifest = copy.deepcopy(example_manifest())
    change(manifest)
    return manifest


def test_the_example_fits():
    check_manifest(example_manifest())


def test_the_study_s_demo_fits(tmp_path):
    pytest.importorskip("PIL")
    manifest = json.loads(demo_stimuli.write(tmp_path).read_text())
    check_manifest(manifest)
    assert all((tmp_path / one["image"]).is_file() for task in manifest["tasks"] for one in task["examples"])


def test_the_schema_is_a_schema():
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(manifest_schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.pop("thresholds"), "thresholds"),
        (lambda one: one["tasks"][0].pop("image"), r"tasks\[0\].*'image'"),
        (lambda one: one["tasks"][0].update(outcome="YES"), r"tasks\[0\].outcome"),
        (
            lambda one: one["tasks"][0].update(image="images/horse-FN.webp"),
            r"tasks\[0\].image: the name images/horse-FN.webp may tell something; expected .* 32 hexadecimal digits",
        ),
        (lambda one: one.update(truth="x"), "'truth' was unexpected"),
        (lambda one: one["tasks"][0]["examples"][0].update(truth="x"), "'truth' was unexpected"),
        (lambda one: one["tasks"][0].update(image="../0a4d55a8d778e5022fab701977c5d840.webp"), "image"),
        (lambda one: one["tasks"][0]["examples"][1].pop("heatmaps"), r"examples\[1\].*'heatmaps'"),
        (lambda one: one["tasks"][0]["scores"].update(cat=1.5), "1.5"),
        (lambda one: one["tasks"].append(one["tasks"][0]), "own id"),
        (lambda one: one["tasks"][0].update({"class": "zebra"}), "zebra"),
        (lambda one: one["tasks"][0]["scores"].pop("horse"), "score for each"),
        (lambda one: one["tasks"][0]["examples"][0]["scores"].update(cat=0.41), "cannot be TP"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(FileFormatError, match=message):
        check_manifest(broken(change))


def test_the_schema_comes_without_torch_or_pictures():
    code = (
        "import sys; from occlumap.stimuli.schema import manifest_schema, example_manifest; manifest_schema(); "
        "print([name for name in ('torch', 'PIL', 'captum', 'jsonschema', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
