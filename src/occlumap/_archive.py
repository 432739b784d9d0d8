"""Our file format: a zip of .npy arrays and one JSON document, no pickle, written whole or not at all.

Any unzip tool opens it; NumPy's .npy format and JSON are documented and will be readable in ten years.
"""

import errno
import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from occlumap.errors import ArgumentError, FileFormatError

MAX_BYTES = 4 * 2**30  # unpacked; far above any result, far below what would hurt a machine by surprise
_VERSION = 1


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole: under a temporary name beside it, then renamed, so no half-written file is left."""
    target = Path(_checked(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the name of a file, got a folder", str(target))
    try:
        _write_beside(target, data)
    except OSError as error:  # of the same type, but about the file that was asked for
        raise OSError(error.errno, error.strerror, str(target)) from None


def _write_beside(target: Path, data: bytes) -> None:
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        with temporary.open("xb") as file:  # not tempfile: it makes files private, whatever the umask
            file.write(data)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(
    path: str | os.PathLike[str], kind: str, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write `document` (JSON values only) and `arrays` as one file of the given kind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps({"format": kind, "format_version": _VERSION, **document}, indent=1, allow_nan=False)
        archive.writestr(_entry(f"{kind}.json"), text)
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), data.getvalue())
    write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The document and the arrays of a file of the given kind; FileFormatError for any other file."""
    if not hasattr(path, "read"):
        _checked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > MAX_BYTES:
                raise FileFormatError(f"{path}: expected at most {MAX_BYTES} bytes unpacked, got {unpacked}")
            names = archive.namelist()
            if f"{kind}.json" not in names:
                inside = ", ".join(names[:4]) or "nothing"
                raise FileFormatError(
                    f"{path}: expected an {kind} file, which holds {kind}.json; got {inside}"
                )
            document = json.loads(archive.read(f"{kind}.json"), parse_constant=_refuse_constant)
            if not isinstance(document, dict) or document.get("format") != kind:
                raise FileFormatError(f"{path}: expected a JSON object with format {kind!r} in {kind}.json")
            version = document.get("format_version")
            if not isinstance(version, int) or version > _VERSION:
                raise FileFormatError(
                    f"{path}: expected format version {_VERSION} or older, got {version!r}; a newer occlumap reads it"
                )
            arrays = {name[:-4]: _array(archive, name) for name in names if name.endswith(".npy")}
    except FileNotFoundError:
        raise FileFormatError(f"{path}: no such file") from None
    except FileFormatError:
        raise
    except Exception as error:  # a hostile file can make zipfile and NumPy raise anything
        raise FileFormatError(f"{path}: expected an {kind} file, could not read it: {error}") from error
    return document, arrays


def _checked(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """`path`, or an ArgumentError when it is none."""
    if isinstance(path, str | os.PathLike):
        return path
    raise ArgumentError(f"expected the path of a file, got {type(path).__name__}; give its name")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same content gives the same bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array, its declared size checked against the entry before any memory is taken."""
    data = io.BytesIO(archive.read(name))
    size = data.getbuffer().nbytes
    version = np.lib.format.read_magic(data)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(data)
    if dtype.hasobject:
        raise FileFormatError(f"{name}: expected plain numbers, got Python objects; this file is not ours")
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != size - data.tell():
        raise FileFormatError(
            f"{name}: expected {count * dtype.itemsize} bytes of data, got {size - data.tell()}"
        )
    data.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(data, allow_pickle=False)
    return array
