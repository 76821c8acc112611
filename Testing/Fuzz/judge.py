"""Whether an outcome is right: the file's own truth, which other readers are asked for, or one sentence."""

from __future__ import annotations

import bz2
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileMetaDataset

from seeds import CHECKED, HU, IJK_TO_RAS

#: Of the tags that describe an image.
_IMAGE_GROUPS = (0x0008, 0x0018, 0x0020, 0x0028, 0x7FE0)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Outcome:
    """What the library made of a file: voxels, matrix and notes, or a sentence, or an unexpected error."""

    voxels: np.ndarray | None = None
    ijk_to_ras: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    sentence: str = ""
    error: str = ""

    def summary(self) -> str:
        """In one line."""
        return self.error or self.sentence or f"read, with the notes {self.notes}"


def what_is_wrong(seed: str, target: Path, outcome: Outcome) -> str:
    """Why an outcome is wrong, "" if it is right."""
    if outcome.error:
        return outcome.error
    if outcome.sentence:
        text = outcome.sentence
        return (
            ""
            if text.endswith(".") and "\n" not in text and len(text) < 600
            else f"no clear sentence: {text!r}"
        )
    assert outcome.voxels is not None
    assert outcome.ijk_to_ras is not None
    if _is_same(outcome, HU, IJK_TO_RAS):
        return ""
    if seed in CHECKED and not all(map(_is_intact, target.parent.glob("scan.*gz"))):
        return "a broken checksum was accepted"
    if outcome.notes:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            voxels, ijk_to_ras = _truth(seed, target)
    except Exception as error:  # another reader's failure, of whatever kind, is no truth
        return (
            f"values were given without a note, and the other reader failed ({type(error).__name__}: {error})"
        )
    if _is_same(outcome, voxels, ijk_to_ras):
        return ""
    if outcome.voxels.shape != voxels.shape:
        return f"the shape is {outcome.voxels.shape}, and the other reader has {voxels.shape}"
    return (
        f"differs from the other reader by up to {np.nanmax(np.abs(outcome.voxels - voxels)):g} HU and "
        f"{np.abs(outcome.ijk_to_ras - ijk_to_ras).max():g} mm"
    )


def _is_same(outcome: Outcome, voxels: np.ndarray, ijk_to_ras: np.ndarray) -> bool:
    assert outcome.voxels is not None
    return (
        outcome.voxels.shape == voxels.shape
        and np.allclose(outcome.voxels, voxels, rtol=1e-5, atol=1e-4, equal_nan=True)
        and np.allclose(outcome.ijk_to_ras, ijk_to_ras, rtol=1e-4, atol=1e-3)
    )


