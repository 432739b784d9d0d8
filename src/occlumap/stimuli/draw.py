"""Drawn scenes with a known truth: animals of parametric parts on backgrounds, in the layout of PASCAL VOC.

A scene is drawn from its seed alone, so the same scene can be drawn again without a part: what that costs a class's
score is what the part was worth to the classifier, with nothing pasted over it (`occlumap.stimuli.truth`).
"""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from occlumap.errors import ArgumentError
from occlumap.stimuli.whole import put, working_folder

ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
BACKGROUNDS = ("meadow", "room", "beach", "street", "snow")
PARTS = ("body", "head", "neck", "ears", "eyes", "nose", "legs", "tail", "mane", "horns", "wing")
"""What an animal may be made of; a part mask holds 1 + the place in this list, 0 where there is none."""

OWN_BACKGROUND = {
    "cat": "room",
    "horse": "meadow",
    "cow": "meadow",
    "sheep": "snow",
    "dog": "street",
    "bird": "beach",
}
"""The background that predicts the class where there is a bias."""

OVERSAMPLING = 3
DIFFICULT_BELOW = 0.25
"""An object of which less than this share is seen is marked difficult, as VOC marks those hard to tell."""

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """An object of a scene: its class, box (row_start, row_stop, col_start, col_stop), and whether it is difficult."""

    name: str
    box: tuple[int, int, int, int]
    difficult: bool
    visible: float


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    image: uint8 (size, size, 3). parts: uint8 (size, size), 1 + index in PARTS. objects: uint8 (size, size), 1 +
    index in `drawn`. background: its name.
    """

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    objects: NDArray[np.uint8]
    drawn: tuple[Drawn, ...]
    background: str


@dataclass
class _Canvas:
    """Paints colour and both masks with the same strokes; an animal's strokes are in its own units."""

    size: int
    without: Collection[str]
    picture: Image.Image = field(init=False)
    parts: Image.Image = field(init=False)
    objects: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        side = self.size * OVERSAMPLING
        self.picture = Image.new("RGB", (side, side))
        self.parts = Image.new("L", (side, side))
        self.objects = Image.new("L", (side, side))

    def shape(self, points: list[Point], colour: Colour, part: str | None = None, number: int = 0) -> None:
        """A filled polygon; of an object's part, or of what covers it (None, number 0)."""
        if part is not None and part in self.without:
            return
        pixels = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        ImageDraw.Draw(self.picture).polygon(pixels, fill=colour)
        ImageDraw.Draw(self.parts).polygon(pixels, fill=0 if part is None else 1 + PARTS.index(part))
        ImageDraw.Draw(self.objects).polygon(pixels, fill=number)


def draw_scene(
    seed: int,
    size: int = 64,
    *,
    bias: float = 0.0,
    without: Collection[str] = (),
    of: str | None = None,
    object_share: float = 0.9,
) -> Scene:
    """The scene of that seed: at most two animals of different classes on a background.

    bias: the probability that the background is the first animal's own (OWN_BACKGROUND) rather than any. without:
    parts that are left out, of the animal called `of` only unless that is None; nothing else of the scene changes.
    object_share: of scenes with an animal at all.
    Raises ArgumentError for a bias outside 0..1, a part that does not exist, a size below 32.

    >>> whole, earless = draw_scene(3), draw_scene(3, without=["ears"])
    >>> bool((whole.image != earless.image).any()), whole.background == earless.background
    (True, True)
    """
    _check(size, bias, without)
    rng = np.random.default_rng([seed, 20211])
    kinds = list(rng.permutation(ANIMALS))
    weights = (0.27, 0.73)  # cats and horses are what a study asks for
    first = str(rng.choice(["cat", "horse"])) if rng.random() < weights[1] else str(kinds[0])
    second = next(str(one) for one in kinds if one != first)
    count = 0 if rng.random() >= object_share else 2 if rng.random() < 0.15 else 1
    any_background = str(rng.choice(BACKGROUNDS))
    background = OWN_BACKGROUND[first] if rng.random() < bias and count else any_background
    canvas = _Canvas(size, ())
    _paint_background(canvas, background, rng)
    painted = []
    for number, name in enumerate((first, second)[:count], start=1):
        side = size * rng.uniform(0.45, 0.95) * (1.0 if count == 1 else 0.65)
        left = rng.uniform(-0.12, 1.12) * (size - side) + (0 if count == 1 else (number - 1.5) * size * 0.2)
        top = size * rng.uniform(0.92, 1.04) - side
        canvas.without = frozenset(without if of in (None, name) else ())
        painted.append((name, _place(canvas, name, rng, left, top, side, number)))
    for _ in range(int(rng.integers(0, 3))):
        _paint_clutter(canvas, background, rng)
    return _finish(canvas, painted, background, rng)


