"""Caveats: what the reader of a heatmap should know before trusting it."""

import numpy as np
from numpy.typing import NDArray

from occlumap.estimators import Estimate
from occlumap.measurements import Measurements

SMALL_SCORE = 0.05
"""An original score below this share of the scale of scores is warned about."""

LEAST_EXPLAINED = 0.2
"""A joint model that explains a smaller share of its held-back masks is warned about."""

FEW_MASKS = 10
"""A joint model of fewer masks is warned about: what is chance cannot be told from them."""

MOST_APART = 0.5
"""A joint model whose sums miss the original score by more than this share of it is warned about."""


def caveats(
    estimate: Estimate,
    original: float,
    row: NDArray[np.float64],
    measurements: Measurements,
    target: int,
) -> tuple[str, ...]:
    """Sentences, none when there is nothing to say (paper section 7.3 for the first).

    `original`: the target's score. `row`: the original image's scores of all classes.
    """
    said = []
    heatmap, fit = estimate.heatmap, estimate.fit
    coarser = "larger regions (a smaller depth)" if fit is None else "fewer regions (a label map)"
    values, counts = np.unique(heatmap, return_counts=True)
    if len(values) == 1 and values[0] == 0:
        said.append(
            "the heatmap is zero everywhere: hiding any measured region costs the target next to nothing. Try "
            f"{coarser}, another fill, or another target"
        )
    elif counts.max() > 0.9 * heatmap.size and values[counts.argmax()] != 0:
        share = 100 * counts.max() / heatmap.size
        said.append(
            f"one value covers {share:.0f} % of the image: the heatmap singles nothing out. Try "
            f"{'another depth or fill' if fit is None else 'another fill, or more calls'}"
        )
    masks = len(measurements.scores)
    if fit is not None and masks < FEW_MASKS:
        said.append(
            f"the model rests on {masks} masks only: intervals, and how well sums explain the scores, mean little. "
            "Spend more calls; where the regions allow no more masks, divide them further"
        )
    if fit is not None and heatmap.any() and fit.explained < LEAST_EXPLAINED:
        said.append(
            f"importances that add up explain only {max(0.0, fit.explained):.0%} of how the score varies from mask to "
            "mask (each mask predicted from the others): parts act together, or calls are too few, so neither sums nor "
            "ranks mean much. Spend more calls, or try another fill"
        )
    elif estimate.posterior is not None and heatmap.any():
        scores = measurements.scores[:, measurements.column(target)]
        predicted = estimate.posterior.whole_image(measurements.masks.kept, scores)
        if abs(predicted - original) > MOST_APART * abs(original):
            said.append(
                f"sums of importances predict a score of {predicted:.3g} for the image with nothing hidden, which "
                f"scores {original:.3g}: its parts act together, so what one costs while half of the image is hidden "
                "(that is what importances say) may be far from what it costs alone. Read them as ranks"
            )
    seen = np.concatenate([row, measurements.scores.ravel()])
    scale = 1.0 if seen.min() >= 0 and seen.max() <= 1 else float(np.abs(seen).max())
    if abs(original) < SMALL_SCORE * scale:
        said.append(
            f"the original score is only {original:.3g} (scores go up to {scale:.3g}): there is little to lose, so "
            "importances mean little. Explain a class that the classifier sees in the image"
        )
    return tuple(said)
