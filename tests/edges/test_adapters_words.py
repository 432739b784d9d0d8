"""Adapters refuse in words: what is damaged, hostile, not there, or of another kind than expected."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import occlumap
from occlumap import adapters
from occlumap.classifiers import score
from occlumap.errors import (
    ArgumentError,
    ClassifierError,
    ClassifierNotFoundError,
    ImageError,
    OcclumapWarning,
    ScoreError,
)
from tests.edges import test_adapters

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras

BATCH = test_adapters.BATCH[:2]
MADE = {key: test_adapters.SIDECAR[key] for key in ("output", "size", "mean", "std")}


def keras_file(folder: Path, **changed: bytes) -> Path:
    """A small Keras file, some of whose members are others; `config` and `weights` name them."""
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.layers.Input((*test_adapters.SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(5)]
    )
    path = folder / "m.keras"
    model.save(path)
    members = {"config": "config.json", "weights": "model.weights.h5"}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {members[key]: value for key, value in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {"config": b"{"},
        {"config": b"[1]"},
        {"config": b"[" * 100_000},
        {"config": json.dumps({"module": "os", "class_name": "system", "config": {}}).encode()},
        {"weights": b"none"},
    ],
)
def test_a_keras_file_that_is_damaged_or_hostile_is_told(tmp_path, changed):
    path = keras_file(tmp_path, **changed)
    with pytest.raises(ClassifierNotFoundError, match=r"expected a Keras model at .*m\.keras"):
        occlumap.load(path, output="logits", mean=0, std=1)


def test_a_keras_file_of_which_half_is_missing_is_told(tmp_path):
    path = keras_file(tmp_path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ClassifierNotFoundError, match="expected a Keras model"):
        occlumap.load(path, output="logits", mean=0, std=1)


def test_a_backend_of_keras_that_is_not_there_is_told(tmp_path):
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("jax") is not None:
        pytest.skip("Keras, or a backend that is not there, is not there")
    (tmp_path / "m.keras").touch()
    code = "import occlumap; occlumap.load('m.keras', output='logits')"
    source = str(Path(occlumap.__file__).parents[1])
    there = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": source}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=there, capture_output=True, text=True, check=False
    )
    last = ended.stderr.splitlines()[-1]
    assert "got no jax; set the environment variable KERAS_BACKEND" in last
    assert "pip install" not in last


@pytest.mark.parametrize("text", ['{"size": ' + "[" * 100_000, json.dumps({"classes": "a\0b"})])
def test_a_sidecar_that_is_hostile_is_told(tmp_path, text):
    path = test_adapters.write_onnx(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ArgumentError, match=r"m\.json|file of class names"):
        adapters.from_onnx(path, **{key: test_adapters.SIDECAR[key] for key in ("layout", "colour", *MADE)})


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"device": "nonsense"}, "one that torch has here"),
        ({"dtype": "nonsense"}, "one of torch's floats"),
        ({"dtype": np.float32}, "one of torch's floats"),
        ({"dtype": "int8"}, "one of torch's floats"),
    ],
)
def test_torch_refuses_what_it_does_not_have(option, told):
    with pytest.raises(ArgumentError, match=told):
        adapters.from_torch(test_adapters.torch_module(), **MADE, **option)


def test_torch_says_when_there_is_no_such_accelerator():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ArgumentError, match="got 'cuda'"):
        adapters.from_torch(test_adapters.torch_module(), **MADE, device="cuda")


@pytest.mark.parametrize(("own", "given"), [("float32", "float64"), ("float64", "float32")])
def test_torch_names_the_option_when_it_is_given_another_type_than_the_modules(own, given):
    torch = pytest.importorskip("torch")
    module = test_adapters.torch_module().to(getattr(torch, own))
    classifier = adapters.from_torch(module, **MADE, dtype=given)
    with pytest.raises(ArgumentError, match=rf"own dtype, torch\.{own}, got torch\.{given}; leave dtype out"):
        classifier(BATCH)


@pytest.mark.parametrize("changed", [{"mean": [0.485, 0.456, 0.406]}, {"std": [0.229, 0.224, 0.225]}])
def test_mean_and_std_of_pixels_from_0_to_1_are_warned_about(changed):
    with pytest.warns(OcclumapWarning, match=r"0\.2|0\.4.* look like those of pixels 0\.\.1") as caught:
        adapters.from_torch(test_adapters.torch_module(), **{**MADE, **changed})
    assert caught[0].filename == __file__


def test_torch_takes_a_type_by_its_name():
    module = test_adapters.torch_module().double()
    classifier = adapters.from_torch(module, **MADE, dtype="float64")
    np.testing.assert_allclose(classifier(BATCH), test_adapters.expected(BATCH), atol=1e-5)


def test_a_torch_module_itself_is_no_classifier_and_says_how_to_make_one():
    with pytest.raises(ClassifierError, match=r"TypeError.*occlumap\.adapters\.from_torch\("):
        occlumap.explain(test_adapters.torch_module(), BATCH[0])


def test_torch_outputs_that_are_no_scores_are_told():
    torch = pytest.importorskip("torch")

    class Gives(torch.nn.Module):
        def __init__(self, given):
            super().__init__()
            self.given = given

        def forward(self, inputs):
            return self.given

    with pytest.raises(ScoreError, match="got tuple"):
        adapters.from_torch(Gives((1, 2)), **MADE)(BATCH)
    with pytest.raises(ScoreError, match="complex"):
        adapters.from_torch(Gives(torch.zeros(2, 2, dtype=torch.complex64)), **MADE)(BATCH)


@pytest.mark.parametrize("maker", test_adapters.MAKERS, ids=lambda maker: maker.__name__)
def test_an_empty_batch_is_refused(tmp_path, maker):
    made = maker(tmp_path)
    classifier = made[0] if isinstance(made, tuple) else made
    with pytest.raises(ImageError, match="one image or more"):
        classifier(BATCH[:0])


@pytest.mark.parametrize(
    "returned",
    [np.full((2, 2), 1j), [["a", "b"]] * 2, [[1, 2], [3]], [object()] * 2],
    ids=["complex", "text", "ragged", "objects"],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda given: lambda batch: given,
        lambda given: adapters.one_at_a_time(lambda image: given),
        lambda given: adapters.binary(lambda batch: given),
        lambda given: adapters.regression(lambda batch: given),
        lambda given: adapters.box_score(lambda batch: [(given, given)] * len(batch), (0, 0, 1, 1), 0),
    ],
    ids=["plain", "one_at_a_time", "binary", "regression", "box_score"],
)
def test_scores_that_are_no_real_numbers_are_told(returned, wrap):
    with pytest.raises(ScoreError, match="expected"):
        score(wrap(returned), BATCH)


@pytest.mark.parametrize(
    "box", ["abcd", None, [1, [2], 3, 4], [0, 0, float("inf"), 1], [0, 0, float("nan"), 1]]
)
def test_a_box_of_something_else_is_refused(box):
    with pytest.raises(ArgumentError, match="expected box as"):
        adapters.box_score(lambda batch: [], box, 0)


@pytest.mark.parametrize(
    "found", [None, [1, 2], [([[0, 0, 1]], [[1]])] * 2, [("abcd", [[1]])] * 2, [([], [])]]
)
def test_detections_of_another_kind_are_told(found):
    with pytest.raises(ScoreError, match="expected"):
        score(adapters.box_score(lambda batch: found, (0, 0, 1, 1), 0), BATCH)


@pytest.mark.parametrize("name", ["one_at_a_time", "binary", "regression", "similarity", "box_score"])
def test_what_is_no_function_is_refused(name):
    others = {"similarity": (BATCH[0],), "box_score": ((0, 0, 1, 1), 0)}.get(name, ())
    with pytest.raises(ArgumentError, match="expected a function"):
        getattr(adapters, name)(3, *others)


def test_replicas_take_a_list():
    with pytest.raises(ArgumentError, match="a list of classifiers"):
        adapters.replicas(lambda batch: batch)


def embed(batch):
    return batch.reshape(len(batch), -1)[:, :7].astype(float) + 1


embed.input_size = (8, 12)


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")  # of transparency
def test_a_reference_is_read_as_every_image():
    picture = BATCH[0]
    with_alpha = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    grey = picture[..., 0]
    for reference, same in [
        (with_alpha, picture),
        (grey, np.dstack([grey] * 3)),
        (np.kron(picture, np.ones((2, 2, 1), np.uint8)), None),
    ]:
        found = adapters.similarity(embed, reference)(BATCH)
        if same is not None:
            np.testing.assert_allclose(found, adapters.similarity(embed, same)(BATCH))
    with pytest.raises(ImageError, match="expected an image"):
        adapters.similarity(embed, 3)
    with pytest.raises(ScoreError, match="not finite"):
        adapters.similarity(lambda batch: embed(batch) * np.nan, picture)


# ---- what a framework knows, and what it must be told


def two_labels():
    features = test_adapters.BATCH.reshape(33, -1) / 255
    return features, np.stack([np.arange(33) % 2, np.arange(33) % 3 == 0], axis=1).astype(int)


@pytest.mark.parametrize(
    "maker",
    ["ensemble.RandomForestClassifier", "neighbors.KNeighborsClassifier", "multiclass.OneVsRestClassifier"],
)
def test_an_estimator_of_several_labels_has_a_column_for_each(maker):
    linear_model = pytest.importorskip("sklearn.linear_model")
    module, _, name = maker.rpartition(".")
    kind = getattr(importlib.import_module(f"sklearn.{module}"), name)
    features, labels = two_labels()
    fitted = (kind(linear_model.LogisticRegression()) if "Rest" in name else kind()).fit(features, labels)
    classifier = adapters.from_sklearn(
        fitted, features=lambda batch: batch.reshape(len(batch), -1) / 255, classes=["odd", "third"]
    )
    theirs = fitted.predict_proba(features)
    if isinstance(theirs, list):
        theirs = np.stack([one[:, 1] for one in theirs], axis=1)
    np.testing.assert_allclose(classifier(test_adapters.BATCH), theirs)
    assert classifier.classes == ("odd", "third")


def test_several_labels_that_are_not_yes_or_no_are_refused():
    neighbors = pytest.importorskip("sklearn.neighbors")
    features, labels = two_labels()
    labels[0, 1] = 2
    fitted = neighbors.KNeighborsClassifier().fit(features, labels)
    with pytest.raises(ArgumentError, match="labels of 2, 3 classes"):
        adapters.from_sklearn(fitted, size=test_adapters.SIZE)


def test_a_network_of_opencv_whose_scores_depend_on_the_batch_is_warned_about():
    from occlumap.adapters import opencv

    with pytest.warns(OcclumapWarning, match="other scores for two images together.*ENGINE_CLASSIC"):
        opencv._check_batches(lambda inputs: inputs.mean(axis=(2, 3)) * len(inputs), (3, 4, 4))
    opencv._check_batches(lambda inputs: inputs.mean(axis=(2, 3)), (3, 4, 4))
    opencv._check_batches(lambda inputs: inputs[:1].mean(axis=(2, 3)), (3, 4, 4))  # of one image only


def keras_model(*layers, channels=3):
    keras = pytest.importorskip("keras")
    first = keras.layers.Input((*test_adapters.SIZE, channels))
    return keras.Sequential([first, *layers, keras.layers.Flatten(), keras.layers.Dense(5)])


def test_keras_asks_for_mean_and_std_unless_the_model_has_its_own():
    keras = pytest.importorskip("keras")
    with pytest.raises(ArgumentError, match="expected mean, std for a Keras model"):
        adapters.from_keras(keras_model(), output="logits")
    with pytest.raises(ArgumentError, match="expected std for a Keras model"):
        adapters.from_keras(keras_model(), output="logits", mean=3)
    within = keras.Sequential([keras.layers.Input((8, 12, 3)), keras.layers.Rescaling(1 / 255)])
    classifier = adapters.from_keras(keras_model(within), output="logits")
    assert classifier.prepare(BATCH).max() == BATCH.max()
    with pytest.warns(OcclumapWarning, match="a Rescaling layer at its input.*scaled twice") as caught:
        adapters.from_keras(keras_model(within), output="logits", mean=127.5, std=127.5)
    assert caught[0].filename == __file__
    of_ones = keras.layers.Rescaling(2, offset=-1)  # for numbers from 0 to 1
    with pytest.raises(ArgumentError, match="Rescaling layer takes other numbers than pixels.*std=255"):
        adapters.from_keras(keras_model(of_ones), output="logits")
    assert (
        adapters.from_keras(keras_model(of_ones), output="logits", mean=0, std=255).prepare(BATCH).max() <= 1
    )
    learnt = {"pixels": (120, 3600, True), "numbers from 0 to 1": (0.5, 0.05, False)}
    for mean, variance, of_pixels in learnt.values():
        layer = keras.layers.Normalization(mean=[mean] * 3, variance=[variance] * 3)
        if of_pixels:
            adapters.from_keras(keras_model(layer), output="logits")
        else:
            with pytest.raises(ArgumentError, match="Normalization layer takes other numbers than pixels"):
                adapters.from_keras(keras_model(layer), output="logits")
    later = (keras.layers.Conv2D(4, 3), keras.layers.Rescaling(0.1))
    with pytest.raises(ArgumentError, match="expected mean, std for a Keras model"):
        adapters.from_keras(keras_model(*later), output="logits")
    with pytest.raises(ArgumentError, match="got both"):
        adapters.from_keras(keras_model(), output="logits", preprocess=lambda pixels: pixels, mean=1)


@pytest.mark.parametrize(
    ("channels", "options", "told"),
    [
        (1, {}, "as many channels as the model takes, 1"),
        (3, {"colour": "L"}, "as many channels as the model takes, 3"),
        (3, {"classes": ["a"]}, "expected 5 class names"),
        (3, {"size": 8}, r"expected size \[8, 12\]"),
    ],
)
def test_keras_refuses_what_contradicts_the_model(channels, options, told):
    with pytest.raises(ArgumentError, match=told):
        adapters.from_keras(keras_model(channels=channels), output="logits", mean=0, std=1, **options)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"size": 16}, "mend size"),
        ({"colour": "L", "mean": 0, "std": 1}, "colour L"),
        ({"output_name": "nowhere"}, "nowhere"),
        ({"classes": ["a"]}, "expected 5 class names"),
    ],
)
def test_opencv_refuses_what_the_network_does_not_take(tmp_path, changed, told):
    cv2 = pytest.importorskip("cv2")
    net = cv2.dnn.readNetFromONNX(str(test_adapters.write_onnx(tmp_path / "m.onnx", batch=1)))
    with pytest.raises(ArgumentError, match=told):
        adapters.from_opencv(net, **{**MADE, "size": test_adapters.SIZE, "colour": "RGB", **changed})


@pytest.mark.skipif(not test_adapters.SHARED.exists(), reason="the shared models are not there")
@pytest.mark.parametrize(
    "changed", [{"size": 64}, {"colour": "L"}, {"layout": "NHWC"}], ids=["size", "colour", "layout"]
)
def test_opencv_refuses_what_a_real_network_would_take_in_silence(changed):
    cv2 = pytest.importorskip("cv2")
    if int(cv2.__version__.partition(".")[0]) < 5:
        pytest.skip("OpenCV 4 does not say what an ONNX file takes")
    net = cv2.dnn.readNet(str(test_adapters.SHARED / "mobilenet_v1_025_128.onnx"))
    right = {"size": 128, "colour": "RGB", "layout": "NCHW", "mean": 127.5, "std": 127.5}
    with pytest.raises(ArgumentError, match=r"takes \(3, 128, 128\); mend size"):
        adapters.from_opencv(net, **{**right, **changed}, output="probabilities")
    assert adapters.from_opencv(net, **right, output="probabilities").input_size == (128, 128)


def test_opencv_takes_any_side_that_the_network_leaves_open(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = test_adapters.write_onnx(tmp_path / "m.onnx", size=("height", test_adapters.SIZE[1]))
    net = cv2.dnn.readNet(str(path))
    classifier = adapters.from_opencv(net, **{**MADE, "size": test_adapters.SIZE}, colour="RGB")
    np.testing.assert_allclose(classifier(BATCH), test_adapters.expected(BATCH), atol=1e-5)


@pytest.mark.parametrize("maker", ["torch", "onnx", "keras"])
def test_embeddings_and_other_numbers_come_as_they_are(tmp_path, maker):
    about = {**MADE, "output": "numbers"}
    if maker == "torch":
        embed = adapters.from_torch(test_adapters.torch_module(), **about)
    elif maker == "onnx":
        path = test_adapters.write_onnx(
            tmp_path / "m.onnx", sidecar={**test_adapters.SIDECAR, "output": "numbers"}
        )
        embed = adapters.from_onnx(path)
    else:
        embed = adapters.from_keras(keras_model(), **about)
    found = embed(BATCH)
    assert found.min() < 0
    lengths = np.linalg.norm(found, axis=1)
    cosine = found[0] @ found[1] / lengths[0] / lengths[1]
    np.testing.assert_allclose(adapters.similarity(embed, BATCH[0])(BATCH)[1, 0], cosine, rtol=1e-5)


def test_probabilities_as_an_embedding_are_warned_about():
    with pytest.warns(OcclumapWarning, match="output='numbers'"):
        adapters.similarity(adapters.from_torch(test_adapters.torch_module(), **MADE), BATCH[0])


def test_a_modules_dtype_is_that_of_its_first_floats():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.ParameterList(), test_adapters.torch_module())
    module[0].append(torch.nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False))
    module.forward = module[1].forward
    np.testing.assert_allclose(
        adapters.from_torch(module, **MADE)(BATCH), test_adapters.expected(BATCH), atol=1e-5
    )


def test_one_number_of_a_network_is_explained_by_regression():
    torch = pytest.importorskip("torch")
    pixels = 3 * np.prod(test_adapters.SIZE)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(pixels), 1))
    torch.nn.init.constant_(network[1].bias, 40)
    for wrong in ("logits", "probabilities"):
        ages = adapters.from_torch(network, **{**MADE, "output": wrong})
        with pytest.raises(ScoreError, match="output='numbers'"):
            ages(BATCH)
    ages = adapters.from_torch(network, **{**MADE, "output": "numbers"})
    found = adapters.regression(ages, "age")(BATCH)
    with torch.no_grad():
        theirs = network(torch.from_numpy(ages.prepare(BATCH).numpy())).numpy()
    np.testing.assert_allclose(found, theirs, rtol=1e-5)


@pytest.mark.parametrize("classes", [{"no", "yes"}, {"no": 0, "yes": 1}, {1: "no", 2: "yes"}])
def test_names_without_the_order_of_the_columns_are_refused(classes):
    with pytest.raises(ArgumentError, match="has no order|must be the columns"):
        adapters.binary(lambda batch: batch[:, 0, 0, 0], classes=classes)


def test_names_by_their_columns_are_taken_in_the_columns_order():
    classify = adapters.binary(lambda batch: batch[:, 0, 0, 0], classes={1: "yes", 0: "no"})
    assert classify.classes == ("no", "yes")
    generated = (name for name in "abcde")
    assert adapters.from_keras(keras_model(), **MADE, classes=generated).classes == tuple("abcde")


@pytest.mark.parametrize("within", [False, True])
def test_margins_of_pairs_of_classes_are_refused(within):
    svm = pytest.importorskip("sklearn.svm")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    fitted = svm.SVC(decision_function_shape="ovo")
    fitted = make_pipeline(Normalizer(), fitted) if within else fitted
    fitted.fit(test_adapters.BATCH.reshape(33, -1) / 255, np.arange(33) % 3)
    with pytest.raises(ArgumentError, match="each pair of the 3 classes"):
        adapters.from_sklearn(fitted, size=test_adapters.SIZE)


def test_colour_beside_a_preparation_of_ones_own_is_refused():
    with pytest.raises(ArgumentError, match="colour only with size, mean and std, got 'BGR'"):
        adapters.from_torch(
            test_adapters.torch_module(), output="logits", transform=lambda image: image, colour="BGR"
        )
    with pytest.raises(ArgumentError, match="colour only with mean and std, got 'BGR'"):
        adapters.from_keras(keras_model(), output="logits", preprocess=lambda pixels: pixels, colour="BGR")


@pytest.mark.filterwarnings("ignore")  # of torch, that TorchScript is old
@pytest.mark.parametrize("kind", ["scripted", "frozen", "optimised", "exported", "exported within"])
def test_torch_modules_without_a_mode_are_taken_as_in_eval_mode(kind):
    torch = pytest.importorskip("torch")
    module = test_adapters.torch_module().eval()
    if kind.startswith("exported"):
        sides = {0: torch.export.Dim("n")}
        zeros = torch.zeros(2, 3, *test_adapters.SIZE)
        program = torch.export.export(module, (zeros,), dynamic_shapes=(sides,))
        with pytest.raises(ArgumentError, match=r"got ExportedProgram; hand in its \.module\(\)"):
            adapters.from_torch(program, **MADE)
        made = program.module()
        made = torch.nn.Sequential(made, torch.nn.Dropout(0.9)) if kind == "exported within" else made
    else:
        made = torch.jit.script(module)
        made = made if kind == "scripted" else torch.jit.freeze(made)
        made = torch.jit.optimize_for_inference(made) if kind == "optimised" else made
    classifier = adapters.from_torch(made, **MADE)
    np.testing.assert_allclose(classifier(BATCH), test_adapters.expected(BATCH), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of transformers
def test_a_pipeline_of_transformers_is_followed_in_dtype_function_and_labels(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from PIL import Image

    folder = str(test_adapters.write_transformers(tmp_path / "vit"))
    for told in ({"dtype": torch.bfloat16}, {"function_to_apply": "sigmoid"}, {"function_to_apply": "none"}):
        pipeline = transformers.pipeline("image-classification", model=folder, **told)
        theirs = {one["label"]: one["score"] for one in pipeline(Image.fromarray(BATCH[0]))}
        classifier = adapters.from_huggingface(pipeline)
        np.testing.assert_allclose(
            classifier(BATCH[:1])[0], [theirs[name] for name in classifier.classes], atol=5e-3
        )
    with pytest.raises(ScoreError, match=r"occlumap\.adapters\.from_huggingface\("):
        occlumap.explain(pipeline, BATCH[0])
    pipeline.model.config.id2label = {1: "cat", 2: "dog", 3: "eel"}
    with pytest.raises(ArgumentError, match="the columns 0 to 2, got 1, 2, 3"):
        adapters.from_huggingface(pipeline)


@pytest.mark.filterwarnings("ignore")  # of transformers and timm
def test_an_image_processor_of_timm_in_transformers_is_taken():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from types import SimpleNamespace

    from PIL import Image

    class Plain:
        def __call__(self, images, return_tensors):  # as TimmWrapperImageProcessor: no input_data_format
            assert all(isinstance(one, Image.Image) for one in images)
            pixels = torch.from_numpy(np.stack([np.asarray(one) for one in images])).permute(0, 3, 1, 2)
            return transformers.BatchFeature({"pixel_values": pixels.float()})

    class Network(torch.nn.Linear):
        dtype, device = torch.float32, torch.device("cpu")
        config = SimpleNamespace(id2label={0: "a", 1: "b"}, num_labels=2, problem_type=None)

        def forward(self, pixel_values):
            return SimpleNamespace(logits=super().forward(pixel_values.mean((2, 3)) / 255))

    pipeline = SimpleNamespace(task="image-classification", model=Network(3, 2), image_processor=Plain())
    assert adapters.from_huggingface(pipeline)(BATCH).shape == (2, 2)


def test_a_keras_model_itself_is_no_classifier_and_says_how_to_make_one():
    with pytest.raises((ClassifierError, ScoreError), match=r"occlumap\.adapters\.from_keras\("):
        occlumap.explain(keras_model(), BATCH[0])


def test_a_reference_of_another_size_is_told():
    like = adapters.similarity(lambda batch: batch.reshape(len(batch), -1) * 1.0, BATCH[0, :4])
    with pytest.raises(ScoreError, match=r"of 144 numbers .* got 288.*the reference having \(4, 12\)"):
        like(BATCH)


def test_a_number_has_one_name():
    with pytest.raises(ArgumentError, match="expected one name for the number"):
        adapters.regression(lambda batch: batch.mean(axis=(1, 2, 3)), ["a", "b"])
