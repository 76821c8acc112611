"""Writing a report: all of it, or nothing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from MAESILCore.errors import VolumeError


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then give it its name.

    Raises:
        VolumeError: The folder or the file cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=path.parent) as folder:
            unfinished = Path(folder) / path.name
            write(unfinished)
            os.replace(unfinished, path)
    except OSError as error:
        message = f"The report {path} could not be written: {error.strerror or error}; check the folder and the disk."
        raise VolumeError(message) from error
    return path
