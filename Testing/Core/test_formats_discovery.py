"""Scans are found below folders, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from MAESILCore.errors import VolumeError
from MAESILCore.volume import find_scans

#: The start of a CT slice as far as finding goes: preamble, mark, and the media storage class.
CT_SLICE = bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x1a\x001.2.840.10008.5.1.4.1.1.2\x00"
STRUCTURE_SET = CT_SLICE.replace(
    b"\x1a\x001.2.840.10008.5.1.4.1.1.2\x00", b"\x1e\x001.2.840.10008.5.1.4.1.1.481.3\x00"
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = {
        "a.nii.gz": b"",
        "b.hdr": b"",
        "b.img": b"",
        "c.nhdr": b"",
        "c.raw.gz": b"",
        "d.mhd": b"",
        "d.zraw": b"",
        "e.MHA": b"",
        "readme.txt": b"no scan",
        ".hidden.nii": b"",
        ".trash/f.nii": b"",
        "deep/g.mgz": b"",
        "patient/image/1": CT_SLICE,
        "patient/image/2.dcm": CT_SLICE,
        "patient/mask/structures.dcm": STRUCTURE_SET,
        "pair/one/1.dcm": CT_SLICE,
        "pair/two/1.dcm": CT_SLICE,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_each_scan_is_found_once_and_sorted(archive: Path) -> None:
    assert [path.relative_to(archive).as_posix() for path in find_scans(archive)] == [
        "a.nii.gz",
        "b.hdr",
        "c.nhdr",
        "d.mhd",
        "deep/g.mgz",
        "e.MHA",
        "pair/one",
        "pair/two",
        "patient",
    ]


def test_paths_that_overlap_count_once(archive: Path) -> None:
    found = find_scans([archive / "deep", str(archive / "deep" / "g.mgz"), archive / "patient" / "image"])
    assert found == [archive / "deep" / "g.mgz", archive / "patient" / "image"]


def test_a_folder_whose_images_lie_below_is_one_path(archive: Path) -> None:
    assert find_scans(archive / "patient") == [archive / "patient"]


def test_a_path_that_is_not_there_is_named(archive: Path) -> None:
    with pytest.raises(VolumeError, match=r"no file or folder .*nowhere"):
        find_scans([archive, archive / "nowhere"])


@pytest.mark.parametrize("paths", [["patient/mask"], []])
def test_finding_nothing_is_an_error(paths: list[str], archive: Path) -> None:
    with pytest.raises(VolumeError, match="There is no scan in"):
        find_scans([archive / path for path in paths])


def test_the_real_test_scans_are_found(scans: Path) -> None:
    found = [path.name for path in find_scans(scans / "test")]
    assert len(found) == 20
    assert {"STS_042_dicom", "CTHeadAxial.nhdr", "CTHeadAxialDicom", "dcmqi_ct-3slice"} <= set(found)
    assert "dcmqi_ct-3slice_SEG_liver.dcm" not in found