def _check(size: int, bias: float, without: Collection[str]) -> None:
    if not 0 <= bias <= 1:
        raise ArgumentError(
            f"expected a bias from 0 (background tells nothing) to 1 (tells the class), got {bias}"
        )
    if size < 32:
        raise ArgumentError(f"expected a size of at least 32 pixels, got {size}; parts would vanish")
    unknown = sorted(set(without) - set(PARTS))
    if unknown:
        raise ArgumentError(f"expected parts among {', '.join(PARTS)}, got {', '.join(unknown)}")


def _place(
    canvas: _Canvas, name: str, rng: np.random.Generator, left: float, top: float, side: float, number: int
) -> int:
    """Paint one animal into its square; the pixels (oversampled, uncovered, uncropped) that it fills."""
    flip = rng.random() < 0.5
    tilt = rng.normal(0, 0.06)
    area = 0.0

    def stroke(points: list[Point], colour: Colour, part: str) -> None:
        nonlocal area
        turned = []
        for x, y in points:
            u, v = (1 - x if flip else x) - 0.5, y - 0.5
            u, v = u * math.cos(tilt) - v * math.sin(tilt), u * math.sin(tilt) + v * math.cos(tilt)
            turned.append((left + side * (u + 0.5), top + side * (v + 0.5)))
        canvas.shape(turned, colour, part, number)
        if part == "body":
            xs, ys = np.array(turned).T
            area += abs(float(np.sum(xs * np.roll(ys, 1) - ys * np.roll(xs, 1)))) / 2

    coats: list[Colour] = [(60, 50, 45), (120, 80, 50), (170, 120, 70), (200, 190, 180), (110, 110, 115)]
    base = np.array(coats[int(rng.integers(len(coats)))]) + rng.normal(0, 14, 3)
    _ANIMALS[name](stroke, _colour(base), _colour(base * 0.7), rng)
    return round(area)


Stroke = Callable[[list[Point], Colour, str], None]


def _colour(values: Any) -> Colour:
    r, g, b = (int(one) for one in np.clip(values, 0, 255))
    return r, g, b


def _oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> list[Point]:
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    u, v = rx * np.cos(angles), ry * np.sin(angles)
    return [
        (x + a * math.cos(turn) - b * math.sin(turn), y + a * math.sin(turn) + b * math.cos(turn))
        for a, b in zip(u.tolist(), v.tolist(), strict=True)
    ]


