"""Scans are found below folders, each once and under a name of its own, whatever else lies there."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from MAESILCore.data.formats.discovery import discover_scans
from MAESILCore.data.formats.found import check_patterns
from MAESILCore.data.volume import find_scans
from MAESILCore.errors import ConfigError, VolumeError

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither such names nor pipes in folders")

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


def left_out(*places: Path) -> dict[str, str]:
    return {one.name: one.reason for one in discover_scans(places).left_out}


@pytest.fixture
def odd_entries(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What is no scan in the archive, each with the reason that is told."""
    (archive / "itself.nii.gz").symlink_to("itself.nii.gz")
    (archive / "README.md").symlink_to("gone.md")
    (archive / "deep" / "lost.nii").symlink_to(archive / "deep" / "nowhere" / "lost.nii")
    os.mkfifo(archive / "pipe")
    os.mkfifo(archive / "pipe.nii.gz")
    os.mkfifo(archive / "pair" / "one" / "0.dcm")
    (archive / "null.nrrd").symlink_to("/dev/null")
    # By a short name: the path of a socket may have about 100 characters only.
    monkeypatch.chdir(archive)
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind("socket")
        yield {
            "itself.nii.gz": "it is a link to itself",
            "README.md": "it is a broken link",
            "deep/lost.nii": "it is a broken link",
            "pipe": "it is a named pipe",
            "pipe.nii.gz": "it is a named pipe",
            "pair/one/0.dcm": "it is a named pipe",
            "null.nrrd": "it is a device",
            "socket": "it is a socket",
        }


@posix
def test_what_is_no_file_and_no_folder_is_left_out_with_a_reason(
    archive: Path, odd_entries: dict[str, str]
) -> None:
    found = discover_scans(archive)
    assert {one.name: one.reason for one in found.left_out} == odd_entries
    assert len(found.scans) == 9


@posix
def test_what_is_no_file_and_no_folder_is_refused_where_it_is_given(
    archive: Path, odd_entries: dict[str, str]
) -> None:
    for name, reason in odd_entries.items():
        with pytest.raises(VolumeError, match=f"{name} cannot be read: {reason}"):
            find_scans([archive / name])


