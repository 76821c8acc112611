"""Search in an index: exact, one place per neighbourhood, and sentences on damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MAESILCore.downstream.search import arrays
from MAESILCore.downstream.search import index as searching
from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.index import Index
from MAESILCore.downstream.search.layout import Description, IndexedScan, ScanFile, matrix_of, write_scan
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.lattice.whitening import MOST_AXES, Projection

CHANNELS, SHAPE = 24, (5, 8, 9)


def the_vectors(number: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(number)
    numbers = np.flatnonzero(generator.random(SHAPE) < 0.6).astype(np.int32)
    vectors = generator.normal(size=(len(numbers), CHANNELS)) + 5.0 + number
    return vectors.astype(np.float32), numbers


def a_scan(number: int, rows: int) -> IndexedScan:
    matrix = np.diag([11.0, 12.0, 40.0, 1.0])
    matrix[:3, 3] = (-50.0, 20.0, 300.0 + number)
    name = f"s{number}/ct.nii.gz"
    shape = tuple(16 * n for n in SHAPE)
    return IndexedScan(
        name,
        name,
        0,
        7,
        9,
        shape,
        matrix_of(matrix),
        SHAPE,
        matrix_of(matrix),
        rows,  # type: ignore[arg-type]
    )


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., Index]:
    def make(count: int = 4) -> Index:
        folder = tmp_path / "index"
        (folder / "scans").mkdir(parents=True, exist_ok=True)
        files = []
        for number in range(count):
            vectors, numbers = the_vectors(number)
            path = folder / "scans" / f"{number}.npz"
            write_scan(path, a_scan(number, len(numbers)), vectors, numbers)
            file = ScanFile.read(path)
            assert file is not None
            files.append(file)
        arrays.join(folder, Description(str(tmp_path), "tiny", "hash", 0, (16, 16, 16)), files)
        return Index.open(folder)

    return make


def expected_cosines(vectors: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """Cosines by the inverse of the covariance, (N, N)."""
    deviations = vectors.astype(np.float64) - everything.mean(axis=0)
    products = deviations @ np.linalg.inv(np.cov(everything.T.astype(np.float64), bias=True)) @ deviations.T
    lengths = np.sqrt(np.diag(products))
    return np.asarray(products / np.outer(lengths, lengths))


def test_directions_are_whitened_by_all_boxes(make_index: Callable[..., Index]) -> None:
    index = make_index()
    everything = np.concatenate([the_vectors(number)[0] for number in range(4)])
    expected = expected_cosines(everything, everything)
    directions = index.directions_of(everything)
    np.testing.assert_allclose(directions @ directions.T, expected, atol=1e-3)
    stored = np.concatenate([index.directions_at(number, index.numbers_of(number)) for number in range(4)])
    np.testing.assert_allclose(stored, directions, atol=2e-3)  # 16 bits
    with pytest.raises(ConfigError, match="holds vectors of 24 values"):
        index.directions_of(everything[:, :3])


def test_a_large_index_takes_its_axes_from_a_sample(
    make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = np.concatenate([the_vectors(number)[0] for number in range(4)])
    monkeypatch.setattr(arrays, "_SAMPLE", -(-len(everything) // 3))
    index = make_index()
    directions = index.directions_of(everything)
    # The covariance of every third box, around the mean of all.
    deviations = everything.astype(np.float64) - everything.mean(axis=0)
    covariance = deviations[::3].T @ deviations[::3] / len(deviations[::3])
    products = deviations @ np.linalg.inv(covariance) @ deviations.T
    lengths = np.sqrt(np.diag(products))
    np.testing.assert_allclose(directions @ directions.T, products / np.outer(lengths, lengths), atol=1e-3)


def test_few_boxes_have_few_axes() -> None:
    vectors = np.random.default_rng(0).normal(size=(45, CHANNELS)).astype(np.float32)
    projection = Projection.of(vectors)
    assert projection.axes.shape == (CHANNELS, 4)
    coordinates = (vectors - projection.mean) @ projection.axes
    np.testing.assert_allclose(np.cov(coordinates.T, bias=True), np.eye(4), atol=1e-4)
    same = Projection.of(np.ones((3, CHANNELS), dtype=np.float32))
    assert not same.directions_of(np.ones((2, CHANNELS), dtype=np.float32)).any()
    wide = np.random.default_rng(0).normal(size=(2000, 150)).astype(np.float32)
    assert Projection.of(wide).axes.shape == (150, MOST_AXES)


@pytest.mark.parametrize("rows_per_call", [1 << 18, 100])
def test_a_search_finds_what_comparing_every_row_finds(
    make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch, rows_per_call: int
) -> None:
    monkeypatch.setattr(searching, "_ROWS", rows_per_call)
    index = make_index()
    rows = np.load(next(index.folder.glob("vectors-*.npy"))).astype(np.float64)
    places = np.load(next(index.folder.glob("places-*.npy")))
    query = index.directions_of(np.random.default_rng(9).normal(size=(1, CHANNELS)) + 6.0)[0]
    scores = rows @ query.astype(np.float16).astype(np.float64)
    order = np.argsort(-scores)
    hits = index.search(query, 40, apart=1)
    assert len(hits) == 40
    for hit, row in zip(hits, order, strict=False):
        number, box = places[row]
        assert (hit.number, hit.box) == (number, np.unravel_index(box, SHAPE))
        assert hit.similarity == pytest.approx(scores[row], abs=1e-6)
        assert hit.distance == pytest.approx(1.0 - hit.similarity)
        k, j, i = hit.box
        assert hit.ras == pytest.approx((-50.0 + 11 * i, 20.0 + 12 * j, 300.0 + number + 40 * k))


def test_of_neighbours_only_the_best_is_a_place(make_index: Callable[..., Index]) -> None:
    index = make_index()
    query = index.directions_at(1, index.numbers_of(1)[40:41])
    singles = index.search(query, 10_000, apart=1)
    assert len(singles) == sum(scan.rows for scan in index.scans)
    kept: list[tuple[int, np.ndarray]] = []
    for hit in singles:
        near = (number == hit.number and np.abs(box - hit.box).max() < 3 for number, box in kept)
        if not any(near):
            kept.append((hit.number, np.array(hit.box)))
    hits = index.search(query, 10_000)
    assert [(hit.number, hit.box) for hit in hits] == [(number, tuple(box)) for number, box in kept]
    assert hits[0].similarity == pytest.approx(1.0, abs=1e-3)
    asked = hits[0]
    others = index.search(query, 10_000, without=(asked.number, [asked.box]))
    assert all(
        hit.number != asked.number or np.abs(np.subtract(hit.box, asked.box)).max() >= 3 for hit in others
    )
    few = index.search(query, 5)
    assert few == hits[:5]


def test_several_directions_count_as_their_mean(make_index: Callable[..., Index]) -> None:
    index = make_index()
    directions = index.directions_at(2, index.numbers_of(2)[:3])
    assert index.search(directions, 5) == index.search(directions.mean(axis=0), 5)


def test_a_search_is_stopped_and_refuses_what_has_no_answer(make_index: Callable[..., Index]) -> None:
    index = make_index()
    with pytest.raises(Cancelled):
        index.search(np.ones(CHANNELS), cancelled=lambda: True)
    with pytest.raises(ConfigError, match="has the mean features"):
        index.search(np.zeros(CHANNELS))
    with pytest.raises(ConfigError, match="at least 1 place"):
        index.search(np.ones(CHANNELS), 0)
    with pytest.raises(VolumeError, match=r"ct\.nii\.gz is gone: give the folder of the scans"):
        index.read(index.scans[0])


def test_damage_is_one_sentence(make_index: Callable[..., Index], tmp_path: Path) -> None:
    index = make_index()
    with pytest.raises(ConfigError, match="is no index: give a folder that `maesil index` has written"):
        Index.open(tmp_path)
    vectors = next(index.folder.glob("vectors-*.npy"))
    whole = vectors.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"x" * len(whole)):
        vectors.write_bytes(content)
        with pytest.raises(ConfigError, match="are damaged: delete vectors-"):
            Index.open(index.folder)
    described = index.folder / "index.json"
    fields = json.loads(described.read_text())
    described.write_text(json.dumps({**fields, "version": 99}))
    with pytest.raises(ConfigError, match="newer MAESIL"):
        Index.open(index.folder)
    described.write_text(json.dumps({**fields, "scans": []}))
    with pytest.raises(ConfigError, match="holds no scan: run maesil index again"):
        Index.open(index.folder)
    described.write_text("{")
    with pytest.raises(ConfigError, match="is damaged: delete the folder"):
        Index.open(index.folder)


def test_damaged_features_of_a_scan_are_removed(make_index: Callable[..., Index]) -> None:
    path = make_index().folder / "scans" / "0.npz"
    file = ScanFile.read(path)
    assert file is not None
    content = bytearray(path.read_bytes())
    content[-2000:-1500] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"features of s0/ct\.nii\.gz were damaged and are removed"):
        file.deviations_from(np.zeros(CHANNELS))
    assert not path.exists()
    assert ScanFile.read(path) is None


def test_the_scan_of_some_features_is_known_and_can_be_left_out(make_index: Callable[..., Index]) -> None:
    index = make_index()
    vectors, numbers = the_vectors(2)
    lattice = np.array(index.scans[2].lattice_to_ras)
    boxes = PooledBoxes(vectors, numbers, SHAPE, lattice)
    assert index.copies_of(boxes) == [2]
    assert index.copies_of(replace(boxes, vectors=vectors[::-1])) == []
    assert index.copies_of(replace(boxes, lattice_to_ras=lattice + 0.5)) == []
    assert index.copies_of(replace(boxes, vectors=vectors[1:], numbers=numbers[1:])) == []
    (direction,) = index.directions_of(vectors[:1])
    assert index.search(direction, 1)[0].number == 2
    found = index.search(direction, 1000, apart=1, leave_out=[2])
    assert {hit.number for hit in found} == {0, 1, 3}
    assert not index.search(direction, 5, leave_out=range(4))
