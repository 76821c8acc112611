"""What is said of a DICOM stack that reads: scouts left out, mixed acquisitions, parts of an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomslices import write_slice

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

WriteSeries = Callable[..., Path]

ALTERNATE = "The slices of several acquisitions alternate in this stack: it may mix phases or doses."


@pytest.mark.parametrize(
    "scout",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "Rows": 2, "Columns": 3, "PixelData": bytes(12)},
    ],
)
def test_a_scout_in_the_series_of_the_scan_is_left_out_with_a_note(
    scout: dict[str, Any], write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    write_slice(folder / "scout", stored[0], np.array([0.0, 195.0, 100.0]), **scout)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 scout image was left out (scout).",)


@pytest.mark.parametrize("wobbling", [0, 2, 5])
def test_a_plane_that_differs_by_rounding_is_no_scout(
    wobbling: int, write_series: WriteSeries, stored: np.ndarray
) -> None:
    cosine = 0.95
    sine = np.sqrt(1 - cosine**2)

    def change(n: int) -> dict[str, Any]:
        rounded = cosine + (-1e-6 if n == wobbling else 1e-6)
        return {"ImageOrientationPatient": [rounded, sine, 0, -sine, cosine, 0]}

    volume = read_volume(write_series(change=change))
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ()


@pytest.mark.parametrize("slice_number", [0, 3, 5])
def test_a_slice_without_its_orientation_is_an_error(slice_number: int, write_series: WriteSeries) -> None:
    folder = write_series(change=lambda n: {"ImageOrientationPatient": None} if n == slice_number else {})
    name = rf"{6 - slice_number}\.dcm"
    with pytest.raises(VolumeError, match=rf"slices without a position or orientation \({name}\)"):
        read_volume(folder)


@pytest.mark.parametrize("missing", [("PixelSpacing",), ()])
def test_a_picture_without_a_place_is_left_out_with_a_note(
    missing: tuple[str, ...], write_series: WriteSeries, stored: np.ndarray
) -> None:
    """Such as a screen with the dose, under the UID of the series."""
    folder = write_series()
    nowhere = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", *missing))
    write_slice(folder / "dose.dcm", stored[0], np.zeros(3), **nowhere)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 scout image was left out (dose.dcm).",)


def test_a_stack_of_scouts_is_named(write_series: WriteSeries, stored: np.ndarray) -> None:
    volume = read_volume(write_series(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("All slices are marked as scout images (LOCALIZER).",)


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("AcquisitionNumber", (1, 2)),
        ("AcquisitionTime", ("101500", "101503")),
        ("KVP", (80, 140)),
        ("ContrastBolusAgent", ("", "Iodine")),
        ("NominalPercentageOfCardiacPhase", (10, 70)),
        ("ContentTime", ("101500", "101503")),
        ("ContentTime", ("1015", "1020")),
        ("ImageType", (["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"])),
        ("FrameOfReferenceUID", ("1.2", "1.3")),
        ("StudyInstanceUID", ("1.2", "1.3")),
        ("SeriesTime", ("101500", "101503")),
        ("PatientPosition", ("HFS", "FFS")),
        ("FilterType", ("HEAD", "BODY")),
        ("SliceThickness", (1, 5)),
    ],
)
def test_two_acquisitions_that_alternate_are_named(
    tag: str, values: tuple[Any, Any], write_series: WriteSeries, stored: np.ndarray
) -> None:
    volume = read_volume(write_series(change=lambda n: {tag: values[n % 2]}))
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (ALTERNATE,)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("tag", "date"), [("AcquisitionTime", ""), ("AcquisitionDateTime", "20240131")])
def test_acquisitions_in_turns_are_known_by_the_times_of_their_slices(
    tag: str, date: str, count: int, stored: np.ndarray, tmp_path: Path
) -> None:
    pixels = np.concatenate([stored, stored])
    for n, one in enumerate(pixels):
        time = f"{date}10{n % count:02}{10 + n}.25"
        write_slice(tmp_path / f"{n}.dcm", one, np.array([0.0, 0.0, n]), **{tag: time})
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.voxels, pixels - 1024)
    assert volume.notes == (ALTERNATE,)


@pytest.mark.parametrize(
    "change",
    [
        lambda n: {"AcquisitionNumber": n // 2},
        lambda n: {"AcquisitionTime": f"1015{n:02}"},
        lambda n: {"AcquisitionTime": f"1015{20 - n:02}"},
        lambda n: {"AcquisitionTime": f"1015{n // 3:02}"},
        lambda n: {"AcquisitionTime": f"1015{(n + 3) % 6:02}"},
        # Images are made in any order, with times by the second or finer.
        lambda n: {"ContentTime": ("101500", "101500", "101501", "101500", "101501", "101501")[n]},
        lambda n: {"ContentTime": f"10150{(1, 0, 3, 2, 5, 4)[n]}"},
        lambda n: {"ContentTime": f"10150{(0, 1, 0, 1, 2, 1)[n]}"},
        # The rows of a detector are read within milliseconds, against the direction of the table.
        lambda n: {"AcquisitionTime": f"1015{10 + n // 2:02}.{(50, 10)[n % 2]}"},
        # However a number or time is written.
        lambda n: {"SliceThickness": ("2.5", "2.500", "2.4999998")[n % 3]},
        lambda n: {"SeriesTime": ("101000", "101000.000")[n % 2]},
        # One slice may be annotated, or lack a value.
        lambda n: {"ImageType": ["DERIVED" if n in (2, 4) else "ORIGINAL", "PRIMARY", "AXIAL"]},
        lambda n: {"ContrastBolusAgent": "" if n == 3 else "Iodine"},
    ],
)
def test_one_acquisition_after_the_other_is_usual(
    change: Callable[[int], dict[str, Any]], write_series: WriteSeries
) -> None:
    assert read_volume(write_series(change=change)).notes == ()


def test_slices_of_an_mr_scan_may_be_measured_in_turns(write_series: WriteSeries) -> None:
    notes = read_volume(
        write_series(Modality="MR", change=lambda n: {"AcquisitionTime": f"10{n % 2:02}{n:02}"})
    ).notes
    assert notes == ("The modality is MR, not CT.",)


def test_slices_of_different_kernels_are_named(write_series: WriteSeries) -> None:
    notes = read_volume(
        write_series(change=lambda n: {"ConvolutionKernel": "B30f" if n < 3 else "B70f"})
    ).notes
    assert notes == ("The slices were reconstructed with different kernels.",)


def test_a_slice_that_states_no_transfer_syntax_is_read_with_a_note(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    path = folder / "2.dcm"
    content = path.read_bytes()
    start = content.index(b"\x02\x00\x10\x00UI")
    element = content[start : start + 8 + int.from_bytes(content[start + 6 : start + 8], "little")]
    # The first element of the meta header states the length of the others.
    length = int.from_bytes(content[140:144], "little") - len(element)
    path.write_bytes((content[:140] + length.to_bytes(4, "little") + content[144:]).replace(element, b""))

    volume = read_volume(folder)

    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (
        "The pixels of 1 file were taken for uncompressed, as no transfer syntax is stated (2.dcm).",
    )
