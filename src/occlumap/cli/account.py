"""What an explanation by segments says, in two lines: what matters most, and how far to trust it."""

from collections.abc import Iterator

from occlumap.explanation import Explanation
from occlumap.posterior import CREDIBLE

_TOLD = 3


def account(explanation: Explanation) -> Iterator[str]:
    """The most important segments with share and interval, and the model's fit; nothing for methods of rectangles."""
    fit, score = explanation.fit, explanation.original_score
    if fit is None:
        return

    def told_as(value: float) -> str:
        return f"{value / score:.0%}" if score > 0 else f"{value:.3g}"

    unit = " of the score" if score > 0 else ""
    leaves = [node for node in explanation.tree() if node.state == "leaf"]
    leaves = [node for node in leaves if node.importance > CREDIBLE * node.std]
    leaves.sort(key=lambda node: -node.importance)
    told = []
    for node in leaves[:_TOLD]:
        low, high = node.importance - CREDIBLE * node.std, node.importance + CREDIBLE * node.std
        rows, cols = node.region[:2], node.region[2:]
        told.append(
            f"rows {rows[0]} to {rows[1]}, columns {cols[0]} to {cols[1]}: {told_as(node.importance)}{unit} "
            f"({told_as(low)} to {told_as(high)})"
        )
    meaning = "; what hiding each costs on average while half of the image is hidden" if told else ""
    yield f"  matter most: {'; '.join(told) or 'no segment credibly'}{meaning}"
    yield (
        f"  trust: sums of importances explain {max(0.0, fit.explained):.0%} of how the score varies from mask to "
        f"mask; {explanation.uncertainty:.0%} of the heatmap may be chance"
    )
