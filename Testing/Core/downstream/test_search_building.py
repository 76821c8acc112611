"""An index of a folder: it goes on where it was stopped, keeps up with the folder, and holds no identifiers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from MAESILCore import Volume, load_checkpoint, write_volume
from MAESILCore.downstream.search import arrays
from MAESILCore.downstream.search import building as index_building
from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.building import build_index
from MAESILCore.downstream.search.index import Index
from MAESILCore.downstream.search.query import at, query_of, within
from MAESILCore.errors import Cancelled, CheckpointError, ConfigError, VolumeError
from MAESILCore.inference import encode
from MAESILCore.store import ingest

SHAPE = (20, 34, 38)
MATRIX = np.array([[-0.9, 0.3, 0.0, 20.0], [0.3, 0.9, 0.0, -9.0], [0.0, 0.0, 2.5, 100.0], [0, 0, 0, 1]])


def a_volume(seed: int) -> Volume:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(-600, 600, (5, 9, 10))
    voxels = np.kron(coarse, np.ones((4, 4, 4)))[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    voxels[:, :, :6] = -1000
    return Volume((voxels + generator.normal(0, 9, SHAPE)).clip(-1000).astype(np.int16), MATRIX)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "scans"
    (place / "b").mkdir(parents=True)
    for seed, name in enumerate(("a.nii.gz", "b/ct.nrrd", "c.nii.gz")):
        write_volume(a_volume(seed), place / name)
    return place


@pytest.fixture
def build(folder: Path, tiny_model: Path, tmp_path: Path) -> Callable[..., tuple[int, int]]:
    """Returns the number of scans, and how many of them were read."""

    def build(**options: object) -> tuple[int, int]:
        given: dict[str, object] = {"model": str(tiny_model), "device": "cpu", **options}
        summary = build_index(folder, tmp_path / "index", **given)  # type: ignore[arg-type]
        return summary.scans, summary.added

    return build


def test_an_index_holds_the_pooled_features_of_all_scans(
    build: Callable[..., tuple[int, int]], folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    messages: list[tuple[int, int, str]] = []
    assert build(progress=lambda *seen: messages.append(seen)) == (3, 3)
    shares = [done / total for done, total, message in messages if message != "joining"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    joined = [(done, total) for done, total, message in messages if message == "joining"]
    assert joined == [(count, 6) for count in range(1, 7)]
    index = Index.open(tmp_path / "index")
    assert [scan.file for scan in index.scans] == ["a.nii.gz", "b/ct.nrrd", "c.nii.gz"]
    pooled = [
        PooledBoxes.of(encode(a_volume(seed), load_checkpoint(tiny_model), device="cpu")) for seed in range(3)
    ]
    everything = np.concatenate([one.vectors for one in pooled])
    np.testing.assert_allclose(index.description.mean, everything.mean(axis=0), atol=1e-3)
    for number, one in enumerate(pooled):
        np.testing.assert_array_equal(index.numbers_of(number), one.numbers)
        stored = index.directions_at(number, one.numbers)
        np.testing.assert_allclose(stored, index.directions_of(one.vectors), atol=5e-3)
        np.testing.assert_allclose(index.scans[number].lattice_to_ras, one.lattice_to_ras, atol=1e-3)


def test_it_keeps_up_with_the_folder(
    build: Callable[..., tuple[int, int]], folder: Path, tmp_path: Path
) -> None:
    assert build() == (3, 3)
    before = {path.name for path in (tmp_path / "index").iterdir()}
    assert build(model=None) == (3, 0)
    assert {path.name for path in (tmp_path / "index").iterdir()} == before
    write_volume(a_volume(7), folder / "d.nii.gz")
    os.utime(folder / "c.nii.gz", ns=(1, 1))
    (folder / "a.nii.gz").unlink()
    (folder / "broken.nii.gz").write_bytes(b"text")
    write_volume(Volume(np.ones((8, 8, 8), np.uint8), np.eye(4)), folder / "labels.nii.gz")
    write_volume(Volume(np.full(SHAPE, -1000, np.int16), MATRIX), folder / "air.nii.gz")
    assert build() == (3, 2)
    index = Index.open(tmp_path / "index")
    assert [scan.file for scan in index.scans] == ["b/ct.nrrd", "c.nii.gz", "d.nii.gz"]
    assert [file for file, _ in index.description.left_out] == [
        "air.nii.gz",
        "broken.nii.gz",
        "labels.nii.gz",
    ]
    assert len(list((tmp_path / "index" / "scans").iterdir())) == 3
    assert len(list((tmp_path / "index").glob("vectors-*"))) == 1


def test_it_goes_on_where_it_was_stopped_or_killed(
    build: Callable[..., tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with pytest.raises(Cancelled):
        build(
            progress=lambda done, total, message: seen.append(message),
            cancelled=lambda: "2 of 3 scans" in seen,
        )
    with pytest.raises(ConfigError, match="holds no scan: run maesil index again"):
        Index.open(tmp_path / "index")
    (tmp_path / "index" / ".maesil-left").mkdir()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "_projection", killed)
        with pytest.raises(KeyboardInterrupt):
            build()
    with pytest.raises(Cancelled):
        build(cancelled=lambda: True)  # while it joins, as no scan is left to be read
    assert build() == (3, 0)
    assert {path.name.partition("-")[0] for path in (tmp_path / "index").iterdir()} == {
        "index.json",
        "places",
        "projection",
        "scans",
        "vectors",
    }


def test_a_failure_leaves_the_index_before(
    build: Callable[..., tuple[int, int]], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    write_volume(a_volume(7), folder / "d.nii.gz")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "write_json", full)
        with pytest.raises(ConfigError, match="the disk is full; free some space; run again to go on"):
            build()
    assert len(Index.open(tmp_path / "index").scans) == 3
    with monkeypatch.context() as patch:
        patch.setattr(index_building, "write_scan", full)
        os.utime(folder / "a.nii.gz", ns=(1, 1))
        with pytest.raises(ConfigError, match="the disk is full"):
            build()
    assert build() == (4, 1)


def test_other_settings_are_refused(
    build: Callable[..., tuple[int, int]],
    folder: Path,
    make_tiny_model: Callable[..., Path],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    build()
    other = make_tiny_model(tmp_path / "other.safetensors", step=7)
    with pytest.raises(ConfigError, match=r"was made with the model .*: leave out --model"):
        build(model=str(other))
    with pytest.raises(ConfigError, match=r"holds features of level .*: leave out --level"):
        build(level=0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_volume(a_volume(1), elsewhere / "x.nrrd")
    with pytest.raises(ConfigError, match=r"is of the folder .*scans: give that folder"):
        build_index(elsewhere, tmp_path / "index")
    with pytest.raises(ConfigError, match="not empty and holds no index"):
        build_index(folder, elsewhere)
    with pytest.raises(ConfigError, match=r"cannot be written: .* is a file"):
        build_index(folder, elsewhere / "x.nrrd")
    (elsewhere / "x.nrrd").write_bytes(b"text")
    with pytest.raises(VolumeError, match=r"No scan of .* can be indexed: x\.nrrd"):
        build_index(elsewhere, tmp_path / "new", model=str(tiny_model))


def test_a_model_that_has_changed_is_refused(
    folder: Path, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    model, index = make_tiny_model(tmp_path / "mine.safetensors"), tmp_path / "index"
    build_index(folder, index, model=str(model), device="cpu")
    make_tiny_model(model, step=7)
    with pytest.raises(CheckpointError, match="has changed since the index"):
        build_index(folder, index)
    write_volume(a_volume(5), tmp_path / "query.nrrd")
    with pytest.raises(CheckpointError, match="has changed since the index"):
        query_of(Index.open(index), tmp_path / "query.nrrd", at(MATRIX[:3, 3]))


def test_series_of_a_folder_are_scans_and_no_identifier_is_kept(
    write_series: Callable[..., Path], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SMALLEST", 4)
    for number, uid in enumerate(("1.2.840.99.1", "1.2.840.99.2"), start=1):
        write_series(
            prefix=f"{number}-",
            step=(0.0, 0.0, 1.0 + number),
            SeriesInstanceUID=uid,
            SeriesNumber=number,
            PatientName="Secret^Name",
            PatientID="4711",
        )
    folder, place = tmp_path / "scan", tmp_path / "index"
    assert build_index(folder, place, model=str(tiny_model), device="cpu").added == 2
    index = Index.open(place)
    assert [scan.name for scan in index.scans] == ["scan (series 1)", "scan (series 2)"]
    assert [index.read(scan).spacing[2] for scan in index.scans] == [2.0, 3.0]
    everything = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    for text in (b"Secret", b"4711", b"1.2.840.99"):
        assert text not in everything
    assert build_index(folder, place, device="cpu").added == 0
    for path in folder.glob("2-*"):
        path.unlink()
    assert build_index(folder, place, device="cpu").scans == 1
    assert len(list((place / "scans").iterdir())) == 1


def test_a_place_is_found_again_from_the_scan_and_from_its_copy(
    build: Callable[..., tuple[int, int]], folder: Path, tmp_path: Path
) -> None:
    build()
    index = Index.open(tmp_path / "index")
    ras = (MATRIX @ [21.0, 20.0, 17.0, 1.0])[:3]
    own = query_of(index, folder / "b" / "ct.nrrd", at(ras), device="cpu")
    assert (own.number, own.boxes) == (1, ((1, 1, 1),))
    write_volume(a_volume(1), tmp_path / "copy.nii.gz")
    passes: list[int] = []
    copy = query_of(
        index,
        tmp_path / "copy.nii.gz",
        at(ras),
        device="cpu",
        progress=lambda done, total: passes.append(total),
    )
    assert (copy.number, copy.boxes) == (None, own.boxes)
    np.testing.assert_allclose(copy.directions, own.directions, atol=5e-3)
    assert passes[-1] < 18  # of the whole scan
    (best, *_) = index.search(copy.directions, 3)
    assert (best.number, best.box) == (1, (1, 1, 1))
    assert best.similarity > 0.999
    ijk = np.linalg.solve(MATRIX, [*best.ras, 1.0])[:3]
    assert (ijk // 16).astype(int).tolist() == [1, 1, 1]
    assert all(
        hit.number != 1 or max(abs(a - 1) for a in hit.box) >= 3
        for hit in index.search(own.directions, 9, without=own.without)
    )


def test_a_region_is_the_boxes_that_are_at_least_half_inside(
    build: Callable[..., tuple[int, int]], folder: Path, tmp_path: Path
) -> None:
    build()
    index = Index.open(tmp_path / "index")
    scan = folder / "a.nii.gz"
    for start, stop, boxes in (
        ((0, 0, 8), (20, 34, 30), {(k, j, i) for k in (0, 1) for j in (0, 1, 2) for i in (1,)}),
        ((17, 3, 20), (18, 5, 22), {(1, 0, 1)}),
    ):
        found = query_of(index, scan, within(start, stop))
        assert boxes <= set(found.boxes)
        assert len(found.directions) == len(found.boxes)
    with pytest.raises(ConfigError, match="No voxel of the scan is in the region"):
        query_of(index, scan, within((90, 0, 0), (99, 9, 9)))
    with pytest.raises(ConfigError, match="is outside the scan"):
        query_of(index, scan, at((900.0, 0.0, 0.0)))
    air = a_volume(3).voxels.copy()
    air[:, :, :20] = -1000
    write_volume(Volume(air, MATRIX), tmp_path / "airy.nrrd")
    with pytest.raises(VolumeError, match="only air at this place"):
        query_of(index, tmp_path / "airy.nrrd", at(MATRIX[:3, 3]), device="cpu")
