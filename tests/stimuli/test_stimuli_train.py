"""Training: the real code on drawn data, from scratch, in seconds."""

import importlib
import io
import json
import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from occlumap.errors import ArgumentError, FileFormatError, OcclumapWarning, StimuliError
from occlumap.stimuli.draw import draw_dataset
from occlumap.stimuli.network import Studied, build, load_weights
from occlumap.stimuli.outcomes import average_precision
from occlumap.stimuli.train import Training, load, predict, train
from occlumap.stimuli.voc import VOC_CLASSES, read_split

torch = pytest.importorskip("torch")

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "voc-sample"

VGG16_SHAPES = {"features.0.weight": (64, 3, 3, 3), "features.28.weight": (512, 512, 3, 3)}
"""Of torchvision's vgg16, with classifier.0, .3 and .6 of 25088, 4096 and 4096 inputs."""


def test_vgg16_has_the_names_and_shapes_of_torchvision():
    with torch.device("meta"):
        state = build("vgg16", 1000).state_dict()
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    names = [f"features.{one}.{kind}" for one in convolutions for kind in ("weight", "bias")]
    names += [f"classifier.{one}.{kind}" for one in (0, 3, 6) for kind in ("weight", "bias")]
    assert list(state) == names
    for name, shape in VGG16_SHAPES.items():
        assert tuple(state[name].shape) == shape
    assert [tuple(state[f"classifier.{one}.weight"].shape) for one in (0, 3, 6)] == [
        (4096, 25088),
        (4096, 4096),
        (1000, 4096),
    ]
    assert sum(one.numel() for one in state.values()) == 138_357_544  # as published


def test_scores_that_are_none_are_told_with_their_image(drawn):
    network = build("vgg-narrow", 2)
    for one in network.parameters():
        torch.nn.init.constant_(one, 1e30)
    with pytest.raises(StimuliError, match="240 images, 2008_000001 first: its weights are too large"):
        predict(Studied(network, 32, ["cat", "dog"]), read_split(drawn, "train", ["cat", "dog"]))


def test_a_last_layer_for_other_classes_is_not_loaded(tmp_path):
    other = build("vgg-narrow", 1000)
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    network = build("vgg-narrow", 6)
    assert load_weights(network, tmp_path / "weights.pt") == ["classifier.6.weight", "classifier.6.bias"]
    assert torch.equal(network.features[0].weight, other.features[0].weight)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(
        FileFormatError, match="it lacks classifier.0.bias, .* and 15 more; it has in excess bias, weight"
    ):
        load_weights(build("vgg-narrow", 6), tmp_path / "weights.pt")


class Code:
    """What a hostile pickle does: it names a function, and loading it would call that."""

    def __reduce__(self):
        return open, ("called", "w")


STATE = build("vgg-narrow", 6).state_dict()
BIAS = STATE["features.0.bias"]


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (b"", "got an empty file"),
        (b"<!DOCTYPE html><html>", "another program, which begins with '<!DOCTYPE html><'"),
        (b"\x07" * 99, "got other bytes"),
        (pickle.dumps([1], 2), "a pickle that is not PyTorch's"),
        ([1], "got a list"),
        (pickle.dumps(Code(), 2), "a file that calls .*open, whose code is not run"),
        (Code(), "a file that calls .*open, whose code is not run"),
        (build("vgg-narrow", 6), "calls torch.nn.modules.container.Sequential, whose code is not run"),
        (
            {"optimizer": {}, "model": STATE, "epoch": 3},
            "a checkpoint of optimizer, model, epoch; .* 'model' alone",
        ),
        ({"epoch": 3}, "1 entries, not all of them tensors"),
        ({1: BIAS}, "1 entries, not all of them tensors with a name"),
        (
            {**STATE, "features.0.bias": BIAS.to(torch.complex64)},
            "complex or empty of numbers: features.0.bias",
        ),
        ({**STATE, "features.0.bias": BIAS.to_sparse()}, "sparse.*: features.0.bias"),
        ({**STATE, "features.0.bias": BIAS.to("meta")}, "empty of numbers: features.0.bias"),
        ({**STATE, "features.0.bias": BIAS[:3]}, r"features.0.bias has shape \(3,\), not \(8,\)"),
    ],
)
def test_a_file_that_is_no_state_dict_is_told_in_words(tmp_path, monkeypatch, saved, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    path.write_bytes(saved) if isinstance(saved, bytes) else torch.save(saved, path)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_weights(build("vgg-narrow", 6), path)
    assert "weights.pt" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("weights_only", "Unpickling", "Error:"))
    assert not (tmp_path / "called").exists()


