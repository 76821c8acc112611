"""Checks before the work that results can be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from MAESILCore.errors import VolumeError


def check_folder(folder: Path) -> None:
    """Check that files can be written to a folder, which may be missing; leaves no files.

    Raises:
        VolumeError: the folder cannot be written.
    """
    # The nearest existing folder, in which a missing one would be created.
    nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise VolumeError(
            f"The folder {folder} cannot be written to: {error.strerror or error}. Choose another one."
        ) from error


def check_file(path: Path) -> None:
    """Check that a file can be written to an existing folder; leaves no files.

    Raises:
        VolumeError: the file cannot be written.
    """
    if path.is_dir():
        raise VolumeError(f"{path} is a folder: give the name of a file.")
    if not path.parent.is_dir():
        raise VolumeError(
            f"{path} cannot be written: there is no folder {path.parent}. Create it, or choose another one."
        )
    check_folder(path.parent)


def check_apart(first: Path, second: Path) -> None:
    """Check that two output files differ.

    Raises:
        VolumeError: both paths are the same file.
    """
    if os.path.normcase(first.resolve()) == os.path.normcase(second.resolve()):
        raise VolumeError(f"Both outputs have the path {first}: choose different ones.")
