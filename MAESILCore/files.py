"""Writing files so that a failure leaves nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


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
