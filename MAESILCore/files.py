"""Writing files so that a failure leaves nothing half-written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Imported where it is used: this module must work before NumPy is there.
    import numpy as np

_SURROGATE = re.compile("[\ud800-\udfff]")


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path with the name of `path`, and move the file to `path` when the block ends.

    If the block raises, nothing is moved and an older file stays as it was. Files that the block writes beside the
    temporary one, such as the data file of a header, are moved first. Permissions follow the umask.

    Args:
        path: a file in a folder that exists.

    Raises:
        OSError: the folder cannot be written to.
    """
    with write_together(path.parent, last=path.name) as unfinished:
        yield unfinished / path.name


@contextmanager
def write_together(folder: Path, last: str = "") -> Iterator[Path]:
    """Give a temporary folder, and move its files into `folder` when the block ends; older ones are overwritten.

    Args:
        folder: exists; the temporary folder is inside it, since only a move within one file system is atomic.
        last: name of the file that is moved after all others.

    Raises:
        OSError: the folder cannot be written to.
    """
    with TemporaryDirectory(prefix=".maesil-", dir=folder) as unfinished:
        yield Path(unfinished)
        for file in sorted(Path(unfinished).iterdir(), key=lambda file: (file.name == last, file.name)):
            os.replace(file, folder / file.name)


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON in UTF-8.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    # Bytes of a path that are not UTF-8 are kept as JSON's own escapes.
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    with write_whole(path) as unfinished:
        unfinished.write_bytes(text.encode("utf-8"))


class _PlainWriter:
    """Hides from numpy that this is a file, since its shortcut for files loses the reason of a failure."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, chunk: bytes) -> int:
        return self._file.write(chunk)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    import numpy as np

    with write_whole(path) as unfinished, open(unfinished, "wb") as file:
        np.save(_PlainWriter(file), array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Read a .npy file, page by page when it is used.

    Raises:
        OSError: it is not there.
        ValueError: it is damaged.
    """
    import numpy as np

    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except EOFError as error:
        raise ValueError("the file is empty") from error
