"""Reading of segmentations from any format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from MAESILCore.data.formats import entries, files
from MAESILCore.data.formats.scan import named
from MAESILCore.data.labels import dicom, dicom_seg, labelmap, slicer_nrrd, structure_set
from MAESILCore.data.labels.grid import on_grid_of
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume


def read_segmentation(
    path: str | PathLike[str],
    like: Volume | None = None,
    *,
    names: Mapping[int, str] | None = None,
    within: str | PathLike[str] | None = None,
    scan: str | PathLike[str] | None = None,
) -> Segmentation:
    """Read a segmentation: a label map (NIfTI, NRRD, MetaImage, MGH), .seg.nrrd of 3D Slicer, DICOM SEG or RTSTRUCT.

    Args:
        path: the file, or a folder with one DICOM SEG or RTSTRUCT.
        like: the scan. If given, the result is on exactly its grid: reordered without loss if the file's grid is the
            same but for flips, permutations or its extent, else resampled by nearest neighbour, which is noted.
            RTSTRUCT needs it.
        names: name of each value, for label maps, which have no names; those of the file are kept.
        within: the folder that must contain all data files of a header; headers of uploaded files could name any file
            of this machine. None allows all folders.
        scan: the file or folder of `like`; if this and the segmentation are DICOM, they must be in the same frame of
            reference.

    Raises:
        MissingPackageError: a package for DICOM SEG is not installed.
        VolumeError: the file is damaged, holds no labels, or all of them are outside of the scan.

    >>> import tempfile, numpy as np
    >>> from MAESILCore.data.labels.writing import write_segmentation
    >>> from MAESILCore.data.segmentation import Segment
    >>> lung = Segmentation(np.ones((2, 3, 4), np.uint8), np.eye(4), (Segment(1, "lung"),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_segmentation(lung, f"{folder}/lung.seg.nrrd")
    ...     read_segmentation(f"{folder}/lung.seg.nrrd").segments[0].name
    'lung'
    """
    path = Path(os.path.abspath(path))
    inside = None if within is None else Path(within)
    entries.refuse_unreadable(path)
    with files.readable(path):
        found = dicom.object_at(path)
        if found is None and slicer_nrrd.has_segments(path):
            return _fitted(slicer_nrrd.read(path, names, inside), like)
    if found is None:
        stored = files.read(path, within=inside)
        with named(path):
            return _fitted(labelmap.segmentation_of(stored, names), like)
    file, modality = found
    beside = None if scan is None else Path(os.path.abspath(scan))
    with files.readable(file):
        if modality == dicom.STRUCTURE_SET:
            return structure_set.read(file, like, beside)
        return _fitted(dicom_seg.read(file, beside), like)


def _fitted(segmentation: Segmentation, like: Volume | None) -> Segmentation:
    return segmentation if like is None else on_grid_of(segmentation, like)
