"""The header of a safetensors file, read without PyTorch, and detection of other file types."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from MAESILCore.errors import CheckpointError

_NEVER = (
    "which is never unpickled, as that can run any program: "
    "give a MAESIL checkpoint (.safetensors), or save its tensors with safetensors.torch.save_file"
)
#: First bytes of other file types, and the message for each.
_KINDS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"PK\x03\x04", f"is a PyTorch file, a zip archive with a pickle, {_NEVER}"),
    (b"\x80", f"is a PyTorch file, a pickle, {_NEVER}"),
    (b"\x89HDF", "is an HDF5 file: give a MAESIL checkpoint (.safetensors)"),
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
    (b"<", "is a web page: download the file itself"),
)
#: Real headers are far shorter.
_LONGEST_HEADER = 100 * 2**20
#: What damaged headers raise.
_DAMAGED = (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@contextmanager
def readable(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Convert operating system errors and other errors of the block on a safetensors file to a `CheckpointError`.

    Raises:
        CheckpointError: the file is missing, damaged, truncated or of another type.
    """
    if path.is_dir():
        raise CheckpointError(f"{path.name} is a folder: give a checkpoint (.safetensors).")
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; check the path.")
    expected: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except expected as error:
        raise CheckpointError(f"{path.name} {_kind_of(path)}.") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        CheckpointError: see `readable`.
    """
    with readable(path, *_DAMAGED), path.open("rb") as file:
        header = _header(file)
        if path.stat().st_size != file.tell() + _bytes_of_tensors(header):
            raise ValueError("the file is not whole")
        return {str(name): str(text) for name, text in header.get("__metadata__", {}).items()}


def _kind_of(path: Path) -> str:
    """The type of an invalid safetensors file, as a phrase that follows its name."""
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
    cut = f" (it has {size} of {announced} bytes)" if size < announced else ""
    return f"is not a readable safetensors file: it is damaged, truncated or of another type{cut}"


def _announced_size(file: IO[bytes]) -> int:
    """File size in bytes according to the header; 0 if the header is truncated."""
    try:
        header = _header(file)
        return file.tell() + _bytes_of_tensors(header)
    except _DAMAGED:
        return 0


def _header(file: IO[bytes]) -> dict[str, Any]:
    """The header as JSON; leaves the file position at the first tensor."""
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST_HEADER:
        raise ValueError("the header is too long")
    header: dict[str, Any] = json.loads(file.read(length))
    return header


def _bytes_of_tensors(header: dict[str, Any]) -> int:
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return max(map(int, ends), default=0)
