"""Reading PyTorch's old checkpoints: tensors right, anything else refused and never run."""

import io
import itertools
import pickle
import struct
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlumap.errors import FileFormatError
from occlumap.zoo.legacy_checkpoint import read

MAGIC, PROTOCOL, MACHINE = 0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}


class Named:
    """Pickles as the global `module.name`, whether or not there is such a module here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Storage:
    def __init__(self, key: str, values: Any, kind: str = "FloatStorage", length: int | None = None) -> None:
        self.key, self.values, self.kind = key, np.asarray(values), kind
        self.length = self.values.size if length is None else length


class Call:
    """Pickles as the call `function(*arguments)`."""

    def __init__(self, function: Named, *arguments: object) -> None:
        self.function, self.arguments = function, arguments


class Writer(pickle._Pickler):  # the Python twin of the pickler, which can be taught new classes
    view = None

    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, Storage):
            kind = Named("torch", obj.kind) if obj.kind.endswith("Storage") else obj.kind
            return ("storage", kind, obj.key, "cpu", obj.length, self.view)
        return None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def pickled(value: object, view: object = None) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, protocol=2)
    writer.view = view
    writer.dump(value)
    return file.getvalue()


def tensor(storage: Storage, shape: Any, strides: Any, offset: Any = 0) -> Call:
    hooks = Call(Named("collections", "OrderedDict"))
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, strides, False, hooks)


def checkpoint(
    state: object,
    *storages: Storage,
    view: object = None,
    keys: object = None,
    head: tuple[object, ...] = (MAGIC, PROTOCOL, MACHINE),
) -> bytes:
    start = [pickled(part) for part in head]
    listed = pickled([storage.key for storage in storages] if keys is None else keys)
    raw = [struct.pack("<q", storage.values.size) + storage.values.tobytes() for storage in storages]
    return b"".join([*start, pickled(state, view), listed, *raw])


def floats(count: int, key: str = "0") -> Storage:
    return Storage(key, np.arange(count, dtype="<f4"))


def test_tensors_come_back_by_name_in_order():
    storages = floats(6, "a"), Storage("b", np.array([3, -1], "<i8"), "LongStorage")
    state = OrderedDict(w=tensor(storages[0], (2, 3), (3, 1)), n=tensor(storages[1], (2,), (1,)))
    found = read(checkpoint(state, *storages))
    assert list(found) == ["w", "n"]
    np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["n"], [3, -1])
    assert found["w"].dtype == np.float32
    assert found["n"].dtype == np.int64


@settings(deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 5), st.integers(1, 3))
def test_any_stride_and_offset_is_followed_as_numpy_would(order, shape, offset, step):
    storage = floats(offset + step * int(np.prod(shape)) + 2)
    base = storage.values[offset:][::step][: np.prod(shape)].reshape(shape).transpose(order)
    strides = tuple(length // 4 for length in base.strides)
    found = read(checkpoint({"w": tensor(storage, base.shape, strides, offset)}, storage))
    np.testing.assert_array_equal(found["w"], base)


def test_scalars_empty_and_repeated_tensors_are_read():
    storage = floats(3)
    state = {
        "scalar": tensor(storage, (), (), 2),
        "wide": tensor(storage, (0, 9), (1, 1)),
        "empty": tensor(storage, (0, 5), (5, 1), 3),
        "repeated": tensor(storage, (2, 3), (0, 1)),
    }
    found = read(checkpoint(state, storage))
    assert found["scalar"] == 2
    assert found["empty"].shape == (0, 5)
    np.testing.assert_array_equal(found["repeated"], [[0, 1, 2], [0, 1, 2]])


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((4,), (1,), 0),
        ((3,), (1,), 1),
        ((2, 2), (2, 1), 0),
        ((0,), (1,), 4),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
        ((1,), (1,), -1),
        ((3,), (1, 1), 0),
        ((3.0,), (1,), 0),
        (None, (1,), 0),
        ((10**18, 10**18), (0, 0), 0),
        ((10**30,), (0,), 0),
    ],
)
def test_a_tensor_outside_its_storage_or_without_sane_shape_is_refused(shape, strides, offset):
    storage = floats(3)
    with pytest.raises(FileFormatError):
        read(checkpoint({"w": tensor(storage, shape, strides, offset)}, storage))


def test_a_huge_repeated_tensor_takes_no_memory():
    storage = floats(1)
    assert read(checkpoint({"w": tensor(storage, (10**15,), (0,))}, storage))["w"].shape == (10**15,)


@pytest.mark.parametrize("name", ["system", "getcwd"])
def test_a_hostile_pickle_is_refused_and_not_run(name: str, monkeypatch: pytest.MonkeyPatch):
    ran = []
    module = types.ModuleType("zoo_trap")
    setattr(module, name, lambda *arguments: ran.append(arguments))
    monkeypatch.setitem(sys.modules, "zoo_trap", module)
    hostile = Call(Named("zoo_trap", name), "touch owned")
    pickle.loads(pickled(hostile))
    assert len(ran) == 1, "the trap itself does not work"
    with pytest.raises(FileFormatError, match=f"zoo_trap.{name}"):
        read(checkpoint({"w": hostile}))
    assert len(ran) == 1


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4])
def test_no_pickle_of_the_file_may_be_hostile(position: int, monkeypatch: pytest.MonkeyPatch):
    ran = []
    module = types.ModuleType("zoo_trap")
    module.spring = lambda: ran.append(1)
    monkeypatch.setitem(sys.modules, "zoo_trap", module)
    pieces: list[object] = [MAGIC, PROTOCOL, MACHINE, {}, []]
    pieces[position] = Call(Named("zoo_trap", "spring"))
    with pytest.raises(FileFormatError):
        read(b"".join(pickled(piece) for piece in pieces))
    assert not ran


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("os", "system"), ("torch", "load"), ("collections", "Counter")],
)
def test_every_other_name_is_refused(module: str, name: str):
    with pytest.raises(FileFormatError, match=f"{module}.{name}"):
        read(checkpoint({"w": Named(module, name)}))


def test_a_pickle_cannot_change_the_reader_for_the_next_file():
    # BUILD with a pair sets attributes: here, defaults on the function that makes tensors.
    building = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0e\x00\x00\x00__kwdefaults__}s\x86b."
    with pytest.raises(FileFormatError):
        read(b"".join([pickled(MAGIC), pickled(PROTOCOL), pickled(MACHINE), building, pickled([])]))
    module = sys.modules["occlumap.zoo.legacy_checkpoint"]
    functions = [value for value in vars(module).values() if isinstance(value, types.FunctionType)]
    assert all(function.__kwdefaults__ is None for function in functions)


def test_a_file_cut_anywhere_is_an_error():
    storage = floats(3)
    data = checkpoint({"w": tensor(storage, (3,), (1,))}, storage)
    for stop in range(len(data)):
        with pytest.raises(FileFormatError):
            read(data[:stop])
    with pytest.raises(FileFormatError):
        read(data + b"more")


def test_a_changed_byte_is_an_error_or_another_value_never_something_else():
    storage = floats(3)
    whole = checkpoint({"w": tensor(storage, (3,), (1,))}, storage)
    for place, value in itertools.product(range(len(whole)), range(256)):
        changed = bytearray(whole)
        changed[place] = value
        try:
            found = read(bytes(changed))
        except FileFormatError:
            continue
        assert all(isinstance(one, np.ndarray) for one in found.values())


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"PK\x03\x04 and so on", pickled(7), pickled(MAGIC) + pickled(7), pickled([1])],
    ids=["empty", "text", "zip", "number", "protocol", "list"],
)
def test_a_file_of_another_kind_is_an_error(data: bytes):
    with pytest.raises(FileFormatError, match="expected"):
        read(data)


def test_the_newer_format_is_named():
    with pytest.raises(FileFormatError, match="zip"):
        read(b"PK\x03\x04 and so on")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ((MAGIC + 1, PROTOCOL, MACHINE), "old checkpoint format"),
        ((MAGIC, PROTOCOL + 1, MACHINE), "old checkpoint format"),
        ((MAGIC, PROTOCOL, {"little_endian": False}), "little-endian"),
        ((MAGIC, PROTOCOL, {}), "little-endian"),
        ((MAGIC, PROTOCOL, [1]), "little-endian"),
    ],
)
def test_another_head_is_refused(head: tuple[object, ...], says: str):
    assert read(checkpoint({})) == {}
    with pytest.raises(FileFormatError, match=says):
        read(checkpoint({}, head=head))


@pytest.mark.parametrize("state", [[], 3, {"w": 3}, {"w": floats(1)}])
def test_what_is_no_dict_of_tensors_is_refused(state: object):
    storages = [value for value in state.values() if value != 3] if isinstance(state, dict) else []
    with pytest.raises(FileFormatError):
        read(checkpoint(state, *storages))


@pytest.mark.parametrize("length", ["3", 3.0, -1, None, 2**70])
def test_a_storage_without_a_sane_length_is_refused(length: Any):
    storage = floats(3)
    storage.length = length
    with pytest.raises(FileFormatError):
        read(checkpoint({"w": tensor(storage, (3,), (1,))}, storage))


def test_a_storage_whose_own_count_differs_is_refused():
    storage = floats(3)
    data = bytearray(checkpoint({"w": tensor(storage, (3,), (1,))}, storage))
    assert data[-20] == 3
    data[-20] = 2
    with pytest.raises(FileFormatError, match="another number"):
        read(bytes(data))


@pytest.mark.parametrize("keys", [5, ["1"], ["0", "0"], [["0"]], {"0": 1}])
def test_other_storage_keys_are_refused(keys: object):
    storage = floats(3)
    with pytest.raises(FileFormatError):
        read(checkpoint({"w": tensor(storage, (3,), (1,))}, storage, keys=keys))


def test_storage_keys_must_be_text():
    one, other = floats(1, "a"), floats(1)
    other.key = 3
    with pytest.raises(FileFormatError):
        read(checkpoint({"a": tensor(one, (1,), (1,)), "b": tensor(other, (1,), (1,))}, one, other))


def test_a_tensor_must_have_a_storage():
    with pytest.raises(FileFormatError):
        read(checkpoint({"a": tensor("0", (1,), (1,))}))


def test_names_must_be_text():
    with pytest.raises(FileFormatError):
        read(checkpoint({3: tensor(floats(1), (1,), (1,))}, floats(1)))


def test_a_storage_must_be_told_in_one_way_and_have_its_values():
    one, other = floats(3), Storage("0", np.arange(3, dtype="<f8"), "DoubleStorage")
    objects = Storage("0", np.arange(1, dtype="<i8"), "O")
    long = Storage("0", np.ones(1, "<f4"), length=10**12)
    state = {"a": tensor(one, (1,), (1,)), "b": tensor(other, (1,), (1,))}
    for data in (
        checkpoint(state, one),
        checkpoint({"a": tensor(objects, (1,), (1,))}, objects),
        checkpoint({"a": tensor(long, (1,), (1,))}, long),
        checkpoint({"a": tensor(one, (1,), (1,))}),
        checkpoint({"a": tensor(one, (1,), (1,))}, floats(3, "1")),
        checkpoint({"a": tensor(one, (1,), (1,))}, one, view=("0", 0, 1)),
    ):
        with pytest.raises(FileFormatError):
            read(data)
