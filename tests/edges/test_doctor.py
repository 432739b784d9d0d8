"""occlumap doctor: what it says of classifiers that are well, and of those that are not."""

import time

import numpy as np
import pytest
from PIL import Image

from occlumap import adapters, doctor
from occlumap.adapters import from_torch
from occlumap.classifiers import prepared
from occlumap.errors import ArgumentError
from tests.edges.command_line import run

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def _range(values):
    return f"{np.float32(values).min():.4g} to {np.float32(values).max():.4g}"


def light(batch):
    share = batch.mean(axis=(1, 2, 3)) / 255
    return np.stack([share, 1 - share], axis=1)


def test_it_tells_kind_range_and_classes():
    report = doctor.examine(light, IMAGE)
    assert report.kind == "probabilities"
    assert report.disagreement == 0
    text = "\n".join(report.lines())
    assert "uint8 of shape (1, 16, 16, 3) (NHWC, channels last)" in text
    assert "agree with single images" in text


@pytest.mark.parametrize(
    ("scale", "kind"), [(1.0, "probabilities"), (0.5, "independent probabilities"), (9.0, "logits")]
)
def test_it_tells_probabilities_from_logits(scale, kind):
    assert doctor.examine(lambda batch: light(batch) * scale, IMAGE).kind == kind


def test_one_column_of_1_is_no_probability_of_all_classes():
    report = doctor.examine(adapters.regression(lambda batch: np.ones(len(batch))), IMAGE)
    assert report.kind == "independent probabilities"
    assert not any("add up" in line for line in report.lines())


def test_it_sees_that_scores_depend_on_the_batch():
    report = doctor.examine(lambda batch: light(batch) * (1 if len(batch) == 1 else 0.5), IMAGE)
    assert report.disagreement > doctor.SAME
    assert any("DIFFER FROM" in line for line in report.lines())


def test_it_says_what_reached_the_model():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4))
    classifier = from_torch(module, output="logits", size=8, mean=127.5, std=127.5)
    report = doctor.examine(classifier, IMAGE[:8, :8])
    shape = "(1, 3, 8, 8) (NCHW, channels first)"
    assert report.reached == [f"float32 of shape {shape}, {_range(IMAGE[:8, :8] / 127.5 - 1)}"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_it_says_of_which_type_the_numbers_reached_the_model(dtype):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4)).to(getattr(torch, dtype))
    classifier = from_torch(module, output="logits", size=8, mean=127.5, std=127.5)
    assert doctor.examine(classifier, IMAGE[:8, :8]).reached[0].startswith(f"{dtype} of shape (1, 3, 8, 8)")


def test_a_batch_that_is_refused_is_told_beside_what_single_images_say():
    def one_only(batch):
        if len(batch) > 1:
            raise ValueError("one image, please")
        return light(batch)

    report = doctor.examine(one_only, IMAGE)
    assert np.isnan(report.disagreement)
    assert any("REFUSED" in line and "one image, please" in line for line in report.lines())


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


def halved(batch):
    return light(batch)


halved.prepare = lambda batch: batch[:, ::2, ::2] / 510


@pytest.mark.parametrize(
    ("wrapped", "shape"),
    [
        (adapters.binary(halved), "(1, 8, 8, 3)"),
        (adapters.box_score(halved, (0, 0, 1, 1), 0), "(1, 8, 8, 3)"),
        (adapters.replicas([halved, halved]), "(1, 8, 8, 3)"),
        (adapters.one_at_a_time(lambda image: image.mean(axis=(0, 1))), "(16, 16, 3)"),
    ],
)
def test_what_reached_a_wrapped_model_is_what_reached_the_one_within(wrapped, shape):
    found = prepared(wrapped, IMAGE[None])
    assert str(found.values.shape) == shape


def test_what_reached_a_model_in_another_process_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doctor_apart.py").write_text(
        "def classify(batch): return batch.mean(axis=(1, 2)) / 255\n"
        "classify.prepare = lambda batch: batch[:, ::2, ::2] / 255\n"
    )
    report = doctor.examine(adapters.in_processes("doctor_apart:classify", 1), IMAGE)
    assert "float64 of shape (1, 8, 8, 3)" in report.reached[0]


def test_an_svm_on_features_says_what_reached_the_network_and_what_the_svm():
    linear_model = pytest.importorskip("sklearn.linear_model")

    def features(batch):
        return batch.mean(axis=(1, 2)) / 255

    features.prepare = lambda batch: batch / 255
    batch = np.stack([IMAGE, IMAGE // 3])
    fitted = linear_model.LogisticRegression().fit(features(batch), ["light", "dark"])
    report = doctor.examine(adapters.from_sklearn(fitted, features=features), IMAGE)
    assert [one.partition(",")[0] for one in report.reached] == ["float64 of shape (1", "float64 of shape (1"]
    assert "(1, 16, 16, 3)" in report.reached[0]
    assert "(1, 3)" in report.reached[1]


def softmax(values):
    powers = np.exp(values)
    return powers / powers.sum(axis=1, keepdims=True)


def logits(batch):
    return batch.reshape(len(batch), -1)[:, :20] / 25


@pytest.mark.parametrize(
    ("classify", "twice"),
    [
        (lambda batch: softmax(softmax(logits(batch))), True),
        (lambda batch: softmax(logits(batch)), False),
        (lambda batch: softmax(logits(batch)[:, :1] * [[0, 0]] + [[0, 3]]), False),
        (lambda batch: np.full((len(batch), 1), 1.0), False),
        (logits, False),
    ],
    ids=["twice", "once", "two classes", "one class", "logits"],
)
def test_softmax_that_was_taken_twice_is_hinted_at(classify, twice):
    report = doctor.examine(classify, IMAGE)
    assert report.twice is twice
    assert any("softmax was taken twice" in line for line in report.lines()) is twice


def test_a_call_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGE).save("photo.png")
    (tmp_path / "doctor_slow.py").write_text("import time\ndef classify(batch): time.sleep(20)\n")
    result = run(
        "doctor", "photo.png", "--classifier", "doctor_slow:classify", "--call-timeout", "0.2", code=1
    )
    assert "no answer within 0.2 s" in result.stderr
    with pytest.raises(ArgumentError, match="call_timeout"):
        doctor.examine(light, IMAGE, call_timeout=0)


def test_a_classifier_that_changes_its_batch_is_shown_as_it_was_given_and_agrees_with_itself():
    def classify(batch):
        scores = light(batch)
        batch[...] = 0
        return scores

    report = doctor.examine(classify, IMAGE)
    assert report.disagreement == 0
    assert report.given.endswith(_range(IMAGE))


def failing(batch):
    raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (failing, "its prepare raised ZeroDivisionError: on purpose"),
        (lambda batch: {"pixel_values": batch}, "its prepare gave {'pixel_values'"),
        (lambda batch: ["a.png"], "its prepare gave an array of <U5 of shape (1,)"),
        (lambda batch: np.zeros((0, 3)), "its prepare gave an array of float64 of shape (0, 3)"),
    ],
)
def test_a_prepare_that_cannot_be_shown_is_told(prepare, told):
    def classify(batch):
        return light(batch)

    classify.prepare = prepare
    (reached,) = doctor.examine(classify, IMAGE).reached
    assert told in reached


def test_a_first_batch_that_takes_longer_is_not_taken_for_the_speed():
    seen = []

    def slow_first(batch):
        if len(batch) > 1 and not seen:
            seen.append(True)
            time.sleep(0.4)
        return light(batch)

    assert doctor.examine(slow_first, IMAGE).seconds_in_batch < 0.04
