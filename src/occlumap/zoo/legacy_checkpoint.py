"""Read PyTorch's old checkpoint format (before 1.6, not a zip) without PyTorch, running nothing in it.

Source: `torch.serialization._legacy_save`. Such a file is five pickles, one after the other (a magic number,
a protocol version, facts about the machine, the state dict whose tensors point at storages, the list of
storage keys), then each storage as a 64-bit count and its raw values.
"""

import io
import pickle  # only through _Unpickler, which admits a handful of names and no others
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from occlumap.errors import FileFormatError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_ADVICE = "the file is damaged or of another kind: get it again (reinstall the package that brought it)"
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


class _Storage(NamedTuple):
    """One block of raw values in the file."""

    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    """A tensor as the pickle tells it: which storage, and where in it (counted in values, not bytes)."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(data: bytes, name: str = "the checkpoint") -> dict[str, NDArray[Any]]:
    """The arrays of a state dict by their names, in the file's order, from the bytes `data` of the file.

    The arrays are read-only views, of any shape and stride, of the values in the file. `name` stands in
    messages. Raises FileFormatError when the file is of another format, is cut off, has anything in its
    pickles but tensors, or when a tensor reaches outside its storage. Nothing in the file is executed.
    """
    if data.startswith(b"PK\x03\x04"):
        raise FileFormatError(
            f"expected PyTorch's old checkpoint format in {name}, got its newer zip format; "
            "save it with torch.save(..., _use_new_zipfile_serialization=False)"
        )
    file = io.BytesIO(data)
    if _unpickle(file, name)[0] != _MAGIC_NUMBER or _unpickle(file, name)[0] != _PROTOCOL_VERSION:
        raise FileFormatError(f"expected PyTorch's old checkpoint format in {name}, got another; {_ADVICE}")
    machine, _ = _unpickle(file, name)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise FileFormatError(
            f"expected a little-endian machine's values in {name}, got {machine!r}; {_ADVICE}"
        )
    tensors, storages = _unpickle(file, name)
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(tensor, _Tensor) for key, tensor in dict.items(tensors)
    ):
        raise FileFormatError(f"expected names and tensors in {name}, got other values; {_ADVICE}")
    values = _read_storages(file, storages, name)
    return {key: _view(tensor, values, f"{name}, tensor {key!r}") for key, tensor in dict.items(tensors)}


class _Unpickler(pickle._Unpickler):
    """Admits tensors in dicts; refuses every other name, so that a hostile pickle has nothing to call.

    What it hands out is immutable or made anew, since a pickle may also set attributes (opcode BUILD). In Python, as
    the one in C makes room for as many values as one damaged number says, gigabytes of it.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor_maker()
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no plain state dict needs")

    def persistent_load(self, pid: Any, /) -> _Storage:
        kind, dtype, key, _location, length, view = pid
        if (
            kind != "storage"
            or dtype not in _DTYPES.values()
            or not isinstance(key, str)
            or not _is_count(length)
            or view is not None
        ):
            raise pickle.UnpicklingError(f"it describes a storage as {pid!r}")
        storage = _Storage(key, dtype, length)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {key!r} in two ways")
        return storage


def _tensor_maker() -> Callable[..., _Tensor]:
    def rebuild(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
        if (
            isinstance(storage, _Storage)
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and len(shape) == len(strides)
            and all(map(_is_count, (offset, *shape, *strides)))
        ):
            return _Tensor(storage, offset, shape, strides)  # type: ignore[arg-type]
        raise pickle.UnpicklingError(f"it describes a tensor as {(storage, offset, shape, strides)!r}")

    return rebuild


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _unpickle(file: io.BytesIO, name: str) -> tuple[Any, dict[str, _Storage]]:
    """The next pickled object of `file`, and the storages that it speaks of."""
    unpickler = _Unpickler(file)
    try:
        return unpickler.load(), unpickler.storages
    except Exception as error:  # a broken pickle can raise anything
        raise FileFormatError(
            f"expected a PyTorch state dict in {name}, got something that was refused, not run: "
            f"{type(error).__name__}: {error}; {_ADVICE}"
        ) from error


def _read_storages(file: io.BytesIO, storages: dict[str, _Storage], name: str) -> dict[str, NDArray[Any]]:
    """The values of every storage, by key."""
    keys, _ = _unpickle(file, name)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise FileFormatError(f"expected {len(storages)} storages in {name}, got other keys; {_ADVICE}")
    values = {}
    for key in keys:
        _, dtype, length = storages[key]
        size = length * np.dtype(dtype).itemsize
        header, raw = file.read(8), file.read(min(size, len(file.getbuffer())))
        if len(header) != 8 or int.from_bytes(header, "little") != length or len(raw) != size:
            raise FileFormatError(
                f"expected {length} values for storage {key!r} in {name}, got another number; {_ADVICE}"
            )
        values[key] = np.frombuffer(raw, dtype)
    if file.read(1):
        raise FileFormatError(f"expected the end of {name} after its last storage, got more; {_ADVICE}")
    return values


def _view(tensor: _Tensor, values: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """The tensor's values. Not copied, so a stride of 0 cannot blow a small file up to any size."""
    storage, offset, shape, strides = tensor
    steps = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    stop = offset if 0 in shape else offset + steps + 1
    if stop > storage.length:
        raise FileFormatError(
            f"expected values within the {storage.length} of its storage in {name}, got offset {offset}, "
            f"shape {shape}, strides {strides}; {_ADVICE}"
        )
    base = values[storage.key][offset:]
    try:
        return as_strided(base, shape, [stride * base.itemsize for stride in strides], writeable=False)
    except (ValueError, OverflowError) as error:  # a shape of 10**18 with stride 0
        raise FileFormatError(f"expected a sane shape in {name}, got {shape}; {_ADVICE}") from error
