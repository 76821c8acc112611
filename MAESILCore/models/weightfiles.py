"""Safetensors files: opened under any name, and told apart from what else a file of weights may be."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open

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


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as `safetensors.safe_open` gives it.

    Raises:
        CheckpointError: there is no file, or it is damaged, cut short or of another kind.
    """
    if not path.is_file():
        message = f"There is no checkpoint {path}; check the path."
        raise CheckpointError(message)
    try:
        with _named(path) as name, safe_open(name, framework="pt") as handle:
            yield handle
    except (SafetensorError, OSError) as error:
        message = f"{path.name} {_kind_of(path)}."
        raise CheckpointError(message) from error


@contextmanager
def _named(path: Path) -> Iterator[str]:
    """A name in UTF-8 for the file, which is all that safetensors takes."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        number = os.open(path, os.O_RDONLY)
        try:
            yield f"/dev/fd/{number}"
        finally:
            os.close(number)
    else:
        yield str(path)


def _kind_of(path: Path) -> str:
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
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _LONGEST_HEADER:
            return None
        entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        return 8 + int(length) + max(map(int, ends), default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
