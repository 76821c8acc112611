"""Files of a segmentation result."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.data.labels import write_segmentation
from MAESILCore.data.volume import write_volume
from MAESILCore.downstream.segmentation.inference import SegmentationResult
from MAESILCore.errors import VolumeError
from MAESILCore.files import why_unwritable


def save_segmentation(result: SegmentationResult, folder: str | Path, name: str = "") -> list[Path]:
    """Write `NAME.seg.nrrd` (3D Slicer), `NAME.nii.gz` (a label map) and `NAME_uncertainty.nii.gz`.

    Args:
        result: the result.
        folder: created if missing.
        name: the files' name; "" is that of the scan.

    Returns:
        The files.

    Raises:
        VolumeError: the folder cannot be written.
    """
    folder, name = Path(folder), name or result.volume.name or "scan"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeError(
            f"The folder {folder} cannot be written: {why_unwritable(folder, error)}."
        ) from error
    files = [folder / f"{name}{ending}" for ending in (".seg.nrrd", ".nii.gz", "_uncertainty.nii.gz")]
    write_segmentation(result.segmentation, files[0])
    write_segmentation(result.segmentation, files[1])
    write_volume(result.volume.with_voxels(result.uncertainty), files[2])
    return files