def test_a_backbone_that_does_not_exist_is_refused():
    with pytest.raises(ArgumentError, match="vgg16"):
        build("vgg99", 6)


def test_a_backbone_of_the_users_is_called_with_the_number_of_classes(tmp_path, monkeypatch):
    (tmp_path / "own_backbone.py").write_text(
        "import torch\n\n\ndef tiny(classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert build("own_backbone:tiny", 7)[-1].out_features == 7


def test_training_learns_and_its_card_tells_what_it_learnt(drawn, trained):
    card = json.loads((trained / "model.json").read_text())
    history = card["history"]
    assert history[-1]["train"] > history[0]["train"]
    model, split = load(trained), read_split(drawn, "train")
    scores, embeddings = predict(model.classifier, split)
    assert embeddings.shape == (240, 96)
    for col, label in enumerate(split.classes):
        told = card["average_precision"]["11-point"]["train"][label]
        assert told == pytest.approx(average_precision(scores[:, col], split.labels[:, col]), abs=1e-6)
        assert 0 <= model.thresholds[label] < 1
    assert (
        f"| cat | {card['average_precision']['11-point']['train']['cat']:.3f} |"
        in (trained / "MODEL_CARD.md").read_text()
    )


def test_training_again_gives_the_same_bits(drawn, tmp_path):
    settings = Training("vgg-narrow", 32, 1, 1, None, 1e-3, 64, seed=3)
    one, other = (train(drawn, tmp_path / name, settings).card for name in ("one", "other"))
    assert one == other


def test_training_stops_at_the_ap_it_is_told_to(drawn, tmp_path):
    settings = Training("vgg-narrow", 32, 5, 5, 0.01, 1e-3, 64)
    assert len(train(drawn, tmp_path, settings).card["history"]) == 1


def test_scores_do_not_depend_on_the_batch(drawn, trained):
    classifier, split = load(trained).classifier, read_split(drawn, "val")
    batch = np.stack([split.image(row) for row in range(5)])
    np.testing.assert_allclose(
        classifier(batch), np.concatenate([classifier(one[None]) for one in batch]), atol=2e-6
    )


def test_sure_scores_do_not_tie():
    """A linear layer on the brightness alone: logits 14.4 and more, which 6 places would all make 1."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 1))
    torch.nn.init.constant_(network[1].weight, 1e-4)
    torch.nn.init.constant_(network[1].bias, 15)
    classifier = Studied(network, 32, ["cat"])
    batch = np.stack([np.full((32, 32, 3), value, np.uint8) for value in range(0, 256, 16)])
    scores, _ = classifier.scores_and_embeddings(batch)
    assert (np.diff(scores[:, 0]) > 0).all()
    labels = np.where(np.arange(16) < 8, -1, 1).astype(np.int8)
    assert average_precision(scores[:, 0], labels) == 1
    assert average_precision(classifier(batch)[:, 0], labels) < 1


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="stimuli train"):
        load(tmp_path)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the data pack is not beside the repository")
def test_real_photographs_in_the_layout_of_voc_are_trained_on(tmp_path):
    """A class that is there only as a difficult object cannot be learnt, so it is no class of the model."""
    settings = Training("vgg-narrow", 32, 1, 1, None, 1e-3, 8)
    card = train(SAMPLE, tmp_path, settings, train_split="sample", val_split="sample").card
    assert set(card["classes"]) < set(VOC_CLASSES)
    assert "diningtable" not in card["classes"]
    assert card["thresholds"].keys() == set(card["classes"])


TINY = Training("vgg-narrow", 32, 1, 1, None, 1e-3, 64)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A data set of 24 scenes, not to be changed."""
    folder = tmp_path_factory.mktemp("few")
    draw_dataset(folder, train=16, val=8, size=32)
    return folder


@pytest.fixture
def own(few, tmp_path):
    """The same, to be changed: the folder of VOC2008."""
    shutil.copytree(few, tmp_path / "data")
    return tmp_path / "data" / "VOCdevkit" / "VOC2008"


def test_training_that_diverges_saves_nothing(few, tmp_path):
    with pytest.raises(StimuliError, match="diverged in epoch 1.*smaller learning rate than 1e.30"):
        train(few, tmp_path / "model", replace(TINY, learning_rate=1e30, batch_size=4))
    assert not (tmp_path / "model").exists()


def test_a_disk_that_fills_up_is_told_as_such(few, tmp_path):
    """A limit on the size of files ends a write as a full disk does."""
    resource = pytest.importorskip("resource")
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: .*model\.pt"):
            train(few, tmp_path / "model", TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"learning_rate": 0},
        {"stop_at_ap": float("nan")},
        {"stop_at_ap": 1.5},
        {"seed": 2**64},
        {"seed": -1},
        {"size": 8},
        {"epochs": 0},
        {"ap": "10-point"},
        {"backbone": None},
    ],
)
def test_settings_that_cannot_be_used_are_refused(change):
    with pytest.raises(ArgumentError, match="expected"):
        replace(TINY, **change)


