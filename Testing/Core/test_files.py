"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from MAESILCore.files import why_unwritable, write_together, write_whole


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_written_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    with write_whole(tmp_path / "scan.nii.gz") as unfinished:
        assert unfinished.name == "scan.nii.gz"
        unfinished.write_text("new", encoding="utf-8")
        assert not (tmp_path / "scan.nii.gz").exists()
    assert (tmp_path / "scan.nii.gz").read_text(encoding="utf-8") == "new"
    assert _names(tmp_path) == ["scan.nii.gz"]


def test_a_failure_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    path.write_text("old", encoding="utf-8")

    def fail() -> None:
        with write_whole(path) as unfinished:
            unfinished.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert _names(tmp_path) == ["table.md"]


def test_a_data_file_is_moved_before_the_header_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda file, to: (moved.append(Path(to).name), replace(file, to)))
    with write_whole(tmp_path / "a.mhd") as unfinished:
        unfinished.write_text("header", encoding="utf-8")
        unfinished.with_suffix(".raw").write_text("data", encoding="utf-8")
    assert moved == ["a.raw", "a.mhd"]
    assert _names(tmp_path) == ["a.mhd", "a.raw"]


def test_files_of_a_folder_come_together(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept", encoding="utf-8")
    with write_together(tmp_path) as unfinished:
        for name in "ab":
            (unfinished / name).write_text(name, encoding="utf-8")
    assert _names(tmp_path) == ["a", "b", "kept.txt"]


def test_a_missing_folder_is_the_caller_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "none" / "a.txt"):
        pytest.fail("the block must not run")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask for files")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with write_whole(tmp_path / "a.txt") as unfinished:
            unfinished.write_text("a", encoding="utf-8")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links need a permission there")
def test_a_place_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    link, file, circle = (tmp_path / name for name in ("link", "file", "circle"))
    link.symlink_to(tmp_path / "gone")
    circle.symlink_to(circle)
    file.touch()
    for place, words in (
        (link, f"{link} is a link to {tmp_path / 'gone'}, which is not there"),
        (circle, f"{circle} is a link to {circle}"),
        (file, f"{file} is a file"),
        (file / "run", f"{file} is a file"),
        (link / "run", f"{link} is a link"),
    ):
        with pytest.raises(OSError) as raised:  # noqa: PT011 - of several classes
            place.mkdir(parents=True, exist_ok=True)
        assert why_unwritable(place, raised.value).startswith(words)
    full = OSError(errno.ENOSPC, "No space left on device")
    assert why_unwritable(tmp_path / "run", full) == "the disk is full; free some space"
