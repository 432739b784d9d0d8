"""Read a data set in PASCAL VOC's layout: which images a split has, and which classes each shows."""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from occlumap import images
from occlumap.errors import FileFormatError, ImageError

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
    measuring counts (as the VOC devkit does).
    """

    root: Path
    name: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int8]

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

    def object_mask(self, index: int, label: str) -> NDArray[np.bool_]:
        """(H, W): where the class is, by the data set's segmentation where it has one, else by its boxes."""
        objects = _objects(self.root / "Annotations" / f"{self.ids[index]}.xml")
        with Image.open(self.image_path(index)) as picture:
            width, height = picture.size
        mask = np.zeros((height, width), dtype=bool)
        segmented = self.root / "SegmentationObject" / f"{self.ids[index]}.png"
        numbers = None
        if segmented.exists():
            with Image.open(segmented) as picture:
                numbers = np.asarray(picture)
        for number, one in enumerate(objects, start=1):
            if one.name == label:
                if numbers is not None:
                    mask |= numbers == number
                else:
                    mask[one.rows, one.cols] = True
        return mask


@dataclass(frozen=True)
class _Object:
    name: str
    difficult: bool
    rows: slice
    cols: slice


def read_split(root: str | os.PathLike[str], split: str, classes: Sequence[str] | None = None) -> VocSplit:
    """The split `split` (a list in ImageSets/Main) of the data set in `root`.

    root: VOC2008 itself, or a folder above it (VOCdevkit, or what holds that) with one data set. classes: those that
    occur in the annotations, not only as difficult objects, when None; VOC's twenty in VOC's order first. Raises
    FileFormatError for what is not in this layout, an image of the list without annotation included.
    """
    home = find_root(root)
    listed = home / "ImageSets" / "Main" / f"{split}.txt"
    if not listed.exists():
        there = sorted(one.stem for one in listed.parent.glob("*.txt") if "_" not in one.stem)
        raise FileFormatError(
            f"expected the split {split!r} in {listed.parent}, which has {', '.join(there) or 'none'}"
        )
    ids = tuple(line.split()[0] for line in listed.read_text().splitlines() if line.strip())
    if not ids:
        raise FileFormatError(f"expected images in {listed}, got an empty list")
    everything = [_objects(home / "Annotations" / f"{one}.xml") for one in ids]
    if classes is None:
        names = {one.name for objects in everything for one in objects if not one.difficult}
        classes = [*(one for one in VOC_CLASSES if one in names), *sorted(names - set(VOC_CLASSES))]
    labels = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    for row, objects in enumerate(everything):
        for one in objects:
            if one.name in classes:
                col = list(classes).index(one.name)
                labels[row, col] = max(labels[row, col], 0 if one.difficult else 1)
    return VocSplit(home, split, ids, tuple(classes), labels)


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
    try:
        nodes = list(ElementTree.parse(path).getroot().iter("object"))  # noqa: S314 - entities do not expand
        return [
            _Object(
                node.findtext("name", "").strip(),
                node.findtext("difficult", "0").strip() == "1",
                _span(node, "ymin", "ymax"),
                _span(node, "xmin", "xmax"),
            )
            for node in nodes
        ]
    except FileNotFoundError as error:
        raise FileFormatError(f"expected an annotation at {path}, got none") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise FileFormatError(f"expected an annotation of PASCAL VOC in {path}, got {error}") from error


def _span(node: ElementTree.Element, first: str, last: str) -> slice:
    """VOC counts pixels from 1, both ends included."""
    return slice(
        max(int(float(node.findtext(f"bndbox/{first}", ""))) - 1, 0),
        int(float(node.findtext(f"bndbox/{last}", ""))),
    )


def square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole image brought to (size, size), as the classifier sees it: the sides' ratio is not kept."""
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ImageError(f"expected an image (H, W, 3), got shape {pixels.shape}")
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