def test_a_model_is_not_overwritten_nor_written_into_the_data_set(few, trained):
    before = (trained / "model.pt").read_bytes()
    with pytest.raises(ArgumentError, match="has model.json, model.pt, MODEL_CARD.md"):
        train(few, trained, TINY)
    assert (trained / "model.pt").read_bytes() == before
    for one in ("VOCdevkit/VOC2008", "VOCdevkit/VOC2008/model"):
        with pytest.raises(ArgumentError, match="outside the data set"):
            train(few, few / one, TINY)


def test_a_folder_that_cannot_be_made_is_told_before_training(few, tmp_path):
    (tmp_path / "file").touch()
    begun = []
    with pytest.raises(
        StimuliError, match=r"expected a folder .* to write into, got the file .*file; choose"
    ):
        train(few, tmp_path / "file" / "model", TINY, progress=lambda *_: begun.append(1))
    assert begun == []


def test_of_two_trained_into_one_folder_at_once_the_first_is_left_and_the_other_kept(few, tmp_path):
    first, folder = [], tmp_path / "model"

    def other_run(done, total):
        if not first:
            first.append(train(few, folder, replace(TINY, seed=1)))

    with pytest.raises(StimuliError, match="another run has made it") as caught:
        train(few, folder, replace(TINY, seed=2), progress=other_run)
    own = Path(str(caught.value).rpartition(" kept in ")[2])
    assert load(folder).card == first[0].card
    assert load(own).card["settings"]["seed"] == 2
    assert {one.name for one in folder.iterdir()} == {"model.json", "model.pt", "MODEL_CARD.md", own.name}


def test_a_class_called_like_the_card_s_row_is_refused(own, tmp_path):
    for path in (own / "Annotations").iterdir():
        path.write_text(path.read_text().replace("<name>cat<", "<name>mean<"))
    with pytest.raises(ArgumentError, match="got 'mean'"):
        train(own, tmp_path / "model", TINY)


def test_annotations_without_objects_are_told(own, tmp_path):
    for path in (own / "Annotations").iterdir():
        path.write_text("<annotation></annotation>")
    with pytest.raises(ArgumentError, match="there is no class to learn"):
        train(own, tmp_path / "model", TINY)


def test_a_validation_split_that_shows_nothing_is_told(own, tmp_path):
    for one in (own / "ImageSets" / "Main" / "val.txt").read_text().split():
        (own / "Annotations" / f"{one}.xml").write_text("<annotation></annotation>")
    with pytest.raises(ArgumentError, match="nothing to judge by"):
        train(own, tmp_path / "model", TINY)


def test_the_card_tells_over_which_classes_a_mean_is(own, tmp_path):
    for one in (own / "ImageSets" / "Main" / "val.txt").read_text().split():
        path = own / "Annotations" / f"{one}.xml"
        path.write_text(path.read_text().replace("<name>cat<", "<name>dog<"))
    card = train(own, tmp_path / "model", TINY).card
    page = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    ap = card["average_precision"]["11-point"]
    shown = [one for one in card["classes"] if ap["val"][one] is not None]
    assert "cat" not in shown
    assert f"over {len(shown)} of {len(card['classes'])} classes, as it shows none of" in page
    assert f"mean on the training split is {np.mean([ap['train'][one] for one in shown]):.3f}" in page


