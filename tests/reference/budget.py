"""Which offset a budget pays for next, written plainly (docs/method.md): predict every unmeasured cell, prune, rank.

Never optimised; shares no code with src.
"""

import numpy as np

from tests.reference import paper


def cells_of(node):
    for child in node.children:
        yield child
        yield from cells_of(child)


def grown(height, width, depth, offset):
    root = paper.Node(0, 0, height, 0, width)
    paper.grow(
        root, np.zeros((height, width, 3), np.uint8), lambda image: 0.0, 0.0, offset, depth, "mean", []
    )
    return root


def scale_means(measured, trees, height, width, depth):
    """For each scale and pixel the mean importance of the measured cells of that scale."""
    means = {}
    for scale in range(1, depth + 1):
        of_scale = {cell.bounds for root in trees for cell in cells_of(root) if cell.scale == scale}
        total, count = np.zeros((2, height, width))
        for (a, b, c, d), importance in measured.items():
            if (a, b, c, d) in of_scale:
                total[a:b, c:d] += importance
                count[a:b, c:d] += 1
        means[scale] = total / np.maximum(count, 1)
    return means


def next_cells(measured, original, height, width, depth, left, pruning="greedy"):
    """The unmeasured cells (a set) of the affordable offset of densest predicted tree; empty when there is none.

    `measured`: importances by bounds, in the order of measuring.
    """
    trees = [grown(height, width, depth, offset) for offset in paper.all_offsets(height, width, depth)]
    missing = [[cell.bounds for cell in cells_of(root) if cell.bounds not in measured] for root in trees]
    affordable = [index for index, cells in enumerate(missing) if 0 < len(cells) <= left]
    if not affordable:
        return set()
    if not measured:
        return set(missing[affordable[0]])
    means = scale_means(measured, trees, height, width, depth)
    densities = []
    for root in trees:
        for cell in cells_of(root):
            a, b, c, d = cell.bounds
            cell.importance = measured.get(cell.bounds, means[cell.scale][a:b, c:d].mean())
        (paper.prune_greedy if pruning == "greedy" else paper.prune_optimal)(root, 1e-9 * abs(original))
        leaves = [leaf for leaf in paper.leaves_of(root) if leaf.importance > 0.01 * abs(original)]
        total = sum(leaf.importance for leaf in leaves)
        densities.append(total / sum(leaf.area for leaf in leaves) if leaves else 0.0)
    return set(missing[max(affordable, key=densities.__getitem__)])
