"""Weights out of PyTorch's old .pth format, without torch and without running what the file says.

The format (torch.save before 1.6): five pickles - magic number, protocol, system information, the object
with its tensors' storages as persistent ids, the list of storage keys - and then each storage as a 64-bit
count and raw little-endian values.
"""

import io
import pickle
import struct
from collections import OrderedDict
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import FileFormatError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class _Storage:
    def __init__(self, dtype: str, count: int) -> None:
        self.dtype, self.count = np.dtype(dtype), count
        self.values: NDArray[Any] = np.empty(0, dtype)


class _Tensor:
    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> NDArray[Any]:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min(self.shape, default=1) < 1 or self.offset < 0 or min(self.strides, default=0) < 0:
            raise FileFormatError("expected tensors with values, got an empty or reversed one")
        if last >= len(self.storage.values):
            raise FileFormatError(f"expected {last + 1} values in a storage, got {len(self.storage.values)}")
        strides = tuple(stride * self.storage.dtype.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(self.storage.values[self.offset :], self.shape, strides)
        return np.array(view)


def _tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: object) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries and tensors; refuses everything else that a pickle can name."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise FileFormatError(f"expected only tensors in the checkpoint, got {module}.{name}; it was not run")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, count, view = pid
        if kind != "storage" or storage_type not in _DTYPES or view is not None:
            raise FileFormatError(f"expected a plain storage in the checkpoint, got {pid!r}")
        return self.storages.setdefault(str(key), _Storage(_DTYPES[storage_type], int(count)))


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """Names and arrays of a checkpoint's tensors; FileFormatError for anything but a plain one."""
    try:
        return _read(io.BytesIO(data))
    except FileFormatError:
        raise
    except Exception as error:
        raise FileFormatError(
            f"expected a PyTorch checkpoint of the old format, could not read it: {error!r}"
        ) from error


def _read(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    if _Unpickler(file).load() != _MAGIC:
        _refuse("the magic number of the old format")
    _Unpickler(file).load()
    _Unpickler(file).load()
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        raw = file.read(storage.count * storage.dtype.itemsize)
        if count != storage.count or len(raw) != storage.count * storage.dtype.itemsize:
            _refuse(f"{storage.count} values in storage {key}")
        storage.values = np.frombuffer(raw, storage.dtype)
    if not isinstance(tensors, OrderedDict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        _refuse("a dictionary of tensors")
    return {str(name): tensor.array() for name, tensor in tensors.items()}


def _refuse(expected: str) -> NoReturn:
    raise FileFormatError(f"expected {expected} in the checkpoint, got something else; it may be cut off")
