"""How much two pictures show the same, also where one is mirrored, turned, a little cropped, lighter, paler or grey."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAR = 0.97
"""Pictures that correlate so much are near-duplicates: copies cropped by up to 10 % of every side reach it, among
different photographs none came above 0.5, among drawn scenes of one background a few above 0.9."""
DETAILS = 0.88
"""So much the details (24 x 24 pixels less the means of blocks of 6 x 6) must correlate, too: a sky over a meadow gives
two scenes one layout. Of the 25 pairs of drawn scenes most alike none came above 0.86; of 180 cropped, smaller or paler
copies those that were NEAR had 0.92 or more."""

_SIDE = 64
_COARSE, _FINE = 16, 24
_HOPEFUL = 0.85
"""Of a coarse look; below it no crop is looked for."""
_GREY = 4.0
"""Levels by which the colours of a pixel differ, in the mean, in a grey picture at most; a JPEG's differ by less."""
_WHITE = 252
_LEAST_WHITE, _MOST_WHITE = 1, 7
"""Hundredths of white from which a picture may be a lightened one, and tenths beyond which too little is left of it."""
_TURN = Image.Transpose
_WAYS = (
    ("", None),
    ("mirrored", _TURN.FLIP_LEFT_RIGHT),
    ("upside down", _TURN.ROTATE_180),
    ("upside down and mirrored", _TURN.FLIP_TOP_BOTTOM),
    ("turned", _TURN.ROTATE_90),
    ("turned", _TURN.ROTATE_270),
    ("turned and mirrored", _TURN.TRANSPOSE),
    ("turned and mirrored", _TURN.TRANSVERSE),
)
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8)
_ALL = (0.0, 0.0, float(_SIDE), float(_SIDE))
_SMALLEST = 48
"""Of 64: a crop that shows less of a picture is another picture."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """A picture made small, and what crops of it look like in each of eight ways to turn and mirror it.

    whole: unit vector of 16 x 16 pixels. views: the same of every crop, (8 * crops, 768), way by way.
    """

    pixels: NDArray[np.uint8]
    small: tuple[Image.Image, ...] = field(repr=False)
    whole: NDArray[np.float64] = field(repr=False)
    views: NDArray[np.float64] = field(repr=False)

    @cached_property
    def details(self) -> NDArray[np.float64]:
        """Unit vector of the details, see DETAILS."""
        return _details(self.small[0], _ALL)

    @cached_property
    def grey(self) -> bool:
        """Whether it has no colours."""
        colours = np.asarray(self.small[0], dtype=np.float64)
        return bool((colours.max(axis=2) - colours.min(axis=2)).mean() <= _GREY)

    @cached_property
    def lightness(self) -> "Look":
        """The same in grey."""
        return look(np.asarray(Image.fromarray(self.pixels).convert("L").convert("RGB")))

    @cached_property
    def white(self) -> float:
        """The share of its values (0..1) that cannot be lighter."""
        return float((np.asarray(self.small[0]) >= _WHITE).mean())

    def cut(self, tenths: int) -> "Look":
        """The same, its lightest values made alike: so many tenths of all."""
        if tenths not in self._cuts:
            values = np.asarray(self.small[0])
            top = np.quantile(values, 1 - tenths / 10)
            self._cuts[tenths] = look(np.minimum(values, top).astype(np.uint8))
        return self._cuts[tenths]

    @cached_property
    def _cuts(self) -> dict[int, "Look"]:
        return {}


def look(pixels: NDArray[np.uint8]) -> Look:
    """What `likeness` compares of an image (H, W, 3) uint8."""
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    ways = tuple(small if way is None else small.transpose(way) for _, way in _WAYS)
    views = np.stack([_unit(one, box, _COARSE) for one in ways for box in _BOXES])
    return Look(pixels, ways, views[0], views)


def same(one: Look, other: Look) -> bool:
    """Every pixel is equal."""
    return one.pixels.shape == other.pixels.shape and bool((one.pixels == other.pixels).all())


def likeness(one: Look, other: Look) -> tuple[float, str]:
    """The greatest correlation (-1..1) of one picture with a crop of the other, and how: "", "mirrored and cropped".

    Less where their details differ, so that NEAR means DETAILS, too.
    Of both colours and shapes, then of light alone ("in grey", "in other colours": paler ones, too), then of what is
    left where much is white ("lighter"), at 24 x 24 pixels; the first that is NEAR counts. A crop shows three quarters
    of a side or more. Whatever their light and contrast; a picture of one colour is like nothing.
    """
    best = (-1.0, "")
    for mine, theirs, changed in _pairs(one, other):
        value, words = _best(mine, theirs)
        best = max(best, (value, " and ".join([*words, *changed])))
        if value >= NEAR:
            break
    return best


def near(one: Look, others: Sequence[Look]) -> list[int]:
    """The places in `others` that might be near-duplicates by a coarse look, for `likeness` to judge."""
    return [
        place
        for place, other in enumerate(others)
        if any(
            max((mine.views @ theirs.whole).max(), (theirs.views @ mine.whole).max()) >= _HOPEFUL
            for mine, theirs, _ in _pairs(one, other)
        )
    ]


def _pairs(one: Look, other: Look) -> Iterator[tuple[Look, Look, list[str]]]:
    """Both as they may be alike, and in what they then differ."""
    if one.grey == other.grey:
        yield one, other, []
    if not (one.grey and other.grey):
        yield one.lightness, other.lightness, ["in grey" if one.grey != other.grey else "in other colours"]
    white = max(one.white, other.white)
    tenths = math.ceil(white * 10)  # in steps, so that few cuts serve all pairs
    if 100 * white >= _LEAST_WHITE and tenths <= _MOST_WHITE:
        yield one.cut(tenths), other.cut(tenths), ["lighter"]


def _best(one: Look, other: Look) -> tuple[float, list[str]]:
    found = [(min(float(one.whole @ other.whole), _alike(one.details, other)), list[str]())]
    for part, whole in ((one, other), (other, one)):
        coarse = part.views @ whole.whole
        for way, (how, _) in enumerate(_WAYS):
            start = way * len(_BOXES)
            place = int(np.argmax(coarse[start : start + len(_BOXES)]))
            best = float(coarse[start + place])
            if best >= _HOPEFUL:
                value, box = _refined(part.small[way], whole.small[0], _BOXES[place])
                value = min(value, _alike(_details(part.small[way], box), whole))
                found.append((value, [how] * bool(how) + ["cropped"] * (_shown(box) < 0.97)))
    return max(found)


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


def _alike(details: NDArray[np.float64], whole: Look) -> float:
    """The correlation of the details of a crop with those of another picture, moved so that DETAILS becomes NEAR."""
    return float(details @ whole.details) + NEAR - DETAILS


def _details(picture: Image.Image, box: Box) -> NDArray[np.float64]:
    blocks = np.asarray(picture.resize((_FINE, _FINE), Image.Resampling.BOX, box=box), dtype=np.float64)
    blocks = blocks.reshape(4, _FINE // 4, 4, _FINE // 4, 3)
    values = (blocks - blocks.mean(axis=(1, 3), keepdims=True)).ravel()
    length = float(np.linalg.norm(values))
    return np.asarray(values / length if length > 0 else values)


def _refined(part: Image.Image, whole: Image.Image, box: Box) -> tuple[float, Box]:
    """The best correlation near a crop: each edge is moved while that helps, by less and less."""
    wanted = _unit(whole, _ALL, _FINE)
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
