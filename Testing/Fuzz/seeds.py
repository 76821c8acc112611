"""The valid files that are mutated: one small CT-like volume in every format and encoding that is read."""

from __future__ import annotations

import bz2
import gzip
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

SHAPE = (5, 8, 9)
SPACING = (0.9, 0.8, 2.5)
LPS_ORIGIN = (-20.0, -30.0, 100.0)

_rng = np.random.default_rng(8)

#: (k, j, i) in HU: air, a body of soft tissue with noise, and a bright rod.
HU = np.full(SHAPE, -1000, np.int16)
HU[:, 2:7, 2:8] = 40 + _rng.integers(-30, 30, (5, 5, 6))
HU[:, 4, 4] = 700

IJK_TO_RAS = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
IJK_TO_RAS[:3, 3] = -LPS_ORIGIN[0], -LPS_ORIGIN[1], LPS_ORIGIN[2]

_NRRD = (
    "NRRD0005\n# a small volume\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 8 5\n"
    "space directions: (0.9,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (-20,-30,100)\n"
    "kinds: domain domain domain\nendian: little\n"
)
_META_IMAGE = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -20 -30 100\nElementSpacing = 0.9 0.8 2.5\n"
    "DimSize = 9 8 5\nElementType = MET_SHORT\n"
)


