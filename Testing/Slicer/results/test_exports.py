"""Written files: kept while they are of use, and saved where a person wants them, all of them or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hosting import Host
from MAESILSlicerLib.results.exports import ExportError, saveFiles
from modulehelp import FACTS, OpenModule, answerAtOnce

FILES = {"report.html": b"report", "mosaic.nii.gz": b"voxels", "figures/slices.png": b"picture"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder of files as a job leaves it."""
    folder = tmp_path / "export"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a person wants the files."""
    folder = tmp_path / "Meine Dateien"
    folder.mkdir()
    return folder


def contentOf(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def failAt(count: int, copy: Callable[..., object]) -> Callable[..., object]:
    """A `copy` for which the disk is full from a call on, a part of that file already written."""
    calls = iter(range(count))

    def copyOrFail(source: Path, to: Path) -> object:
        if next(calls, None) is not None:
            return copy(source, to)
        Path(to).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    return copyOrFail


def test_files_are_copied_into_a_folder_of_their_own_each_time(written: Path, target: Path) -> None:
    saved = [saveFiles(written, target, "Chest") for _ in range(3)]
    assert [folder.name for folder in saved] == ["Chest MAESIL", "Chest MAESIL 2", "Chest MAESIL 3"]
    assert [contentOf(folder) for folder in saved] == [FILES] * 3
    assert contentOf(written) == FILES


def test_what_lies_there_already_is_not_touched(written: Path, target: Path) -> None:
    (target / "Chest MAESIL").write_text("mine")
    assert saveFiles(written, target, "Chest").name == "Chest MAESIL 2"
    assert (target / "Chest MAESIL").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("4: CT/Thorax <b>", "4_ CT_Thorax _b_ MAESIL"),
        ("../../etc", "_.._etc MAESIL"),
        ("Lunge \u00e4\u00f6", "Lunge \u00e4\u00f6 MAESIL"),
        (" . ", "MAESIL"),
        ("\u80ba" * 300, "\u80ba" * 80 + " MAESIL"),
    ],
)
def test_a_name_that_is_none_for_a_folder_is_made_one(
    written: Path, target: Path, name: str, folder: str
) -> None:
    assert saveFiles(written, target, name) == target / folder


@pytest.mark.parametrize("count", range(len(FILES)))
def test_a_full_disk_leaves_nothing_half_written(
    written: Path, target: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copyfile", failAt(count, shutil.copyfile))
    with pytest.raises(ExportError, match=r"No space left on device.*choose another folder"):
        saveFiles(written, target, "Chest")
    assert list(target.iterdir()) == []


def test_a_folder_that_is_gone_is_reported(written: Path, target: Path) -> None:
    target.rmdir()
    with pytest.raises(ExportError, match="could not be saved"):
        saveFiles(written, target, "Chest")
    assert not target.exists()


def test_the_button_saves_the_files_and_opens_their_folder(
    host: Host, tiny_model: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerAtOnce(monkeypatch, FACTS)
    module = OpenModule(host, tiny_model)
    first = module.use(name="Chest", shape=(16, 16, 16))
    module.ui.advancedGroup.collapsed = False
    assert not module.ui.saveFilesButton.isEnabled()
    module.host.click(module.ui.exportCheckBox)
    module.start()
    module.finish()
    button = module.ui.saveFilesButton

    module.host.dialogs.answers = [""]  # Cancel.
    module.host.click(button)
    assert list(target.iterdir()) == []

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", failAt(1, shutil.copyfile))
        module.host.dialogs.answers = [str(target)]
        module.host.click(button)
    assert "No space left on device" in module.status
    assert module.ui.statusIcon.accessibleName == "Warning"
    assert list(target.iterdir()) == []

    module.host.dialogs.answers = [str(target)]
    module.host.click(button)
    saved = target / "Chest MAESIL"
    assert {"reconstruction.nii.gz", "report.png"} <= set(contentOf(saved))
    assert str(saved) in module.status
    assert module.host.dialogs.asked[-1].endswith("/Chest MAESIL")

    module.use(name="Head", shape=(8, 8, 8))
    assert not button.isEnabled()
    assert "Advanced" in button.toolTip
    module.ui.volumeSelector.setCurrentNode(first)
    module.host.process()
    assert button.isEnabled()
    module.host.closeScene()
    assert not button.isEnabled()
    assert contentOf(saved)
