"""Our metrics against Quantus 0.6.0 (Hedström et al., JMLR 2023) on the same images, maps and model.

    python3 -m venv ../quantus-env
    ../quantus-env/bin/pip install torch==2.13.0
    ../quantus-env/bin/pip install 'numpy<2.4' quantus
    PYTHONPATH=src ../quantus-env/bin/python benchmarks/against_quantus.py [write]

An environment of its own, as Quantus needs numpy < 2.4 (np.trapz). Prints for each metric the means over all
maps, and the largest difference of any single number; exits with 1 if one is above the tolerance. A few
seconds on two cores.

The model is a small convolutional network with random weights on grey images, so that a pixel is one feature
for Quantus too; the maps are gradient x input, occlusion by single pixels, and chance. Where definitions
differ, Quantus is brought to ours or ours to Quantus', as follows.

- Deletion, MoRF, LeRF: Quantus' PixelFlipping; LeRF is that of the negated map. Its curve lacks the score of the
  untouched image, and its area is not divided by the number of steps: we compare the scores that both have, and
  the areas after adding the first trapezoid and dividing.
- Insertion: Quantus has none. PixelFlipping on the reference, with a perturb_func that puts the image's pixels in.
- SRG: Quantus 0.6.0 has none; from the areas of its two PixelFlipping curves.
- Region perturbation: Quantus removes whole patches in the order of their summed attribution, and gives drops. Ours
  is deletion of a map that is constant in each patch, one patch a step; three rankings of its equal
  values then hide the same pixels at every step.
- Pointing game: Quantus has no tolerance (ours: 0), and any of several maxima may hit (ours: their share); the same
  where there is one maximum.
- Energy inside, grid pointing: AttributionLocalisation with positive_attributions, and no normalisation; it adds 1e-9
  to the sum. On maps without negative values also RelevanceMassAccuracy.
- Sensitivity-n: Quantus' SensitivityN correlates over photographs, drops of ever more hidden pixels with the
  attribution of the last ones only: not what Ancona et al. (2018) define, and not compared. Its
  FaithfulnessCorrelation (Bhatt et al. 2020) is sensitivity-n for one n; compared on the random sets that it drew.
- Infidelity: Quantus hides a grid of squares one after another without putting the last one back, and multiplies
  attribution by (image - reference). Its perturb_func is given one that puts the last one back; our map is
  attribution x (image - reference), as a map of what hiding costs is.
- Similarity: Quantus' function correlation_spearman.

Region prediction, scaled infidelity, and sufficiency and comprehensiveness at fixed areas have no counterpart in it.
"""

import contextlib
import io
import sys
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import quantus
import torch

from occlumap.evaluation.curves import deletion, insertion, lerf, symmetric_relevance_gain
from occlumap.evaluation.fidelity import infidelity, pixel_drops, region_drops, sensitivity_n
from occlumap.evaluation.localisation import (
    box_mask,
    energy_inside,
    grid_pointing,
    pointing_game,
    quadrant_of,
)
from occlumap.evaluation.sanity import similarity

SIDE, STEPS, PATCH, TARGET, BLACK = 32, 32, 8, 1, 0.0
IMAGES = 3
TOLERANCE = 1e-5  # scores are float32 probabilities
PAGE = Path(__file__).parents[1] / "docs/figures/quantus.md"
INTRODUCTION = """# Our metrics against Quantus

Made by `benchmarks/against_quantus.py write` with Quantus 0.6.0 in an environment of its own (NumPy below 2.4):
3 images x 3 maps on a small network. A value is a mean; the difference is the largest of any single number. Where
definitions differ, the script's docstring says how.
"""
PLAIN = {"abs": False, "normalise": False, "disable_warnings": True}


