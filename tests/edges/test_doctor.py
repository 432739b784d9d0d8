"""occlumap doctor: what it says of classifiers that are well, and of those that are not."""

import numpy as np
import pytest
from PIL import Image

from occlumap import doctor
from occlumap.adapters import from_torch
from tests.edges.command_line import run

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def light(batch):
    share = batch.mean(axis=(1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1)


def test_it_tells_kind_range_and_classes():
    report = doctor.examine(light, IMAGE)
    assert report.kind == "probabilities"
    assert report.disagreement == 0
    text = "\n".join(report.lines())
    assert "uint8 of shape (1, 16, 16, 3)" in text
    assert "agree with single images" in text


@pytest.mark.parametrize(
    ("scale", "kind"), [(1.0, "probabilities"), (0.5, "independent probabilities"), (9.0, "logits")]
)
def test_it_tells_probabilities_from_logits(scale, kind):
    assert doctor.examine(lambda batch: light(batch) * scale, IMAGE).kind == kind


def test_it_sees_that_scores_depend_on_the_batch():
    report = doctor.examine(lambda batch: light(batch) * (1 if len(batch) == 1 else 0.5), IMAGE)
    assert report.disagreement > doctor.SAME
    assert any("DIFFER FROM" in line for line in report.lines())


def test_it_says_what_reached_the_model():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4))
    classifier = from_torch(module, output="logits", size=8, mean=127.5, std=127.5)
    report = doctor.examine(classifier, IMAGE[:8, :8])
    assert report.reached is not None
    assert "float32 of shape (1, 3, 8, 8)" in report.reached


def test_the_first_call_has_one_image():
    sizes = []

    def classify(batch):
        sizes.append(len(batch))
        return light(batch)

    doctor.examine(classify, IMAGE)
    assert sizes[0] == 1


def test_the_command_says_it_and_passes_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGE).save("photo.png")
    (tmp_path / "doctor_toy.py").write_text(
        "def one(image): return [image.mean() / 255, 1 - image.mean() / 255]\n"
    )
    result = run(
        "doctor", "photo.png", "--classifier", "doctor_toy:one", "--classifier-option", "batched=false"
    )
    assert "2 classes" in result.stdout
    assert "agree with single images" in result.stdout
