"""Known extensions, and the stems of file names."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.wording import displayable

NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
MGH = (".mgh", ".mgz")
NRRD = (".nrrd", ".nhdr")
META_IMAGE = (".mha", ".mhd")

READABLE = NIFTI + MGH + NRRD + META_IMAGE

_DOUBLE_EXTENSIONS = (".nii.gz", ".hdr.gz", ".img.gz")


def extension_of(path: Path) -> str:
    """The lower-case extension, ".nii.gz" in one piece."""
    name = path.name.lower()
    return next((double for double in _DOUBLE_EXTENSIONS if name.endswith(double)), path.suffix.lower())


def stem_of(path: Path) -> str:
    """The displayable name of a file without its extension of a known format, or of a folder."""
    extension = extension_of(path)
    is_known = extension in (*READABLE, ".dcm") and not path.is_dir()
    return displayable(path.name[: -len(extension)] if is_known else path.name)


def with_name(name: str, reason: str) -> str:
    """Prefix a reason with the scan's name, unless it already starts with the file name."""
    last = name.rsplit("/", 1)[-1]
    return name + reason.removeprefix(last) if reason.startswith(last) else f"{name}: {reason}"
