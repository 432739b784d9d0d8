"""The whole chain in one call: draw, train, make heatmaps, freeze."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occlumap.errors import FileFormatError, StimuliError
from occlumap.stimuli.build import Config, build
from occlumap.stimuli.check import caveat
from occlumap.stimuli.draw import YEAR, draw_dataset, first_seed
from occlumap.stimuli.train import CARD, Training, load, train
from occlumap.stimuli.truth import drawn_scenes

Bar = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]

CONDITIONS: dict[str, dict[str, Any]] = {"occlusion": {"depth": 3}, "lrp": {}, "joint": {}}


def demo(
    out: str | os.PathLike[str],
    bar: Bar,
    *,
    scenes: int = 1200,
    size: int = 64,
    training: Training | None = None,
    conditions: dict[str, dict[str, Any]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Draw `scenes` to train on and a fourth as many to validate on, train a narrow VGG, build 14 tasks; the manifest.

    In `out`: data/, model/, stimuli/. bar(unit, step) opens a progress bar. The network's ReLUs are plain, so that
    LRP's rules hold. A demo that was stopped goes on: what it had drawn and trained with the same settings is taken as
    it is. Raises StimuliError where `out` holds a stimulus set already, or data or a model of other settings.
    """
    root = Path(out)
    if (root / "stimuli").exists():
        raise StimuliError(f"expected no stimulus set, but {root} has stimuli already; choose another folder")
    settings = training or Training("vgg-narrow", size, 60, 10, 0.84, 1e-3, 32, seed=seed)
    if not _drawn(root, scenes, size, seed):
        with bar("scene", "1 of 3, drawing") as progress:
            draw_dataset(
                root / "data", train=scenes, val=max(scenes // 4, 1), size=size, seed=seed, progress=progress
            )
    if not _trained(root, settings):
        with bar("batch", "2 of 3, training") as progress:
            train(root / "data", root / "model", settings, progress=progress)
    config = Config(
        root / "data",
        root / "model",
        root / "stimuli",
        conditions=CONDITIONS if conditions is None else conditions,
        explain_side=size,
        seed=seed,
    )
    with bar("image", "3 of 3, explaining") as progress:
        return build(config, progress)


def _drawn(root: Path, scenes: int, size: int, seed: int) -> bool:
    """Whether an earlier run drew the data. Raises StimuliError for other data in its place."""
    if not (root / "data" / "VOCdevkit" / YEAR).exists():
        return False
    try:
        side, drawn = drawn_scenes(root / "data" / "VOCdevkit" / YEAR)
    except FileFormatError as error:
        raise StimuliError(f"{error}; choose another folder") from error
    if (side, len(drawn)) != (size, scenes + max(scenes // 4, 1)) or drawn[0][0] != first_seed(seed):
        raise StimuliError(
            f"{root / 'data'} was drawn with other settings (seed, size or number of scenes); choose another folder"
        )
    return True


def _trained(root: Path, settings: Training) -> bool:
    """Whether an earlier run trained the model. Raises StimuliError for another model in its place."""
    if not (root / "model" / CARD).exists():
        return False
    if load(root / "model").card["settings"] != asdict(settings):
        raise StimuliError(f"{root / 'model'} was trained with other settings; choose another folder")
    return True


def notes(manifest: dict[str, Any]) -> list[str]:
    """What whoever builds a set should know of it: copies left out, what methods doubted, what LRP leaves to biases."""
    told = []
    copies = manifest.get("copies", {})
    if copies:
        some = ", ".join(f"{one} (of {kept})" for one, kept in list(copies.items())[:3])
        told.append(
            f"left out, as copies of other images: {len(copies)}, {some}{', ...' * (len(copies) > 3)}"
        )
    told += [caveat(name, count) for name, count in manifest["provenance"].get("caveats", {}).items()]
    lrp = manifest["provenance"].get("lrp")
    if lrp:
        told.append(
            f"lrp: what a heatmap gives to all pixels together is off the score (its logit) by {lrp['median_gap']:.0%} "
            f"of that (median of {lrp['images']} heatmaps): the rest went to the "
            "network's biases, numbers that it adds whatever the image shows"
        )
    return told


def summary(manifest: dict[str, Any]) -> str:
    """One line: tasks, examples, files."""
    examples = sum(len(one["examples"]) for one in manifest["tasks"])
    mix = "; ".join(
        f"{label} {', '.join(f'{count} {outcome}' for outcome, count in counts.items() if count)}"
        for label, counts in manifest["mix"].items()
    )
    return f"{len(manifest['tasks'])} tasks with {examples} examples in {len(manifest['files'])} files; {mix}"