def _nifti(kind: type, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        image = kind(HU.T, IJK_TO_RAS, dtype=np.int16)
        image.set_qform(IJK_TO_RAS, code="scanner")
        nibabel.save(image, folder / name)
        return folder / name

    return write


def _mgh(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        nibabel.save(nibabel.MGHImage(np.ascontiguousarray(HU.T), IJK_TO_RAS), folder / name)
        return folder / name

    return write


def _analyze(folder: Path) -> Path:
    """A pair of which both halves are compressed."""
    image = nibabel.AnalyzeImage(HU.T, np.diag([*SPACING, 1.0]), dtype=np.int16)
    nibabel.save(image, folder / "scan.img.gz")
    return folder / "scan.hdr.gz"


def _nifti_with_extensions(folder: Path) -> Path:
    image = nibabel.Nifti1Image(HU.T, IJK_TO_RAS, dtype=np.int16)
    for text in (b"a comment", b"a longer comment with more words"):
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", text))
    nibabel.save(image, folder / "scan.nii")
    return folder / "scan.nii"


def _slices(name: str, header: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for k, plane in enumerate(HU):
            (folder / f"slice{k}.raw").write_bytes(plane.astype("<i2").tobytes())
        (folder / name).write_text(header)
        return folder / name

    return write


def _text(name: str, header: str, data: bytes, data_name: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        if data_name:
            (folder / data_name).write_bytes(data)
        (folder / name).write_bytes(header.encode() + (b"" if data_name else data))
        return folder / name

    return write


def _dicom(syntax: str, *, monochrome: int = 2, compressor: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "series"
        path.mkdir()
        for k, plane in enumerate(HU):
            dataset = _image(plane[None] + 1024, CTImageStorage, syntax, monochrome)
            dataset.ImagePositionPatient = [*LPS_ORIGIN[:2], LPS_ORIGIN[2] + k * SPACING[2]]
            dataset.ImageOrientationPatient, dataset.PixelSpacing = (
                [1, 0, 0, 0, 1, 0],
                [SPACING[1], SPACING[0]],
            )
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.InstanceNumber = 1, -1024, k + 1
            if compressor:
                _compress(dataset, plane + 1024, compressor)
            _save(dataset, path / f"IM{k:04d}")
        return path

    return write


def _compress(dataset: Dataset, stored: np.ndarray, compressor: str) -> None:
    """Replace the pixels of a dataset by what GDCM compresses."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(f"{folder}/frame.dcm")
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(SimpleITK.GetImageFromArray(stored[None].astype(np.uint16)))
        compressed = pydicom.dcmread(f"{folder}/frame.dcm")
    dataset["PixelData"] = compressed["PixelData"]
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID


def _enhanced(folder: Path) -> Path:
    dataset = _image(HU + 1024, EnhancedCTImageStorage, ExplicitVRLittleEndian, 2)
    plane, measures, values = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [SPACING[1], SPACING[0]]
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = (
        DicomSequence([plane]),
        DicomSequence([measures]),
    )
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames = []
    for k in range(len(HU)):
        position, values, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [*LPS_ORIGIN[:2], LPS_ORIGIN[2] + k * SPACING[2]]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
        group.PlanePositionSequence = DicomSequence([position])
        group.PixelValueTransformationSequence = DicomSequence([values])
        frames.append(group)
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    _save(dataset, folder / "enhanced.dcm")
    return folder / "enhanced.dcm"


def _image(stored: np.ndarray, storage: str, syntax: str, monochrome: int) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, f"1.2.3.{_rng.integers(1 << 30)}"
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "CT", "1.2.3", 2
    dataset.ImageType, dataset.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], 1
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *stored.shape[1:], 1
    dataset.PhotometricInterpretation = f"MONOCHROME{monochrome}"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    if len(stored) > 1:
        dataset.NumberOfFrames = len(stored)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    dataset.PixelData = stored.astype(order).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax if syntax != RLELossless else ExplicitVRLittleEndian
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    return dataset


def _save(dataset: Dataset, path: Path) -> None:
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


_BYTES = HU.astype("<i2").tobytes()
_WORDS = " ".join(map(str, HU.ravel())).encode()

#: Writes a valid file into a folder, and gives the path to read.
SEEDS: dict[str, Callable[[Path], Path]] = {
    "nifti-1": _nifti(nibabel.Nifti1Image, "scan.nii"),
    "nifti-1 gzip": _nifti(nibabel.Nifti1Image, "scan.nii.gz"),
    "nifti-2": _nifti(nibabel.Nifti2Image, "scan.nii"),
    "nifti pair": _nifti(nibabel.Nifti1Pair, "scan.hdr"),
    "mgh": _mgh("scan.mgh"),
    "mgz": _mgh("scan.mgz"),
    "nrrd raw": _text("scan.nrrd", _NRRD + "encoding: raw\n\n", _BYTES),
    "nrrd gzip": _text("scan.nrrd", _NRRD + "encoding: gzip\n\n", gzip.compress(_BYTES, mtime=0)),
    "nrrd bzip2": _text("scan.nrrd", _NRRD + "encoding: bzip2\n\n", bz2.compress(_BYTES)),
    "nrrd text": _text("scan.nrrd", _NRRD + "encoding: ascii\n\n", _WORDS),
    "nrrd detached": _text("scan.nhdr", _NRRD + "encoding: raw\ndata file: scan.raw\n", _BYTES, "scan.raw"),
    "metaimage raw": _text("scan.mha", _META_IMAGE + "ElementDataFile = LOCAL\n", _BYTES),
    "metaimage zlib": _text(
        "scan.mha",
        f"{_META_IMAGE}CompressedData = True\nCompressedDataSize = {len(zlib.compress(_BYTES))}\n"
        "ElementDataFile = LOCAL\n",
        zlib.compress(_BYTES),
    ),
    "metaimage detached": _text("scan.mhd", _META_IMAGE + "ElementDataFile = scan.raw\n", _BYTES, "scan.raw"),
    "dicom explicit": _dicom(ExplicitVRLittleEndian),
    "dicom implicit": _dicom(ImplicitVRLittleEndian),
    "dicom big endian": _dicom(ExplicitVRBigEndian),
    "dicom deflated": _dicom(DeflatedExplicitVRLittleEndian),
    "dicom rle": _dicom(RLELossless),
    "dicom jpeg": _dicom(ExplicitVRLittleEndian, compressor="JPEG"),
    "dicom jpeg 2000": _dicom(ExplicitVRLittleEndian, compressor="JPEG2000"),
    "dicom monochrome1": _dicom(ExplicitVRLittleEndian, monochrome=1),
    "dicom enhanced": _enhanced,
    "analyze gzip": _analyze,
    "nifti-1 extensions": _nifti_with_extensions,
    "nrrd slices": _slices("scan.nhdr", _NRRD + "encoding: raw\ndata file: slice%d.raw 0 4 1 2\n"),
    "metaimage slices": _slices(
        "scan.mhd", _META_IMAGE + "ElementDataFile = LIST\n" + "".join(f"slice{k}.raw\n" for k in range(5))
    ),
}

#: Formats in which every byte of the voxels is covered by a checksum.
CHECKED = frozenset({"nifti-1 gzip", "mgz", "analyze gzip"})
