"""Read a data set in PASCAL VOC's layout: which images a split has, and which classes each shows."""

import hashlib
import json
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from occlumap import images
from occlumap._checks import reason
from occlumap.errors import ArgumentError, FileFormatError, ImageError

VOC_CLASSES = (
    *(
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
    ),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


@dataclass(frozen=True)
class VocSplit:
    """The images of a split, in its order.

    labels: int8 (images, classes): 1 present, -1 absent, 0 only as difficult objects, which neither training nor
    measuring counts (as the VOC devkit does). others: classes that it shows, and that were not asked for.
    """

    root: Path
    name: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int8]
    others: tuple[str, ...] = ()

    def image_path(self, index: int) -> Path:
        """Where the image at that place lies."""
        return self.root / "JPEGImages" / f"{self.ids[index]}.jpg"

    def image(self, index: int, longest: int | None = None) -> NDArray[np.uint8]:
        """Its pixels (H, W, 3) uint8, made smaller where a side is over `longest`."""
        pixels = images.read(self.image_path(index)).pixels
        height, width = pixels.shape[:2]
        if longest is None or max(height, width) <= longest:
            return pixels
        share = longest / max(height, width)
        size = (max(round(width * share), 1), max(round(height * share), 1))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))

    def pixel_hash(self, index: int) -> str:
        """SHA-256 of its shape and pixels: equal for copies under another id, also where their files differ."""
        pixels = images.read(self.image_path(index), quiet=True).pixels
        return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()

    def fingerprint(self) -> dict[str, str]:
        """What tells this data from other data: SHA-256 of its ids, its labels and its images' files.

        In whatever order the list has them: {"ids": ..., "labels": ..., "images": ...}.
        """
        rows = sorted(range(len(self.ids)), key=self.ids.__getitem__)
        files = [hashlib.sha256(_content(self.image_path(row))).hexdigest() for row in rows]
        told = {
            "ids": [self.ids[row] for row in rows],
            "labels": [list(self.classes), self.labels[rows].tolist()],
            "images": files,
        }
        return {name: hashlib.sha256(json.dumps(one).encode()).hexdigest() for name, one in told.items()}

    def object_mask(self, index: int, label: str) -> NDArray[np.bool_]:
        """(H, W): where the class is, by the data set's segmentation where it has one, else by its boxes.

        Of an image that its EXIF turns upright the mask is turned, too: boxes and segments count the pixels as the
        file has them, unless the annotation's size is that of the upright image. Raises FileFormatError for a
        segmentation of another size or kind, and for boxes that cannot be the image's: of an annotation whose size is
        another (as of a resized copy), outside of it, or over its border by more than BEYOND pixels.
        """
        path = self.root / "Annotations" / f"{self.ids[index]}.xml"
        with Image.open(self.image_path(index)) as picture:
            stored, orientation = picture.size, picture.getexif().get(_ORIENTATION, 1)
        turned = orientation if orientation in range(2, 9) else 1
        upright = stored[::-1] if turned >= 5 else stored
        told = _size(path)
        if told == upright != stored:
            turned, stored = 1, upright
        mask = np.zeros(stored[::-1], dtype=bool)
        numbers = self._segmented(index, stored)
        for number, one in enumerate(_objects(path), start=1):
            if one.name == label:
                if numbers is not None:
                    mask |= numbers == number
                else:
                    _check_box(one, told, stored)
                    mask[one.rows, one.cols] = True
        if turned == 1:
            return mask
        as_stored = Image.fromarray(mask.astype(np.uint8))
        as_stored.getexif()[_ORIENTATION] = turned
        return np.asarray(ImageOps.exif_transpose(as_stored), dtype=bool)

    def _segmented(self, index: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        path = self.root / "SegmentationObject" / f"{self.ids[index]}.png"
        if not path.exists():
            return None
        try:
            with Image.open(path) as picture:
                numbers = np.asarray(picture)
        except (OSError, ValueError, SyntaxError) as error:
            raise FileFormatError(f"expected a segmentation in {path}, got {reason(error)}") from error
        if numbers.shape != size[::-1]:
            raise FileFormatError(
                f"expected a segmentation of {size[0]} x {size[1]} pixels with one number each (a palette or grey) in "
                f"{path}, got shape {numbers.shape}; take the file away to have the boxes instead"
            )
        return numbers


BEYOND = 2
"""Pixels by which a box may cross the right or lower border: some annotations count from 0, or round up."""
_ORIENTATION = 0x0112
"""The EXIF tag; 2 to 8 say how the pixels are to be turned or mirrored, 5 to 8 that sides change."""


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"expected an image at {path}, got: {reason(error)}") from error


