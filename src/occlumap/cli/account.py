"""What an explanation by segments says in words: what matters most, how far to trust it, what ended it early."""

from collections.abc import Iterator, Mapping
from typing import Any

from occlumap.explanation import Explanation
from occlumap.posterior import CREDIBLE

_TOLD = 3
_ENDS = {
    "tolerance": "the tolerance",
    "time_limit": "the time limit",
    "KeyboardInterrupt": "Ctrl-C",
    "Terminated": "a signal",
}


def account(explanation: Explanation) -> Iterator[str]:
    """The most important segments with share and interval, and the model's fit; nothing for methods of rectangles."""
    fit, posterior, score = explanation.fit, explanation.posterior, explanation.original_score
    if fit is None or posterior is None:
        return

    def told_as(value: float) -> str:
        return f"{value / score:.0%}" if score > 0 else f"{value:.3g}"

    unit = " of the score" if score > 0 else ""
    leaves = [node for node in explanation.tree() if node.state == "leaf"]
    leaves = [node for node in leaves if abs(node.importance) > CREDIBLE * node.std]
    leaves.sort(key=lambda node: -node.importance)
    against = bool(leaves) and leaves[0].importance < 0
    if against:
        leaves.reverse()
    leaves = [node for node in leaves if (node.importance < 0) == against]
    told = []
    for node in leaves[:_TOLD]:
        low, high = node.importance - CREDIBLE * node.std, node.importance + CREDIBLE * node.std
        rows, cols = node.region[:2], node.region[2:]
        told.append(
            f"rows {rows[0]} to {rows[1]}, columns {cols[0]} to {cols[1]}: {told_as(node.importance)}{unit} "
            f"({told_as(low)} to {told_as(high)})"
        )
    opening = "none for the class, against it " if against else ""
    yield f"  matter most: {opening}{'; '.join(told) or 'no segment credibly'}{_meaning(explanation) if told else ''}"
    yield (
        f"  trust: sums of importances explain {max(0.0, fit.explained):.0%} of how the score varies from mask to "
        f"mask, and predict {explanation.predicted_score:.3g} for the whole image, which scores {score:.3g}, and "
        f"{explanation.predicted_score - posterior.total:.3g} for none of it; "
        f"{explanation.uncertainty:.0%} of the heatmap may be chance{missed(explanation)}"
    )


def ended(provenance: Mapping[str, Any]) -> str:
    """What ended a run before it had spent its budget, to be put behind the calls; "" where nothing did."""
    why = provenance.get("ended_by")
    return f", ended by {_ENDS.get(why, why)}" if why else ""


def missed(explanation: Explanation) -> str:
    """That a tolerance was not reached with the calls that there were; an empty text where it was, or none was set."""
    wanted = explanation.settings.get("tolerance")
    if wanted is None or explanation.uncertainty <= float(wanted):
        return ""
    return f" (the tolerance, {float(wanted):.0%}, was not reached)"


def _meaning(explanation: Explanation) -> str:
    """What the numbers are: a share of the score is no promise of what hiding that segment alone would cost."""
    height, width = explanation.heatmap.shape
    return (
        f" (of the {height} x {width} pixels that the classifier saw; what hiding each costs on average while half of "
        "them are hidden, with 95 % intervals)"
    )
