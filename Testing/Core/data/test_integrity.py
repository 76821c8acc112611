"""Checksums are verified, and geometry and values are those of ITK."""

from __future__ import annotations

import bz2
import gzip
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from niftiscans import write_nifti

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 7 6\n"
    "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (0,0,0)\nendian: little\n"
)
META_IMAGE = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nOffset = 0 0 0\n"
    "ElementSpacing = 0.7 0.8 2.5\nDimSize = 9 7 6\nElementType = MET_SHORT\n"
)


def write_nrrd(path: Path, hu: np.ndarray) -> None:
    path.write_bytes((NRRD + "encoding: gzip\n\n").encode() + gzip.compress(hu.tobytes()))


def write_detached_nrrd(path: Path, hu: np.ndarray) -> None:
    path.write_text(NRRD + "encoding: gzip\ndata file: scan.raw.gz\n\n")
    path.with_name("scan.raw.gz").write_bytes(gzip.compress(hu.tobytes()))


def write_bzip2_nrrd(path: Path, hu: np.ndarray) -> None:
    path.write_bytes((NRRD + "encoding: bzip2\n\n").encode() + bz2.compress(hu.tobytes()))


def write_meta_image(path: Path, hu: np.ndarray) -> None:
    header = META_IMAGE + "CompressedData = True\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + zlib.compress(hu.tobytes()))


def write_detached_meta_image(path: Path, hu: np.ndarray) -> None:
    path.write_text(META_IMAGE + "CompressedData = True\nElementDataFile = scan.zraw\n")
    path.with_name("scan.zraw").write_bytes(zlib.compress(hu.tobytes()))


