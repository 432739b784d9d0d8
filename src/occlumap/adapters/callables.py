"""Callables that give something else than a row of class scores for each image, each by its name."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from occlumap._checks import whole_number
from occlumap._fingerprints import of_wrapped
from occlumap.adapters.preprocessing import in_unit_range, real_numbers, warn_of_probabilities
from occlumap.errors import ArgumentError, ImageError, ScoreError

Scores = NDArray[np.float64]


class Adapted:
    """A classifier made of a function `scores(batch) -> (n, classes)`; what it was made of gives the name.

    `classes`: names of the columns, or None. `input_size`: (height, width), or None for any size. `prepare`: what the
    model is given for a batch, where that is something else; only for looking at it (`occlumap doctor`). `features`:
    the network whose output that is, if there is one. `wrapped`: the classifiers that `scores` asks. `replicas`: how
    many copies they have, if any. `fingerprint`: a text that changes when its scores may; there where it is known.
    """

    fingerprint: str
    replicas: int

    def __init__(
        self,
        scores: Callable[[NDArray[np.uint8]], Any],
        name: str,
        classes: Sequence[str] | None = None,
        input_size: tuple[int, int] | None = None,
        prepare: Callable[[NDArray[np.uint8]], Any] | None = None,
        features: Callable[[NDArray[np.uint8]], Any] | None = None,
        wrapped: Sequence[object] = (),
        replicas: int | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.name = name
        self.wrapped_classifiers = tuple(wrapped)
        if features is not None:
            self.features = features
        if prepare is not None:
            self.prepare = prepare
        if classes is not None:
            self.classes = class_tuple(classes)
        if input_size is not None:
            self.input_size = input_size
        if replicas is not None:
            self.replicas = replicas
        if fingerprint is not None:
            self.fingerprint = fingerprint
        self._scores = scores

    def __call__(self, batch: NDArray[np.uint8], /) -> Any:
        """Scores (n, classes) of a uint8 batch (n, H, W, 3)."""
        return self._scores(batch)

    def __repr__(self) -> str:
        return f"<classifier {self.name}>"


def class_tuple(classes: Iterable[str]) -> tuple[str, ...]:
    """`classes` as a tuple, in the order of the columns; of a dict whose keys are the columns, 0 to n - 1, its values.

    Raises ArgumentError for one text, whose letters would pass for names, another dict, a set, and no sequence.
    """
    if isinstance(classes, Mapping) and set(classes) == set(range(len(classes))):
        return tuple(classes[column] for column in range(len(classes)))
    if isinstance(classes, str | bytes | Mapping | Set) or not isinstance(classes, Iterable):
        advice = (
            "; of a dict the keys must be the columns, 0, 1, 2 and so on"
            if isinstance(classes, Mapping)
            else "; a set has no order"
            if isinstance(classes, Set)
            else ""
        )
        raise ArgumentError(
            f"expected classes as a list of names, one for each column, got {classes!r:.80}{advice}"
        )
    return tuple(classes)


def _attributes(function: object, *about: object) -> dict[str, Any]:
    """What an adapter has of its function; `about`: what of the adapter's own its scores hang on, and its kind."""
    from occlumap.classifiers import name_of

    if not callable(function):
        raise ArgumentError(
            f"expected a function of a batch of images to adapt, got {type(function).__name__}: {function!r:.80}"
        )
    return {
        "name": name_of(function),
        "input_size": getattr(function, "input_size", None),
        "prepare": getattr(function, "prepare", None),
        "features": getattr(function, "features", None),
        "wrapped": (function,),
        "replicas": getattr(function, "replicas", None),
        "fingerprint": of_wrapped(function, *about),
    }


