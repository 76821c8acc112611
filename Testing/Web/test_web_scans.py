"""The scans on offer without a browser: those of the server and those that were sent."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import PATIENCE_SECONDS, Run, send, show, titles_of, until

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import VolumeError

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


def test_slices_that_were_sent_are_looked_through_aside(
    an_application: Application, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from MAESILSlicerLib.web import catalog

    is_free = threading.Event()
    has_begun = threading.Event()

    def find_slowly(paths: list[Path]) -> Discovery:
        has_begun.set()
        # Set by the event loop alone.
        assert is_free.wait(PATIENCE_SECONDS)
        return Discovery.of(paths)

    async def work() -> None:
        sent = tmp_path / "sent"
        sent.mkdir()
        (sent / "sent.nii").write_bytes((tmp_path / "scans" / "second.nii").read_bytes())
        monkeypatch.setattr(catalog, "discover_scans", find_slowly)
        opening = asyncio.create_task(an_application.volume.openUpload(sent))
        await until(has_begun.is_set)
        is_free.set()
        await opening
        await until(lambda: not an_application.state.loading and an_application.state.scan >= 0)
        assert an_application.state.scans[an_application.state.scan]["title"] == "sent.nii"

    run(work())


def test_an_upload_that_cannot_be_read_is_taken_away_again(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    state = an_application.state
    sent = send(tmp_path / "sent", a=False, b=False)

    async def work() -> None:
        await show(an_application, "first.nii")
        await an_application.volume.openUpload(sent)
        await until(lambda: state.notice_kind == "error")
        assert state.notice.startswith("None of the 2 uploaded scans")
        assert str(tmp_path) not in state.notice
        assert titles_of(an_application) == []
        assert not sent.exists()
        assert an_application.session.volumeNode.GetName() == "first"

    run(work())


def test_what_is_sent_again_gets_a_number(an_application: Application, run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        for number in range(3):
            await an_application.volume.openUpload(send(tmp_path / str(number), a=True))
        assert titles_of(an_application) == ["a.nii", "a.nii (2)", "a.nii (3)"]

    run(work())


@pytest.mark.parametrize(
    ("places", "title"),
    [
        (["CT thorax/1.dcm", "CT thorax/2.dcm"], "CT thorax"),
        (["CT thorax/a/1.dcm", "CT thorax/a/2.dcm"], "CT thorax"),
        (["Upload/1.dcm", "Upload/2.dcm"], "Upload"),
        (["1.dcm", "2.dcm"], "Upload"),
        (["1.dcm"], "Upload"),
    ],
)
def test_slices_are_titled_by_what_was_sent(tmp_path: Path, places: list[str], title: str) -> None:
    from dicomfiles import write_slices

    from MAESILSlicerLib.web.catalog import findEntries
    from MAESILSlicerLib.web.uploads import _nameAfterSent

    slices = tmp_path / "slices"
    slices.mkdir()
    write_slices(slices, np.zeros((len(places), 16, 16), np.int16), (1, 1, 1))
    target = tmp_path / "upload-57a3jt_s"
    for path, place in zip(sorted(slices.iterdir()), places, strict=True):
        (target / "Upload" / place).parent.mkdir(parents=True, exist_ok=True)
        path.rename(target / "Upload" / place)
    _nameAfterSent(target / "Upload")
    [entry] = findEntries(target.iterdir(), "Uploads", target)
    assert entry.title == title
    if len(places) == 1:
        with pytest.raises(VolumeError, match=r"^Upload has only one slice"):
            entry.read()


def test_scans_are_titled_by_their_path_and_a_bad_one_is_offered_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomfiles import write_slices

    from MAESILSlicerLib.web import catalog

    for folder in ("s0001", "s0002", "series"):
        (tmp_path / folder).mkdir()
        if folder != "series":
            write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), tmp_path / folder / "ct.nii.gz")
    write_slices(tmp_path / "series", np.zeros((3, 16, 16), np.int16), (1, 1, 1))

    def fail(path: Path) -> list[object]:
        raise ZeroDivisionError(path.name)

    odd = tmp_path / "t" / os.fsdecode(b"caf\xe9.nii")
    if os.name != "nt":
        odd.parent.mkdir()
        write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), odd)
    monkeypatch.setattr(catalog, "list_series", fail)
    entries = catalog.findEntries([tmp_path], "This server")
    assert [entry.title for entry in entries[:3]] == ["s0001/ct.nii.gz", "s0002/ct.nii.gz", "series"]
    assert entries[2].read().shape == (3, 16, 16)
    # Windows keeps names as Unicode.
    assert [(one.title, one.read().name) for one in entries[3:]] == [
        (r"t/caf\xe9.nii", r"caf\xe9")
    ] * odd.exists()


def test_a_header_that_was_sent_names_no_file_of_the_server(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(2 * 16**3))
    header = "NRRD0005\ntype: short\ndimension: 3\nsizes: 16 16 16\nendian: little\nencoding: raw\n"
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "scan.nhdr").write_text(f"{header}data file: {tmp_path / 'secret.raw'}\n\n")

    async def work() -> None:
        await an_application.volume.openUpload(sent)
        await until(lambda: an_application.state.notice_kind == "error")

    run(work())
    assert "which did not come with it" in an_application.state.notice
    assert an_application.state.scan == -1


def test_what_was_sent_without_a_scan_is_refused(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    offered = len(an_application.volume.catalog.entries)
    (tmp_path / "sent").mkdir()
    with pytest.raises(VolumeError, match="no scan"):
        run(an_application.volume.openUpload(tmp_path / "sent"))
    assert len(an_application.volume.catalog.entries) == offered
