"""What a budget pays for (docs/method.md), written plainly: always the cheapest offset next.

Never optimised; shares no code with src.
"""

import numpy as np

from tests.reference import paper


def cells_of(node):
    for child in node.children:
        yield child
        yield from cells_of(child)


def rectangles(height, width, depth, offset):
    """The different rectangles of one offset's tree, a set."""
    root = paper.Node(0, 0, height, 0, width)
    paper.grow(
        root, np.zeros((height, width, 3), np.uint8), lambda image: 0.0, 0.0, offset, depth, "mean", []
    )
    return {cell.bounds for cell in cells_of(root)}


def cheapest_first(height, width, depth, most):
    """For one offset after the other the rectangles (a set) that it adds; at most `most` in all."""
    trees = [rectangles(height, width, depth, offset) for offset in paper.all_offsets(height, width, depth)]
    taken, added = set(), []
    while unfinished := [tree for tree in trees if tree - taken]:
        cheapest = min(unfinished, key=lambda tree: len(tree - taken))
        if len(taken | cheapest) > most:
            break
        added.append(cheapest - taken)
        taken |= cheapest
    return added
