"""MetaImage headers: what they leave out is named, and lengths are in mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.errors import VolumeError

BEGIN = "ObjectType = Image\nNDims = 3\nDimSize = 9 7 6\nElementType = MET_SHORT\n"
SPACING = "ElementSpacing = 0.7 0.8 2.5\n"
OFFSET = "Offset = 1 2 3\n"
MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"


@pytest.mark.parametrize(
    ("stated", "note"),
    [
        (SPACING + OFFSET + MATRIX, ""),
        ("ElementSize = 0.7 0.8 2.5\nPosition = 1 2 3\nRotation = 1 0 0 0 1 0 0 0 1\n", ""),
        (OFFSET + MATRIX, "ElementSpacing: the defaults of ITK were taken (1 mm)."),
        (SPACING + MATRIX, "Offset: the defaults of ITK were taken (position 0)."),
        (SPACING + OFFSET, "TransformMatrix: the defaults of ITK were taken (no rotation)."),
        (
            "",
            "ElementSpacing, Offset, TransformMatrix: "
            "the defaults of ITK were taken (1 mm, position 0, no rotation).",
        ),
        (
            (SPACING + MATRIX).lower() + OFFSET,
            "ElementSpacing, TransformMatrix: the defaults of ITK were taken (1 mm, no rotation).",
        ),
    ],
)
@pytest.mark.parametrize("is_behind", [True, False])
def test_what_a_header_leaves_out_is_named(
    stated: str, note: str, is_behind: bool, hu: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "scan.raw").write_bytes(hu.tobytes())
    path, data = tmp_path / "scan.mhd", "ElementDataFile = scan.raw\n"
    path.write_text(BEGIN + (data + stated if is_behind else stated + data))
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    assert np.array_equal(volume.voxels, hu)
    assert volume.spacing == pytest.approx(image.GetSpacing())
    np.testing.assert_allclose(np.array([-1, -1, 1]) * volume.origin, image.GetOrigin())
    if is_behind:
        assert "does not state ElementSpacing, Offset, TransformMatrix" in volume.notes[0]
    else:
        assert volume.notes == ((f"The header does not state {note}",) if note else ())


def test_what_is_written_leaves_nothing_out(hu: np.ndarray, tmp_path: Path) -> None:
    write_volume(Volume(hu, np.diag([-0.7, -0.8, 2.5, 1.0])), tmp_path / "scan.mha")
    assert read_volume(tmp_path / "scan.mha").notes == ()


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("m", 1e3),
        ("cm", 10.0),
        ("um", 1e-3),
        ("microns", 1e-3),
        ("nm", 1e-6),
        ("inch", 25.4),
        ("Meters", 1e3),
    ],
)
def test_known_units_become_mm_with_a_note(unit: str, factor: float, hu: np.ndarray, tmp_path: Path) -> None:
    header = f"{BEGIN}{SPACING}{OFFSET}{MATRIX}DistanceUnits = {unit}\nElementDataFile = LOCAL\n"
    (tmp_path / "scan.mha").write_bytes(header.encode() + hu.tobytes())
    volume = read_volume(tmp_path / "scan.mha")
    assert volume.spacing == pytest.approx((0.7 * factor, 0.8 * factor, 2.5 * factor))
    assert volume.origin == pytest.approx((-factor, -2 * factor, 3 * factor))
    assert volume.notes == (f"The file gives lengths in the unit {unit}; they were turned into mm.",)


@pytest.mark.parametrize("unit", ["mm", "MM", "?", "unknown", "parsec"])
def test_other_units_are_taken_as_mm(unit: str, hu: np.ndarray, tmp_path: Path) -> None:
    header = f"{BEGIN}{SPACING}{OFFSET}{MATRIX}DistanceUnits = {unit}\nElementDataFile = LOCAL\n"
    (tmp_path / "scan.mha").write_bytes(header.encode() + hu.tobytes())
    volume = read_volume(tmp_path / "scan.mha")
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    unknown = ('The file gives lengths in the unknown unit "parsec"; they were taken as mm.',)
    assert volume.notes == (unknown if unit == "parsec" else ())


@pytest.mark.parametrize(
    "binary", ["", "BinaryDataByteOrderMSB = True\n", "BinaryDataByteOrderMSB = False\n"]
)
@pytest.mark.parametrize("element", ["", "ElementByteOrderMSB = True\n", "ElementByteOrderMSB = False\n"])
def test_one_byte_order_is_taken_and_two_are_refused(
    binary: str, element: str, hu: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.mha"
    header = f"{BEGIN}{SPACING}{OFFSET}{MATRIX}{binary}{element}ElementDataFile = LOCAL\n"
    is_big_endian = "True" in binary + element
    path.write_bytes(header.encode() + hu.astype(">i2" if is_big_endian else "<i2").tobytes())
    if binary and element and ("True" in binary) != ("True" in element):
        with pytest.raises(VolumeError, match="states both byte orders"):
            read_volume(path)
    else:
        assert np.array_equal(read_volume(path).voxels, hu)
