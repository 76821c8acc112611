"""Reading a store: by MAESIL, by zarr-python alone, in threads and processes, and damaged."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conftest import ct, tree
from MAESILCore.store import layout, opened
from MAESILCore.store.checking import check
from MAESILCore.store.opened import Store
from MAESILCore.store.preparing import prepare
from MAESILCore.store.reader import DamagedScanError

SHAPE = (70, 101, 85)


@pytest.fixture
def folder(write_ct: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of two scans, with several shards each."""
    monkeypatch.setattr(layout, "LARGEST_SHARD", (64, 64, 64))
    write_ct("a.nrrd", 1, shape=SHAPE)
    write_ct("b.nrrd", 2, shape=(33, 40, 32))
    prepare([tmp_path / "scans"], tmp_path / "store")
    return tmp_path / "store"


def boxes(count: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        start = tuple(int(generator.integers(extent)) for extent in SHAPE)
        size = tuple(
            int(generator.integers(1, extent - first + 1)) for first, extent in zip(start, SHAPE, strict=True)
        )
        found.append((start, size))
    return found


def slices(start: tuple[int, ...], size: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(first, first + extent) for first, extent in zip(start, size, strict=True))


def test_any_box_is_that_of_the_scan(folder: Path) -> None:
    store, scan = Store(folder), ct(1, SHAPE)
    for box in boxes(60):
        assert np.array_equal(store.read(0, *box), scan[slices(*box)])


def test_zarr_alone_opens_the_store(folder: Path) -> None:
    group = zarr.open_group(str(folder), mode="r")
    scan = group[f"scans/{Store(folder).identities[0]}"]
    assert isinstance(scan, zarr.Group)
    voxels, body = scan["voxels"], scan["body"]
    assert isinstance(voxels, zarr.Array)
    assert isinstance(body, zarr.Array)
    assert (voxels.dtype, voxels.shards, voxels.chunks) == (np.int16, (64, 64, 64), (32, 32, 32))
    assert np.array_equal(voxels[...], ct(1, SHAPE))
    assert int(np.asarray(body[...]).sum()) == np.count_nonzero(ct(1, SHAPE) > -500)
    assert scan.attrs["ijk_to_ras"] == Store(folder).ijk_to_ras[0].tolist()
    assert scan.metadata.zarr_format == 3


def test_the_body_share_of_whole_chunks_is_exact_and_of_others_near(folder: Path) -> None:
    store, is_body = Store(folder), ct(1, SHAPE) > -500
    for start in ((0, 0, 0), (32, 64, 32), (64, 96, 64)):
        size = tuple(min(32, extent - first) for first, extent in zip(start, SHAPE, strict=True))
        assert store.body_share(0, start, size) == pytest.approx(
            is_body[slices(start, size)].mean(), abs=1e-6
        )
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(50):
        start = tuple(int(generator.integers(extent - 63)) for extent in SHAPE)
        exact = is_body[slices(start, (64, 64, 64))].mean()
        errors.append(abs(store.body_share(0, start, (64, 64, 64)) - exact))
    assert np.mean(errors) < 0.2


def test_threads_pickles_and_forks_read_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "_OPEN_SCANS", 1)
    store, scans = Store(folder), (ct(1, SHAPE), ct(2, (33, 40, 32)))

    def differs(number: int) -> bool:
        which = number % 2
        return not np.array_equal(store.read(which, (1, 2, 3), (30, 35, 29)), scans[which][1:31, 2:37, 3:32])

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(differs, range(60)))
    assert np.array_equal(pickle.loads(pickle.dumps(store)).read(0, (0, 0, 0), SHAPE), scans[0])


@pytest.mark.process
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_reads_an_open_store(folder: Path) -> None:
    store = Store(folder)
    expected = store.read(0, (5, 6, 7), (40, 40, 40))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.starmap(store.read, [(0, (5, 6, 7), (40, 40, 40))] * 4):
            assert np.array_equal(found, expected)


def test_a_flipped_bit_in_any_file_is_found(folder: Path) -> None:
    assert check(folder) == (2, [])
    generator = np.random.default_rng(0)
    for name, content in tree(folder).items():
        place = int(generator.integers(len(content)))
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        (folder / name).write_bytes(flipped)
        try:
            damages = check(folder)[1]
        except Exception as error:
            damages = [str(error)]
        assert len(damages) >= 1, (name, place)
        if name.startswith("scans/"):
            assert name.split("/")[1] in " ".join(damages)
        (folder / name).write_bytes(content)
    assert check(folder) == (2, [])


def test_a_damaged_or_missing_chunk_names_the_scan(folder: Path) -> None:
    shard = folder / "scans" / Store(folder).identities[0] / "voxels/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 4
    shard.write_bytes(content)
    with pytest.raises(
        DamagedScanError, match=r"^The scan a\.nrrd of the store cannot be read \(chunk .* is damaged"
    ):
        Store(folder).read(0, (0, 0, 0), SHAPE)
    shard.write_bytes(content[:50])
    with pytest.raises(DamagedScanError, match="too short"):
        Store(folder).read(0, (0, 0, 0), SHAPE)
    shard.unlink()
    with pytest.raises(DamagedScanError, match=r"a\.nrrd .*No such file") as caught:
        Store(folder).read(0, (0, 0, 0), SHAPE)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_deleted_scan_is_prepared_anew(folder: Path, tmp_path: Path) -> None:
    import shutil

    before = tree(folder)
    shutil.rmtree(folder / "scans" / Store(folder).identities[0])
    assert len(check(folder)[1]) == 1
    prepare([tmp_path / "scans"], folder)
    assert tree(folder) == before