@pytest.mark.parametrize("name", ["a.nii.gz", "deep", "patient/image/1"])
def test_what_may_not_be_opened_is_left_out(
    name: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = archive / name
    opened, listed = Path.open, os.scandir

    def refuse(path: Path | str) -> None:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def open_unless_locked(path: Path, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        refuse(path)
        return opened(path, *arguments, **named)

    def list_unless_locked(path: Any = ".") -> Any:  # noqa: ANN401
        refuse(path)
        return listed(path)

    # Not by permissions: the administrator, as whom tests may run, may open everything.
    monkeypatch.setattr(Path, "open", open_unless_locked)
    monkeypatch.setattr(os, "scandir", list_unless_locked)
    assert left_out(archive) == {name: "permission denied"}
    with pytest.raises(VolumeError, match="cannot be read: permission denied"):
        find_scans([locked])


def test_a_file_in_a_folder_that_may_not_be_entered_is_refused_with_the_reason(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(VolumeError, match=r"g.mgz cannot be read: permission denied"):
        find_scans(archive / "deep" / "g.mgz")


def test_a_file_below_a_file_is_not_there(archive: Path) -> None:
    with pytest.raises(VolumeError, match="There is no file or folder"):
        find_scans(archive / "a.nii.gz" / "b.nii.gz")


def test_a_folder_that_fails_while_it_is_read_is_left_out(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_of = os.listdir

    def fail(folder: Path) -> list[str]:
        if folder == archive / "pair":
            raise OSError(errno.EIO, "Input/output error", str(folder))
        return names_of(folder)

    monkeypatch.setattr(os, "listdir", fail)
    assert left_out(archive) == {"pair": "input/output error"}


@posix
def test_links_to_folders_are_followed_and_each_folder_counts_once(archive: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "mine").symlink_to(archive / "patient")
    (links / "deep").symlink_to(archive / "deep")
    (links / "deep again").symlink_to(archive / "deep")
    (links / "pair").symlink_to(archive / "pair")
    assert [scan.file for scan in discover_scans(links).scans] == [
        "deep/g.mgz",
        "mine",
        "pair/one",
        "pair/two",
    ]
    assert left_out(links) == {}


@posix
def test_links_in_a_circle_end(archive: Path) -> None:
    before = find_scans(archive)
    (archive / "deep" / "up").symlink_to("..")
    (archive / "deep" / "above").symlink_to(archive.parent)
    (archive / "deep" / "here").symlink_to(".")
    (archive / "a link before its target").symlink_to("patient")
    assert find_scans(archive) == before


@posix
def test_a_circle_over_another_folder_ends(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "scan.nii").write_bytes(b"")
    (outside / "back").symlink_to(archive)
    (archive / "out").symlink_to(outside)
    assert archive / "out" / "scan.nii" in find_scans(archive)
    assert len(find_scans(archive)) == 10


@posix
def test_a_scan_goes_by_its_own_name_and_not_by_a_link(archive: Path) -> None:
    (archive / "a link.nii.gz").symlink_to("deep/g.mgz")
    (archive / "0.mgz").symlink_to("deep/g.mgz")
    assert [path.name for path in find_scans(archive) if path.suffix == ".mgz"] == ["g.mgz"]


@posix
def test_a_dicom_folder_behind_a_link_is_read_through_the_link(archive: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "mine").symlink_to(archive / "patient" / "image")
    assert find_scans(links) == [links / "mine"]


def names_of(*places: Path) -> list[tuple[str, str]]:
    return [(scan.file, scan.name) for scan in discover_scans(places).scans]


@pytest.fixture
def same_names(tmp_path: Path) -> Path:
    for folder in ("s0001", "s0002", "s1000"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "ct.nii.gz").write_bytes(b"")
    return tmp_path / "data"


def test_scans_are_named_by_their_path_below_the_folder(same_names: Path) -> None:
    expected = [(f"{folder}/ct.nii.gz", f"{folder}/ct") for folder in ("s0001", "s0002", "s1000")]
    assert names_of(same_names) == expected
    assert names_of(*sorted(same_names.iterdir())) == expected
    assert names_of(*sorted(same_names.glob("*/ct.nii.gz"))) == expected
    assert names_of(same_names / "s0001") == [("ct.nii.gz", "ct")]
    (same_names / "s0001" / "ct.nrrd").write_bytes(b"")
    assert names_of(same_names / "s0001") == [("ct.nii.gz", "ct.nii.gz"), ("ct.nrrd", "ct.nrrd")]


def test_folders_with_the_same_contents_are_told_apart(same_names: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "s0001"
    other.mkdir(parents=True)
    (other / "ct.nii.gz").write_bytes(b"")
    assert [name for _, name in names_of(same_names, tmp_path / "other")] == [
        "data/s0001/ct",
        "s0002/ct",
        "s1000/ct",
        "other/s0001/ct",
    ]


def test_a_folder_that_is_the_scan_gives_it_its_name(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive / "patient")
    assert names_of(Path()) == names_of(archive / "patient") == [("patient", "patient")]
    monkeypatch.chdir(archive / "patient" / "image")
    assert names_of(Path("..")) == [("patient", "patient")]


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("s1*", "s1000"),
        ("s1000", "s1000"),
        ("s1000/ct", "s1000"),
        ("s1000/*", "s1000"),
        ("data/s1*/ct.nii.gz", "s1000"),
        ("data/s1*", "s1000"),
        ("./s1000/", "s1000"),
        ("*/data/s000?/ct", "s0001 s0002"),
        ("data", ""),
        ("data/*/ct.nrrd", ""),
        ("*/ct.nii.gz", "s0001 s0002 s1000"),
        ("ct.nii.gz", "s0001 s0002 s1000"),
        ("c?", "s0001 s0002 s1000"),
        ("s000[12]*", "s0001 s0002"),
        ("s2*", ""),
        ("t.nii.gz", ""),
        ("s1000/ct.nrrd", ""),
    ],
)
def test_a_pattern_fits_a_path_a_folder_on_it_or_its_end(
    pattern: str, fitting: str, same_names: Path
) -> None:
    scans = discover_scans(same_names).scans
    assert " ".join(scan.path.parent.name for scan in scans if scan.fits(pattern)) == fitting
    if fitting:
        check_patterns(scans, [pattern], "exclude")
    else:
        with pytest.raises(ConfigError, match=r"matches none of the 3 scans \(s0001/ct.nii.gz, "):
            check_patterns(scans, ["*", pattern], "exclude")


def test_a_pattern_may_be_a_whole_path_or_a_stem_of_two_files(same_names: Path) -> None:
    (same_names / "s0001" / "ct.nrrd").write_bytes(b"")
    scans = discover_scans(same_names).scans
    assert [scan.file for scan in scans if scan.fits(str(same_names / "s0001" / "*"))] == [
        "s0001/ct.nii.gz",
        "s0001/ct.nrrd",
    ]
    assert len([scan for scan in scans if scan.fits("s0001/ct")]) == 2


def test_a_pattern_may_be_a_name_with_brackets(tmp_path: Path) -> None:
    (tmp_path / "scan [1].nii").write_bytes(b"")
    assert discover_scans(tmp_path).scans[0].fits("scan [1].nii")


@posix
def test_a_name_that_is_not_utf_8_is_displayable_and_can_be_matched(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.nii.gz")).write_bytes(b"")
    (folder / os.fsdecode(b"gone\xff")).symlink_to("nowhere")
    found = discover_scans(tmp_path)
    assert found.scans[0].name == r"caf\xe9/\xff"
    assert str(found.left_out[0]) == r"caf\xe9/gone\xff: it is a broken link"
    assert found.scans[0].fits(os.fsdecode(b"caf\xe9"))
    assert found.scans[0].fits(r"caf\xe9*")
    found.scans[0].path.unlink()
    with pytest.raises(VolumeError, match=r"no scan in .*caf\\xe9"):
        discover_scans(folder)


@posix
def test_names_that_are_displayed_alike_stay_apart(tmp_path: Path) -> None:
    for name in (b"\xff.nii", rb"\xff.nii"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    assert sorted(name for name, _ in names_of(tmp_path)) == [r"\xff.nii", r"\xff.nii (2)"]
