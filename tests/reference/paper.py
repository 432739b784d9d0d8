"""The paper's way, written plainly: occlude, classify, recurse. Never optimised; shares no code with src.

Every node of every offset's tree costs one call, one image at a time. What the fast path gives must equal
this bit for bit.
"""

from fractions import Fraction
from itertools import pairwise

import numpy as np


class Node:
    def __init__(self, scale, row_start, row_stop, col_start, col_stop):
        self.scale = scale
        self.bounds = (row_start, row_stop, col_start, col_stop)
        self.importance = 0.0
        self.children = []

    @property
    def area(self):
        a, b, c, d = self.bounds
        return (b - a) * (d - c)


def round_half_up(value):
    return int((2 * value + 1) // 2)


def cell_edges(length, scale, shift):
    """Edges shift + k * cell, exact, each rounded once, cropped to the axis."""
    cell = Fraction(length, 2**scale)
    edges = {0, length}
    k = -(2**scale)
    while shift + k * cell <= length:
        edge = round_half_up(shift + k * cell)
        if 0 < edge < length:
            edges.add(edge)
        k += 1
    return sorted(edges)


def all_offsets(height, width, depth, choice="all"):
    step_y, step_x = Fraction(height, 2 ** (depth + 1)), Fraction(width, 2 ** (depth + 1))
    if choice == "none":
        return [(Fraction(0), Fraction(0))]
    if choice == "four":
        return [(y, x) for y in (Fraction(0), Fraction(height, 4)) for x in (Fraction(0), Fraction(width, 4))]
    return [(i * step_y, j * step_x) for i in range(2**depth) for j in range(2**depth)]


def fill_pixels(image, bounds, fill):
    """A copy of the image with one region filled."""
    a, b, c, d = bounds
    occluded = image.copy()
    if fill == "neighbours":
        ring = []
        if a > 0:
            ring.extend(image[a - 1, x] for x in range(c, d))
        if b < image.shape[0]:
            ring.extend(image[b, x] for x in range(c, d))
        if c > 0:
            ring.extend(image[y, c - 1] for y in range(a, b))
        if d < image.shape[1]:
            ring.extend(image[y, d] for y in range(a, b))
        if not ring:
            ring = list(image.reshape(-1, 3))
        occluded[a:b, c:d] = np.round(np.array(ring, np.float64).sum(axis=0) / len(ring)).astype(np.uint8)
    elif fill == "mean":
        inside = image[a:b, c:d].reshape(-1, 3).astype(np.float64)
        occluded[a:b, c:d] = np.round(inside.sum(axis=0) / len(inside)).astype(np.uint8)
    elif fill == "blur":
        occluded[a:b, c:d] = blurred(image)[a:b, c:d]
    elif fill.startswith("constant:"):
        occluded[a:b, c:d] = [int(value) for value in fill.removeprefix("constant:").split(",")]
    elif fill == "inpaint:telea":
        import cv2

        mask = np.zeros(image.shape[:2], np.uint8)
        mask[a:b, c:d] = 1
        occluded[a:b, c:d] = cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA)[a:b, c:d]
    else:
        raise AssertionError(fill)
    return occluded


def blurred(image):
    sigma = min(image.shape[:2]) / 10
    radius = int(4 * sigma + 0.5)
    kernel = np.array([np.exp(-0.5 * (x / sigma) ** 2) for x in range(-radius, radius + 1)])
    kernel = kernel / kernel.sum()
    padded = np.pad(image.astype(np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    rows = np.apply_along_axis(lambda column: np.convolve(column, kernel, "valid"), 0, padded)
    both = np.apply_along_axis(lambda row: np.convolve(row, kernel, "valid"), 1, rows)
    return np.round(both).astype(np.uint8)


def grow(node, image, classify, original, offset, depth, fill, calls):
    """Occlude every child of `node`, classify, recurse."""
    if node.scale == depth:
        return
    scale = node.scale + 1
    a, b, c, d = node.bounds
    rows = cell_edges(image.shape[0], scale, offset[0])
    cols = cell_edges(image.shape[1], scale, offset[1])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            cropped = (max(top, a), min(bottom, b), max(left, c), min(right, d))
            if cropped[0] >= cropped[1] or cropped[2] >= cropped[3]:
                continue
            child = Node(scale, *cropped)
            child.importance = original - classify(fill_pixels(image, cropped, fill))
            calls.append(cropped)
            node.children.append(child)
    for child in node.children:
        grow(child, image, classify, original, offset, depth, fill, calls)


def prune_greedy(node, tolerance):
    if node.scale > 0 and node.children:
        total = 0.0
        for child in node.children:
            total += child.importance
        if node.importance - total > tolerance:
            node.children = []
    for child in node.children:
        prune_greedy(child, tolerance)


def prune_optimal(node, tolerance):
    """Prunes and returns the node's value."""
    if not node.children:
        return node.importance
    total = 0.0
    for value in [prune_optimal(child, tolerance) for child in node.children]:
        total += value
    if node.scale > 0 and node.importance - total > tolerance:
        node.children = []
        return node.importance
    return total


def leaves_of(root):
    """Breadth first; the leaves of each scale row by row."""
    leaves, generation = [], [root]
    while generation:
        leaves.extend(node for node in generation if not node.children and node.scale > 0)
        generation = [child for node in generation for child in node.children]
    return sorted(leaves, key=lambda node: (node.scale, node.bounds[0], node.bounds[2]))


def explain(
    classify, image, depth, offsets="all", best_k=5, fill="neighbours", pruning="greedy", selection="density"
):
    """The heatmap (H, W) float32, the number of calls and each offset's density.

    `classify(image)` gives the target's score of one image.
    """
    height, width = image.shape[:2]
    original = classify(image)
    calls, trees = [], []
    for offset in all_offsets(height, width, depth, offsets):
        root = Node(0, 0, height, 0, width)
        grow(root, image, classify, original, offset, depth, fill, calls)
        tolerance = 1e-9 * abs(original)
        if pruning == "greedy":
            prune_greedy(root, tolerance)
        else:
            prune_optimal(root, tolerance)
        leaves = [leaf for leaf in leaves_of(root) if leaf.importance > 0.01 * abs(original)]
        importance, area = 0.0, 0
        for leaf in leaves:
            importance += leaf.importance
            area += leaf.area
        density = importance / area if leaves else 0.0
        heatmap = np.zeros((height, width))
        for leaf in leaves:
            a, b, c, d = leaf.bounds
            heatmap[a:b, c:d] = leaf.importance
        rank = density
        if selection == "adversarial":
            hidden = image.copy()
            for leaf in leaves:
                a, b, c, d = leaf.bounds
                hidden[a:b, c:d] = fill_pixels(image, leaf.bounds, fill)[a:b, c:d]
            rank = original - classify(hidden)
        trees.append((rank, heatmap, density))
    ordered = sorted(trees, key=lambda entry: -entry[0])[:best_k]
    total = np.zeros((height, width))
    for _, heatmap, _ in ordered:
        total += heatmap
    return (total / len(ordered)).astype(np.float32), len(calls), [density for _, _, density in trees]
