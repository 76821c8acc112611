"""Segmentations on disk: label maps, `.seg.nrrd` of 3D Slicer, DICOM SEG and RTSTRUCT."""

from MAESILCore.data.labels.reading import read_segmentation
from MAESILCore.data.labels.writing import write_segmentation

__all__ = ["read_segmentation", "write_segmentation"]
