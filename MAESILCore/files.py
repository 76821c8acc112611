"""Atomic writing of files."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    # A lazy import, as this module must work without NumPy.
    import numpy as np

#: How the names of temporary folders begin; a killed process leaves them.
UNFINISHED = ".maesil-"

#: Numbers of the errors of a full disk, and of a full share of it.
FULL = (errno.ENOSPC, errno.EDQUOT)

_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path with the name of `path`; move the file to `path` at the end of the block.

    If the block raises, nothing is moved and an existing file stays unchanged. Other files beside the temporary one,
    such as the data file of a header, are moved first. Permissions follow the umask.

    Args:
        path: a file in an existing folder.

    Raises:
        OSError: the folder cannot be written to.
    """
    with write_together(path.parent, last=path.name) as unfinished:
        yield unfinished / path.name


@contextmanager
def write_together(folder: Path, last: str = "") -> Iterator[Path]:
    """Give a temporary folder; move its files into `folder` at the end of the block, overwriting existing ones.

    Args:
        folder: an existing folder; it contains the temporary one, as moves are atomic only within a file system.
        last: name of the file to move last.

    Raises:
        OSError: the folder cannot be written to.
    """
    with TemporaryDirectory(prefix=UNFINISHED, dir=folder) as unfinished:
        yield Path(unfinished)
        for file in sorted(Path(unfinished).iterdir(), key=lambda file: (file.name == last, file.name)):
            os.replace(file, folder / file.name)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder's files; without effect where folders cannot be opened.

    Raises:
        OSError: the disk failed.
    """
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        # Some network and FUSE file systems cannot sync folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def why_unwritable(place: Path, error: OSError) -> str:
    """Why a file or folder cannot be written and what to do, as a clause; it names no temporary file.

    Args:
        place: what was to be written or created.
        error: what the attempt raised.
    """
    for part in (place, *place.parents):
        if part.is_symlink() and not part.exists():
            target = os.readlink(part)
            return f"{part} is a link to {target}, which is not there; remove it, or choose another place"
        if part.is_file() and isinstance(error, (NotADirectoryError, FileExistsError)):
            return f"{part} is a file; choose another place"
    if isinstance(error, IsADirectoryError):
        return f"{place} is a folder; move it away"
    if error.errno in FULL:
        return "the disk is full; free some space"
    advice = "check the permissions, or " if isinstance(error, PermissionError) else ""
    return f"{error.strerror or error}; {advice}choose another place"


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON in UTF-8.

    Raises:
        OSError: the file cannot be written; no partial file is left.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    # JSON escapes preserve path bytes that are not UTF-8.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    with write_whole(path) as unfinished:
        unfinished.write_bytes(text.encode("utf-8"))


class _PlainWriter:
    """A writer that disables numpy's shortcut for files, which loses the reason of a failure."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, chunk: bytes) -> int:
        return self._file.write(chunk)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file.

    Raises:
        OSError: the file cannot be written; no partial file is left.
    """
    import numpy as np

    with write_whole(path) as unfinished, open(unfinished, "wb") as file:
        np.save(_PlainWriter(file), array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Memory-map a .npy file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is damaged.
    """
    import numpy as np

    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except EOFError as error:
        raise ValueError("the file is empty") from error