def _is_intact(path: Path) -> bool:
    """Whether the first gzip member has its checksum and length; what follows it does not count."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        decompressor.decompress(path.read_bytes())
    except zlib.error:
        return False
    return decompressor.eof


def _truth(seed: str, target: Path) -> tuple[np.ndarray, np.ndarray]:
    if seed.startswith(("nifti", "mg")):
        if target.suffix == ".hdr":
            # What follows the header are extensions, which tell nothing of geometry and values.
            target.write_bytes(target.read_bytes()[:348] + bytes(4))
        elif target.suffix == ".nii":
            # Nor do extensions between header and voxels, at which nibabel stops when they are damaged.
            content = target.read_bytes()
            place = 540 if content[4:7] == b"n+2" else 348
            target.write_bytes(content[:place] + bytes(1) + content[place + 1 :])
        image = nibabel.load(target)
        voxels = np.asarray(image.dataobj)
        return voxels.reshape(voxels.shape[:3]).T, image.affine
    if seed == "dicom enhanced":
        return _enhanced_truth(target)
    if seed.startswith("dicom"):
        return _dicom_truth(target)
    _make_readable_for_itk(target)
    image = SimpleITK.ReadImage(str(target))
    count = image.GetDimension()
    matrix = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(count, count)[:3, :3]
    matrix[:3, :3] = directions * np.array(image.GetSpacing()[:3])
    matrix[:3, 3] = image.GetOrigin()[:3]
    voxels = SimpleITK.GetArrayFromImage(image)
    return voxels.reshape(voxels.shape[-3:]), _LPS_TO_RAS @ matrix


def _make_readable_for_itk(path: Path) -> None:
    """Unpack what ITK does not read or may garble, and mend the form of a header that can be read in one way only."""
    content = path.read_bytes()
    if path.suffix in (".nrrd", ".nhdr"):
        header, end, data = content.partition(b"\n\n")
        content = re.sub(rb"(?m)^([^#:\n]+):(?![ =\n])[\t\v\f\r]?", rb"\1: ", header) + end + data
    else:
        content = re.sub(rb"(?i)(?<=ElementDataFile = )LOCAL(?=\n)", b"LOCAL", content, count=1)
    path.write_bytes(content)
    if b"encoding: bzip2" in content:
        header, _, data = content.partition(b"\n\n")
        header = header.replace(b"encoding: bzip2", b"encoding: raw")
        path.write_bytes(header + b"\n\n" + bz2.decompress(data))
    elif (
        b"CompressedData = True\n" in content
        and (parts := content.partition(b"ElementDataFile = LOCAL\n"))[1]
    ):
        header = parts[0].replace(b"CompressedData = True\n", b"CompressedData = False\n") + parts[1]
        path.write_bytes(header + zlib.decompressobj().decompress(parts[2]))
    elif path.suffix in (".nhdr", ".mhd") and not content.endswith(b"\n"):
        path.write_bytes(content + b"\n")


def _dicom_truth(target: Path) -> tuple[np.ndarray, np.ndarray]:
    """Slices by GDCM, sorted along their normal, with the matrix of first and last position."""
    slices = []
    for path in sorted(target.iterdir()) if target.is_dir() else [target]:
        try:
            image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
        except RuntimeError:
            # GDCM reads up to the end, and stops at what does not belong there.
            dataset = pydicom.dcmread(path)
            for tag in [tag for tag in dataset.keys() if tag.group not in _IMAGE_GROUPS]:  # noqa: SIM118
                del dataset[tag]
            syntax, dataset.file_meta = dataset.file_meta.TransferSyntaxUID, FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(path, dataset, enforce_file_format=True)
            image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
        values = {key: image.GetMetaData(key).strip() for key in image.GetMetaDataKeys()}
        position, orientation, spacing = (
            np.array([float(part) for part in values[key].split("\\")])
            for key in ("0020|0032", "0020|0037", "0028|0030")
        )
        pixels = SimpleITK.GetArrayFromImage(image)[0].astype(np.float64)
        if values.get("0028|0004") == "MONOCHROME1":
            # GDCM turns stored values around before it rescales them.
            slope, intercept = float(values.get("0028|1053", 1)), float(values.get("0028|1052", 0))
            ends = 0xFFFF if values["0028|0103"] == "0" else -1
            pixels = ends * slope + 2 * intercept - pixels
        slices.append((position, orientation, spacing, pixels))
    return _stacked(slices)


def _enhanced_truth(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames by pydicom's own decoder, with what the functional groups say of each."""
    dataset = pydicom.dcmread(path)
    shared, slices = dataset.SharedFunctionalGroupsSequence[0], []
    for group, stored in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
        values = group.PixelValueTransformationSequence[0]
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
        slices.append(
            (position, orientation, spacing, stored * values.RescaleSlope + values.RescaleIntercept)
        )
    return _stacked(slices)


def _stacked(
    slices: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = slices[0][1][:3], slices[0][1][3:]
    normal = np.cross(rows, columns)
    slices.sort(key=lambda one: float(one[0] @ normal))
    step = (slices[-1][0] - slices[0][0]) / (len(slices) - 1)
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([rows * slices[0][2][1], columns * slices[0][2][0], step, slices[0][0]])
    return np.stack([one[3] for one in slices]), _LPS_TO_RAS @ matrix
