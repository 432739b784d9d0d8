"""ONNX files with a sidecar that says what they want: `m.json` beside `m.onnx`."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from occlumap._checks import nearest
from occlumap._extras import from_extra
from occlumap._fingerprints import of_files
from occlumap._versions import versions_of
from occlumap.adapters.preprocessing import (
    REQUIRED,
    Preprocessing,
    check_number,
    known_keys,
    names_of,
    scores_of,
)
from occlumap.errors import ArgumentError, ClassifierNotFoundError

KEYS = (*REQUIRED, "classes", "output_name")

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


class OnnxFile:
    """An ONNX graph that takes float images, as a classifier; see `from_onnx`.

    Pickling carries the path, and a worker process opens a session of its own.
    """

    def __init__(
        self,
        path: Path,
        preprocessing: Preprocessing,
        classes: tuple[str, ...] | None,
        output_name: str | None,
    ) -> None:
        self.name = path.name
        self.input_size = preprocessing.size
        self.preprocessing = preprocessing
        if classes is not None:
            self.classes = classes
        self._path, self._wanted_output = path, output_name
        self._open()
        beside = _external_data(path, path.read_bytes())
        self.fingerprint = of_files([path, *beside], preprocessing, output_name, versions_of("onnxruntime"))

    def __call__(self, batch: NDArray[np.uint8], /) -> NDArray[np.float64]:
        """Scores, float64 (n, classes), of uint8 RGB images (n, H, W, 3) of any size."""
        inputs = self.prepare(batch)
        if self._fixed is None or len(inputs) == self._fixed:
            return self._scores(inputs)
        rows = []
        for start in range(0, len(inputs), self._fixed):  # a graph for batches of one size only
            part = inputs[start : start + self._fixed]
            padding = np.repeat(part[-1:], self._fixed - len(part), axis=0)
            rows.append(self._scores(np.concatenate([part, padding]))[: len(part)])
        return np.concatenate(rows)

    def prepare(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """What the graph is given."""
        return self.preprocessing.apply(batch).astype(self._dtype)

    def _scores(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        (outputs,) = self._session.run([self._output], {self._input: inputs})
        return scores_of(outputs, self.preprocessing.output, self.name)

    def _open(self) -> None:
        runtime = from_extra("onnx", "onnxruntime", "this classifier")
        try:
            self._session = runtime.InferenceSession(self._path, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ClassifierNotFoundError(f"expected an ONNX file at {self._path}, got: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise ArgumentError(
                f"expected one input in {self.name}, got {', '.join(one.name for one in inputs)}; wrap such a model in "
                "a function of your own"
            )
        self._input, self._dtype = inputs[0].name, _TYPES.get(inputs[0].type)
        if self._dtype is None:
            raise ArgumentError(f"expected an input of floats in {self.name}, got {inputs[0].type}")
        self._output = self._chosen_output([one.name for one in outputs])
        self._check_against_graph(list(inputs[0].shape))
        last = next(one.shape for one in outputs if one.name == self._output)
        columns = [side for side in last[1:] if side != 1]
        classes = getattr(self, "classes", None)
        told = columns[0] if len(columns) == 1 and isinstance(columns[0], int) else None
        check_number(classes, told, self.name)

    def _chosen_output(self, names: list[str]) -> str:
        wanted = self._wanted_output
        if wanted is None and len(names) == 1:
            return names[0]
        if wanted is None:
            raise ArgumentError(
                f"expected output_name, since {self.name} has the outputs {', '.join(names)}: which has the scores?"
            )
        if wanted not in names:
            raise ArgumentError(
                f"expected output_name to be one of {', '.join(names)}, got {wanted!r}{nearest(wanted, names)}"
            )
        return wanted

    def _check_against_graph(self, shape: list[Any]) -> None:
        """What the sidecar says must be what the graph takes; a side without a number takes any."""
        ours = self.preprocessing.shape
        if len(shape) != 4:
            raise ArgumentError(f"expected an input of four dimensions in {self.name}, got {shape}")
        for theirs, wanted in zip(shape[1:], ours, strict=True):
            if isinstance(theirs, int) and theirs > 0 and theirs != wanted:
                raise ArgumentError(
                    f"expected an input {tuple(ours)} without the batch (layout {self.preprocessing.layout}, colour "
                    f"{self.preprocessing.colour}, size {list(self.preprocessing.size)}), but the graph of {self.name} "
                    f"takes {tuple(shape[1:])}; mend size, layout or colour"
                )
        self._fixed = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None

    def __repr__(self) -> str:
        return f"<OnnxFile {self.name}: {self.preprocessing}>"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()


def from_onnx(path: str | os.PathLike[str], **options: Any) -> OnnxFile:
    """The classifier in an ONNX file (extra `onnx`).

    What it wants stands in a sidecar of the same name, `m.json` beside `m.onnx`, with the keys size, layout (NCHW,
    NHWC), colour (RGB, BGR, L), mean, std (input = (pixel 0..255 - mean) / std), output (probabilities, logits,
    numbers), and perhaps classes (a list of names, or a text file of them, one a line) and output_name; `options` are
    the same and win. Of logits come probabilities, by softmax. Images of another size are cut and brought to it.

    Raises ClassifierNotFoundError for no such file or none of ONNX; ArgumentError for a key that is missing, unknown,
    or contradicts the graph.
    """
    file = Path(path)
    if not file.is_file():
        raise ClassifierNotFoundError(f"expected an ONNX file at {file}, found none")
    sidecar = file.with_suffix(".json")
    given = {**_read(sidecar), **{key: value for key, value in options.items() if value is not None}}
    where = f"for {file.name}, in {sidecar.name} beside it or as arguments"
    known_keys(given, KEYS, where)
    preprocessing = Preprocessing.of(given, where)
    return OnnxFile(
        file, preprocessing, names_of(given.get("classes"), file.parent), _text(given.get("output_name"))
    )


def _read(sidecar: Path) -> dict[str, Any]:
    if not sidecar.exists():
        return {}
    try:
        found = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise ArgumentError(f"expected JSON in {sidecar}, got: {error}") from error
    if not isinstance(found, dict):
        raise ArgumentError(
            f"expected an object with the keys {', '.join(KEYS)} in {sidecar}, got a {type(found).__name__}"
        )
    return found


_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]*[\x00-\x7f])")
"""An entry of a graph's `external_data` up to its value: its key, and how long the value is, 7 bits a byte."""


def _external_data(path: Path, graph: bytes) -> list[Path]:
    """The files that the graph's tensors name, relative to its folder: weights that lie outside it."""
    names = set()
    for entry in _LOCATION.finditer(graph):
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(entry[1]))
        names.add(os.fsdecode(graph[entry.end() : entry.end() + length]))
    # an entry that names no file is no tensor's: the session has opened all of those
    found = [path.parent / name for name in sorted(names)]
    return [one for one in found if os.path.isfile(one)]  # noqa: PTH113 - Path's raises for a name that is too long


def _text(name: Any) -> Any:
    """The name of an output that is a number, as PyTorch's exports have it, is no number."""
    return str(name) if isinstance(name, int) and not isinstance(name, bool) else name
