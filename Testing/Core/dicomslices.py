"""DICOM files with any tags, for the tests of reading."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 5, 7
PATIENT = "Secret^Name"
IN_PLANE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def write_object(path: Path, syntax: UID = ExplicitVRLittleEndian, **tags: Any) -> None:  # noqa: ANN401
    """Write one DICOM file with the tags given by their keywords, of any type."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.Modality = PATIENT, PATIENT, "CT"
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def write_slice(path: Path, stored: np.ndarray, position: np.ndarray, **tags: Any) -> None:  # noqa: ANN401
    """Write one CT slice of stored values (j, i) at an LPS position."""
    defaults = {
        "SeriesInstanceUID": "1.2.3",
        "SeriesNumber": 2,
        "ImageOrientationPatient": [*IN_PLANE.ravel()],
        "ImagePositionPatient": [float(part) for part in position],
        "PixelSpacing": [0.8, 0.7],
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelData": stored.astype("<u2").tobytes(),
    }
    write_object(path, **{**defaults, **tags})


def make_link(link: Path, target: Path) -> None:
    """Make a symbolic link, or skip the test where there are none."""
    try:
        os.symlink(target, link)
    except OSError:
        pytest.skip("no symbolic links here")


def rename_slices(folder: Path, name: Callable[[int], str]) -> None:
    """Rename the six slices "1.dcm" to "6.dcm" of a folder."""
    for n in range(1, 7):
        (folder / f"{n}.dcm").rename(folder / name(n))