#: Writer, the file to read, and the file that holds the compressed stream, with where that begins.
COMPRESSED: dict[str, tuple[Callable[[Path, np.ndarray], None], str, str, bytes]] = {
    "nii.gz": (write_nifti, "scan.nii.gz", "scan.nii.gz", b"\x1f\x8b"),
    "mgz": (write_nifti, "scan.mgz", "scan.mgz", b"\x1f\x8b"),
    "img.gz": (write_nifti, "scan.hdr.gz", "scan.img.gz", b"\x1f\x8b"),
    "nrrd": (write_nrrd, "scan.nrrd", "scan.nrrd", b"\x1f\x8b"),
    "nhdr": (write_detached_nrrd, "scan.nhdr", "scan.raw.gz", b"\x1f\x8b"),
    "nrrd bzip2": (write_bzip2_nrrd, "scan.nrrd", "scan.nrrd", b"BZh"),
    "mha": (write_meta_image, "scan.mha", "scan.mha", b"\x78\x9c"),
    "mhd": (write_detached_meta_image, "scan.mhd", "scan.zraw", b"\x78\x9c"),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_no_flipped_bit_of_a_compressed_stream_gives_other_hu(
    kind: str, hu: np.ndarray, tmp_path: Path
) -> None:
    write, name, data, mark = COMPRESSED[kind]
    write(tmp_path / name, hu)
    assert np.array_equal(read_volume(tmp_path / name).voxels, hu)
    whole = (tmp_path / data).read_bytes()
    start = whole.index(mark)
    rng = np.random.default_rng(5)
    refused = 0
    for place in [*rng.integers(start, len(whole), 56), *range(len(whole) - 4, len(whole))]:
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        (tmp_path / data).write_bytes(content)
        try:
            voxels = read_volume(tmp_path / name).voxels
        except VolumeError:
            refused += 1
        else:
            assert np.array_equal(voxels, hu)
    # What may change without harm are the gzip header's time, system and flags.
    assert refused > 50


@pytest.mark.parametrize("kind", ["nii.gz", "mgz", "nrrd", "nhdr"])
@pytest.mark.parametrize("behind", [bytes(512), b"junk behind the trailer", b"\x1f"])
def test_what_follows_a_whole_gzip_stream_is_ignored(
    kind: str, behind: bytes, hu: np.ndarray, tmp_path: Path
) -> None:
    write, name, data, _ = COMPRESSED[kind]
    write(tmp_path / name, hu)
    with (tmp_path / data).open("ab") as file:
        file.write(behind)
    assert np.array_equal(read_volume(tmp_path / name).voxels, hu)


def test_two_gzip_members_are_one_file(hu: np.ndarray, tmp_path: Path) -> None:
    write_nifti(tmp_path / "scan.nii", hu)
    content = (tmp_path / "scan.nii").read_bytes()
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    assert np.array_equal(read_volume(path).voxels, hu)
    broken = bytearray(gzip.compress(content[400:]))
    broken[-6] ^= 1
    path.write_bytes(gzip.compress(content[:400]) + broken)
    with pytest.raises(VolumeError, match=r"scan\.nii\.gz is cut short or damaged"):
        read_volume(path)


def test_a_broken_checksum_of_a_header_file_is_refused(hu: np.ndarray, tmp_path: Path) -> None:
    write_nifti(tmp_path / "scan.hdr.gz", hu)
    content = bytearray((tmp_path / "scan.hdr.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "scan.hdr.gz").write_bytes(content)
    with pytest.raises(VolumeError, match="cut short or damaged"):
        read_volume(tmp_path / "scan.hdr.gz")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
@pytest.mark.parametrize("kind", COMPRESSED)
def test_names_that_are_not_utf_8_are_read(kind: str, hu: np.ndarray, tmp_path: Path) -> None:
    write, name, _, _ = COMPRESSED[kind]
    folder = tmp_path / os.fsdecode(b"sc\xe4n")
    folder.mkdir()
    write(folder / name, hu)
    path = (
        folder / os.fsdecode(b"\xfc" + name.encode())
        if "." not in kind and kind in ("nii.gz", "mgz")
        else folder / name
    )
    (folder / name).rename(path)
    assert np.array_equal(read_volume(path).voxels, hu)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("Offset = nan nan nan", "Offset without 3 finite numbers"),
        ("Offset = 1 2", "Offset without 3 finite numbers"),
        ("Offset = 1 2\x1f 3", "Offset without 3 finite numbers"),
        ("DimSize = 9\u20037 6", "NDims, DimSize"),
        ("ElementSpacing = 0.7 inf 2.5", "ElementSpacing without 3 finite numbers"),
        ("ElementSpacing = 0.7 0 2.5", "ElementSpacing that is not positive"),
        ("ElementSpacing = 0.7 2_5 2.5", "ElementSpacing without 3 finite numbers"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 nan", "TransformMatrix without 9 finite numbers"),
        ("DimSize = 9 7 -6", "the shape 9 x 7 x -6|degenerate|only one slice"),
        ("NDims = 4", "NDims, DimSize"),
    ],
)
def test_a_meta_image_with_numbers_that_are_none_is_refused(
    wrong: str, words: str, hu: np.ndarray, tmp_path: Path
) -> None:
    name = wrong.partition(" ")[0]
    lines = [line for line in META_IMAGE.splitlines() if not line.startswith(name)]
    header = "\n".join([*lines, wrong, "ElementDataFile = LOCAL\n"])
    (tmp_path / "scan.mha").write_bytes(header.encode() + hu.tobytes())
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("header", "more"),
    [
        ("TransformMatrix = 0 1 0 -1 0 0 0 0 1\nOffset = 4 5 6\nElementSpacing = 0.7 0.8 2.5\n", ""),
        ("Rotation = 1 0 0 0 0 1 0 -1 0\nPosition = 4 5 6\nElementSize = 1 2 3\n", ""),
        ("Orientation = 1 0 0 0 0.8 0.6 0 -0.6 0.8\nOrigin = -4 5 6\nElementSpacing = 1 2 3\n", ""),
        ("ElementSpacing = 0.7 0.8 2.5\n", "AnatomicalOrientation = RAI\nCenterOfRotation = 1 2 3\n"),
    ],
)
def test_a_meta_image_is_placed_as_itk_places_it(
    header: str, more: str, hu: np.ndarray, tmp_path: Path
) -> None:
    text = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\n{header}{more}"
        "DimSize = 9 7 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path = tmp_path / "scan.mha"
    path.write_bytes(text.encode() + hu.astype(">i2").tobytes())
    compare_with_itk(path, hu)


def compare_with_itk(path: Path, hu: np.ndarray) -> None:
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    assert np.array_equal(volume.voxels, hu)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), hu)
    for corner in ([0, 0, 0], [8, 0, 0], [0, 6, 0], [8, 6, 5]):
        position = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose((volume.ijk_to_ras @ [*corner, 1])[:3], position, atol=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        "spacings: 0.7 0.8 2.5\n",
        "spacings: 0.7 nan 2.5\naxis mins: 1 2 3\n",
        "spacings: 0.7 0.8 2.5\naxis mins: 1 2 3\ncenters: cell cell cell\n",
        "spacings: 0.7 0.8 2.5\naxismins: 1 2 3\ncenterings: node node node\n",
        "",
        "space: scanner-xyz\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (1,2,3)\n",
        "space dimension: 3\nspace directions: (0,0.7,0) (0.8,0,0) (0,0,-2.5)\nspace origin: (1,2,3)\n",
        "space: right-anterior-superior\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\n",
        "space: LAS\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nkinds: space space space\n",
        "spacings: 0.7 0.8 2.5\naxis mins: 1 2 3\ncenters: ??? cell node\n",
    ],
)
def test_a_nrrd_is_placed_as_itk_places_it(fields: str, hu: np.ndarray, tmp_path: Path) -> None:
    text = f"NRRD0004\ntype: int16\ndimension: 3\nsizes: 9 7 6\n{fields}endian: big\nencoding: raw\n\n"
    path = tmp_path / "scan.nrrd"
    path.write_bytes(text.encode() + hu.astype(">i2").tobytes())
    compare_with_itk(path, hu)


@pytest.mark.parametrize(
    ("encoding", "skip"),
    [
        *[(encoding, skip) for encoding in ("raw", "gz", "ascii", "hex") for skip in ("", "line skip: 2\n")],
        *[
            (encoding, skip)
            for encoding in ("raw", "gz")
            for skip in ("byte skip: 5\n", "line skip: 1\nbyte skip: 3\n")
        ],
    ],
)
def test_a_nrrd_in_every_encoding_is_read_as_itk_reads_it(
    encoding: str, skip: str, hu: np.ndarray, tmp_path: Path
) -> None:
    data = {
        "raw": hu.tobytes(),
        "gz": hu.tobytes(),
        "ascii": " ".join(map(str, hu.ravel())).encode(),
        "hex": hu.tobytes().hex().encode(),
    }[encoding]
    lines = b"".join(b"a line\n" for _ in range({"l": int(skip[11:12] or 0)}.get(skip[:1], 0)))
    skipped = bytes({"byte skip: 5\n": 5, "line skip: 1\nbyte skip: 3\n": 3}.get(skip, 0))
    stream = gzip.compress(skipped + data) if encoding == "gz" else skipped + data
    text = f"NRRD0004\ntype: int16\ndimension: 3\nsizes: 9 7 6\nendian: little\nencoding: {encoding}\n{skip}"
    (tmp_path / "scan.nhdr").write_text(text + "data file: scan.dat\n\n")
    (tmp_path / "scan.dat").write_bytes(lines + stream)
    compare_with_itk(tmp_path / "scan.nhdr", hu)
