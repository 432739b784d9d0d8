"""What moves the joint method, one variant at a time, on photographs to tune on; writes docs/research/joint.md.

    python -m benchmarks.joint_variants measure mobilenet_v1_025_128 [PHOTOGRAPHS]   # goes to benchmarks/results
    python -m benchmarks.joint_variants write

Needs `pip install '.[benchmark]'` and ../shared/data (OCCLUMAP_SHARED names it elsewhere). Photographs are split by
their file's name (benchmarks/split.py); only those to tune on are used here, so that what docs/figures/faithfulness.md
says of the others was not tuned for. How a variant is judged: benchmarks/trials.py.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

import occlumap
from benchmarks import trials
from benchmarks.trials import ROOT, Case
from occlumap import samplers
from occlumap.estimators import joint
from occlumap.fills import Blur, Image, Neighbours, Turns
from occlumap.segments import grid_labels, merged, slic_labels

KIND = "joint-variants"
PAGE = ROOT / "docs/research/joint.md"
BUDGETS = (100, 300)


@dataclass(frozen=True)
class Variant:
    """The constants that are changed for one line of the table."""

    cuts: tuple[int, ...] = samplers.MASK_CUTS
    keep: float = samplers.KEEP
    leaves: int = 200
    regions: str = "slic"
    tree_weights: tuple[tuple[int, float], ...] = tuple(joint.TREE_WEIGHTS.items())
    nearness: float = joint.NEARNESS
    reach: float = joint.REACH
    fill: object = "blur+neighbours"
    ratio: float | None = None


class WiderBlur(Blur):
    """The blurred image with another width: the shorter side / `divisor`."""

    def __init__(self, divisor: float) -> None:
        object.__setattr__(self, "divisor", divisor)

    def _blurred(self, image: Image) -> Image:
        from occlumap.fills import _gaussian_matrix, _to_uint8

        sigma = min(image.shape[:2]) / self.divisor  # type: ignore[attr-defined]
        rows, cols = (_gaussian_matrix(length, sigma) for length in image.shape[:2])
        return _to_uint8(np.stack([rows @ image[:, :, c].astype(float) @ cols.T for c in range(3)], axis=2))

    def __str__(self) -> str:
        return f"blur, sigma a {self.divisor:g}th"  # type: ignore[attr-defined]


TYPICAL_RATIO = 20.0
"""About the middle of the likeliest ratios s^2 / variance of the noise of the photographs to tune on."""

BASE = Variant()
VARIANTS = {
    "as it is": BASE,
    "keep 0.3": replace(BASE, keep=0.3),
    "keep 0.65": replace(BASE, keep=0.65),
    "keep 0.8": replace(BASE, keep=0.8),
    "masks of 12, 25, 50, 100 segments": replace(BASE, cuts=(12, 25, 50, 100)),
    "masks of 6, 12, 25 segments": replace(BASE, cuts=(6, 12, 25)),
    "masks of 50 segments only": replace(BASE, cuts=(50,)),
    "100 leaves": replace(BASE, leaves=100),
    "400 leaves": replace(BASE, leaves=400),
    "a grid in place of segments": replace(BASE, regions="grid"),
    "prior: tree alone": replace(BASE, nearness=0.0),
    "prior: nearness alone": replace(BASE, tree_weights=((1, 1e-6),)),
    "prior: all cuts alike": replace(BASE, tree_weights=tuple((count, 1.0) for count in joint.TREE_WEIGHTS)),
    "prior: coarse cuts alone": replace(BASE, tree_weights=((12, 1.0), (25, 1.0), (50, 1.0))),
    "prior: fine cuts alone": replace(BASE, tree_weights=((100, 0.5), (10**6, 0.25))),
    "prior: twice the tree": replace(
        BASE, tree_weights=tuple((count, 2 * weight) for count, weight in joint.TREE_WEIGHTS.items())
    ),
    "prior: reach 0.15": replace(BASE, reach=0.15),
    "prior: reach 0.4": replace(BASE, reach=0.4),
    "prior: nearness 1": replace(BASE, nearness=1.0),
    "prior: nearness 4": replace(BASE, nearness=4.0),
    "noise: one ratio for all images": replace(BASE, ratio=TYPICAL_RATIO),
    "fills: blur, sigma a 20th, and neighbours": replace(BASE, fill=Turns((WiderBlur(20), Neighbours()))),
    "fills: blur, sigma a 5th, and neighbours": replace(BASE, fill=Turns((WiderBlur(5), Neighbours()))),
    "fill: blur": replace(BASE, fill="blur"),
    "fill: black": replace(BASE, fill="constant:0"),
    "fill: grey 128": replace(BASE, fill="constant:128"),
    "fill: neighbours": replace(BASE, fill="neighbours"),
}


def explained(case: Case, variant: Variant, budget: int) -> occlumap.Explanation:
    """With the constants of the variant in place of the method's own."""
    labels = (
        slic_labels(case.image, variant.leaves)
        if variant.regions == "slic"
        else grid_labels((case.image.shape[0], case.image.shape[1]), variant.leaves)
    )
    before = samplers.MASK_CUTS, samplers.KEEP
    priors = joint.TREE_WEIGHTS, joint.NEARNESS, joint.REACH, joint.RATIOS
    samplers.MASK_CUTS, samplers.KEEP = variant.cuts, variant.keep
    joint.TREE_WEIGHTS = dict(variant.tree_weights)
    joint.NEARNESS, joint.REACH = variant.nearness, variant.reach
    joint.RATIOS = joint.RATIOS if variant.ratio is None else np.array([variant.ratio])
    try:
        found = occlumap.explain(
            case.classifier,
            case.image,
            case.target,
            budget=budget,
            regions=merged(case.image, labels),
            fill=variant.fill,
        )
        assert isinstance(found, occlumap.Explanation)
        return found
    finally:
        samplers.MASK_CUTS, samplers.KEEP = before
        joint.TREE_WEIGHTS, joint.NEARNESS, joint.REACH, joint.RATIOS = priors


def heatmap(case: Case, budget: int, *, variant: Variant) -> NDArray[np.float32]:
    return explained(case, variant, budget).heatmap


def measure(name: str, limit: int | None) -> None:
    of_variants = {label: partial(heatmap, variant=variant) for label, variant in VARIANTS.items()}
    trials.measure(KIND, name, limit, of_variants, BUDGETS)


def write() -> None:
    about = (
        "Made by `benchmarks/joint_variants.py`: symmetric relevance gain of the method as it is, and what one change "
        "at a time adds to it (paired over the photographs, 95 % bootstrap interval); higher is better. Photographs to "
        "tune on only, a classifier for each table; references mean colour, noise and another photograph. What "
        "gains with one classifier and not with another was not taken up."
    )
    trials.write(PAGE, KIND, "What moves the joint method", about, BUDGETS)


if __name__ == "__main__":
    trials.run(sys.argv[1:], __doc__, measure, write)
