"""Writing a report: all of it, or nothing."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def write_png(figure: Figure, target: Path | IO[bytes]) -> None:
    """Draw a figure in its own background colour."""
    with warnings.catch_warnings():
        # The font lacks the letters of some scripts; a box stands for each in the name of a scan.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", facecolor=figure.get_facecolor())
