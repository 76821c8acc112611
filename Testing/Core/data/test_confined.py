"""A header that somebody else has sent takes no voxels but those that came with it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.errors import VolumeError

META_IMAGE = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "Offset = 1 2 3\nElementSpacing = 1 1 1\nDimSize = 9 7 6\nElementType = MET_SHORT\n"
)
NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: RAS\nsizes: 9 7 6\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (1,2,3)\nendian: little\nencoding: raw\n"
)


@pytest.fixture
def sent(tmp_path: Path, hu: np.ndarray) -> Path:
    """A folder for what was sent, with voxels in it; other voxels lie outside, whole and by slices."""
    folder = tmp_path / "sent"
    (folder / "below").mkdir(parents=True)
    for path in (folder / "beside.raw", folder / "below" / "voxels.raw", tmp_path / "secret.raw"):
        path.write_bytes(hu.tobytes())
    for number, plane in enumerate(hu):
        (tmp_path / f"secret{number}.raw").write_bytes(plane.tobytes())
    return folder


def planes(pattern: str) -> str:
    return "".join(f"{pattern % number}\n" for number in range(6))


#: What a reader takes voxels from, in the words of either format; FOLDER stands for the folder around the sent one.
ELSEWHERE = {
    "absolute.mhd": META_IMAGE + "ElementDataFile = FOLDER/secret.raw\n",
    "absolute.mha": META_IMAGE + "ElementDataFile = FOLDER/secret.raw\n",
    "above.mhd": META_IMAGE + "ElementDataFile = ../secret.raw\n",
    "around.mhd": META_IMAGE + "ElementDataFile = below/../../secret.raw\n",
    "list.mhd": META_IMAGE + "ElementDataFile = LIST\n" + planes("FOLDER/secret%d.raw"),
    "pattern.mhd": META_IMAGE + "ElementDataFile = ../secret%d.raw 0 5 1\n",
    "colon.mhd": META_IMAGE + "ElementDataFile : ../secret.raw\nComment = x\nElementDataFile = beside.raw\n",
    "small.mhd": META_IMAGE + "elementdatafile = beside.raw\nElementDataFile = ../secret.raw\n",
    "absolute.nhdr": NRRD + "data file: FOLDER/secret.raw\n\n",
    "absolute.nrrd": NRRD + "data file: FOLDER/secret.raw\n\n",
    "above.nhdr": NRRD + "datafile: ../secret.raw\n\n",
    "list.nhdr": NRRD + "data file: LIST\n" + planes("FOLDER/secret%d.raw"),
    "pattern.nhdr": NRRD + "data file: ../secret%d.raw 0 5 1\n\n",
    "twice.nhdr": NRRD + "data file: ../secret.raw\n data file: beside.raw:=\n\n",
    "return.nhdr": NRRD + "# x\rdata file: ../secret.raw\n\n",
}


def write_header(sent: Path, name: str, text: str) -> Path:
    path = sent / name
    path.write_bytes(text.replace("FOLDER", str(sent.parent)).encode())
    return path


@pytest.mark.parametrize("name", ELSEWHERE)
def test_voxels_from_elsewhere_are_refused(name: str, sent: Path) -> None:
    path = write_header(sent, name, ELSEWHERE[name])
    with pytest.raises(VolumeError, match=r"save the scan (as one file|again), such as \.nii\.gz") as told:
        read_volume(path, within=sent)
    assert str(told.value).startswith(name)


@pytest.mark.parametrize(
    "name", ["return.nhdr", "absolute.mhd", "colon.mhd", "small.mhd", "list.mhd", "pattern.nhdr"]
)
def test_the_reader_itself_would_take_them(name: str, sent: Path, hu: np.ndarray) -> None:
    path = write_header(sent, name, ELSEWHERE[name])
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), hu)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mhd", META_IMAGE + "ElementDataFile = beside.raw\n"),
        ("a.mhd", "Comment = a = b: 50 %\n" + META_IMAGE + "ElementDataFile = below/voxels.raw\n"),
        ("a.mhd", META_IMAGE.replace("\n", "\r\n") + "ElementDataFile = beside.raw\r\n"),
        ("a.nhdr", NRRD + "data file: beside.raw\n\n"),
        ("a.nhdr", NRRD + "# data file: ../secret.raw\ndata file: ./below/voxels.raw\n\n"),
    ],
)
def test_voxels_that_came_along_are_read(name: str, text: str, sent: Path, hu: np.ndarray) -> None:
    assert np.array_equal(read_volume(write_header(sent, name, text), within=sent).voxels, hu)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_what_is_written_here_is_read_there(extension: str, hu: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"scan{extension}"
    write_volume(Volume(hu, np.eye(4)), path)
    assert np.array_equal(read_volume(path, within=tmp_path).voxels, hu)


def test_a_file_of_ones_own_may_name_any_other(sent: Path, hu: np.ndarray) -> None:
    for name in ("absolute.mhd", "above.nhdr", "list.mhd"):
        assert np.array_equal(read_volume(write_header(sent, name, ELSEWHERE[name])).voxels, hu)


def test_a_link_out_of_the_folder_is_followed_before_it_is_judged(sent: Path) -> None:
    try:
        os.symlink(sent.parent, sent / "inside")
    except OSError:
        pytest.skip("no symbolic links here")
    path = write_header(sent, "a.mhd", META_IMAGE + "ElementDataFile = inside/secret.raw\n")
    with pytest.raises(VolumeError, match="did not come with it"):
        read_volume(path, within=sent)