def one_at_a_time(function: Callable[[NDArray[np.uint8]], ArrayLike]) -> Adapted:
    """A classifier of a function of one image: uint8 (H, W, 3) to scores (classes,).

    >>> import numpy as np
    >>> one_at_a_time(lambda image: [image.min(), image.max()])(np.zeros((2, 4, 4, 3), np.uint8)).shape
    (2, 2)
    """
    about = _attributes(function, "one at a time")
    if about["prepare"] is None:
        about["prepare"] = lambda batch: batch[0]

    def scores(batch: NDArray[np.uint8]) -> Scores:
        if not len(batch):
            raise ImageError("expected a batch of one image or more, got none")
        rows = [real_numbers(function(image), about["name"]) for image in batch]
        if any(row.ndim != 1 or row.shape != rows[0].shape for row in rows):
            shapes = sorted({row.shape for row in rows})
            raise ScoreError(
                f"expected scores of shape (classes,) for each image, got {', '.join(map(str, shapes))}; "
                "a function of one image gives one row, of one length"
            )
        return np.array(rows)

    return Adapted(scores, **about, classes=getattr(function, "classes", None))


def _one_number(returned: object, count: int, name: str) -> Scores:
    values = real_numbers(returned, name)
    if values.shape not in ((count,), (count, 1)):
        raise ScoreError(
            f"expected one number for each image, shape ({count},), from {name!r}, got {values.shape}"
        )
    return values.reshape(count)


def binary(
    function: Callable[[NDArray[np.uint8]], ArrayLike], classes: Sequence[str] = ("no", "yes")
) -> Adapted:
    """A classifier of a function that gives one probability for each image, (n,): columns 1 - p and p.

    Raises ScoreError, when it is called, for values below 0 or above 1: for a margin or a logit, `regression`.
    """
    names = class_tuple(classes)
    if len(names) != 2:
        raise ArgumentError(f"expected two class names, got {list(names)!r:.80}")
    about = _attributes(function, "binary")

    def scores(batch: NDArray[np.uint8]) -> Scores:
        shares = _one_number(function(batch), len(batch), about["name"])
        if not in_unit_range(shares):
            raise ScoreError(
                f"expected probabilities from 0 to 1, got {shares.min():.4g} to {shares.max():.4g} from "
                f"{about['name']!r}; for a margin, a logit or another number use regression()"
            )
        shares = np.clip(shares, 0, 1)
        return np.stack([1 - shares, shares], axis=1)

    return Adapted(scores, **about, classes=names)


