"""Files that somebody else sends: their headers may take voxels from nowhere but from what came with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MAESILCore.errors import VolumeError


def refuse_elsewhere(path: Path, names: Sequence[str], folder: Path | None) -> None:
    """Refuse a header that names data outside of a folder.

    Args:
        path: the file with the header.
        names: the data files as the header names them, relative to it.
        folder: where the data must lie; None allows any place.

    Raises:
        VolumeError: one lies elsewhere, links followed.
    """
    if folder is None:
        return
    for name in names:
        if "\0" in name or not (path.parent / name).resolve().is_relative_to(folder.resolve()):
            raise VolumeError(
                f"{path.name} takes its voxels from {name}, which did not come with it: "
                "save the scan as one file, such as .nii.gz."
            )
