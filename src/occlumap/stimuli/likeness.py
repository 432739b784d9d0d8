"""How much two pictures show the same, also where one is mirrored, a little cropped, lighter or of less contrast."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAR = 0.97
"""Pictures that correlate so much are near-duplicates: copies cropped by up to 10 % of every side reach it, among
different photographs none came above 0.5, among drawn scenes of one background a few above 0.9."""

_SIDE = 64
_COARSE, _FINE = 16, 24
_HOPEFUL = 0.85
"""Of a coarse look; below it no crop is looked for."""
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8)
_SMALLEST = 48
"""Of 64: a crop that shows less of a picture is another picture."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """A picture made small, and what crops of it and of its mirror image look like.

    whole: unit vector of 16 x 16 pixels. views: the same of every crop, (2 * crops, 768), the mirrored ones last.
    """

    pixels: NDArray[np.uint8]
    small: tuple[Image.Image, Image.Image] = field(repr=False)
    whole: NDArray[np.float64] = field(repr=False)
    views: NDArray[np.float64] = field(repr=False)


def look(pixels: NDArray[np.uint8]) -> Look:
    """What `likeness` compares of an image (H, W, 3) uint8."""
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    both = (small, small.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    views = np.stack([_unit(one, box, _COARSE) for one in both for box in _BOXES])
    return Look(pixels, both, views[0], views)


def same(one: Look, other: Look) -> bool:
    """Every pixel is equal."""
    return one.pixels.shape == other.pixels.shape and bool((one.pixels == other.pixels).all())


def likeness(one: Look, other: Look) -> tuple[float, str]:
    """The greatest correlation (-1..1) of one picture with a crop of the other, and how: "", "mirrored" or "cropped".

    Of both colours and shapes, at 24 x 24 pixels. A crop shows three quarters of a side or more. Whatever their light
    and contrast; a picture of one colour is like nothing.
    """
    found = [(float(one.whole @ other.whole), "")]
    for part, whole in ((one, other), (other, one)):
        coarse = part.views @ whole.whole
        for mirrored, start in ((False, 0), (True, len(_BOXES))):
            place = int(np.argmax(coarse[start : start + len(_BOXES)]))
            best = float(coarse[start + place])
            if best >= _HOPEFUL:
                value, box = _refined(part.small[mirrored], whole.small[0], _BOXES[place])
                words = ["mirrored"] * mirrored + ["cropped"] * (_shown(box) < 0.97)
                found.append((value, " and ".join(words)))
    return max(found)


def near(one: Look, others: Sequence[Look]) -> list[int]:
    """The places in `others` that might be near-duplicates by a coarse look, for `likeness` to judge."""
    if not others:
        return []
    wholes = np.stack([each.whole for each in others])
    there = (one.views @ wholes.T).max(axis=0)
    back = np.array([(each.views @ one.whole).max() for each in others])
    return [int(place) for place in np.flatnonzero(np.maximum(there, back) >= _HOPEFUL)]


def _boxes() -> list[Box]:
    """(left, top, right, bottom) in the small picture: the whole, then crops at nine places."""
    found = []
    for share in _SHARES:
        free = (1 - share) * _SIDE
        places = (0.0,) if share == 1 else (0.0, 0.5, 1.0)
        found += [
            (left * free, top * free, left * free + share * _SIDE, top * free + share * _SIDE)
            for top in places
            for left in places
        ]
    return found


_BOXES = _boxes()


def _unit(picture: Image.Image, box: Box, side: int) -> NDArray[np.float64]:
    small = picture.resize((side, side), Image.Resampling.BOX, box=box)
    values = np.asarray(small, dtype=np.float64).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return np.asarray(values / length if length > 0 else values)


def _refined(part: Image.Image, whole: Image.Image, box: Box) -> tuple[float, Box]:
    """The best correlation near a crop: each edge is moved while that helps, by less and less."""
    wanted = _unit(whole, (0, 0, _SIDE, _SIDE), _FINE)
    best, step = float(_unit(part, box, _FINE) @ wanted), 3.2
    while step > 0.3:
        moved = False
        for edge in range(4):
            for by in (-step, step):
                edges = list(box)
                edges[edge] = min(max(edges[edge] + by, 0.0), float(_SIDE))
                left, top, right, bottom = edges
                if right - left < _SMALLEST or bottom - top < _SMALLEST:
                    continue
                value = float(_unit(part, (left, top, right, bottom), _FINE) @ wanted)
                if value > best + 1e-6:
                    best, box, moved = value, (left, top, right, bottom), True
        if not moved:
            step /= 2
    return best, box


def _shown(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) / _SIDE**2
