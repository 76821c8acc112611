"""Writing of segmentations."""

from __future__ import annotations

from functools import partial
from os import PathLike
from pathlib import Path

from MAESILCore.data.formats import files
from MAESILCore.data.formats.scan import Scan
from MAESILCore.data.labels import slicer_nrrd
from MAESILCore.data.segmentation import Segmentation


def write_segmentation(segmentation: Segmentation, path: str | PathLike[str]) -> None:
    """Write a segmentation, atomically.

    A file that ends in .seg.nrrd has names, colours and terminology, and 3D Slicer opens it as a segmentation. All
    other formats (.nii, .nii.gz, .nrrd, .mha, .mhd) hold the label map alone.

    Args:
        segmentation: the segmentation.
        path: the file.

    Raises:
        VolumeError: the format cannot hold the segmentation, or the folder cannot be written to.
    """
    path = Path(path)
    scan = Scan(segmentation.labels, segmentation.ijk_to_ras)
    if path.name.lower().endswith(slicer_nrrd.ENDING):
        files.write_with(partial(slicer_nrrd.write, segmentation), scan, path)
    else:
        files.write(scan, path)