@dataclass(frozen=True)
class _Object:
    """where: file and line, for messages."""

    where: str
    name: str
    difficult: bool
    rows: slice
    cols: slice


def _check_box(one: _Object, told: tuple[int, int] | None, size: tuple[int, int]) -> None:
    """Raise FileFormatError for a box of another image, by the annotation's size (None: not told) and by its ends."""
    width, height = size
    if told is not None and told != size:
        raise FileFormatError(
            f"expected boxes of an image of {width} x {height} pixels, got a <size> of {told[0]} x "
            f"{told[1]} in {one.where} ({one.name}); give the image at the size that it was annotated at, or scale "
            "<size> and boxes with it"
        )
    bottom, right = one.rows.stop, one.cols.stop
    inside = one.rows.start < min(height, bottom) and one.cols.start < min(width, right)
    if not inside or bottom > height + BEYOND or right > width + BEYOND:
        raise FileFormatError(
            f"expected a box inside the image of {width} x {height} pixels, got columns {one.cols.start + 1} to "
            f"{right} and rows {one.rows.start + 1} to {bottom} in {one.where} ({one.name}); it is of another image, "
            "or of another size of it"
        )


def read_split(root: str | os.PathLike[str], split: str, classes: Sequence[str] | None = None) -> VocSplit:
    """The split `split` (a list in ImageSets/Main) of the data set in `root`.

    root: VOC2008 itself, or a folder above it (VOCdevkit, or what holds that) with one data set. classes: those that
    occur in the annotations, not only as difficult objects, when None; VOC's twenty in VOC's order first. Raises
    FileFormatError for what is not in this layout, an image of the list without annotation and a class in two
    spellings (Cat, cat) included.
    """
    home = find_root(root)
    _check_name(split, "the split")
    listed = home / "ImageSets" / "Main" / f"{split}.txt"
    if not listed.exists():
        there = sorted(one.stem for one in listed.parent.glob("*.txt") if "_" not in one.stem)
        raise FileFormatError(
            f"expected the split {split!r} in {listed.parent}, which has {', '.join(there) or 'none'}"
        )
    ids = _listed(listed)
    everything = [_objects(home / "Annotations" / f"{one}.xml") for one in ids]
    _check_spelling(everything, classes or ())
    names = {one.name for objects in everything for one in objects if not one.difficult}
    shown = [*(one for one in VOC_CLASSES if one in names), *sorted(names - set(VOC_CLASSES))]
    classes = shown if classes is None else classes
    labels = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    for row, objects in enumerate(everything):
        for one in objects:
            if one.name in classes:
                col = list(classes).index(one.name)
                labels[row, col] = max(labels[row, col], 0 if one.difficult else 1)
    return VocSplit(
        home, split, ids, tuple(classes), labels, tuple(one for one in shown if one not in classes)
    )


def _check_name(one: str, what: str) -> None:
    if one != Path(one).name or one.startswith(".") or "\0" in one or "\\" in one:
        raise FileFormatError(f"expected {what} as a name without folders, got {one!r}")


def _check_spelling(everything: Sequence[list[_Object]], classes: Sequence[str]) -> None:
    """Raise FileFormatError for a class in two spellings: one of them would be learnt, or counted absent, unseen."""
    spelt = {one.casefold(): (one, "the model") for one in classes}
    for each in (one for objects in everything for one in objects):
        name, where = spelt.setdefault(each.name.casefold(), (each.name, each.where))
        if name != each.name:
            raise FileFormatError(
                f"expected one spelling of a class, got {each.name!r} in {each.where}, and {name!r} in {where}; write "
                "it alike everywhere"
            )


def _listed(path: Path) -> tuple[str, ...]:
    """The ids in a list of images, each once; a byte order mark before the first is left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"expected a list of images in UTF-8 in {path}, got {reason(error)}") from error
    places: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        one = line.split()[0]
        if one in places:
            raise FileFormatError(
                f"expected every image once in {path}, got {one!r} in lines {places[one]} and {number}; take one away"
            )
        _check_name(one, f"every id in {path}, line {number},")
        places[one] = number
    if not places:
        raise FileFormatError(f"expected images in {path}, got an empty list")
    return tuple(places)


def refuse_inside(root: str | os.PathLike[str], out: str | os.PathLike[str], what: str) -> None:
    """Raise ArgumentError where `out` lies in the data set's own folder: nothing is written among the images."""
    home = find_root(root).resolve()
    if Path(out).resolve().is_relative_to(home):
        raise ArgumentError(f"expected a folder outside the data set {home} for {what}, got {out}")


