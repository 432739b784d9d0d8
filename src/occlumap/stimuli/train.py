"""Fine-tune the studied classifier: sigmoid outputs, difficult objects ignored, stopped early by average precision."""

import hashlib
import io
import json
import math
import os
import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import occlumap
from occlumap._archive import write_bytes
from occlumap._checks import one_of, reason, whole_number
from occlumap._extras import from_extra
from occlumap.errors import ArgumentError, FileFormatError, OcclumapWarning, StimuliError
from occlumap.stimuli.network import (
    Studied,
    build,
    check_logits,
    check_outputs,
    load_weights,
    tensor,
    weights_hash,
)
from occlumap.stimuli.outcomes import DEFINITIONS, average_precision, best_threshold
from occlumap.stimuli.voc import VocSplit, read_split, refuse_inside, square
from occlumap.stimuli.whole import made_meanwhile, working_folder

CARD = "model.json"
WEIGHTS = "model.pt"
PAGE = "MODEL_CARD.md"
MEAN = "mean"
"""The card's row over all classes; no class may be called so."""
ALWAYS = 0.0005
"""A threshold below this is 0.000 on the card."""
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Training:
    """How to train. The text fixes none of these but the backbone, so they are ours.

    stop_at_ap: stop as soon as the mean AP of the training split, from which tasks and examples come, reaches this
    (the text's classifier had 0.91 there, 0.73 on the validation split). patience: epochs without a better AP on the
    validation split; the best of them is kept. ap: VOC's definition, "11-point" (2008) or "all-points" (2010 on).
    """

    backbone: str = "vgg16"
    size: int = 224
    epochs: int = 30
    patience: int = 5
    stop_at_ap: float | None = None
    learning_rate: float = 1e-4
    batch_size: int = 32
    ap: str = "11-point"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size", 32, 1024),
            ("epochs", 1, 10**6),
            ("patience", 1, 10**6),
            ("batch_size", 1, 10**6),
            ("seed", 0, LARGEST_SEED),
        ):
            whole_number(name, getattr(self, name), minimum=low, maximum=high)
        one_of("ap", self.ap, DEFINITIONS)
        if not isinstance(self.backbone, str) or not self.backbone:
            raise ArgumentError(f"expected the name of a backbone, got {self.backbone!r}")
        if not _is_number(self.learning_rate) or self.learning_rate <= 0:
            raise ArgumentError(f"expected a finite learning rate above 0, got {self.learning_rate!r}")
        if self.stop_at_ap is not None and not (_is_number(self.stop_at_ap) and 0 <= self.stop_at_ap <= 1):
            raise ArgumentError(
                f"expected an average precision from 0 to 1 to stop at, got {self.stop_at_ap!r}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Model:
    """A trained classifier and its card: thresholds {class: value} and AP by class on both splits among others."""

    classifier: Studied
    card: dict[str, Any]

    @property
    def thresholds(self) -> dict[str, float]:
        """A class is recognised where its score is above this."""
        return dict(self.card["thresholds"])


def train(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Training | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    train_split: str = "train",
    val_split: str = "val",
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Train on `train_split` of the VOC data set in `data`, and write model.pt, model.json, MODEL_CARD.md to `out`.

    weights: a state dict to begin with, such as torchvision's vgg16 of ImageNet. A threshold per class maximises F1 on
    the training split. progress(done, total) in batches, at most. Raises ArgumentError where a split shows no class,
    for a folder that holds a model already or lies in the data set, and for a network that does not fit; StimuliError
    for training that diverges, of which nothing is saved, and where another run put a model into `out` meanwhile: this
    one's is kept in a folder of its own there; MissingDependencyError without torch.
    """
    settings = settings or Training()
    torch = from_extra("stimuli", "torch", "stimuli")
    folder = Path(out)
    there = [one for one in (CARD, WEIGHTS, PAGE) if (folder / one).exists()]
    if there or (folder.exists() and not folder.is_dir()):
        raise ArgumentError(
            f"expected a folder without a model, but {folder} {'has ' + ', '.join(there) if there else 'is a file'}; "
            "choose another, or take the old one away"
        )
    refuse_inside(data, folder, "the model")
    learn = read_split(data, train_split)
    judge = read_split(data, val_split, learn.classes)
    _check_classes(learn)
    if not (judge.labels == 1).any():
        raise ArgumentError(
            f"expected images of {', '.join(learn.classes)} in {val_split}, got none of any of them: there is nothing "
            "to judge by"
        )
    unlearnt = list(judge.others)
    if unlearnt:
        warnings.warn(
            f"{train_split} shows no {', '.join(unlearnt)}, so {'it is' if len(unlearnt) == 1 else 'they are'} not "
            f"learnt, and what {val_split} shows of {'it' if len(unlearnt) == 1 else 'them'} is not counted",
            OcclumapWarning,
            stacklevel=2,
        )
    with working_folder(folder, "model") as working:  # before hours of training, not after
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = build(settings.backbone, len(learn.classes))
            check_outputs(network, settings.size, len(learn.classes), settings.backbone)
            left = [] if weights is None else load_weights(network, weights)
            history, kept = _fit(network, learn, judge, settings, progress)
        classifier = Studied(network, settings.size, learn.classes, settings.backbone)
        scores = {split.name: predict(classifier, split)[0] for split in (learn, judge)}
        card = {
            "version": 1,
            "settings": asdict(settings),
            "weights": None if weights is None else {"file": Path(weights).name, "not_loaded": left},
            "classes": list(learn.classes),
            "not_learnt": unlearnt,
            "thresholds": {
                one: best_threshold(scores[learn.name][:, col], learn.labels[:, col])
                for col, one in enumerate(learn.classes)
            },
            "average_precision": {
                definition: {
                    split.name: _by_class(scores[split.name], split, definition) for split in (learn, judge)
                }
                for definition in ("11-point", "all-points")
            },
            "images": {split.name: len(split.ids) for split in (learn, judge)},
            "in_both": len(set(learn.ids) & set(judge.ids)),
            "data": learn.root.name,
            "splits": {"train": learn.name, "val": judge.name},
            "seen": {split.name: split.fingerprint() for split in (learn, judge)},
            "history": history,
            "epoch": kept,
            "versions": {
                "occlumap": occlumap.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        card["fingerprint"] = _fingerprint(card, network)
        state = io.BytesIO()  # written to a file, it would hide what the system said, such as of a full disk
        torch.save(network.state_dict(), state)
        write_bytes(working / WEIGHTS, state.getvalue())
        write_bytes(working / PAGE, _page(card).encode())
        write_bytes(working / CARD, (json.dumps(card, indent=1) + "\n").encode())
        try:
            (folder / WEIGHTS).touch(exist_ok=False)  # of two runs at once one alone can, and may go on
        except FileExistsError as error:
            raise made_meanwhile(working, folder) from error
        for one in (WEIGHTS, PAGE, CARD):  # the card last: a folder that has it is whole
            (working / one).replace(folder / one)
    return Model(classifier, card)


def _check_classes(learn: VocSplit) -> None:
    if not learn.classes:
        raise ArgumentError(
            f"expected objects that are not difficult in the annotations of {learn.name} in {learn.root}, got none: "
            "there is no class to learn"
        )
    for one in learn.classes:
        if one == MEAN or "|" in one or not one.isprintable():
            raise ArgumentError(
                f"expected classes whose names a table can show (not {MEAN!r}, no | or control characters), got "
                f"{one!r} in the annotations of {learn.root}"
            )


def load(folder: str | os.PathLike[str]) -> Model:
    """What `train` wrote to `folder`. Raises FileFormatError for a folder without a model of ours."""
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"expected a model of `occlumap stimuli train` in {folder}, got {path.name}: {reason(error)}"
        ) from error
    settings = _checked(card, path)
    classes = card["classes"]
    network = build(settings.backbone, len(classes))
    left = load_weights(network, Path(folder) / WEIGHTS)
    if left:
        raise FileFormatError(
            f"expected weights for the {len(classes)} classes of {path} in {Path(folder) / WEIGHTS}, but the last "
            "layer has another number of outputs"
        )
    check_outputs(network, settings.size, len(classes), settings.backbone)
    if card["fingerprint"] != _fingerprint(card, network):
        raise FileFormatError(
            f"expected the classes, thresholds, settings and data of {path} to be those of {Path(folder) / WEIGHTS}, "
            "but one of the files was changed: in another order scores would go by wrong names; train again"
        )
    return Model(Studied(network, settings.size, classes, settings.backbone), card)


def _fingerprint(card: dict[str, Any], network: Any) -> str:
    """Of what must stay together: the weights, classes in their order, thresholds, settings and data."""
    together = [card["classes"], card["thresholds"], card["settings"], card["seen"], weights_hash(network)]
    return hashlib.sha256(json.dumps(together, sort_keys=True).encode()).hexdigest()


def _checked(card: Any, path: Path) -> Training:
    """The settings in a model.json whose classes, thresholds and settings fit together. Raises FileFormatError."""
    place = f"expected a model.json of `occlumap stimuli train` in {path}, with"
    if not isinstance(card, dict):
        raise FileFormatError(f"{place} names and values, got something else")
    lacking = [
        one
        for one in ("settings", "classes", "thresholds", "data", "seen", "versions", "fingerprint")
        if one not in card
    ]
    if lacking:
        raise FileFormatError(f"{place} {', '.join(lacking)}, got none; train again")
    classes, thresholds = card["classes"], card["thresholds"]
    if (
        not isinstance(classes, list)
        or not classes
        or not all(isinstance(one, str) for one in classes)
        or len(set(classes)) < len(classes)
    ):
        raise FileFormatError(
            f"{place} a list of different names as classes, got {json.dumps(classes)[:100]}"
        )
    if (
        not isinstance(thresholds, dict)
        or thresholds.keys() != set(classes)
        or not all(_is_number(one) and 0 <= one <= 1 for one in thresholds.values())
    ):
        raise FileFormatError(
            f"{place} a threshold from 0 to 1 for each of {', '.join(classes)}, got {json.dumps(thresholds)[:100]}"
        )
    if not isinstance(card["settings"], dict):
        raise FileFormatError(f"{place} settings by name, got {json.dumps(card['settings'])[:100]}")
    try:
        return Training(**card["settings"])
    except (ArgumentError, TypeError) as error:
        raise FileFormatError(f"{place} settings that fit, got: {error}") from error


def check_seen(card: dict[str, Any], split: VocSplit) -> None:
    """Raise StimuliError where a split that the model's card names is other data now; warn where it names none such.

    Outcomes "from the training split" are so only for the very images and labels that the model was trained on.
    """
    seen = card["seen"]
    if split.name not in seen:
        warnings.warn(
            f"the model was not trained or judged on a split {split.name!r} ({card['data']} has "
            f"{', '.join(seen)}): how like its images are to those that it was trained on is unknown",
            OcclumapWarning,
            stacklevel=3,
        )
        return
    other = [name for name, told in split.fingerprint().items() if seen[split.name].get(name) != told]
    if other:
        raise StimuliError(
            f"expected {split.name} in {split.root} to be what the model was trained or judged on, by that name, got "
            f"other {' and '.join(other)} than model.json records; give the data that it was trained on, train again, "
            "or give this list of images a name of its own (split: ...)"
        )


def predict(
    classifier: Studied, split: VocSplit, batch_size: int = 64
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (images, classes) and embeddings (images, width) of a whole split, in its order.

    Raises StimuliError for an image that gets scores or an embedding which are not finite.
    """
    found = []
    for start in range(0, len(split.ids), batch_size):
        rows = range(start, min(start + batch_size, len(split.ids)))
        found.append(classifier.scores_and_embeddings(_squares(split, rows, classifier.size)))
    scores, embeddings = (np.concatenate(some) for some in zip(*found, strict=True))
    wrong = np.flatnonzero(~(np.isfinite(scores).all(axis=1) & np.isfinite(embeddings).all(axis=1)))
    if len(wrong):
        raise StimuliError(
            f"expected finite scores and embeddings from the model, got others for {len(wrong)} images, "
            f"{split.ids[wrong[0]]} first: its weights are too large; train again at a smaller learning rate"
        )
    return scores, embeddings


def mean_average_precision(
    scores: NDArray[np.float64], labels: NDArray[np.int8], definition: str = "11-point"
) -> float:
    """The mean AP over the classes that the labels show at all; NaN where they show none."""
    found = [average_precision(scores[:, col], labels[:, col], definition) for col in range(labels.shape[1])]
    shown = [one for one in found if not np.isnan(one)]
    return float(np.mean(shown)) if shown else float("nan")


def _squares(split: VocSplit, rows: range, size: int) -> NDArray[np.uint8]:
    return np.stack([square(split.image(row), size) for row in rows])


def _fit(
    network: Any,
    learn: VocSplit,
    judge: VocSplit,
    settings: Training,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[dict[str, float]], int]:
    """Train the network in place; what each epoch reached, and the epoch (from 1) whose weights it has now."""
    torch = from_extra("stimuli", "torch", "stimuli")
    pixels = {one.name: _squares(one, range(len(one.ids)), settings.size) for one in (learn, judge)}
    labels = torch.from_numpy(learn.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    sizes = _batch_sizes(len(learn.ids), settings.batch_size)
    batches = len(sizes)
    history: list[dict[str, float]] = []
    best, best_state, kept, since = -1.0, None, 0, 0
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(learn.ids))
        for number, rows in enumerate(order.split(sizes)):
            inputs = tensor(pixels[learn.name][rows.numpy()])
            flipped = torch.rand(len(rows)) < 0.5
            inputs[flipped] = inputs[flipped].flip(3)
            truth = labels[rows]
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                _logits(network, inputs, len(learn.classes), settings), (truth == 1).float(), reduction="none"
            )
            loss = (losses * (truth != 0)).sum() / (truth != 0).sum().clamp(min=1)
            if not bool(torch.isfinite(loss)):
                raise _diverged(epoch, f"the loss is {loss.item()}", settings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(epoch * batches + number + 1, settings.epochs * batches)
        if not all(bool(torch.isfinite(one).all()) for one in network.state_dict().values()):
            raise _diverged(epoch, "weights are not finite", settings)
        classifier = Studied(network, settings.size, learn.classes)
        ap = {
            role: mean_average_precision(_scores(classifier, pixels[one.name]), one.labels, settings.ap)
            for role, one in (("train", learn), ("val", judge))
        }
        history.append({"epoch": epoch + 1, **ap})
        enough = settings.stop_at_ap is not None and ap["train"] >= settings.stop_at_ap
        if enough or best_state is None or ap["val"] > best:
            best, kept, since = ap["val"], epoch + 1, 0
            best_state = {name: value.clone() for name, value in network.state_dict().items()}
        else:
            since += 1
        if enough or since >= settings.patience:
            break
    if best_state is not None:
        network.load_state_dict(best_state)
    if progress is not None:
        progress(len(history) * batches, len(history) * batches)
    return history, kept


def _batch_sizes(images: int, most: int) -> list[int]:
    """Of `most` images each and the rest; a rest of one goes with the batch before: alone it has no spread to norm by.

    >>> _batch_sizes(10, 4), _batch_sizes(9, 4)
    ([4, 4, 2], [4, 5])
    """
    sizes = [min(most, images - start) for start in range(0, images, most)]
    if most > 1 and len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [most + 1]
    return sizes


def _logits(network: Any, inputs: Any, classes: int, settings: Training) -> Any:
    """Of the network while it is trained, which may do other things than when it is used. Raises ArgumentError."""
    try:
        found = network(inputs)
    except (ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"expected backbone {settings.backbone!r} to be trained on a batch of {len(inputs)} (batch size "
            f"{settings.batch_size}), it raised {type(error).__name__}: {error}"
        ) from error
    check_logits(found, len(inputs), classes, settings.backbone)
    return found


def _diverged(epoch: int, what: str, settings: Training) -> StimuliError:
    return StimuliError(
        f"training diverged in epoch {epoch + 1}: {what}; nothing was saved. Take a smaller learning rate than "
        f"{settings.learning_rate}"
    )


def _scores(classifier: Studied, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    starts = range(0, len(pixels), 64)
    return np.concatenate([classifier.scores_and_embeddings(pixels[one : one + 64])[0] for one in starts])


def _by_class(scores: NDArray[np.float64], split: VocSplit, definition: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for col, one in enumerate(split.classes):
        value = average_precision(scores[:, col], split.labels[:, col], definition)
        found[one] = None if np.isnan(value) else round(value, 6)
    mean = mean_average_precision(scores, split.labels, definition)
    found[MEAN] = None if np.isnan(mean) else round(mean, 6)
    return found


def _page(card: dict[str, Any]) -> str:
    """The card for people. Every figure is one of model.json."""
    settings, splits = card["settings"], card["splits"]
    ap = card["average_precision"][settings["ap"]]
    splits_of = {role: set(_shown(ap[splits[role]])) for role in ("train", "val")}
    unseen = [one for one in card["classes"] if one not in splits_of["val"]]
    note = (
        f"The mean on the validation split is over {len(splits_of['val'])} of {len(card['classes'])} classes, as it "
        f"shows none of {', '.join(unseen)}; over the same classes the mean on the training split is "
        f"{_figure(_mean_over(ap[splits['train']], splits_of['val']))}.\n\n"
        if unseen
        else ""
    )
    if card["not_learnt"]:
        note += (
            f"The validation split shows {', '.join(card['not_learnt'])}, too, which the training split does not: not "
            "learnt, and not counted.\n\n"
        )
    always = always_recognised(card)
    if always:
        note += f"{always}\n\n"
    rows = "".join(
        f"| {one} | {_figure(ap[splits['train']][one])} | {_figure(ap[splits['val']][one])} "
        f"| {_figure(card['thresholds'].get(one))} |\n"
        for one in [*card["classes"], MEAN]
    )
    begun = "random weights" if card["weights"] is None else f"the weights in {card['weights']['file']}"
    return (
        f"# Model card: {settings['backbone']} on {card['data']}\n\n"
        f"A classifier with {len(card['classes'])} sigmoid outputs for {settings['size']} x {settings['size']} pixels, "
        f"trained from {begun} on {card['images'][splits['train']]} images for {_epochs(card)} "
        f"(weights of epoch {card['epoch']}, seed {settings['seed']}), "
        f"and judged on {_judged(card)}. {_stop(card)}\n\n"
        f"Average precision by VOC's {settings['ap']} definition, difficult objects ignored. A class is recognised "
        "where its score is above the threshold, which maximises F1 on the training split.\n\n"
        "| class | AP, training | AP, validation | threshold |\n| --- | --- | --- | --- |\n"
        + rows
        + "\n"
        + note
        + "Made to study how people understand a classifier's weaknesses. It is not meant to recognise anything well.\n"
    )


def always_recognised(card: dict[str, Any]) -> str:
    """A sentence on the classes whose threshold is so low that nearly every image is above it; empty without any."""
    always = [one for one, value in card["thresholds"].items() if value < ALWAYS]
    if not always:
        return ""
    return (
        f"The threshold of {', '.join(always)} is so near to 0 that nearly every image is recognised: no other gave a "
        "better F1, so the scores hardly tell the images that show it."
    )


def _epochs(card: dict[str, Any]) -> str:
    count = len(card["history"])
    return f"{count} epoch{'s' * (count != 1)}"


def _judged(card: dict[str, Any]) -> str:
    images, both = card["images"][card["splits"]["val"]], card["in_both"]
    return f"{images} images, {both} of which it was trained on, too" if both else f"{images} others"


def stopped(card: dict[str, Any]) -> bool | None:
    """Whether the training split's mean AP reached `stop_at_ap`; None where none was asked for."""
    target = card["settings"]["stop_at_ap"]
    return None if target is None else bool(card["history"][-1]["train"] >= target)


def _stop(card: dict[str, Any]) -> str:
    reached = stopped(card)
    if reached is None:
        return "Training was not stopped on purpose."
    target, last = card["settings"]["stop_at_ap"], card["history"][-1]["train"]
    if reached:
        return f"Training was stopped on purpose at a mean AP of {target} on the training split ({last:.3f})."
    best = max(one["train"] for one in card["history"])
    return (
        f"Training was to stop at a mean AP of {target} on the training split, which it did not reach: it had "
        f"{best:.3f} at best when it ended after {_epochs(card)}."
    )


def _shown(ap: dict[str, float | None]) -> list[str]:
    """The classes that a split shows, so that they have an AP there."""
    return [one for one, value in ap.items() if one != MEAN and value is not None]


def _mean_over(ap: dict[str, float | None], classes: set[str]) -> float | None:
    values = [value for one, value in ap.items() if one in classes and value is not None]
    return float(np.mean(values)) if values else None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
