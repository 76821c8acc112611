"""Extensions: which there are, and where a file's name ends and its extension begins."""

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
    """A reason that names its scan, once: errors of reading begin with the last part of the name already."""
    last = name.rsplit("/", 1)[-1]
    return name + reason.removeprefix(last) if reason.startswith(last) else f"{name}: {reason}"
