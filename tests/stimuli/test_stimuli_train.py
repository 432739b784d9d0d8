"""Training: the real code on drawn data, from scratch, in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest

from occlumap.errors import ArgumentError, FileFormatError
from occlumap.stimuli.network import build, load_weights
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


def test_a_last_layer_for_other_classes_is_not_loaded(tmp_path):
    other = build("vgg-narrow", 1000)
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    network = build("vgg-narrow", 6)
    assert load_weights(network, tmp_path / "weights.pt") == ["classifier.6.weight", "classifier.6.bias"]
    assert torch.equal(network.features[0].weight, other.features[0].weight)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(FileFormatError, match="do not fit"):
        load_weights(build("vgg-narrow", 6), tmp_path / "weights.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(FileFormatError, match="state dict"):
        load_weights(build("vgg-narrow", 6), tmp_path / "text.pt")


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
