"""Scans of a folder for batch work, which continues after a bad scan."""

from __future__ import annotations

import os
from pathlib import Path

from MAESILCore.data.formats.entries import refuse_unreadable
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.errors import MaesilError, VolumeError
from MAESILCore.wording import displayable


def read_scan(path: Path, series: str | None = None) -> Volume:
    """Read a scan that a user named; see `read_volume`.

    Raises:
        VolumeError: the scan cannot be read; the message names the file.
    """
    refuse_unreadable(path)
    try:
        return read_volume(path, series=series)
    except MaesilError:
        raise
    except Exception as error:
        name = Path(os.path.abspath(path)).name
        raise VolumeError(f"{name}: {failed_unexpectedly('Reading', error)}") from error


def try_reading(path: Path, name: str) -> Volume | str:
    """The volume of a scan, or a sentence with its name and the reason why it cannot be read.

    Args:
        path: a file or DICOM folder.
        name: name of the scan in the sentence.
    """
    try:
        return read_volume(path)
    except MaesilError as error:
        return with_name(name, str(error))
    except Exception as error:
        # Libraries raise any exception on a damaged file; the other scans are still usable.
        return f"{name}: {failed_unexpectedly('Reading', error)}"


def failed_unexpectedly(what: str, error: Exception) -> str:
    """A one-line sentence on an unexpected error."""
    reason = displayable(" ".join(str(error).split()))
    return f"{what} failed unexpectedly ({type(error).__name__}: {reason}); please report this."
