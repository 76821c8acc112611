"""The header of a safetensors file, read without PyTorch, and what else a file of weights may be."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import IO, Any

from MAESILCore.errors import CheckpointError

_NEVER = (
    "which could run any program when it is read and is never unpickled: "
    "give a MAESIL checkpoint (.safetensors), or save its tensors with safetensors.torch.save_file"
)
#: The first bytes of other files, and what to say of them.
_KINDS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"PK\x03\x04", f"is a PyTorch file, a zip archive with a pickle, {_NEVER}"),
    (b"\x80", f"is a PyTorch file, a pickle, {_NEVER}"),
    (b"\x89HDF", "is an HDF5 file: give a MAESIL checkpoint (.safetensors)"),
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
    (b"<", "is a web page: download the file itself"),
)
#: Headers of real files are far shorter.
_LONGEST_HEADER = 100 * 2**20
_DAMAGED = (
    struct.error,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RecursionError,
)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors.

    Raises:
        CheckpointError: there is no file, or it is damaged, cut short or of another kind.
    """
    if not path.is_file():
        message = f"There is no checkpoint {path}; check the path."
        raise CheckpointError(message)
    try:
        with path.open("rb") as file:
            header = _header(file)
            texts = {str(name): str(text) for name, text in header.get("__metadata__", {}).items()}
            is_whole = path.stat().st_size == file.tell() + _bytes_of_tensors(header)
    except (OSError, *_DAMAGED) as error:
        message = f"{path.name} {kind_of(path)}."
        raise CheckpointError(message) from error
    if not is_whole:
        message = f"{path.name} {kind_of(path)}."
        raise CheckpointError(message)
    return texts


def kind_of(path: Path) -> str:
    """What a file is that is no whole safetensors file: the end of a sentence that begins with its name."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(0)
            size, announced = path.stat().st_size, _announced_size(file)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    for mark, words in _KINDS:
        if start.startswith(mark):
            return words
    cut = f" ({size} of {announced} bytes are there)" if announced is not None and size < announced else ""
    return f"is not a readable safetensors file: it is damaged, cut short or of another kind{cut}"


def _announced_size(file: IO[bytes]) -> int | None:
    """Bytes that a safetensors file has by its own header; None if the header is not whole."""
    try:
        header = _header(file)
        return file.tell() + _bytes_of_tensors(header)
    except _DAMAGED:
        return None


def _header(file: IO[bytes]) -> dict[str, Any]:
    """The header as JSON; the file stands at the first tensor then."""
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST_HEADER:
        raise ValueError("a header of this length is none")
    header: dict[str, Any] = json.loads(file.read(length))
    return header


def _bytes_of_tensors(header: dict[str, Any]) -> int:
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return max(map(int, ends), default=0)
