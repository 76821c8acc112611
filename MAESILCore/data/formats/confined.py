"""Confinement of uploaded files: headers may name data files only inside the upload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MAESILCore.errors import VolumeError


def refuse_elsewhere(path: Path, names: Sequence[str], folder: Path | None) -> None:
    """Reject a header that names data outside a folder.

    Args:
        path: the file with the header.
        names: the data files, relative to the header.
        folder: the allowed folder; None allows all folders.

    Raises:
        VolumeError: a data file is outside the folder, after links are resolved.
    """
    if folder is None:
        return
    for name in names:
        if "\0" in name or not (path.parent / name).resolve().is_relative_to(folder.resolve()):
            raise VolumeError(
                f"{path.name} takes its voxels from {name}, which did not come with it: "
                "save the scan as one file, such as .nii.gz."
            )
