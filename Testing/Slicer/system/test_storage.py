"""What MAESIL keeps on disk is listed with its size and deleted, and nothing else can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from MAESILSlicerLib.system.storage import Place, Storage, StorageError, StoredItem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two job folders of 3000 and 500 bytes and two samples, and next to them what belongs to others."""
    for name, size in (
        ("jobs/maesil-job-a/voxels.npy", 2000),
        ("jobs/maesil-job-a/export/report.png", 1000),
        ("jobs/maesil-job-b/voxels.npy", 500),
        ("jobs/notes.txt", 10),
        ("cache/MAESIL-phantom.nrrd", 700),
        ("cache/CTChest.nrrd", 9000),
        ("samples/mine.nrrd", 100),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    return tmp_path


def makeStorage(root: Path, *running: Path) -> Storage:
    places = [
        Place("job", root / "jobs", "maesil-job-*"),
        Place("sample", root / "cache", "MAESIL-*"),
        Place("sample", root / "samples"),
        Place("sample", root / "absent"),
    ]
    return Storage(places, lambda: running)


def test_everything_of_maesil_is_listed_the_largest_first(root: Path) -> None:
    listed = [(item.kind, item.path.name, item.bytes, item.inUse) for item in makeStorage(root).items()]
    assert listed == [
        ("job", "maesil-job-a", 3000, False),
        ("sample", "MAESIL-phantom.nrrd", 700, False),
        ("job", "maesil-job-b", 500, False),
        ("sample", "mine.nrrd", 100, False),
    ]


def test_one_thing_is_deleted_and_the_rest_stays(root: Path) -> None:
    storage = makeStorage(root)
    assert storage.delete(storage.items()[0]) == 3000
    assert sorted(path.name for path in (root / "jobs").iterdir()) == ["maesil-job-b", "notes.txt"]


def test_a_running_job_is_told_of_and_stays(root: Path) -> None:
    running = root / "jobs" / "maesil-job-a"
    storage = makeStorage(root, running)
    assert [item.inUse for item in storage.items()] == [True, False, False, False]
    with pytest.raises(StorageError, match="maesil-job-a belongs to a running job; cancel the job"):
        storage.delete(storage.items()[0])
    assert (running / "voxels.npy").is_file()


@pytest.mark.parametrize(
    "path",
    [
        "cache/CTChest.nrrd",
        "cache",
        "jobs",
        "jobs/notes.txt",
        "jobs/maesil-job-a/voxels.npy",
        "jobs/../cache/CTChest.nrrd",
        ".",
    ],
)
def test_what_is_not_ours_is_refused(root: Path, path: str) -> None:
    item = StoredItem("job", root / path, 0)
    with pytest.raises(StorageError, match="not in a folder of MAESIL's"):
        makeStorage(root).delete(item)
    assert (root / path).exists()


def test_a_link_is_deleted_and_not_what_it_points_to(root: Path) -> None:
    link = root / "samples" / "elsewhere"
    link.symlink_to(root / "cache", target_is_directory=True)
    storage = makeStorage(root)
    item = next(item for item in storage.items() if item.path == link)
    assert item.bytes == 0
    storage.delete(item)
    assert not link.is_symlink()
    assert (root / "cache" / "CTChest.nrrd").is_file()


def test_what_is_gone_already_is_no_error(root: Path) -> None:
    storage = makeStorage(root)
    item = storage.items()[0]
    storage.delete(item)
    assert storage.delete(item) == 0


def test_a_folder_that_is_in_use_stays_whole_and_says_why(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(13, "The process cannot access the file")

    storage = makeStorage(root)
    item = storage.items()[0]
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match=r"maesil-job-a could not be deleted \(The process cannot access"):
        storage.delete(item)
    assert (item.path / "voxels.npy").is_file()


def test_what_was_deleted_in_part_is_listed_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error")

    storage = makeStorage(root)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        with pytest.raises(StorageError, match="could not be deleted"):
            storage.delete(storage.items()[0])
    assert storage.items()[0].bytes == 3000
    assert storage.delete(storage.items()[0]) == 3000


@pytest.mark.parametrize("pattern", ["../*", "**", "", "a/b", "..\\*"])
def test_a_pattern_that_reaches_further_is_refused(root: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match="beyond"):
        Place("job", root, pattern)


def test_a_file_is_not_deleted_under_the_name_of_settings(root: Path) -> None:
    file = root / "cache" / "CTChest.nrrd"
    with pytest.raises(StorageError, match="not in a folder"):
        makeStorage(root).delete(StoredItem("settings", file, 0))
    assert file.is_file()