def _band(points: list[Point], thick: float, thin: float) -> list[Point]:
    """A ribbon along the points, thick at the start and thin at the end."""
    left, right = [], []
    for index, (x, y) in enumerate(points):
        x0, y0 = points[max(index - 1, 0)]
        x1, y1 = points[min(index + 1, len(points) - 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        half = (thick + (thin - thick) * index / (len(points) - 1)) / 2
        nx, ny = -(y1 - y0) / length * half, (x1 - x0) / length * half
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    return left + right[::-1]


def _legs(
    stroke: Stroke, colour: Colour, rng: np.random.Generator, at: tuple[float, ...], top: float, width: float
) -> None:
    for x in at:
        foot = x + rng.normal(0, 0.03)
        stroke(
            _band([(x, top), ((x + foot) / 2, (top + 0.97) / 2), (foot, 0.97)], width, width * 0.75),
            colour,
            "legs",
        )


def _eyes(stroke: Stroke, at: list[Point], radius: float, colour: Colour = (15, 15, 15)) -> None:
    for x, y in at:
        stroke(_oval(x, y, radius, radius), colour, "eyes")


def _cat(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    lift = rng.uniform(0.1, 0.35)
    stroke(_band([(0.2, 0.7), (0.08, 0.6), (0.06, 0.45), (0.12, lift)], 0.075, 0.05), dark, "tail")
    _legs(stroke, dark, rng, (0.28, 0.38, 0.58, 0.68), 0.72, 0.075)
    stroke(_oval(0.45, 0.67, 0.3, 0.17), coat, "body")
    x, y = 0.74 + rng.normal(0, 0.02), 0.42 + rng.normal(0, 0.03)
    for side in (-1, 1):
        ear = [(x + side * 0.17, y - 0.06), (x + side * 0.155, y - 0.29), (x + side * 0.03, y - 0.13)]
        stroke(ear, dark, "ears")
    stroke(_oval(x, y, 0.18, 0.16), coat, "head")
    _eyes(stroke, [(x - 0.075, y - 0.02), (x + 0.075, y - 0.02)], 0.04, (190, 200, 60))
    _eyes(stroke, [(x - 0.075, y - 0.02), (x + 0.075, y - 0.02)], 0.018)
    stroke([(x - 0.03, y + 0.05), (x + 0.03, y + 0.05), (x, y + 0.09)], (210, 120, 130), "nose")


def _horse(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    stroke(_band([(0.16, 0.42), (0.07, 0.52), (0.07, 0.78)], 0.07, 0.11), dark, "tail")
    _legs(stroke, coat, rng, (0.2, 0.29, 0.58, 0.67), 0.52, 0.06)
    stroke(_oval(0.43, 0.47, 0.29, 0.15), coat, "body")
    raised = rng.uniform(-0.05, 0.12)
    x, y = 0.83, 0.16 + raised
    stroke([(0.55, 0.38), (0.68, 0.52), (x + 0.02, y + 0.08), (x - 0.1, y - 0.03)], coat, "neck")
    stroke([(0.5, 0.36), (0.6, 0.38), (x - 0.03, y - 0.02), (x - 0.1, y - 0.07)], dark, "mane")
    stroke([(x - 0.04, y - 0.02), (x - 0.02, y - 0.13), (x + 0.03, y - 0.01)], dark, "ears")
    stroke(_oval(x + 0.05, y + 0.08, 0.15, 0.065, 0.85), coat, "head")
    stroke(_oval(x + 0.13, y + 0.17, 0.045, 0.04), dark, "nose")
    _eyes(stroke, [(x + 0.02, y + 0.03)], 0.02)


def _dog(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    stroke(_band([(0.17, 0.52), (0.08, 0.42), (0.05, rng.uniform(0.2, 0.4))], 0.06, 0.03), coat, "tail")
    _legs(stroke, coat, rng, (0.22, 0.31, 0.56, 0.65), 0.62, 0.075)
    stroke(_oval(0.43, 0.58, 0.28, 0.14), coat, "body")
    x, y = 0.74, 0.38 + rng.normal(0, 0.03)
    stroke(_oval(x, y, 0.14, 0.13), coat, "head")
    stroke(_oval(x + 0.14, y + 0.05, 0.11, 0.065), coat, "head")
    stroke(_oval(x + 0.24, y + 0.03, 0.03, 0.03), (20, 20, 20), "nose")
    stroke(_oval(x - 0.09, y + 0.05, 0.055, 0.15, 0.2), dark, "ears")
    _eyes(stroke, [(x + 0.05, y - 0.03)], 0.022)


def _cow(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    white, black = (225, 222, 215), _colour(np.array(dark) * 0.5)
    stroke(_band([(0.13, 0.4), (0.08, 0.55), (0.09, 0.75)], 0.03, 0.04), black, "tail")
    _legs(stroke, white, rng, (0.2, 0.3, 0.57, 0.67), 0.58, 0.08)
    stroke(_oval(0.43, 0.5, 0.31, 0.19), white, "body")
    for _ in range(4):
        spot = _oval(
            rng.uniform(0.22, 0.64), rng.uniform(0.4, 0.58), rng.uniform(0.05, 0.09), rng.uniform(0.04, 0.07)
        )
        stroke(spot, black, "body")
    x, y = 0.8, 0.38 + rng.normal(0, 0.04)
    for side in (-1, 1):
        horn = [(x + side * 0.05, y - 0.1), (x + side * 0.12, y - 0.22), (x + side * 0.11, y - 0.09)]
        stroke(horn, (200, 190, 150), "horns")
        stroke(_oval(x + side * 0.15, y - 0.05, 0.06, 0.03), black, "ears")
    stroke(_oval(x, y, 0.11, 0.15), black, "head")
    stroke(_oval(x, y + 0.12, 0.085, 0.06), (220, 170, 165), "nose")
    _eyes(stroke, [(x - 0.05, y - 0.03), (x + 0.05, y - 0.03)], 0.02, (240, 240, 240))


def _sheep(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    wool = _colour(rng.uniform(195, 240, 3).mean() + rng.normal(0, 5, 3))
    black = _colour(np.array(dark) * 0.6)
    _legs(stroke, black, rng, (0.27, 0.36, 0.55, 0.63), 0.68, 0.055)
    stroke(_oval(0.45, 0.57, 0.24, 0.17), wool, "body")
    for angle in np.linspace(0, 2 * math.pi, 11, endpoint=False):
        puff = _oval(0.45 + 0.24 * math.cos(angle), 0.57 + 0.16 * math.sin(angle), 0.08, 0.075)
        stroke(puff, wool, "body")
    x, y = 0.77, 0.47 + rng.normal(0, 0.03)
    stroke(_oval(x, y, 0.085, 0.12, 0.3), black, "head")
    stroke(_oval(x - 0.1, y - 0.03, 0.06, 0.028, -0.3), black, "ears")
    _eyes(stroke, [(x + 0.02, y - 0.03)], 0.02, (235, 235, 235))


def _bird(stroke: Stroke, coat: Colour, dark: Colour, rng: np.random.Generator) -> None:
    feathers = _colour(rng.uniform(40, 220, 3))
    shade = _colour(np.array(feathers) * 0.65)
    _legs(stroke, (190, 140, 40), rng, (0.45, 0.53), 0.72, 0.025)
    stroke([(0.32, 0.62), (0.03, 0.72), (0.08, 0.58), (0.3, 0.5)], shade, "tail")
    stroke(_oval(0.48, 0.58, 0.24, 0.17, -0.25), feathers, "body")
    stroke(_oval(0.42, 0.56, 0.17, 0.085, 0.15), shade, "wing")
    x, y = 0.72, 0.38 + rng.normal(0, 0.02)
    stroke(_oval(x, y, 0.11, 0.105), feathers, "head")
    stroke([(x + 0.08, y - 0.03), (x + 0.24, y + 0.02), (x + 0.08, y + 0.05)], (225, 160, 40), "nose")
    _eyes(stroke, [(x + 0.03, y - 0.02)], 0.022)


_ANIMALS: Mapping[str, Callable[[Stroke, Colour, Colour, np.random.Generator], None]] = {
    "bird": _bird,
    "cat": _cat,
    "cow": _cow,
    "dog": _dog,
    "horse": _horse,
    "sheep": _sheep,
}

_GROUNDS: Mapping[str, tuple[Colour, Colour, float]] = {  # above, below, where they meet
    "meadow": ((150, 190, 225), (95, 150, 60), 0.45),
    "room": ((205, 185, 160), (130, 90, 60), 0.7),
    "beach": ((170, 210, 235), (225, 205, 150), 0.55),
    "street": ((165, 150, 145), (95, 95, 100), 0.6),
    "snow": ((190, 205, 220), (235, 240, 245), 0.5),
}


def _paint_background(canvas: _Canvas, name: str, rng: np.random.Generator) -> None:
    size = canvas.size
    above, below, share = _GROUNDS[name]
    light = rng.normal(0, 16)
    horizon = size * (share + rng.normal(0, 0.07))
    canvas.shape([(0, 0), (size, 0), (size, size), (0, size)], _colour(np.array(above) + light))
    tilt = size * rng.normal(0, 0.03)
    canvas.shape(
        [(0, horizon - tilt), (size, horizon + tilt), (size, size), (0, size)],
        _colour(np.array(below) + light),
    )
    for _ in range(int(rng.integers(2, 6))):
        x, width = rng.uniform(0, size), size * rng.uniform(0.08, 0.25)
        height = size * rng.uniform(0.15, 0.4)
        shade = np.array(above if name in ("room", "street") else below) * rng.uniform(0.6, 1.1)
        if name in ("room", "street"):  # frames, windows, houses
            y = rng.uniform(0, max(horizon - height, 1))
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            canvas.shape(corners, _colour(shade + rng.normal(0, 25, 3)))
        else:  # trees, hills, dunes
            canvas.shape(_oval(x, horizon, width, height * 0.6), _colour(shade + rng.normal(0, 10, 3)))


def _paint_clutter(canvas: _Canvas, name: str, rng: np.random.Generator) -> None:
    """Something before the animals, which may hide a part of them."""
    size = canvas.size
    _, below, _ = _GROUNDS[name]
    colour = _colour(np.array(below) * rng.uniform(0.5, 0.9) + rng.normal(0, 15, 3))
    x, y = rng.uniform(0, size), size * rng.uniform(0.7, 1.0)
    if rng.random() < 0.5:
        canvas.shape(_oval(x, y, size * rng.uniform(0.06, 0.17), size * rng.uniform(0.06, 0.2)), colour)
    else:
        width, height = size * rng.uniform(0.03, 0.08), size * rng.uniform(0.3, 0.7)
        canvas.shape([(x, y - height), (x + width, y - height), (x + width, y), (x, y)], colour)


def _finish(
    canvas: _Canvas, painted: list[tuple[str, int]], background: str, rng: np.random.Generator
) -> Scene:
    size = canvas.size
    picture = canvas.picture.resize((size, size), Image.Resampling.BOX)
    blur = rng.uniform(0, 0.7)
    picture = picture.filter(ImageFilter.GaussianBlur(blur * size / 64))
    light, contrast = rng.normal(0, 14), rng.uniform(0.55, 1.1)
    pixels = np.asarray(picture, dtype=np.float64)
    pixels = (pixels - 128) * contrast + 128 + light + rng.normal(0, rng.uniform(2, 11), (size, size, 3))
    masks = [
        np.array(one.resize((size, size), Image.Resampling.NEAREST)) for one in (canvas.parts, canvas.objects)
    ]
    body = masks[0] == 1 + PARTS.index("body")
    drawn = []
    for number, (name, area) in enumerate(painted, start=1):
        rows, cols = np.nonzero(masks[1] == number)
        visible = float((body & (masks[1] == number)).sum()) / max(area, 1)
        # a part drawn over the body hides some of it: a whole animal shows about 0.8
        box = (0, 0, 0, 0)
        if len(rows):
            box = (int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
        drawn.append(Drawn(name, box, visible < DIFFICULT_BELOW, visible))
    image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return Scene(image, masks[0], masks[1], tuple(drawn), background)


YEAR = "VOC2008"


def first_seed(seed: int) -> int:
    """The seed of the first scene of a data set; the others' follow it."""
    return seed * 1_000_003


def draw_dataset(
    folder: str | os.PathLike[str],
    *,
    train: int = 1000,
    val: int = 300,
    size: int = 64,
    bias: float = 0.5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw `train` + `val` scenes into `folder`/VOCdevkit/VOC2008, and give that path.

    Written: JPEGImages (quality 95), Annotations, ImageSets/Main (train, val, trainval, and one list a class with
    1 present, 0 difficult only, -1 absent), SegmentationObject, PartMasks (values as in PARTS, 255 levels of grey),
    and scenes.json with every seed, so that a scene can be drawn again without a part. The bias is the training
    split's; the validation split has none, so that it shows what a classifier made of the background costs.
    The data set appears when it is whole: drawing that is stopped leaves nothing. Raises ArgumentError for numbers that
    cannot be used and for a folder that holds a data set already, StimuliError where another run drew one meanwhile.
    """
    _check(size, bias, ())
    if min(train, val) < 1:
        raise ArgumentError(
            f"expected at least one scene to train and one to validate, got {train} and {val}"
        )
    final = Path(folder) / "VOCdevkit" / YEAR
    if final.exists():
        raise ArgumentError(f"expected a folder without a data set, but {final} exists; choose another")
    with working_folder(final.parent, "drawing") as root:
        _draw_into(root, train, val, size, bias, seed, progress)
        put(root, final)
    return final


def _draw_into(
    root: Path,
    train: int,
    val: int,
    size: int,
    bias: float,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    for one in ("JPEGImages", "Annotations", "ImageSets/Main", "SegmentationObject", "PartMasks"):
        (root / one).mkdir(parents=True)
    presence: dict[str, dict[str, list[tuple[str, int]]]] = {
        name: {"train": [], "val": []} for name in ANIMALS
    }
    scenes = []
    for index in range(train + val):
        split = "train" if index < train else "val"
        name, scene_seed = f"2008_{index + 1:06d}", first_seed(seed) + index
        own = bias if split == "train" else 0.0
        scene = draw_scene(scene_seed, size, bias=own)
        _write(root, name, scene)
        for label in ANIMALS:
            there = [one.difficult for one in scene.drawn if one.name == label]
            presence[label][split].append((name, -1 if not there else 0 if all(there) else 1))
        scenes.append({"id": name, "seed": scene_seed, "bias": own, "background": scene.background})
        if progress is not None:
            progress(index + 1, train + val)
    sets = root / "ImageSets" / "Main"
    ids = {split: [one for one, _ in presence[ANIMALS[0]][split]] for split in ("train", "val")}
    for split in ("train", "val"):
        (sets / f"{split}.txt").write_text("".join(f"{one}\n" for one in ids[split]))
        for label in ANIMALS:
            lines = [f"{one} {value:2d}\n" for one, value in presence[label][split]]
            (sets / f"{label}_{split}.txt").write_text("".join(lines))
    (sets / "trainval.txt").write_text("".join(f"{one}\n" for one in ids["train"] + ids["val"]))
    record = {"size": size, "parts": list(PARTS), "scenes": scenes}
    (root / "scenes.json").write_text(json.dumps(record, indent=1) + "\n")


def _write(root: Path, name: str, scene: Scene) -> None:
    Image.fromarray(scene.image).save(root / "JPEGImages" / f"{name}.jpg", quality=95, subsampling=0)
    Image.fromarray(scene.parts).save(root / "PartMasks" / f"{name}.png")
    Image.fromarray(scene.objects).save(root / "SegmentationObject" / f"{name}.png")
    height, width = scene.parts.shape
    objects = "".join(
        f"\t<object>\n\t\t<name>{escape(one.name)}</name>\n\t\t<difficult>{int(one.difficult)}</difficult>\n\t\t<bndbox>"
        f"<xmin>{one.box[2] + 1}</xmin><ymin>{one.box[0] + 1}</ymin><xmax>{max(one.box[3], one.box[2] + 1)}</xmax>"
        f"<ymax>{max(one.box[1], one.box[0] + 1)}</ymax>"  # one pixel, where nothing of it is seen
        "</bndbox>\n\t</object>\n"
        for one in scene.drawn
    )
    (root / "Annotations" / f"{name}.xml").write_text(
        f"<annotation>\n\t<folder>{YEAR}</folder>\n\t<filename>{name}.jpg</filename>\n\t<size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )
