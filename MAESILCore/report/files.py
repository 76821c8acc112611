"""Writes report files atomically."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from MAESILCore.errors import VolumeError
from MAESILCore.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def report_file(path: Path) -> Iterator[Path]:
    """See `write_whole`; the folder is created if missing.

    Raises:
        VolumeError: the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise VolumeError(
            f"The report {path} could not be written: {error.strerror or error}; check the folder and the disk."
        ) from error


def write_png(figure: Figure, target: Path | IO[bytes]) -> None:
    """Save a figure with its own background colour."""
    with warnings.catch_warnings():
        # The font lacks some scripts: their letters in a scan's name are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(target, format="png", facecolor=figure.get_facecolor())
