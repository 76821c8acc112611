"""A DICOM folder becomes one evenly spaced volume, or the reason why not is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomslices import COLUMNS, PATIENT, ROWS, write_object, write_slice
from pydicom.uid import RTStructureSetStorage, SecondaryCaptureImageStorage

from MAESILCore.data.volume import list_series, read_volume
from MAESILCore.errors import VolumeError


def test_slices_are_sorted_by_position_and_rescaled(
    write_series: Callable[..., Path], stored: np.ndarray
) -> None:
    volume = read_volume(write_series())
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, stored - 1024)
    expected = np.diag([-0.7, -0.8, 2.5, 1.0])
    expected[:3, 3] = [10.0, 20.0, 30.0]
    np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-9)
    assert volume.name == "scan"
    assert volume.notes == ()


def test_slices_that_run_downwards_are_turned_to_a_right_handed_stack(
    write_series: Callable[..., Path], stored: np.ndarray
) -> None:
    volume = read_volume(write_series(step=(0.0, 0.0, -2.5)))
    assert np.array_equal(volume.voxels, stored[::-1] - 1024)
    assert volume.orientation == "LPS"
    assert volume.origin[2] == pytest.approx(30.0 - 5 * 2.5)


def test_an_oblique_series_keeps_its_axes(write_series: Callable[..., Path], stored: np.ndarray) -> None:
    axes = np.array([[0.8, 0.6, 0.0], [-0.48, 0.64, 0.6]])
    normal = np.cross(axes[0], axes[1])
    volume = read_volume(write_series(step=tuple(3.0 * normal), ImageOrientationPatient=[*axes.ravel()]))
    assert np.array_equal(volume.voxels, stored - 1024)
    lps = np.diag([-1.0, -1.0, 1.0]) @ volume.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(lps, np.column_stack([0.7 * axes[0], 0.8 * axes[1], 3.0 * normal]), atol=1e-9)
    assert volume.is_oblique
    assert not volume.is_sheared


def test_a_gantry_tilt_stays_in_the_matrix(write_series: Callable[..., Path], stored: np.ndarray) -> None:
    volume = read_volume(write_series(step=(0.0, 0.8, 2.5)))
    assert np.array_equal(volume.voxels, stored - 1024)
    last_voxel = volume.ijk_to_ras @ [0, 0, 5, 1]
    np.testing.assert_allclose(last_voxel[:3], [10.0, 20.0 - 5 * 0.8, 30.0 + 5 * 2.5], atol=1e-9)
    assert volume.is_sheared
    assert "sheared, 17.7 degrees" in volume.notes[0]


def test_each_slice_has_its_own_slope(write_series: Callable[..., Path], stored: np.ndarray) -> None:
    volume = read_volume(write_series(change=lambda n: {"RescaleSlope": 0.5 + n, "RescaleIntercept": 0}))
    slopes = 0.5 + np.arange(len(stored))
    assert volume.voxels.dtype == np.float32
    assert np.array_equal(volume.voxels, stored * slopes[:, None, None])


def test_positions_rounded_by_the_scanner_are_even(write_series: Callable[..., Path]) -> None:
    rounded = read_volume(
        write_series(
            change=lambda n: {"ImagePositionPatient": [-10.0, -20.0, round(30.0 + 0.625 * n, 2)]},
        )
    )
    assert rounded.spacing[2] == pytest.approx(0.625, abs=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip": (2,)}, "lacks 1 slice among slices 2.5 mm apart"),
        ({"skip": (1, 2)}, "lacks 2 slices"),
        ({"skip": (1,), "step": (0.0, 0.8, 2.5)}, "lacks 1 slice .* tilted by 17.7 degrees"),
        (
            {"change": lambda n: {"ImagePositionPatient": [0, 0, n**1.5]}},
            "uneven slice distances, from 1 to 3.18 mm",
        ),
        (
            {"change": lambda n: {"ImagePositionPatient": [0, 0, max(n, 1)]}},
            "1 of 6 slices at the position",
        ),
        ({"change": lambda n: {"ImagePositionPatient": [0, n * n, n]}}, "uneven"),
        ({"change": lambda n: {"ImageOrientationPatient": [1, 0, 0, 0, n > 2, n <= 2]}}, "2 orientations"),
        ({"change": lambda n: {"PixelSpacing": [1 + n % 2, 1]}}, "mixes pixel sizes"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]}, "perpendicular unit vectors"),
        ({"ImagePositionPatient": None}, "without a position"),
        ({"PixelSpacing": None}, "without a pixel spacing"),
        ({"skip": (1, 2, 3, 4, 5)}, "only one slice"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"},
            r"none of them is an image \(modality SEG\)",
        ),
    ],
)
def test_slices_that_make_no_even_stack_are_named(
    options: dict[str, Any], words: str, write_series: Callable[..., Path]
) -> None:
    with pytest.raises(VolumeError, match=words) as caught:
        read_volume(write_series(**options))
    assert PATIENT not in str(caught.value)


def test_colours_and_several_frames_are_named(tmp_path: Path) -> None:
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    eight_bits = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelData": bytes(ROWS * COLUMNS * 3 + 1),
    }
    blank = np.zeros((ROWS, COLUMNS))
    write_slice(tmp_path / "rgb.dcm", blank, np.zeros(3), **rgb, **eight_bits)
    frames = {"NumberOfFrames": 2, "PixelData": bytes(2 * ROWS * COLUMNS * 2)}
    write_slice(
        tmp_path / "frames.dcm", blank, np.zeros(3), SOPClassUID=SecondaryCaptureImageStorage, **frames
    )
    for name, words in (("rgb", "colours"), ("frames", "2 frames")):
        with pytest.raises(VolumeError, match=words):
            read_volume(tmp_path / f"{name}.dcm")


def test_a_scout_and_a_structure_set_are_left_out_with_a_note(
    write_series: Callable[..., Path], stored: np.ndarray, tmp_path: Path
) -> None:
    folder = write_series()
    scout = {
        "SeriesInstanceUID": "1.2.4",
        "SeriesNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    }
    for n in range(2):
        write_slice(folder / f"scout{n}.dcm", stored[0], np.array([0, n, 0]), **scout)
    write_object(folder / "structures.dcm", SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT")
    (folder / "notes.txt").write_text("no DICOM")
    volume = read_volume(folder)
    assert volume.shape == stored.shape
    assert volume.notes == (
        "The folder's other series were left out: number 1 (CT, 2 slices).",
        "1 other DICOM object (no image) left out: structures.dcm.",
    )


@pytest.fixture
def two_series(write_series: Callable[..., Path], stored: np.ndarray) -> Path:
    write_series(prefix="a")
    return write_series(
        prefix="b", SeriesInstanceUID="1.2.9", SeriesNumber=7, Modality="PT", RescaleIntercept=0
    )


def test_two_series_are_listed_and_one_is_chosen(two_series: Path, stored: np.ndarray) -> None:
    with pytest.raises(VolumeError, match=r"number 2 \(CT, 6 slices\), number 7 \(PT, 6 slices\)") as caught:
        read_volume(two_series)
    assert PATIENT not in str(caught.value)
    assert [(one.uid, one.number, one.modality, one.slices) for one in list_series(two_series)] == [
        ("1.2.3", "2", "CT", 6),
        ("1.2.9", "7", "PT", 6),
    ]
    assert np.array_equal(read_volume(two_series, series="2").voxels, stored - 1024)
    chosen = read_volume(two_series, series="1.2.9")
    assert np.array_equal(chosen.voxels, stored)
    assert any("PT, not CT" in note for note in chosen.notes)


def test_series_of_one_number_are_told_apart_by_their_uids(
    write_series: Callable[..., Path], stored: np.ndarray
) -> None:
    write_series(prefix="a")
    write_series(prefix="b", SeriesInstanceUID="1.2.9", RescaleIntercept=0)
    folder = write_series(prefix="c", SeriesInstanceUID="1.2.5", SeriesNumber=3, RescaleIntercept=0)
    named = r"number 2, UID 1\.2\.3 \(CT, 6 slices\), number 2, UID 1\.2\.9 \(CT, 6 slices\), number 3 \(CT"
    for series in (None, "2"):
        with pytest.raises(VolumeError, match=named):
            read_volume(folder, series=series)
    volume = read_volume(folder, series="1.2.9")
    assert np.array_equal(volume.voxels, stored)
    assert volume.notes[0] == (
        "The folder's other series were left out: number 2, UID 1.2.3 (CT, 6 slices), number 3 (CT, 6 slices)."
    )


def test_a_series_that_is_not_there_is_named_with_those_that_are(two_series: Path) -> None:
    with pytest.raises(VolumeError, match=r"no series with the number or UID '3'; .* number 2"):
        read_volume(two_series, series="3")


def test_images_below_the_folder_are_found(write_series: Callable[..., Path], stored: np.ndarray) -> None:
    volume = read_volume(write_series(folder="study/images"))
    assert volume.shape == stored.shape
    assert volume.name == "scan"


def test_a_truncated_slice_is_an_error_and_not_a_gap(write_series: Callable[..., Path]) -> None:
    folder = write_series()
    damaged = folder / "1.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(VolumeError, match=r"1\.dcm is cut short or damaged"):
        read_volume(folder)


def test_a_file_without_extension_is_known_by_its_mark(
    write_series: Callable[..., Path], stored: np.ndarray
) -> None:
    folder = write_series()
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert read_volume(folder).shape == stored.shape
    with pytest.raises(VolumeError, match="only one slice"):
        read_volume(folder / "1")


def test_no_patient_tag_reaches_a_volume(write_series: Callable[..., Path]) -> None:
    volume = read_volume(write_series())
    assert PATIENT not in repr((volume.name, volume.notes))
    assert PATIENT not in repr(list_series(write_series()))


@pytest.mark.parametrize("has_structures", [True, False])
def test_a_folder_without_images_is_refused(has_structures: bool, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    if has_structures:
        write_object(tmp_path / "structures.dcm", SOPClassUID=RTStructureSetStorage)
    words = "none of them is an image" if has_structures else "no DICOM files"
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path)


def test_the_folder_one_stands_in_has_a_name(
    write_series: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_series())
    assert read_volume(".").name == "scan"
    assert len(list_series(".")) == 1


def test_series_are_listed_of_folders_only(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="not a folder"):
        list_series(tmp_path / "nowhere")