def find_root(root: str | os.PathLike[str]) -> Path:
    """The folder with Annotations and ImageSets/Main, at or below `root`. Raises FileFormatError."""
    start = Path(root)
    candidates = [start, *sorted(start.glob("VOC*")), *sorted(start.glob("VOCdevkit/VOC*"))]
    found = [
        one for one in candidates if (one / "Annotations").is_dir() and (one / "ImageSets/Main").is_dir()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise FileFormatError(
            f"expected one data set in {start}, got {', '.join(map(str, found))}; name one of them"
        )
    raise FileFormatError(
        f"expected a data set in PASCAL VOC's layout in {start} (VOCdevkit/VOC2008 with Annotations, JPEGImages and "
        "ImageSets/Main), got none; `occlumap stimuli draw` makes one"
    )


def _objects(path: Path) -> list[_Object]:
    found = []
    root, lines = _annotation(path)
    for line, node in zip(lines, root.findall("object"), strict=True):
        where = f"{path}, line {line}"
        name = node.findtext("name", "").strip()
        if not name:
            raise FileFormatError(f"expected a name of every object, got none in {where}")
        difficult = node.findtext("difficult", "0").strip().lower()
        if difficult not in _DIFFICULT:
            raise FileFormatError(f"expected <difficult> to be 0 or 1, got {difficult!r} in {where}")
        if node.find("bndbox") is None:
            raise FileFormatError(f"expected a <bndbox> of every object, got none in {where} ({name})")
        rows, cols = _span(node, "ymin", "ymax", where), _span(node, "xmin", "xmax", where)
        found.append(_Object(where, name, _DIFFICULT[difficult], rows, cols))
    return found


_DIFFICULT = {"0": False, "1": True, "false": False, "true": True}


def _annotation(path: Path) -> tuple[ElementTree.Element, list[int]]:
    """The root of an annotation, and the lines in which its objects begin.

    Entities are refused, before any is expanded: no annotation needs them.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileFormatError(f"expected an annotation at {path}, got none") from error
    except OSError as error:
        raise FileFormatError(f"expected an annotation at {path}, got: {reason(error)}") from error
    lines, depth = [], 0

    def refuse(name: str, *rest: object) -> None:
        raise FileFormatError(
            f"expected an annotation of PASCAL VOC without entities in {path}, got the entity {name!r}"
        )

    def begin(name: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and name == "object":
            lines.append(scan.CurrentLineNumber)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    scan = expat.ParserCreate()
    scan.EntityDeclHandler, scan.StartElementHandler, scan.EndElementHandler = refuse, begin, end
    try:
        scan.Parse(content, True)
        root = ElementTree.fromstring(content)  # noqa: S314 - the scan has refused entities
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"expected an annotation of PASCAL VOC in {path}, got {error}") from error
    spaced = [one.tag.partition("}") for one in root.iter() if one.tag.startswith("{")]
    if spaced:
        space, _, name = spaced[0]
        raise FileFormatError(
            f"expected an annotation of PASCAL VOC without XML namespaces in {path}, got <{name}> of {space[1:]!r}; "
            "take its xmlns away"
        )
    if root.tag != "annotation":
        raise FileFormatError(
            f"expected an annotation of PASCAL VOC in {path}, got <{root.tag}> in the place of <annotation>; it is "
            "another file, such as a page that says that there is none"
        )
    return root, lines


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) as the annotation says, None where it does not, or says 0 as some tools do."""
    root, _ = _annotation(path)
    told = [root.findtext(f"size/{one}", "").strip() for one in ("width", "height")]
    width, height = (int(one) if one.isascii() and one.isdigit() else 0 for one in told)
    return (width, height) if width and height else None


def _span(node: ElementTree.Element, first: str, last: str, where: str) -> slice:
    """VOC counts pixels from 1, both ends included."""
    ends = []
    for one in (first, last):
        told = node.findtext(f"bndbox/{one}", "").strip()
        try:
            value = float(told)
        except ValueError:
            value = math.nan
        if not abs(value) <= _FARTHEST:
            raise FileFormatError(f"expected <{one}> to be a place in pixels, got {told!r} in {where}")
        ends.append(int(value))
    if ends[0] > ends[1]:
        raise FileFormatError(
            f"expected <{first}> up to <{last}>, got {ends[0]} and {ends[1]} in {where}; change them about"
        )
    return slice(max(ends[0] - 1, 0), max(ends[1], 0))


_FARTHEST = 10**6


def square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole image brought to (size, size), as the classifier sees it: the sides' ratio is not kept."""
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ImageError(f"expected an image (H, W, 3), got shape {pixels.shape}")
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
