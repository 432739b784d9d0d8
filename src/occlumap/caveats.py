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
"""A joint model whose sums miss what can be by more than this share of what there is to lose is warned about."""


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
    scores = measurements.scores[:, measurements.column(target)]
    seen = np.concatenate([row, measurements.scores.ravel()])
    plain = seen.min() >= 0 and seen.max() <= 1  # probabilities, alone or each for itself
    low, high = (0.0, 1.0) if plain else (min(0.0, float(seen.min())), float(seen.max()))
    to_lose = original - low
    flat = len(values) == 1 and values[0] == 0
    if flat and fit is not None and abs(float(scores.mean()) - original) > MOST_APART * abs(to_lose):
        said.append(
            f"the heatmap is zero everywhere: whatever was hidden, the score was about {scores.mean():.3g}, far from "
            f"the {original:.3g} of the whole image, so nothing tells one part from another. Try another fill, or "
            "method='paper', which hides one region at a time"
        )
    elif flat:
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
        predicted = estimate.posterior.whole_image(measurements.masks.kept, scores)
        total = estimate.posterior.total
        if abs(predicted - original) > MOST_APART * abs(to_lose):
            said.append(
                f"sums of importances predict a score of {predicted:.3g} for the image with nothing hidden, which "
                f"scores {original:.3g}: its parts act together, so what one costs while half of the image is hidden "
                "(that is what importances say) may be far from what it costs alone. Read them as ranks"
            )
        elif total > (1 + MOST_APART) * to_lose:
            said.append(
                f"importances add up to {total:.3g}, and hiding everything can cost {to_lose:.3g} at most: several "
                "parts can each keep the score up, so hiding one alone may cost far less than its importance. Read "
                "them as ranks"
            )
    if to_lose < SMALL_SCORE * (high - low):
        said.append(
            f"the original score is only {original:.3g} (scores go from {low:.3g} to {high:.3g}): there is little to "
            "lose, so importances mean little. Explain a class that the classifier sees in the image"
        )
    return tuple(said)
