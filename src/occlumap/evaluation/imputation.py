"""Linear imputation of hidden pixels from those that are left (Rong et al. 2022, ROAD)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._extras import from_extra

Planes = NDArray[np.float32]
"""Float32 (H, W, 3)."""

_STENCIL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32)
_ITERATIONS = 8


def impute(image: Planes, mask: NDArray[np.bool_]) -> Planes:
    """`image` (H, W, 3) with the pixels under `mask` replaced by the weighted mean of their neighbours.

    Each hidden pixel is the mean of its eight neighbours inside the image, weight 1/6 beside and 1/12
    diagonal, all hidden pixels at once (Rong et al. 2022, section 5); where every pixel is hidden, the mean
    colour. The linear system is solved from a coarse image to the fine one by conjugate gradients, to about
    one grey level of 255 where pixels are left all over the image; far from the few that are left of a
    corner it may be ten off.

    Raises MissingDependencyError without OpenCV (extra `opencv`).
    """
    height, width = mask.shape
    if mask.all():
        return np.broadcast_to(image.mean(axis=(0, 1)), image.shape).astype(np.float32)
    halvings = max(0, (min(height, width) - 1).bit_length() - 2)
    # sides become multiples of a power of 2, so that every level halves; what lies outside counts nothing
    padding = ((0, -height % 2**halvings), (0, -width % 2**halvings), (0, 0))
    known = np.pad(np.repeat(~mask[:, :, None], 3, axis=2).astype(np.float32), padding)
    levels = [(np.pad(image, padding) * known, known, np.pad(np.ones_like(image), padding))]
    for _ in range(halvings):
        sums, known, inside = (_halved(array) for array in levels[-1])
        levels.append((sums, known, np.minimum(inside, 1)))
    solution = (
        np.broadcast_to(sums.sum(axis=(0, 1)) / known.sum(axis=(0, 1)), sums.shape) if halvings else image
    )
    for sums, known, inside in reversed(levels):
        if solution.shape != sums.shape:
            solution = _doubled(solution)
        free = ((known == 0) & (inside > 0)).astype(np.float32)
        solution = _solved(
            np.where(free > 0, solution, sums / np.maximum(known, 1)),
            free,
            inside,
            _ITERATIONS if len(solution) >= height else _ITERATIONS // 2,
        )
    return solution[:height, :width]


def _solved(solution: Planes, free: Planes, inside: Planes, iterations: int) -> Planes:
    """Conjugate gradients on the free pixels, from `solution`, the three channels as one system."""
    if not free.any():
        return solution
    diagonal: Planes = np.maximum(_neighbour_sums(inside), np.float32(1))
    precondition = _multilevel(diagonal, free)
    solution = solution.astype(np.float32)
    residual = (_neighbour_sums(solution) - diagonal * solution) * free
    direction = scaled = precondition(residual)
    strength = np.vdot(residual, scaled)
    for _ in range(iterations):
        applied = (diagonal * direction - _neighbour_sums(direction)) * free
        curvature = np.vdot(direction, applied)
        if curvature <= 0 or strength <= 0:  # solved to the last bit
            break
        solution += (strength / curvature) * direction
        residual -= (strength / curvature) * applied
        scaled = precondition(residual)
        before, strength = strength, np.vdot(residual, scaled)
        direction = scaled + (strength / before) * direction
    return solution


def _multilevel(diagonal: Planes, free: Planes) -> Callable[[Planes], Planes]:
    """A preconditioner: the residual's sums over ever larger blocks, each divided by the block's stiffness.

    Bramble, Pasciak and Xu 1990 on piecewise constant functions. A block is held by its pixels' known
    neighbours and, as wide as it is, by the blocks beside it.
    """
    held, share, side = (diagonal - _neighbour_sums(free)) * free, free, 1
    scales = [free / diagonal]
    while min(share.shape[:2]) > 3 and not (share.shape[0] | share.shape[1]) & 1:
        held, share, side = _halved(held), _halved(share), 2 * side
        scales.append(
            np.where(share > 0, 1 / np.maximum(held + 16 * share / side, 1e-6), 0).astype(np.float32)
        )

    def precondition(residual: Planes) -> Planes:
        sums = [residual]
        for _ in scales[1:]:
            sums.append(_halved(sums[-1]))
        result = sums[-1] * scales[-1]
        for level in range(len(scales) - 2, -1, -1):
            result = _doubled(result) + sums[level] * scales[level]
        return result * free

    return precondition


def _neighbour_sums(values: Planes) -> Planes:
    """2 x the neighbours beside + the diagonal ones; those beyond the border count nothing."""
    cv2 = _opencv()
    sums: Planes = cv2.filter2D(np.ascontiguousarray(values), -1, _STENCIL, borderType=cv2.BORDER_CONSTANT)
    return sums


def _halved(values: Planes) -> Planes:
    """Sums of blocks of 2 x 2."""
    cv2 = _opencv()
    size = (values.shape[1] // 2, values.shape[0] // 2)
    sums: Planes = cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_AREA) * np.float32(
        4
    )
    return sums


def _doubled(values: Planes) -> Planes:
    """Each value as a block of 2 x 2."""
    cv2 = _opencv()
    size = (values.shape[1] * 2, values.shape[0] * 2)
    blocks: Planes = cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_NEAREST)
    return blocks


def _opencv() -> Any:
    return from_extra("opencv", "cv2", "the reference 'linear'")
