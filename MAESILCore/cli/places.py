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
        message = f"Nothing can be written to {folder}: {error.strerror or error}. Choose another place."
        raise VolumeError(message) from error


def check_file(path: Path) -> None:
    """Check that a file can be written to an existing folder; leaves no files.

    Raises:
        VolumeError: the file cannot be written.
    """
    if path.is_dir():
        message = f"{path} is a folder, and a file is to be written; give the file a name."
        raise VolumeError(message)
    if not path.parent.is_dir():
        message = (
            f"{path} cannot be written: there is no folder {path.parent}. Make it, or choose another place."
        )
        raise VolumeError(message)
    check_folder(path.parent)


def check_apart(first: Path, second: Path) -> None:
    """Check that two output files differ.

    Raises:
        VolumeError: both paths are the same file.
    """
    if os.path.normcase(first.resolve()) == os.path.normcase(second.resolve()):
        message = f"Two different files are to be written to {first}; give one of them another name."
        raise VolumeError(message)
