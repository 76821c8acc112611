"""Voxels in files beside the header: every slice is whole, and what lies in their place is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

SIZE = "9 7 6"
NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 7 6\n"
    "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (0,0,0)\nendian: little\n"
)
META_IMAGE = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nOffset = 0 0 0\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 0.7 0.8 2.5\nDimSize = 9 7 6\nElementType = MET_SHORT\n"
)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 756\n"


def write_slices(folder: Path, hu: np.ndarray) -> None:
    for k, plane in enumerate(hu):
        (folder / f"s{k}.raw").write_bytes(plane.tobytes())


def write_headers(folder: Path, files: str, size: str = SIZE, encoding: str = "raw") -> list[Path]:
    """A NRRD and a MetaImage header that name the same data files."""
    nrrd, meta = folder / "scan.nhdr", folder / "scan.mhd"
    nrrd.write_text(NRRD.replace(SIZE, size) + f"encoding: {encoding}\ndata file: {files}")
    meta.write_text(META_IMAGE.replace(SIZE, size) + f"ElementDataFile = {files}")
    return [nrrd, meta]


def list_of(count: int) -> str:
    return "LIST\n" + "".join(f"s{k}.raw\n" for k in range(count))


@pytest.mark.parametrize("files", [list_of(6), "s%d.raw 0 5 1\n"])
def test_slices_in_files_of_their_own_are_read_as_itk_reads_them(
    files: str, hu: np.ndarray, tmp_path: Path
) -> None:
    write_slices(tmp_path, hu)
    for path in write_headers(tmp_path, files):
        volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
        assert np.array_equal(volume.voxels, hu)
        assert np.array_equal(SimpleITK.GetArrayFromImage(image), hu)
        assert volume.spacing == pytest.approx(image.GetSpacing())
        assert volume.notes == ()
    (tmp_path / "s3.raw").unlink()
    for path in write_headers(tmp_path, files):
        with pytest.raises(VolumeError, match=r"names the data file s3\.raw, which is not beside it"):
            read_volume(path)


def test_a_pattern_may_state_how_many_axes_a_file_has(hu: np.ndarray, tmp_path: Path) -> None:
    write_slices(tmp_path, hu)
    path = write_headers(tmp_path, "s%d.raw 0 5 1 2\n")[0]
    assert np.array_equal(read_volume(path).voxels, hu)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), hu)


@pytest.mark.parametrize("pieces", [2, 3, 42])
def test_files_of_several_slices_or_of_single_rows_are_read(
    pieces: int, hu: np.ndarray, tmp_path: Path
) -> None:
    content = hu.tobytes()
    share = len(content) // pieces
    for n in range(pieces):
        (tmp_path / f"s{n}.raw").write_bytes(content[n * share : (n + 1) * share])
    for path in write_headers(tmp_path, list_of(pieces)):
        assert np.array_equal(read_volume(path).voxels, hu)


def test_an_empty_axis_does_not_hide_the_slices(hu: np.ndarray, tmp_path: Path) -> None:
    write_slices(tmp_path, hu)
    text = META_IMAGE.replace("NDims = 3", "NDims = 4").replace(SIZE, f"{SIZE} 1")
    text = text.replace("0.7 0.8 2.5", "0.7 0.8 2.5 1").replace("Offset = 0 0 0", "Offset = 0 0 0 0")
    text = text.replace("1 0 0 0 1 0 0 0 1", "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1")
    (tmp_path / "scan.mhd").write_text(f"{text}ElementDataFile = {list_of(6)}")
    assert np.array_equal(read_volume(tmp_path / "scan.mhd").voxels, hu)


@pytest.mark.parametrize("size", ["9 7 3", "9 7 4", "9 7 5"])
def test_more_slices_than_the_header_announces_are_refused(size: str, hu: np.ndarray, tmp_path: Path) -> None:
    write_slices(tmp_path, hu)
    for path in write_headers(tmp_path, list_of(6), size):
        with pytest.raises(
            VolumeError, match=rf"{path.name} names 6 data files, among which the slices of its shape 9 x 7"
        ):
            read_volume(path)


@pytest.mark.parametrize("more_before", [True, False])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii", "hex"])
def test_a_slice_file_that_is_longer_than_the_others_is_named(
    encoding: str, more_before: bool, hu: np.ndarray, tmp_path: Path
) -> None:
    for k, plane in enumerate(hu):
        more = np.arange(10, dtype=np.int16) if k == 3 else np.empty(0, np.int16)
        values = np.concatenate([more, plane.ravel()] if more_before else [plane.ravel(), more])
        content = {
            "raw": values.tobytes(),
            "gzip": gzip.compress(values.tobytes()),
            "ascii": " ".join(map(str, values)).encode(),
            "hex": values.tobytes().hex().encode(),
        }[encoding]
        (tmp_path / f"s{k}.raw").write_bytes(content)
    path = write_headers(tmp_path, list_of(6), encoding=encoding)[0]
    with pytest.raises(
        VolumeError, match=r"126 bytes of voxels in each of its data files, but s3\.raw holds \d+ bytes more"
    ):
        read_volume(path)


def test_numbers_behind_the_voxels_in_a_text_are_counted(hu: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text(" ".join(map(str, hu.ravel())) + " 17 4\n")
    volume = read_volume(write_headers(tmp_path, "s.txt\n", encoding="ascii")[0])
    assert np.array_equal(volume.voxels, hu)
    assert volume.notes[0].startswith("4 bytes behind the voxels were ignored")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, r"s\.raw is a Git LFS pointer and not the scan itself: fetch"),
        (b"", r"s\.raw is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html>404</html>", r"s\.raw is a web page"),
        (
            gzip.compress(bytes(756), mtime=0),
            r"s\.raw is compressed with gzip, and its header does not say so",
        ),
        (b"PK\x03\x04 and so on", r"s\.raw is a zip archive: unpack it"),
        (bytes(100), "cut short or damaged"),
    ],
)
def test_what_lies_in_place_of_the_voxels_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "s.raw").write_bytes(content)
    for path in write_headers(tmp_path, "s.raw\n"):
        with pytest.raises(VolumeError, match=words):
            read_volume(path)


def test_a_pointer_that_is_long_enough_is_not_taken_for_voxels(tmp_path: Path) -> None:
    (tmp_path / "s.raw").write_bytes(LFS)
    for path in write_headers(tmp_path, "s.raw\n", "2 3 4"):
        with pytest.raises(VolumeError, match="Git LFS pointer"):
            read_volume(path)
