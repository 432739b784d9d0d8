"""Read a state dict of PyTorch, and say in words what a file is that holds none."""

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from occlumap._checks import reason
from occlumap._extras import from_extra
from occlumap.errors import FileFormatError


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Names and tensors of a file such as torchvision's of ImageNet; no code in it is run.

    Raises FileFormatError, which tells what the file is, for anything but dense tensors of finite real numbers by name.
    """
    torch = from_extra("stimuli", "torch", "stimuli")
    wanted = (
        f"expected a state dict of PyTorch, as torch.save(network.state_dict(), file) writes it, in {path}"
    )
    if not Path(path).is_file():
        raise FileFormatError(f"{wanted}, got no file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about files that are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of torch's own, pickle's, zipfile's: damaged files raise many
        raise FileFormatError(f"{wanted}, got {_unread(Path(path), error)}") from error
    if not isinstance(state, Mapping):
        raise FileFormatError(f"{wanted}, got a {type(state).__name__}")
    inner = [name for name, one in state.items() if isinstance(one, Mapping) and one and _tensors(one)]
    if inner:
        raise FileFormatError(
            f"{wanted}, got a checkpoint of {', '.join(map(str, state))}; save what it has as {inner[0]!r} alone"
        )
    if not _tensors(state):
        raise FileFormatError(f"{wanted}, got {len(state)} entries, not all of them tensors with a name")
    odd = [
        name
        for name, one in state.items()
        if one.layout != torch.strided or one.is_quantized or one.is_meta or one.is_complex()
    ]
    if odd:
        raise FileFormatError(
            f"{wanted}, got tensors that are sparse, quantised, complex or empty of numbers: {', '.join(odd[:6])}"
        )
    infinite = [name for name, one in state.items() if not bool(torch.isfinite(one.double()).all())]
    if infinite:
        raise FileFormatError(f"expected finite weights in {path}, got others in {', '.join(infinite[:6])}")
    return dict(state)


def misfits(own: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    """What keeps a state dict from being that of a network whose own is `own`, in words; [] when nothing does."""
    found = []
    for what, some in (("lacks", set(own) - set(state)), ("has in excess", set(state) - set(own))):
        if some:
            names = sorted(some)
            found.append(
                f"it {what} {', '.join(names[:3])}{f' and {len(names) - 3} more' * (len(names) > 3)}"
            )
    found += [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(one.shape)}"
        for name, one in own.items()
        if name in state and state[name].shape != one.shape
    ]
    return found


def _tensors(state: Mapping[Any, Any]) -> bool:
    tensor = from_extra("stimuli", "torch", "stimuli").Tensor
    return all(isinstance(name, str) and isinstance(one, tensor) for name, one in state.items())


def _unread(path: Path, error: Exception) -> str:
    """What a file is that torch would not read."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as own:
        return f"a file that cannot be opened: {reason(own)}"
    if not head:
        return "an empty file"
    code = re.search(r"GLOBAL ([\w.]+)", str(error))
    if code:
        return f"a file that calls {code[1]}, whose code is not run; save the network's state_dict() alone"
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return "a file that is cut off; copy it again"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any("/code/" in name for name in names):
            return "a program of TorchScript, whose code is not run; save the network's state_dict() alone"
        if not any(name.endswith("/data.pkl") for name in names):
            return "a zip file of another program"
        return "a file that is damaged; copy it again"
    if head.startswith(b"\x80"):
        return "a pickle that is not PyTorch's, or damaged"
    text = head.decode("ascii", errors="replace")
    return f"a file of another program, which begins with {text!r}" if text.isprintable() else "other bytes"
