"""Fine-tune the studied classifier: sigmoid outputs, difficult objects ignored, stopped early by average precision."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import occlumap
from occlumap.errors import ArgumentError, FileFormatError
from occlumap.stimuli._optional import optional
from occlumap.stimuli.network import Studied, build, load_weights, tensor
from occlumap.stimuli.outcomes import average_precision, best_threshold
from occlumap.stimuli.voc import VocSplit, read_split, square

CARD = "model.json"
WEIGHTS = "model.pt"
PAGE = "MODEL_CARD.md"


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
    the training split. progress(done, total) in batches, at most. Raises ArgumentError for a class that the training
    split shows nowhere, MissingDependencyError without torch.
    """
    settings = settings or Training()
    torch = optional("torch")
    learn = read_split(data, train_split)
    judge = read_split(data, val_split, learn.classes)
    barren = [
        one for one, shown in zip(learn.classes, (learn.labels == 1).any(axis=0), strict=True) if not shown
    ]
    if barren or not learn.classes:
        raise ArgumentError(
            f"expected images of every class in {train_split}, got none of {', '.join(barren)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = build(settings.backbone, len(learn.classes))
        left = [] if weights is None else load_weights(network, weights)
        history, kept = _fit(network, learn, judge, settings, progress)
    classifier = Studied(network, settings.size, learn.classes, settings.backbone)
    scores = {split.name: predict(classifier, split)[0] for split in (learn, judge)}
    card = {
        "version": 1,
        "settings": asdict(settings),
        "weights": None if weights is None else {"file": Path(weights).name, "not_loaded": left},
        "classes": list(learn.classes),
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
        "data": learn.root.name,
        "splits": {"train": learn.name, "val": judge.name},
        "history": history,
        "epoch": kept,
        "versions": {
            "occlumap": occlumap.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")
    (folder / PAGE).write_text(_page(card))
    return Model(classifier, card)


def load(folder: str | os.PathLike[str]) -> Model:
    """What `train` wrote to `folder`. Raises FileFormatError for a folder without a model of ours."""
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text())
        settings, classes = card["settings"], card["classes"]
        network = build(settings["backbone"], len(classes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"expected a model of `occlumap stimuli train` in {folder}, got {error}"
        ) from error
    load_weights(network, Path(folder) / WEIGHTS)
    return Model(Studied(network, settings["size"], classes, settings["backbone"]), card)


def predict(
    classifier: Studied, split: VocSplit, batch_size: int = 64
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (images, classes) and embeddings (images, width) of a whole split, in its order."""
    found = []
    for start in range(0, len(split.ids), batch_size):
        rows = range(start, min(start + batch_size, len(split.ids)))
        found.append(classifier.scores_and_embeddings(_squares(split, rows, classifier.size)))
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


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
    torch = optional("torch")
    pixels = {one.name: _squares(one, range(len(one.ids)), settings.size) for one in (learn, judge)}
    labels = torch.from_numpy(learn.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    batches = -(-len(learn.ids) // settings.batch_size)
    history: list[dict[str, float]] = []
    best, best_state, kept, since = -1.0, None, 0, 0
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(learn.ids))
        for number, rows in enumerate(order.split(settings.batch_size)):
            inputs = tensor(pixels[learn.name][rows.numpy()])
            flipped = torch.rand(len(rows)) < 0.5
            inputs[flipped] = inputs[flipped].flip(3)
            truth = labels[rows]
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                network(inputs), (truth == 1).float(), reduction="none"
            )
            loss = (losses * (truth != 0)).sum() / (truth != 0).sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(epoch * batches + number + 1, settings.epochs * batches)
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


def _scores(classifier: Studied, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.concatenate([classifier(pixels[start : start + 64]) for start in range(0, len(pixels), 64)])


def _by_class(scores: NDArray[np.float64], split: VocSplit, definition: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for col, one in enumerate(split.classes):
        value = average_precision(scores[:, col], split.labels[:, col], definition)
        found[one] = None if np.isnan(value) else round(value, 6)
    mean = mean_average_precision(scores, split.labels, definition)
    found["mean"] = None if np.isnan(mean) else round(mean, 6)
    return found


def _page(card: dict[str, Any]) -> str:
    """The card for people. Every figure is one of model.json."""
    settings, splits = card["settings"], card["splits"]
    ap = card["average_precision"][settings["ap"]]
    rows = "".join(
        f"| {one} | {_figure(ap[splits['train']][one])} | {_figure(ap[splits['val']][one])} "
        f"| {_figure(card['thresholds'].get(one))} |\n"
        for one in [*card["classes"], "mean"]
    )
    begun = "random weights" if card["weights"] is None else f"the weights in {card['weights']['file']}"
    stop = (
        f"Training was to stop at a mean AP of {settings['stop_at_ap']} on the training split, on purpose."
        if settings["stop_at_ap"] is not None
        else "Training was not stopped on purpose."
    )
    return (
        f"# Model card: {settings['backbone']} on {card['data']}\n\n"
        f"A classifier with {len(card['classes'])} sigmoid outputs for {settings['size']} x {settings['size']} pixels, "
        f"trained from {begun} on {card['images'][splits['train']]} images for {len(card['history'])} epochs "
        f"(weights of epoch {card['epoch']}, seed {settings['seed']}), "
        f"and judged on {card['images'][splits['val']]} others. {stop}\n\n"
        f"Average precision by VOC's {settings['ap']} definition, difficult objects ignored. A class is recognised "
        "where its score is above the threshold, which maximises F1 on the training split.\n\n"
        "| class | AP, training | AP, validation | threshold |\n| --- | --- | --- | --- |\n" + rows + "\n"
        "Made to study how people understand a classifier's weaknesses. It is not meant to recognise anything well.\n"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
