"""DICOM folders as archives and scanners really leave them: HU unchanged, or one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomslices import COLUMNS, ROWS, write_slice
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from MAESILCore.errors import VolumeError
from MAESILCore.volume import find_scans, read_volume

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
WriteSeries = Callable[..., Path]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("missing", [1, 2 * COLUMNS, 2 * ROWS * COLUMNS])
def test_a_slice_with_too_few_pixel_bytes_is_refused(
    syntax: str, missing: int, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series(syntax=syntax)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    kept = (2 * ROWS * COLUMNS - missing) & ~1
    for n in range(len(stored)):
        pixels = stored[n].astype(order).tobytes()
        pixels = pixels[:kept] if n == 3 else pixels
        write_slice(
            folder / f"{len(stored) - n}.dcm", stored[n], np.array([0, 0, n]), syntax=syntax, PixelData=pixels
        )
    with pytest.raises(
        VolumeError, match=rf"3\.dcm is cut short or damaged \(it has {kept} of 70 bytes of pixels\)"
    ):
        read_volume(folder)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
def test_every_native_syntax_gives_the_same_hu(
    syntax: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    folder = write_series(syntax=syntax, change=lambda n: {"PixelData": stored[n].astype(order).tobytes()})
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, stored - 1024)
    assert volume.notes == ()


@pytest.mark.parametrize("value_type", ["OB", "OW"])
def test_bytes_in_big_endian_words_are_swapped(
    value_type: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    bright = stored % 251
    folder = write_series(
        syntax=ExplicitVRBigEndian, BitsAllocated=8, BitsStored=8, HighBit=7, RescaleIntercept=0
    )
    for n, plane in enumerate(bright):
        path = folder / f"{6 - n}.dcm"
        data = plane.astype("u1").tobytes() + b"\0"
        data = np.frombuffer(data, "<u2").byteswap().tobytes() if value_type == "OW" else data
        dataset = pydicom.dcmread(path)
        dataset.PixelData = data
        dataset["PixelData"].VR = value_type
        dataset.save_as(path)
    assert np.array_equal(read_volume(folder).voxels, bright)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("slope", [1, 2])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_hu_of_monochrome1_are_those_of_monochrome2(
    is_signed: bool, slope: int, is_compressed: bool, write_series: WriteSeries, stored: np.ndarray
) -> None:
    """The mark is about how the image is shown; ITK turns the values around."""
    values = stored - 1500 if is_signed else stored
    folder = write_series(
        PhotometricInterpretation="MONOCHROME1",
        PixelRepresentation=int(is_signed),
        RescaleSlope=slope,
        change=lambda n: {"PixelData": values[n].astype("<i2").tobytes()},
    )
    if is_compressed:
        compress(folder)
    assert np.array_equal(read_volume(folder).voxels, values * slope - 1024)


def compress(folder: Path) -> None:
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)


def test_each_compressed_slice_has_its_own_slope(write_series: WriteSeries, stored: np.ndarray) -> None:
    folder = write_series(change=lambda n: {"RescaleSlope": 1 + n, "RescaleIntercept": -10 * n})
    compress(folder)
    slopes, intercepts = 1 + np.arange(6)[:, None, None], -10 * np.arange(6)[:, None, None]
    assert np.array_equal(read_volume(folder).voxels, stored * slopes + intercepts)


def test_a_compressed_slice_that_is_cut_is_refused(write_series: WriteSeries) -> None:
    folder = write_series()
    compress(folder)
    path = folder / "2.dcm"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(VolumeError, match=r"2\.dcm is cut short or damaged"):
        read_volume(folder)


def test_bits_above_the_stored_ones_are_ignored(write_series: WriteSeries, stored: np.ndarray) -> None:
    """Old scanners keep overlays there; a signed 12-bit value has its sign in bit 11."""
    values = stored - 2000
    words = (values & 0x0FFF) | 0xA000
    folder = write_series(
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=1,
        RescaleIntercept=0,
        change=lambda n: {"PixelData": words[n].astype("<u2").tobytes()},
    )
    assert np.array_equal(read_volume(folder).voxels, values)


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


def make_link(link: Path, target: Path) -> None:
    try:
        os.symlink(target, link)
    except OSError:
        pytest.skip("no symbolic links here")


@pytest.mark.parametrize(
    "name", ["README", "LICENSE", "VERSION", "DICOMDIR", "notes.txt", ".DS_Store", "Thumbs.db", "preview.png"]
)
def test_what_usually_lies_beside_slices_is_left_alone(
    name: str, write_series: WriteSeries, stored: np.ndarray
) -> None:
    folder = write_series()
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    (folder / name).write_bytes(b"no slice")
    make_link(folder / "README.md", folder / "gone")
    assert read_volume(folder).shape == stored.shape


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


def test_two_acquisitions_that_alternate_are_named(write_series: WriteSeries) -> None:
    for tag, values in (("AcquisitionNumber", (1, 2)), ("AcquisitionTime", ("101500", "101503"))):
        notes = read_volume(write_series(change=lambda n, tag=tag, values=values: {tag: values[n % 2]})).notes
        assert notes == (
            "The slices of several acquisitions alternate in this stack: it may mix phases or doses.",
        )


def test_acquisitions_one_after_the_other_are_usual(write_series: WriteSeries) -> None:
    assert read_volume(write_series(change=lambda n: {"AcquisitionNumber": n // 2})).notes == ()


def test_slices_of_different_kernels_are_named(write_series: WriteSeries) -> None:
    notes = read_volume(
        write_series(change=lambda n: {"ConvolutionKernel": "B30f" if n < 3 else "B70f"})
    ).notes
    assert notes == ("The slices were reconstructed with different kernels.",)


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_modality_lut_is_applied_with_a_note(
    is_signed: bool, write_series: WriteSeries, stored: np.ndarray
) -> None:
    first = -5 if is_signed else 10
    table = np.array([0, 100, 250, 400, 1000], np.uint16)
    lut = pydicom.Dataset()
    lut.LUTDescriptor = [len(table), first, 16]
    lut.ModalityLUTType, lut.LUTData = "HU", table.tobytes()
    lut["LUTData"].VR = "OW"
    values = stored % 20 - (10 if is_signed else 0)
    folder = write_series(
        ModalityLUTSequence=[lut],
        RescaleSlope=None,
        RescaleIntercept=None,
        PixelRepresentation=int(is_signed),
        change=lambda n: {"PixelData": values[n].astype("<i2").tobytes()},
    )
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, table[np.clip(values - first, 0, 4)])
    assert "Modality LUT" in volume.notes[0]


def test_slices_without_a_rescale_are_counted(write_series: WriteSeries, stored: np.ndarray) -> None:
    volume = read_volume(write_series(change=lambda n: {"RescaleSlope": None} if n == 2 else {}))
    assert "1 of 6 slices state no rescale slope and intercept; 1 and 0 were taken." in volume.notes


@pytest.mark.parametrize(
    ("tag", "value"), [("RescaleSlope", "0"), ("RescaleSlope", "nan"), ("RescaleIntercept", "x")]
)
def test_a_rescale_that_is_no_number_is_refused(tag: str, value: str, write_series: WriteSeries) -> None:
    folder = write_series()
    path = folder / "4.dcm"
    dataset = pydicom.dcmread(path)
    # As the bytes of an unknown type, pydicom writes what is no number.
    dataset[tag] = pydicom.DataElement(dataset[tag].tag, "LO", value)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"LO", b"DS"))
    with pytest.raises(VolumeError, match=r"4\.dcm is cut short or damaged"):
        read_volume(folder)


def test_values_that_the_header_calls_something_else_are_named(write_series: WriteSeries) -> None:
    assert (
        read_volume(write_series(RescaleType="OD")).notes[0]
        == "The header says that the values are in OD, not HU."
    )
    assert read_volume(write_series(RescaleType="HU")).notes == ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
def test_names_that_are_not_utf_8_are_read(write_series: WriteSeries, stored: np.ndarray) -> None:
    folder = write_series()
    renamed = Path(os.fsdecode(os.fsencode(folder.parent) + b"/sc\xe4n"))
    os.rename(folder, renamed)
    for path in list(renamed.iterdir()):
        os.rename(path, os.fsencode(path) + b"\xfc.dcm")
    assert np.array_equal(read_volume(renamed).voxels, stored - 1024)
    assert find_scans(renamed) == [renamed]
    compress(renamed)
    assert np.array_equal(read_volume(renamed).voxels, stored - 1024)
