"""No slice of a DICOM folder is lost without a word, and what merely lies beside the slices stops nothing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomslices import make_link, write_object
from pydicom.uid import BasicTextSRStorage, CTImageStorage, RTStructureSetStorage

from MAESILCore.errors import VolumeError
from MAESILCore.volume import find_scans, read_volume

WriteSeries = Callable[..., Path]

#: What macOS keeps of a file "X" in a file "._X", where disks and archives have no place for it.
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(90)

BROKEN = {
    "empty": b"",
    "cut in the preamble": bytes(100),
    "without the mark": bytes(128) + b"NONE" + bytes(500),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a git-annex pointer": b"/annex/objects/MD5E-s1--0.dcm\n",
    "a web page": b"<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["IM0000", "IM0003", "IM0007", "0007.dcm"])
def test_a_file_that_looks_like_a_slice_and_is_none_is_an_error(
    content: bytes, name: str, write_series: WriteSeries
) -> None:
    """Left out at an end of the stack it would shorten the scan without a word."""
    folder = write_series()
    for path in list(folder.iterdir()):
        path.rename(path.with_name(f"IM{int(path.stem):04}"))
    (folder / name).write_bytes(content)
    with pytest.raises(VolumeError, match=rf"{name} looks like a slice, but it .*: copy the folder again"):
        read_volume(folder)


def test_a_slice_of_another_name_that_lost_its_mark_is_an_error(write_series: WriteSeries) -> None:
    folder = write_series()
    content = bytearray((folder / "1.dcm").read_bytes())
    content[128:132] = b"DIXM"
    (folder / "copy of the last").write_bytes(content)
    with pytest.raises(VolumeError, match="copy of the last looks like a slice, but it lacks the mark"):
        read_volume(folder)


def test_a_file_that_may_not_be_read_is_left_out_unless_it_looks_like_a_slice(
    write_series: WriteSeries, stored: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_series()
    (folder / "notes.txt").write_text("secret")
    closed = {"notes.txt"}
    usual = Path.open

    def refuse(path: Path, *args: Any, **keywords: Any) -> Any:  # noqa: ANN401
        if path.name in closed:
            raise PermissionError(13, "Permission denied")
        return usual(path, *args, **keywords)

    monkeypatch.setattr(Path, "open", refuse)
    assert read_volume(folder).shape == stored.shape
    closed.add("6.dcm")
    with pytest.raises(
        VolumeError, match=r"6\.dcm looks like a slice, but it cannot be read \(Permission denied\)"
    ):
        read_volume(folder)


def test_a_broken_link_named_like_a_slice_is_an_error(write_series: WriteSeries) -> None:
    folder = write_series()
    make_link(folder / "7.dcm", folder / "gone" / "7.dcm")
    with pytest.raises(
        VolumeError, match=r"7\.dcm looks like a slice, but it is a link to a file that does not"
    ):
        read_volume(folder)


def rename(folder: Path, name: Callable[[int], str]) -> None:
    """Rename the six slices "1.dcm" to "6.dcm" of a folder."""
    for n in range(1, 7):
        (folder / f"{n}.dcm").rename(folder / name(n))


@pytest.mark.parametrize(
    ("name", "lost", "reason"),
    [
        (lambda n: f"slice_{'abcdef'[n - 1]}.dat", "slice_g.dat", "is empty"),
        (lambda n: f"slice_{'abcdef'[n - 1]}", "slice_g", "is empty"),
        (lambda n: "abcdef"[n - 1], "g", "is empty"),
        (lambda n: f"1.3.6.1.4.{n}", "1.3.6.1.4.7.55", "is empty"),
        (lambda n: f"CT.1.3.6.1.{n}", "CT.1.3.6.1.7.55", "is empty"),
        (lambda n: hashlib.md5(bytes([n])).hexdigest() + ".bin", "0a1b.bin", "is empty"),
        (lambda n: hashlib.md5(bytes([n])).hexdigest(), "0a1b", "is empty"),
        (lambda n: f"IM{n}.dcm", "IM7.dcm.gz", "is compressed: unpack it"),
        (lambda n: f"IM{n}", "IM7.zip", "is compressed: unpack it"),
        (lambda n: f"IM{n}.dcm", "IM7.dcm.lnk", "is a shortcut"),
        (lambda n: f"IM{n}.dcm", ".IM7.dcm.icloud", "is a placeholder of iCloud: download the file"),
        (lambda n: f"IM{n}.dcm", "IM7.dcm.part", "is an unfinished download"),
    ],
)
def test_a_lost_slice_is_known_by_the_names_of_the_others(
    name: Callable[[int], str], lost: str, reason: str, write_series: WriteSeries
) -> None:
    folder = write_series()
    rename(folder, name)
    (folder / lost).write_bytes(b"")
    with pytest.raises(VolumeError, match=f"{re.escape(lost)} looks like a slice, but it {reason}"):
        read_volume(folder)


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
        "5 files that are no DICOM images were left out: 0.roi, 1.roi, 2.roi, ....",
    )


def test_an_archive_of_the_whole_series_is_no_lost_slice(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename(folder, str)
    (folder / "20240131.zip").write_bytes(bytes(100_000))
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ("1 file that is no DICOM image was left out: 20240131.zip.",)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["queue", "queue7"])
def test_a_pipe_beside_slices_without_extension_is_left_out(
    name: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    rename(folder, lambda n: f"IM{n}")
    os.mkfifo(folder / name)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == (f"1 file that is no DICOM image was left out: {name}.",)


@pytest.mark.parametrize("has_extensions", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *("README", "LICENSE", "VERSION", "DICOMDIR", "dicomdir", "Makefile", "notes.txt", "preview.png"),
        *(".DS_Store", "Thumbs.db", "desktop.ini", "2.json", "scan.nii.gz", "._1.dcm", "._1", ".1.dcm.swp"),
    ],
)
def test_what_usually_lies_beside_slices_is_left_alone(
    name: str, has_extensions: bool, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    if not has_extensions:
        rename(folder, str)
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


def damage_class(path: Path, damaged: bytes, *, in_meta: bool, in_data: bool) -> None:
    """Overwrite the SOP class "1.2.840.10008.5.1.4.1.1.2" in the meta header, the data set, or both."""
    content = path.read_bytes()
    uid = b"1.2.840.10008.5.1.4.1.1.2"
    first = content.index(uid)
    second = content.index(uid, first + 1)
    for place, is_wanted in ((first, in_meta), (second, in_data)):
        if is_wanted:
            content = content[:place] + damaged + content[place + len(damaged) :]
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:140]),
        # In the middle of the class.
        lambda path: path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"1.2.840") + 7]),
        lambda path: path.write_bytes(path.read_bytes()[:132] + bytes(400)),
        lambda path: damage_class(path, bytes(25), in_meta=True, in_data=True),
        lambda path: damage_class(path, b"1.2.840.10008.5.1.4.1.1.r", in_meta=True, in_data=True),
        lambda path: damage_class(path, b"1.2.840.10008.5.1.4.1.9.2", in_meta=True, in_data=True),
        # The class of ultrasound, and of no standard.
        lambda path: damage_class(path, b"1.2.840.10008.5.1.4.1.1.6", in_meta=False, in_data=True),
        lambda path: damage_class(path, b"1.2.840.10009.5.1.4.1.1.2", in_meta=False, in_data=True),
    ],
)
def test_a_slice_that_lost_its_class_is_an_error(
    damage: Callable[[Path], None], write_series: WriteSeries
) -> None:
    folder = write_series()
    damage(folder / "1.dcm")
    with pytest.raises(
        VolumeError, match=r"1\.dcm looks like a slice, but its SOP class.* is missing or damaged"
    ):
        read_volume(folder)
    with pytest.raises(VolumeError, match=r"1\.dcm is cut short or damaged \(its SOP class"):
        read_volume(folder / "1.dcm")


@pytest.mark.parametrize("place", ["in_meta", "in_data"])
def test_a_class_that_is_damaged_in_one_place_is_known_by_the_other(
    place: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    where = {"in_meta": False, "in_data": False, place: True}
    damage_class(folder / "1.dcm", b"1.2.840.10008.5.1.4.1.1.r", **where)
    assert np.array_equal(read_volume(folder).voxels, stored - 1024)


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
    assert volume.notes == ("4 other DICOM objects (no image) left out: 10.dcm, 7.dcm, 8.dcm, ....",)


def test_a_scan_without_a_class_in_its_meta_header_is_found_and_read(
    write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta.MediaStorageSOPClassUID
        pydicom.dcmwrite(path, dataset)
    assert find_scans(folder.parent) == [folder.parent]
    assert np.array_equal(read_volume(folder).voxels, stored - 1024)


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
