"""Frozen sets for the tests of this room: how one is built, read and checked."""

import json

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
    import yaml

    path.write_text(yaml.safe_dump({**CONFIG, "out": name, **changes}))
    return path


def built(drawn, name, **changes):
    from occlumap.stimuli.build import build, read_config

    build(read_config(written(drawn, name, **changes)))
    return drawn / name


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def errors(folder):
    from occlumap.stimuli.check import check

    return [one.text for one in check(folder) if one.level == "error"]


def warnings(folder):
    from occlumap.stimuli.check import check

    return [one.text for one in check(folder) if one.level == "warning"]
