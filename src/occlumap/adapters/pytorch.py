"""PyTorch modules, and torchvision's and timm's models with their own transforms."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import one_of
from occlumap._extras import from_extra
from occlumap.adapters.callables import Adapted
from occlumap.adapters.preprocessing import OUTPUTS, Preprocessing, checked, scores_of
from occlumap.errors import ArgumentError, ScoreError


def from_torch(
    module: Any,
    *,
    output: str,
    transform: Callable[[Any], Any] | None = None,
    size: int | tuple[int, int] | None = None,
    mean: object = None,
    std: object = None,
    colour: str = "RGB",
    device: object = None,
    dtype: object = None,
    autocast: bool = False,
    classes: Sequence[str] | None = None,
) -> Adapted:
    """A `torch.nn.Module` from (n, C, H, W) to scores (n, classes), as a classifier.

    Either `transform`, a function of a PIL image to a tensor (C, H, W), such as torchvision's and timm's own
    (`weights.transforms()`, `timm.data.create_transform(...)`), or `size`, `mean`, `std` (input = (pixel 0..255 -
    mean) / std). `output`: "logits", of which softmax makes probabilities, "probabilities", or "numbers", as they come
    (an embedding for `similarity`, an age for `regression`). `device`, `dtype` (torch's, or its name, "float16"): of
    the inputs, the module's own when None; the module is not moved. `autocast`: run in torch.autocast.

    While it is called the module is in eval mode and no gradients are kept; afterwards each submodule is as before.
    An output with `.logits` (of transformers) is taken for its logits. With a transform the image is explained at its
    own size, before the transform; with `size` at that one.

    Raises MissingDependencyError without torch, ArgumentError for a module that is none, for neither or both of
    transform and size, and for a device that torch does not have here.
    """
    torch = from_extra("torch", "torch", "this classifier")
    if not isinstance(module, torch.nn.Module):
        advice = "; hand in its .module()" if isinstance(module, torch.export.ExportedProgram) else ""
        raise ArgumentError(f"expected a torch.nn.Module, got {type(module).__name__}{advice}")
    one_of("output", output, OUTPUTS)
    if not isinstance(autocast, bool):
        raise ArgumentError(f"expected autocast to be True or False, got {autocast!r}")
    if (transform is None) == all(one is None for one in (size, mean, std)):
        raise ArgumentError("expected either transform, or size, mean and std, got both or neither")
    if device is not None:
        try:
            torch.empty(0, device=device)
        except Exception as error:  # AssertionError, RuntimeError, TypeError: as the device may be
            raise ArgumentError(
                f"expected device to be one that torch has here, such as 'cpu', got {device!r}: {error!s:.200}"
            ) from error
    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(wanted, torch.dtype) and wanted.is_floating_point):
        raise ArgumentError(
            f"expected dtype to be one of torch's floats, such as torch.float32 or 'float32', got {dtype!r}"
        )
    if transform is not None and colour != "RGB":
        raise ArgumentError(
            f"expected colour only with size, mean and std, got {colour!r} beside a transform, which is given RGB and "
            "may turn it itself"
        )
    preprocessing = None
    if transform is None:
        given = {"size": size, "mean": mean, "std": std, "colour": colour, "layout": "NCHW", "output": output}
        preprocessing = Preprocessing.of(given, "for a module without a transform")
    name = type(module).__name__

    def prepare(batch: NDArray[np.uint8]) -> Any:
        pixels = checked(batch)
        if preprocessing is not None:
            inputs = torch.from_numpy(preprocessing.apply(pixels))
        else:
            from PIL import Image

            inputs = torch.stack([torch.as_tensor(transform(Image.fromarray(one))) for one in pixels])  # type: ignore[misc]
        like = next((one for one in module.parameters() if one.is_floating_point()), None)
        where = device if device is not None else (like.device if like is not None else "cpu")
        kind = wanted if wanted is not None else (like.dtype if like is not None else torch.float32)
        return inputs.to(device=where, dtype=kind)

    def scores(batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        with eval_mode(module), torch.inference_mode():
            inputs = prepare(batch)
            with torch.autocast(inputs.device.type) if autocast else contextlib.nullcontext():
                outputs = _outputs(module, inputs, autocast)
        outputs = getattr(outputs, "logits", outputs)
        if not isinstance(outputs, torch.Tensor) or outputs.is_complex():
            got = "complex numbers" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            raise ScoreError(
                f"expected a tensor of real scores from {name!r}, got {got}; wrap it in a module that gives one"
            )
        return scores_of(outputs.detach().to("cpu", torch.float64).numpy(), output, name)

    return Adapted(scores, name, classes, None if preprocessing is None else preprocessing.size, prepare)


def _outputs(module: Any, inputs: Any, autocast: bool) -> Any:
    """What the module gives; ArgumentError, which names `dtype`, where it refuses inputs of another than its own."""
    try:
        return module(inputs)
    except RuntimeError as error:
        own = sorted({str(one.dtype) for one in module.parameters()} - {str(inputs.dtype)})
        if autocast or not own or "type" not in str(error):  # such as: out of memory
            raise
        raise ArgumentError(
            f"expected inputs of the module's own dtype, {' and '.join(own)}, got {inputs.dtype}; leave dtype out, "
            f"move the module (module.to({inputs.dtype})), or say autocast=True. Torch says: {error!s:.200}"
        ) from error


class _Inside:
    """How many calls of one module are under way, and what its submodules were before the first."""

    def __init__(self) -> None:
        self.calls = 0
        self.training: list[tuple[Any, bool]] = []


_lock = threading.Lock()
_inside: weakref.WeakKeyDictionary[Any, _Inside] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def eval_mode(module: Any) -> Iterator[None]:
    """Every submodule in eval mode, and back to what each was when the last of several threads has left."""
    with _lock:
        inside = _inside.setdefault(module, _Inside())
        if not inside.calls:
            # what torch.jit.freeze leaves has no mode: it is always in eval mode
            inside.training = [(one, one.training) for one in module.modules() if hasattr(one, "training")]
            try:
                module.eval()
            except NotImplementedError:  # of torch.export, whose mode was settled then
                for one, _ in inside.training:
                    one.training = False
        inside.calls += 1
    try:
        yield
    finally:
        with _lock:
            inside.calls -= 1
            if not inside.calls:
                for one, was in inside.training:
                    one.training = was
