"""Downloads without a browser: their names, and results that are gone."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pagestate import download

pytestmark = pytest.mark.slow


def test_a_download_is_named_after_the_scan_that_was_shown_when_it_was_asked_for(
    aside: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.web import downloads

    (tmp_path / "error.nii.gz").write_bytes(b"voxels")
    shown = ["first"]
    zipped = downloads._zipped

    def zip_slowly(files: list[Path]) -> Path | None:
        shown[:] = ["second"]
        return zipped(files)

    monkeypatch.setattr(downloads, "_zipped", zip_slowly)
    answers = downloads.Downloads(lambda: tmp_path, lambda: shown[0], lambda: b"")
    answer = aside.submit(asyncio.run, download(answers, downloads.ZIP)).result()
    assert "first_results.zip" in answer.headers["Content-Disposition"]


def test_results_that_go_while_they_are_packed_are_not_there(
    aside: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.web import downloads

    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "error.nii.gz").write_bytes(b"voxels")
    zipped = downloads._zipped

    def zip_too_late(files: list[Path]) -> Path | None:
        shutil.rmtree(folder)
        return zipped(files)

    monkeypatch.setattr(downloads, "_zipped", zip_too_late)
    answers = downloads.Downloads(lambda: folder, lambda: "first", lambda: b"")
    assert aside.submit(asyncio.run, download(answers, downloads.ZIP)).result().status == 404
