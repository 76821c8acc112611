"""No slice of a DICOM folder is lost without a word, however its file was damaged or renamed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomslices import make_link, rename_slices

from MAESILCore.data.volume import find_scans, read_volume
from MAESILCore.errors import VolumeError

WriteSeries = Callable[..., Path]

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
    with pytest.raises(
        VolumeError, match=rf"{name}, which looks like a slice, but it .*: copy the folder again"
    ):
        read_volume(folder)


def test_a_slice_of_another_name_that_lost_its_mark_is_an_error(write_series: WriteSeries) -> None:
    folder = write_series()
    content = bytearray((folder / "1.dcm").read_bytes())
    content[128:132] = b"DIXM"
    (folder / "copy of the last").write_bytes(content)
    with pytest.raises(
        VolumeError, match="copy of the last, which looks like a slice, but it lacks the mark"
    ):
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
        VolumeError, match=r"6\.dcm, which looks like a slice, but it cannot be read \(Permission denied\)"
    ):
        read_volume(folder)


def test_a_broken_link_named_like_a_slice_is_an_error(write_series: WriteSeries) -> None:
    folder = write_series()
    make_link(folder / "7.dcm", folder / "gone" / "7.dcm")
    with pytest.raises(
        VolumeError, match=r"7\.dcm, which looks like a slice, but it is a link to a file that does not"
    ):
        read_volume(folder)


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
    rename_slices(folder, name)
    (folder / lost).write_bytes(b"")
    with pytest.raises(VolumeError, match=f"{re.escape(lost)}, which looks like a slice, but it {reason}"):
        read_volume(folder)


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
        VolumeError, match=r"1\.dcm, which looks like a slice, but its SOP class.* is missing or damaged"
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
    for path in folder.iterdir():
        damage_class(path, b"1.2.840.10008.5.1.4.1.1.r", **where)
    assert find_scans(folder.parent) == [folder.parent]
    assert np.array_equal(read_volume(folder).voxels, stored - 1024)


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
