"""What lies beside the slices of a DICOM folder or below it stops nothing, and is named unless it is usual there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomslices import make_link, rename_slices, write_object, write_slice
from pydicom.uid import BasicTextSRStorage, CTImageStorage, RTStructureSetStorage

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

WriteSeries = Callable[..., Path]

#: What macOS keeps of a file "X" in a file "._X", where disks and archives have no place for it.
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(90)


@pytest.mark.parametrize(
    "name", ["1.dcm.gz", "1.dcm.lnk", "series.zip", "scan.dat", "queue", "DONE", "notes"]
)
def test_a_file_that_is_no_slice_is_left_out_with_its_name(
    name: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    (folder / name).write_bytes(b"any")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (f"1 file that is no DICOM image was left out: {name}.",)


def test_many_files_that_are_no_slices_are_counted(write_series: WriteSeries) -> None:
    folder = write_series()
    for n in range(5):
        (folder / f"{n}.roi").write_bytes(b"any")
    assert read_volume(folder).notes == (
        "5 files that are no DICOM images were left out: 0.roi, 1.roi, 2.roi and 2 more.",
    )


def test_an_archive_of_the_whole_series_is_no_lost_slice(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename_slices(folder, str)
    (folder / "20240131.zip").write_bytes(bytes(100_000))
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 file that is no DICOM image was left out: 20240131.zip.",)


def test_a_scout_with_a_word_for_its_name_makes_no_slice_of_another_word(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename_slices(folder, lambda n: f"IM{n}")
    write_slice(folder / "SCOUT", stored[0], np.zeros(3), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (folder / "QUEUE").write_bytes(b"")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (
        "1 file that is no DICOM image was left out: QUEUE.",
        "1 scout image was left out (SCOUT).",
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["queue", "queue7"])
def test_a_pipe_beside_slices_without_extension_is_left_out(
    name: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename_slices(folder, lambda n: f"IM{n}")
    os.mkfifo(folder / name)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (f"1 file that is no DICOM image was left out: {name}.",)


@pytest.mark.parametrize("has_extensions", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *("README", "LICENSE", "VERSION", "DICOMDIR", "dicomdir", "Makefile", "notes.txt", "preview.png"),
        *("md5sums", "SHA256SUMS", "manifest-1600709154662"),
        *(".DS_Store", "Thumbs.db", "desktop.ini", "2.json", "scan.nii.gz", "._1.dcm", "._1", ".1.dcm.swp"),
    ],
)
def test_what_usually_lies_beside_slices_is_left_alone(
    name: str, has_extensions: bool, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    if not has_extensions:
        rename_slices(folder, str)
    (folder / name).write_bytes(APPLE_DOUBLE)
    make_link(folder / "README.md", folder / "gone")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ()


@pytest.mark.parametrize("system_folder", ["__MACOSX/1", "@eaDir/1.dcm", ".AppleDouble"])
def test_folders_of_systems_beside_the_series_are_passed_over(
    system_folder: str, write_series: WriteSeries, stored: np.ndarray, tmp_path: Path
) -> None:
    write_series(folder="series")
    place = tmp_path / "scan" / system_folder
    place.mkdir(parents=True)
    for n in range(1, 7):
        (place / f"._{n}.dcm").write_bytes(APPLE_DOUBLE)
        (place / f"{n}.dcm").write_bytes(APPLE_DOUBLE)
    volume = read_volume(tmp_path / "scan")
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ()


@pytest.mark.parametrize("tags", [{"Modality": "SEG", "Rows": 5, "Columns": 7}, {"Modality": "ECG"}])
def test_an_object_that_is_newer_than_the_list_of_the_standard_is_left_out(
    tags: dict[str, Any], write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    write_object(folder / "7.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.999", **tags)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 other DICOM object (no image) left out: 7.dcm.",)


@pytest.mark.parametrize("name", ["log1", "series2", "1.zip", "2020.tmp"])
def test_other_numbered_files_beside_slices_named_by_uid_are_left_out_with_a_note(
    name: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename_slices(folder, lambda n: f"1.3.6.1.4.{n}")
    (folder / name).write_bytes(b"something else")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (f"1 file that is no DICOM image was left out: {name}.",)


def test_other_objects_named_like_slices_are_left_out_with_their_names(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    """Archives name all objects of a study alike."""
    folder = write_series()
    write_object(folder / "7.dcm", SOPClassUID=RTStructureSetStorage, Modality="RTSTRUCT")
    write_object(folder / "8.dcm", SOPClassUID=BasicTextSRStorage, Modality="SR")
    write_object(folder / "9.dcm", SOPClassUID="1.3.12.2.1107.5.9.1", Modality="CT")
    # A class copied from the CT images, as some programs do.
    dataset = pydicom.dcmread(folder / "7.dcm")
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    pydicom.dcmwrite(folder / "10.dcm", dataset)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("4 other DICOM objects (no image) left out: 10.dcm, 7.dcm, 8.dcm and 1 more.",)


def test_a_viewer_that_comes_with_the_scan_on_a_disc_stops_nothing(
    write_series: WriteSeries, stored: np.ndarray, tmp_path: Path
) -> None:
    folder = write_series(folder="DICOM/S1")
    rename_slices(tmp_path / "scan" / "DICOM" / "S1", lambda n: f"IM{n}")
    for name in ("DICOMDIR", "AUTORUN.INF", "INDEX", "VIEWER/setup2.exe", "VIEWER/lib64", "VIEWER/a.dll"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"any")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("2 files that are no DICOM images were left out: INDEX, lib64.",)


def test_slices_of_the_series_in_a_folder_below_are_an_error(write_series: WriteSeries) -> None:
    write_series(skip=(4, 5))
    folder = write_series(skip=(0, 1, 2, 3), folder="rest")
    with pytest.raises(VolumeError, match=r"2 more slices of this series in folders below \(rest\): put all"):
        read_volume(folder)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"SeriesInstanceUID": "1.2.9"},
        {"step": (0.0, 0.0, 1.0), "PixelSpacing": [2, 2]},
        {"step": (2.5, 0.0, 0.0), "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        # Resampled, with the UID of its series.
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "step": (0.0, 0.0, 1.7)},
    ],
)
def test_copies_and_other_images_in_a_folder_below_are_left_out_with_a_note(
    tags: dict[str, Any], write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    write_series(folder="copy", **tags)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("6 DICOM images in folders below were left out (copy).",)


def test_scans_without_identifiers_are_not_taken_for_one(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series(SeriesInstanceUID="")
    write_series(folder="other", SeriesInstanceUID="", step=(0.0, 0.0, 1.7))
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("6 DICOM images in folders below were left out (other).",)


def test_what_cannot_be_read_in_a_folder_below_is_no_matter(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    write_series(folder="copy", skip=(0, 1, 2, 3, 4))
    (folder / "copy" / "2.dcm").write_bytes((folder / "copy" / "1.dcm").read_bytes()[:250])
    (folder / "copy" / "3.dcm").write_bytes(b"")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 DICOM image in a folder below was left out (copy).",)


def test_links_to_slices_are_read(write_series: WriteSeries, stored: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    for path in write_series().iterdir():
        make_link(folder / path.name, path)
    assert np.array_equal(read_volume(folder).voxels, stored - 1024)


def test_folders_behind_links_are_searched_once(
    write_series: WriteSeries, stored: np.ndarray, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    make_link(top / "images", write_series())
    make_link(top / "loop", top)
    make_link(write_series() / "back", top)
    assert np.array_equal(read_volume(top).voxels, stored - 1024)
