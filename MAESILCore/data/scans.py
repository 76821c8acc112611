"""The scans of a folder for work on many of them, of which a single bad one must not end the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from MAESILCore.data.formats import discovery
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.formats.entries import refuse_unreadable
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.errors import MaesilError, VolumeError
from MAESILCore.wording import displayable


def discover_scans(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Discovery:
    """Scans at and below the given paths, each with a name of its own, and what had to be left out.

    Raises:
        VolumeError: a path is not there or cannot be opened, or there is no scan at all.
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return discovery.discover(Path(path) for path in several)


def read_scan(path: Path, series: str | None = None) -> Volume:
    """Read a scan that a user named; see `read_volume`.

    Raises:
        VolumeError: it cannot be read, for whatever reason; the sentence names the file.
    """
    refuse_unreadable(path)
    try:
        return read_volume(path, series=series)
    except MaesilError:
        raise
    except Exception as error:
        message = f"{Path(os.path.abspath(path)).name}: {failed_unexpectedly('Reading', error)}"
        raise VolumeError(message) from error


def try_reading(path: Path, name: str) -> Volume | str:
    """The volume of a scan, or a sentence that names the scan and says why it cannot be read.

    Args:
        path: a file or DICOM folder.
        name: what the scan is called in the sentence.
    """
    try:
        return read_volume(path)
    except MaesilError as error:
        return with_name(name, str(error))
    except Exception as error:
        # Libraries raise whatever they like on a damaged file, and the other scans can still be used.
        return f"{name}: {failed_unexpectedly('Reading', error)}"


def failed_unexpectedly(what: str, error: Exception) -> str:
    """A sentence on an error that is no mistake of the user, in one line."""
    reason = displayable(" ".join(str(error).split()))
    return f"{what} failed unexpectedly ({type(error).__name__}: {reason}); please report this."