def model():
    """A random network (n, 1, SIDE, SIDE) -> probabilities of three classes, far from flat."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5, padding=2),
        torch.nn.Tanh(),
        torch.nn.AvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * (SIDE // 4) ** 2, 3),
        torch.nn.Softmax(dim=1),
    )
    with torch.no_grad():
        layers[0].weight *= 3
        layers[4].weight *= 4
    return layers.eval()


def classifier_of(network):
    """The network as occlumap calls it: uint8 (n, H, W, 3), grey, so that one channel says all."""

    def classify(batch):
        with torch.no_grad():
            return network(torch.from_numpy(batch[:, None, :, :, 0].astype(np.float32) / 255)).numpy()

    return classify


def maps_of(network, classifier, pixels, rng):
    """Three maps (H, W) of one grey image (H, W); no two values of one are equal."""
    inputs = torch.from_numpy(pixels[None, None].astype(np.float32) / 255).requires_grad_()
    network(inputs)[0, TARGET].backward()
    yield inputs.grad[0, 0].numpy().astype(np.float64) * (pixels / 255)
    each = np.eye(SIDE * SIDE, dtype=bool).reshape(-1, SIDE, SIDE)
    image = np.repeat(pixels[:, :, None], 3, axis=2)
    occlusion = pixel_drops(classifier, image, TARGET, each, [np.zeros_like(image)], batch_size=256)[0]
    yield occlusion.reshape(SIDE, SIDE) + 1e-9 * rng.random((SIDE, SIDE))
    yield rng.normal(size=(SIDE, SIDE))


class Case:
    """One image, one map and one mask, and how Quantus is asked about them."""

    def __init__(self, network, classifier, pixels, heatmap, mask):
        self.network, self.classifier, self.heatmap, self.mask = network, classifier, heatmap, mask
        self.image = np.repeat(pixels[:, :, None], 3, axis=2)
        self.reference = np.zeros_like(self.image)
        self.inputs = pixels[None, None].astype(np.float32) / 255

    def quantus(self, metric, heatmap=None, mask=None, inputs=None):
        """What the metric of Quantus gives for this case, or for another map, mask or image in it."""
        heatmap, mask = (
            self.heatmap if heatmap is None else heatmap,
            self.mask if mask is None else mask,
        )
        (found,) = metric(
            model=self.network,
            x_batch=self.inputs if inputs is None else inputs,
            y_batch=np.array([TARGET]),
            a_batch=heatmap[None, None],
            s_batch=mask[None, None],
            channel_first=True,
            softmax=True,  # False would take the last layer away
        )
        return np.asarray(found, np.float64)

    def flipping(self, **changes):
        """Scores by Quantus' PixelFlipping, the first flipped share of pixels to the last."""
        heatmap, inputs = changes.pop("heatmap", None), changes.pop("inputs", None)
        settings = {"features_in_step": SIDE * SIDE // STEPS, "perturb_baseline": BLACK, **PLAIN, **changes}
        return self.quantus(quantus.PixelFlipping(**settings), heatmap, inputs=inputs)

    def ours(self, function, heatmap=None, steps=STEPS):
        """One of our curves for this case."""
        heatmap = self.heatmap if heatmap is None else heatmap
        return function(self.classifier, self.image, heatmap, TARGET, self.reference, steps)


def curves(case):
    """Deletion, LeRF, insertion, their areas, SRG."""
    deleted, least, inserted = (case.ours(function) for function in (deletion, lerf, insertion))
    flipped, flipped_least = case.flipping(), case.flipping(heatmap=-case.heatmap)
    yield "deletion / MoRF, scores", deleted.scores[1:], flipped
    yield "LeRF, scores", least.scores[1:], flipped_least

    def put_in(arr, indices, **_):
        made = arr.copy()
        made[0, indices[0]] = case.inputs.ravel()[indices[0]]
        return made

    shown = case.flipping(inputs=np.zeros_like(case.inputs), perturb_func=put_in)
    yield "insertion, scores", inserted.scores[1:], shown

    def area(quantus_area, curve):
        first = (curve.scores[0] + curve.scores[1]) / 2
        return (quantus_area + first) / STEPS

    auc = area(case.flipping(return_auc_per_sample=True), deleted)
    auc_least = area(case.flipping(heatmap=-case.heatmap, return_auc_per_sample=True), least)
    yield "deletion, area", deleted.auc, auc
    yield "SRG", case.ours(symmetric_relevance_gain), auc_least - auc


def region_perturbation(case):
    """Deletion by whole patches."""
    patches = SIDE // PATCH
    sums = case.heatmap.reshape(patches, PATCH, patches, PATCH).sum(axis=(1, 3))
    coarse = np.kron(sums, np.ones((PATCH, PATCH)))
    metric = quantus.RegionPerturbation(
        patch_size=PATCH, regions_evaluation=patches**2, perturb_baseline=BLACK, **PLAIN
    )
    scores = case.ours(deletion, coarse, steps=patches**2).scores
    yield "region perturbation, drops", scores[0] - scores[1:], case.quantus(metric)


def localisation(case):
    """Pointing game, energy inside, grid pointing."""
    yield (
        "pointing game",
        pointing_game(case.heatmap, case.mask, 0),
        case.quantus(quantus.PointingGame(**PLAIN)),
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints advice against signed maps
        metric = quantus.AttributionLocalisation(positive_attributions=True, **PLAIN)
    yield "energy inside", energy_inside(case.heatmap, case.mask), case.quantus(metric)
    size = np.abs(case.heatmap)
    theirs = case.quantus(quantus.RelevanceMassAccuracy(**{**PLAIN, "abs": True}), size)
    yield "energy inside, absolute map", energy_inside(size, case.mask), theirs
    quadrants = [box_mask((SIDE, SIDE), [quadrant_of((SIDE, SIDE), k)]) for k in range(4)]
    yield (
        "grid pointing",
        np.array([grid_pointing(case.heatmap, k) for k in range(4)]),
        np.array([case.quantus(metric, mask=quadrant) for quadrant in quadrants]),
    )


def sensitivity(case):
    """Sensitivity-n for three n, on the sets that Quantus draws."""
    for size in (8, 64, 512):
        drawn = []

        def hide(arr, indices, drawn=drawn, **_):
            drawn.append(np.isin(np.arange(SIDE * SIDE), indices[0]).reshape(SIDE, SIDE))
            made = arr.copy()
            made[0, indices[0]] = BLACK
            return made

        np.random.seed(size)  # noqa: NPY002 - what Quantus draws from
        metric = quantus.FaithfulnessCorrelation(
            nr_runs=100, subset_size=size, perturb_func=hide, return_aggregate=False, **PLAIN
        )
        theirs, sets = case.quantus(metric), np.array(drawn)
        drops = pixel_drops(case.classifier, case.image, TARGET, sets, [case.reference])[0]
        yield f"sensitivity-{size}", sensitivity_n(case.heatmap, sets, drops), theirs


def infidelities(case):
    """Infidelity over a grid of squares, one at a time."""

    def hide_alone(arr, indices, **_):
        made = case.inputs.reshape(1, -1).copy()
        made[0, indices[0]] = BLACK
        return made

    metric = quantus.Infidelity(
        perturb_patch_sizes=[PATCH], n_perturb_samples=1, perturb_func=hide_alone, **PLAIN
    )
    corners = product(range(0, SIDE, PATCH), repeat=2)
    squares = np.array([(row, row + PATCH, col, col + PATCH) for row, col in corners])
    drops = region_drops(case.classifier, case.image, TARGET, squares, [case.reference])[0]
    ours = infidelity(case.heatmap * case.inputs[0, 0], squares, drops, scaled=False)
    yield "infidelity (relative)", 1.0, case.quantus(metric) / ours  # its unit is the map's, squared


def rank_correlation(case):
    """Spearman of the map and another."""
    other = case.heatmap + case.heatmap.T
    theirs = quantus.similarity_func.correlation_spearman(case.heatmap.ravel(), other.ravel())
    yield "similarity", similarity(case.heatmap, other), theirs


def main():
    warnings.simplefilter("ignore")  # of Quantus
    rng = np.random.default_rng(0)
    network = model()
    classifier = classifier_of(network)
    found = {}
    for _ in range(IMAGES):
        pixels = rng.integers(1, 256, (SIDE, SIDE), np.uint8)
        top, left = rng.integers(0, SIDE // 2, 2)
        mask = box_mask((SIDE, SIDE), [(top, top + SIDE // 2, left, left + SIDE // 2)])
        for heatmap in maps_of(network, classifier, pixels, rng):
            case = Case(network, classifier, pixels, heatmap, mask)
            for compare in (
                curves,
                region_perturbation,
                localisation,
                sensitivity,
                infidelities,
                rank_correlation,
            ):
                for name, ours, theirs in compare(case):
                    found.setdefault(name, []).append((np.asarray(ours), np.asarray(theirs)))
    worst = 0.0
    lines = [f"{'metric':30} {'ours':>12} {'Quantus':>12} {'difference':>12}"]
    for name, pairs in found.items():
        ours, theirs = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
        difference = float(np.abs(ours - theirs).max())
        worst = max(worst, difference if np.isfinite(difference) else np.inf)
        lines.append(f"{name:30} {ours.mean():12.8f} {theirs.mean():12.8f} {difference:12.1e}")
    lines.append(f"largest difference {worst:.1e}, tolerance {TOLERANCE:.0e}")
    print("\n".join(lines))
    if sys.argv[1:] == ["write"]:
        PAGE.write_text("\n".join([INTRODUCTION, "```", *lines, "```", ""]), encoding="utf-8")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
