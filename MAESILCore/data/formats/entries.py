"""Checks of paths: only regular files and folders are opened."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from MAESILCore.errors import VolumeError

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def refuse_unreadable(path: Path) -> None:
    """Reject a path that is no readable file or folder, without opening pipes or devices.

    Raises:
        VolumeError: the path does not exist, is no file or folder, or cannot be opened.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise VolumeError(f"There is no file or folder {path}.") from None
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {reason_of(path, error)}.") from error
    reason = obstacle(path)
    if reason is not None:
        raise VolumeError(f"{path} cannot be read: {reason}.")


def obstacle(path: Path) -> str | None:
    """Why a path cannot be read, such as "it is a broken link"; None if it is a file or folder that opens."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
        elif stat.S_ISREG(mode):
            path.open("rb").close()
        else:
            return (
                f"it is {next((kind for fits, kind in _KINDS if fits(mode)), 'neither a file nor a folder')}"
            )
    except OSError as error:
        return reason_of(path, error)
    return None


def reason_of(path: Path, error: OSError) -> str:
    """The reason, as in `obstacle`, for an error on a path."""
    if error.errno == errno.ELOOP:
        return "it is a link to itself"
    if os.path.islink(path) and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "it is a broken link"
    return system_reason(error)


def system_reason(error: OSError) -> str:
    """The reason as the operating system words it, for the middle of a sentence."""
    reason = error.strerror or str(error)
    return f"{reason[:1].lower()}{reason[1:]}"
