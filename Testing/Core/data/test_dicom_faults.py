"""DICOM folders as archives and scanners really leave them: HU unchanged, or one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

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

from MAESILCore.data.volume import find_scans, read_volume
from MAESILCore.errors import VolumeError

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


@pytest.mark.parametrize("value_type", ["US", "OW"])
@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_modality_lut_has_the_byte_order_of_its_file(
    syntax: str, value_type: str, bits: int, write_series: WriteSeries, stored: np.ndarray
) -> None:
    table = np.arange(500) * (1 if bits == 8 else 100) % (1 << bits)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    lut = pydicom.Dataset()
    lut.LUTDescriptor = [len(table), 0, bits]
    lut.ModalityLUTType = "HU"
    if value_type == "US":
        lut.add_new("LUTData", "US", table.tolist())
    elif bits == 8:
        # Two entries share a word.
        lut.add_new("LUTData", "OW", table.astype("u1").view("<u2").astype(order).tobytes())
    else:
        lut.add_new("LUTData", "OW", table.astype(order).tobytes())
    values = stored % len(table)
    folder = write_series(
        syntax=syntax,
        ModalityLUTSequence=[lut],
        change=lambda n: {"PixelData": values[n].astype(order).tobytes()},
    )
    assert np.array_equal(read_volume(folder).voxels, table[values])


def test_floating_point_pixels_are_named(write_series: WriteSeries) -> None:
    for keyword, dtype in (("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")):
        pixels = np.zeros((ROWS, COLUMNS), dtype).tobytes()
        folder = write_series()
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            del dataset.PixelData
            setattr(dataset, keyword, pixels)
            dataset.save_as(path)
        with pytest.raises(VolumeError, match=r"dcm holds floating-point pixels, which are not supported"):
            read_volume(folder)


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