def regression(function: Callable[[NDArray[np.uint8]], ArrayLike], name: str = "value") -> Adapted:
    """A classifier of a function that gives one number for each image, (n,): one column by that name.

    What is explained is the number: parts without which it falls are positive, parts without which it rises negative.
    Of a network it comes by `output="numbers"` (`from_torch`, `from_onnx` ...), which leaves it as it is.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"expected one name for the number, a text, got {name!r:.80}")
    about = _attributes(function, "regression")

    def scores(batch: NDArray[np.uint8]) -> Scores:
        return _one_number(function(batch), len(batch), about["name"])[:, None]

    return Adapted(scores, **about, classes=[name])


def similarity(
    embed: Callable[[NDArray[np.uint8]], ArrayLike], reference: Any, name: str = "similarity"
) -> Adapted:
    """How like an image is to `reference`: the cosine of their embeddings, -1 to 1, one column.

    `reference`: any image that `occlumap.explain` takes; it is brought to `embed.input_size` if there is one. `embed`:
    uint8 (n, H, W, 3) to embeddings (n, d), a network's by `output="numbers"` (`from_torch`, `from_onnx` ...); it is
    called once for the reference, now.

    Raises ImageError for a reference that is no image, and ScoreError, when it is called, for embeddings of another
    length than the reference's, as of images of another size.
    """
    from occlumap import images

    about = _attributes(embed)
    picture = images.read(reference).pixels
    if about["input_size"] is not None:
        picture, _ = images.fit(picture, about["input_size"])
    about["fingerprint"] = of_wrapped(embed, "similarity", picture.shape, picture.tobytes())

    def embedded(batch: NDArray[np.uint8]) -> Scores:
        found = real_numbers(embed(batch), about["name"])
        if found.ndim != 2 or len(found) != len(batch):
            raise ScoreError(
                f"expected embeddings of shape ({len(batch)}, d) from {about['name']!r}, got {found.shape}"
            )
        return found

    def directions(found: Scores) -> Scores:
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ScoreError(
                f"expected embeddings that have a direction from {about['name']!r}, got one of zeros, or of numbers "
                "that are not finite"
            )
        along: Scores = found / lengths
        return along

    own = embedded(picture[None])
    warn_of_probabilities(own, about["name"])
    (towards,) = directions(own)

    def scores(batch: NDArray[np.uint8]) -> Scores:
        found = directions(embedded(batch))
        if found.shape[1] != len(towards):
            raise ScoreError(
                f"expected embeddings of {len(towards)} numbers from {about['name']!r}, as of the reference, got "
                f"{found.shape[1]}: of images of {batch.shape[1:3]} pixels, the reference having {picture.shape[:2]}; "
                "bring the reference to the images' size, or let the function do so with all"
            )
        cosines: Scores = found @ towards
        return cosines[:, None]

    return Adapted(scores, **about, classes=[name])


def box_score(
    detect: Callable[[NDArray[np.uint8]], Sequence[tuple[ArrayLike, ArrayLike]]],
    box: Sequence[float],
    class_index: int,
    name: str = "box",
) -> Adapted:
    """How well a detector still finds one box: greatest IoU x class score over its boxes, as D-RISE does.

    `detect`: uint8 (n, H, W, 3) to one (boxes, scores) for each image, boxes (k, 4) as row_start, col_start,
    row_stop, col_stop, scores (k, classes). `box`: the one to explain, in the same order. One column, 0 to 1; no box
    at all is 0. Petsiuk et al., Black-box explanation of object detectors via saliency maps, CVPR 2021, with the
    class's own score in place of the similarity of class vectors.
    """
    about = _attributes(detect)
    try:
        wanted = np.asarray(box, np.float64)
        usable = wanted.shape == (4,) and bool(np.isfinite(wanted).all() and (wanted[2:] > wanted[:2]).all())
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ArgumentError(f"expected box as (row_start, col_start, row_stop, col_stop), got {box!r:.80}")
    whole_number("class_index", class_index, minimum=0)
    about["fingerprint"] = of_wrapped(detect, "box score", wanted.tolist(), int(class_index))

    def best(boxes: ArrayLike, confidences: ArrayLike) -> float:
        found, shares = real_numbers(boxes, about["name"]), real_numbers(confidences, about["name"])
        if not found.size:
            return 0.0
        if found.ndim != 2 or found.shape[1] != 4:
            raise ScoreError(f"expected boxes of shape (k, 4) from {about['name']!r}, got {found.shape}")
        if shares.ndim != 2 or len(shares) != len(found) or shares.shape[1] <= class_index:
            raise ScoreError(
                f"expected scores of shape ({len(found)}, more than {class_index}) beside {len(found)} boxes from "
                f"{about['name']!r}, got {shares.shape}"
            )
        overlap = np.clip(
            np.minimum(found[:, 2:], wanted[2:]) - np.maximum(found[:, :2], wanted[:2]), 0, None
        ).prod(axis=1)
        of_class = shares[:, class_index]
        if not in_unit_range(of_class):
            raise ScoreError(
                f"expected class scores from 0 to 1 beside the boxes from {about['name']!r}, got {of_class.min():.4g} "
                f"to {of_class.max():.4g}; take the sigmoid or softmax of logits, divide percentages by 100"
            )
        union = (found[:, 2:] - found[:, :2]).prod(axis=1) + (wanted[2:] - wanted[:2]).prod() - overlap
        # where nothing overlaps the union may be 0: of boxes of no size
        return float((overlap / np.where(overlap > 0, union, 1) * of_class).max())

    def scores(batch: NDArray[np.uint8]) -> Scores:
        found = detect(batch)
        pairs = isinstance(found, Sequence) and all(
            isinstance(one, Sequence) and len(one) == 2 for one in found
        )
        if not pairs or len(found) != len(batch):
            got = f"{len(found)} of them" if pairs else f"{type(found).__name__}: {found!r:.80}"
            raise ScoreError(
                f"expected a list of (boxes, scores), one for each of {len(batch)} images, from {about['name']!r}, "
                f"got {got}"
            )
        return np.array([best(*one) for one in found]).reshape(-1, 1)

    return Adapted(scores, **about, classes=[name])
