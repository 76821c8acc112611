"""Whether results can be written to where they are wanted: asked before the work, not after minutes of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from MAESILCore.errors import VolumeError


def check_folder(folder: Path) -> None:
    """See that files can be written into a folder, which need not be there yet; nothing is left behind.

    Raises:
        VolumeError: they cannot.
    """
    # Of a folder that is to be made, the one that it will be made in.
    nearest = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        message = f"Nothing can be written to {folder}: {error.strerror or error}. Choose another place."
        raise VolumeError(message) from error


def check_file(path: Path) -> None:
    """See that a file can be written, in a folder that is there; nothing is left behind.

    Raises:
        VolumeError: it cannot.
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
    """See that two files that are to be written are not the same one.

    Raises:
        VolumeError: they are.
    """
    if os.path.normcase(first.resolve()) == os.path.normcase(second.resolve()):
        message = f"Two different files are to be written to {first}; give one of them another name."
        raise VolumeError(message)
