"""Files that somebody else sends: their headers may take voxels from nowhere but from what came with them."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.errors import VolumeError
from MAESILCore.formats import metaimage_header, nrrd_header
from MAESILCore.formats.names import META_IMAGE, NRRD, extension_of


def refuse_data_elsewhere(path: Path, folder: Path) -> None:
    """Refuse a header that names data outside of a folder, or names them by a list or a pattern.

    Args:
        path: The file; one of a format whose header names no data is none of them.
        folder: Where the data must lie.

    Raises:
        VolumeError: If it does, or if the reader might understand the header in another way than this does.
    """
    extension = extension_of(path)
    named: list[str] = []
    if extension in META_IMAGE:
        named = metaimage_header.named_data(path)
    elif extension in NRRD:
        named = nrrd_header.named_data(path)
    for name in named:
        if not _is_one_file_below(path.parent, name, folder):
            raise VolumeError(
                f"{path.name} takes its voxels from {name}, not from a single file that comes with it: "
                "save the scan as one file, such as .nii.gz."
            )


def _is_one_file_below(start: Path, name: str, folder: Path) -> bool:
    # MetaImage takes a name that begins with ~ as it is, from wherever the process was started.
    is_one = name.isprintable() and "%" not in name and not name.upper().startswith(("LIST", "~"))
    return is_one and (start / name).resolve().is_relative_to(folder.resolve())