def test_classes_that_only_the_validation_split_shows_are_told(own, tmp_path):
    for one in (own / "ImageSets" / "Main" / "val.txt").read_text().split():
        path = own / "Annotations" / f"{one}.xml"
        path.write_text(path.read_text().replace("<name>cat<", "<name>zebra<"))
    with pytest.warns(
        OcclumapWarning, match="train shows no zebra, so it is not learnt, and what val shows of it"
    ):
        card = train(own, tmp_path / "model", TINY).card
    assert card["not_learnt"] == ["zebra"]
    assert (
        "shows zebra, too, which the training split does not"
        in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    )


def test_the_card_tells_whether_training_was_stopped_on_purpose(few, tmp_path):
    train(few, tmp_path / "missed", replace(TINY, stop_at_ap=1.0))
    assert "which it did not reach" in (tmp_path / "missed" / "MODEL_CARD.md").read_text()
    train(few, tmp_path / "reached", replace(TINY, stop_at_ap=0.01))
    assert "stopped on purpose at a mean AP of 0.01" in (tmp_path / "reached" / "MODEL_CARD.md").read_text()


BACKBONES = """
import torch
from torch import nn


def raises(classes):
    raise ValueError("boom")


def wrong_number(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, classes + 1))


def wrong_size(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, classes))


def no_linear(classes):
    return nn.Sequential(nn.Conv2d(3, classes, 32), nn.Flatten())


def ends_in_sigmoid(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, classes), nn.Sigmoid())


class AnotherInTraining(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.out = nn.Linear(3 * 32 * 32, classes)

    def forward(self, images):
        logits = self.out(images.flatten(1))
        return (logits, logits) if self.training else logits


def normed(classes):
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, classes)),
    )


class OutBeforeHidden(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.out, self.hidden, self.unused = nn.Linear(7, classes), nn.Linear(3 * 32 * 32, 7), nn.Linear(7, classes)

    def forward(self, images):
        return self.out(self.hidden(images.flatten(1)))
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":", "module:function, got ':'"),
        ("os:", "module:function"),
        (".os:getcwd", "module:function"),
        ("no_such_module:function", "ModuleNotFoundError"),
        ("os:getcwd", "it raised TypeError"),
        ("json:dumps", "torch.nn.Module for 5 classes, got str"),
        ("own_backbones:raises", "it raised ValueError: boom"),
        ("own_backbones:wrong_number", r"logits of shape \(images, 5\).*got \(2, 6\)"),
        ("own_backbones:wrong_size", "images of 32 x 32 pixels"),
        ("own_backbones:no_linear", "torch.nn.Linear"),
        ("own_backbones:ends_in_sigmoid", "nothing after it"),
        ("own_backbones:AnotherInTraining", r"logits of shape \(images, 5\).*got tuple for 16 images"),
        ("broken_backbones:any", "SyntaxError"),
    ],
)
def test_a_backbone_of_the_users_that_does_not_fit_is_refused(few, tmp_path, monkeypatch, name, message):
    (tmp_path / "own_backbones.py").write_text(BACKBONES)
    (tmp_path / "broken_backbones.py").write_text("def any(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentError, match=message):
        train(few, tmp_path / "model", replace(TINY, backbone=name))
    assert not (tmp_path / "model").exists()


def test_a_network_that_normalises_batches_is_trained_loaded_and_explained(few, tmp_path, monkeypatch):
    """16 images in batches of 5: alone, the last would have no spread."""
    from occlumap.stimuli.conditions import Request, heatmap

    pytest.importorskip("captum")
    (tmp_path / "own_backbones.py").write_text(BACKBONES)
    monkeypatch.syspath_prepend(tmp_path)
    settings = replace(TINY, backbone="own_backbones:normed", batch_size=5, epochs=2)
    made, split = train(few, tmp_path / "model", settings), read_split(few, "val")
    image = split.image(0)
    maps = [
        heatmap("grad_cam", Request(image, 0, one.classifier, split.object_mask(0, split.classes[0])))
        for one in (made, load(tmp_path / "model"))
    ]
    np.testing.assert_array_equal(*maps)
    with pytest.raises(
        ArgumentError, match=r"trained on a batch of 1 \(batch size 1\), it raised ValueError"
    ):
        train(few, tmp_path / "other", replace(settings, batch_size=1))


def test_the_last_layer_is_the_one_that_gives_the_output_whatever_was_registered_last(tmp_path, monkeypatch):
    (tmp_path / "own_backbones_too.py").write_text(BACKBONES)
    monkeypatch.syspath_prepend(tmp_path)
    network = importlib.import_module("own_backbones_too").OutBeforeHidden(3)
    classifier = Studied(network, 32, list("abc"))
    assert classifier.last_linear() is network.out
    _, embeddings = classifier.scores_and_embeddings(np.zeros((2, 32, 32, 3), np.uint8))
    assert embeddings.shape == (2, 7)


@pytest.fixture
def model(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "model")
    return tmp_path / "model"


def changed(folder, change):
    card = json.loads((folder / "model.json").read_text())
    change(card)
    (folder / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.pop("thresholds"), "with thresholds, got none"),
        (lambda one: one.pop("settings"), "with settings, got none"),
        (lambda one: one.update(classes="cat"), "different names as classes"),
        (lambda one: one.update(classes=[1, 2]), "different names as classes"),
        (lambda one: one["classes"].__setitem__(0, one["classes"][1]), "different names as classes"),
        (lambda one: one["classes"].reverse() or one["classes"].pop(), "a threshold from 0 to 1 for each"),
        (
            lambda one: (one["classes"].append("zebra"), one["thresholds"].update(zebra=0.5)),
            "number of outputs",
        ),
        (lambda one: one["thresholds"].pop(one["classes"].pop()), "number of outputs"),
        (lambda one: one["thresholds"].update(cat="half"), "a threshold from 0 to 1"),
        (lambda one: one["thresholds"].update(cat=float("nan")), "a threshold from 0 to 1"),
        (lambda one: one["thresholds"].update(cat=2), "a threshold from 0 to 1"),
        (lambda one: one.update(thresholds=[0.5]), "a threshold from 0 to 1"),
        (lambda one: one.update(settings=[]), "settings by name"),
        (lambda one: one["settings"].update(size="64"), "settings that fit.*size"),
        (lambda one: one["settings"].update(colour="red"), "settings that fit.*colour"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(model, change, message):
    changed(model, change)
    with pytest.raises(FileFormatError, match=message):
        load(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["classes"].reverse(),
        lambda one: one["thresholds"].update(cat=0.123),
        lambda one: one["settings"].update(size=64),
        lambda one: one.update(fingerprint=None),
    ],
)
def test_a_card_of_other_weights_is_refused(model, change):
    """The classes in another order have the right number and names: each score would go by a wrong one."""
    changed(model, change)
    with pytest.raises(FileFormatError, match="one of the files was changed"):
        load(model)


def test_the_card_tells_of_images_that_it_was_trained_and_judged_on(own, tmp_path):
    lists = own / "ImageSets" / "Main"
    (lists / "val.txt").write_text("".join((lists / "train.txt").read_text().splitlines(keepends=True)[:5]))
    train(own, tmp_path / "model", TINY)
    assert (
        "judged on 5 images, 5 of which it was trained on, too"
        in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    )


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "3", "\xff"])
def test_a_card_that_is_none_is_refused(model, content):
    (model / "model.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(FileFormatError, match="model"):
        load(model)


def test_weights_that_are_cut_off_missing_or_not_finite_are_refused_with_their_path(model):
    path = model / "model.pt"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match="model.pt.*cut off"):
        load(model)
    state = torch.load(io.BytesIO(content), weights_only=True)
    torch.save({**state, "features.0.bias": state["features.0.bias"] * float("nan")}, path)
    with pytest.raises(FileFormatError, match=r"finite weights in .*model.pt, got others in features.0.bias"):
        load(model)
    torch.save([1, 2], path)
    with pytest.raises(FileFormatError, match="model.pt"):
        load(model)
    path.unlink()
    with pytest.raises(FileFormatError, match="model.pt"):
        load(model)


def test_the_card_tells_of_a_class_that_is_always_recognised(trained):
    from occlumap.stimuli.train import _page, always_recognised

    card = json.loads((trained / "model.json").read_text())
    assert always_recognised(card) == ""
    card["thresholds"] |= {"cat": 0.0001, "horse": 0.01}
    told = always_recognised(card)
    assert told.startswith("The threshold of cat is so near to 0 that nearly every image is recognised")
    assert told in _page(card)
