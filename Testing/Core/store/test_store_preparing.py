"""`prepare`: what comes into a store, and what does not."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conftest import SHAPE, ct, oblique, tree
from MAESILCore.cli import main
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.intensity import Intensity, body_floor
from MAESILCore.data.volume import Volume, read_volume, write_volume
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.inference.saving import FILES
from MAESILCore.store import ingest, preparing
from MAESILCore.store.checking import check
from MAESILCore.store.index import Index
from MAESILCore.store.opened import Store, read_description
from MAESILCore.store.preparing import Summary, prepare
from MAESILCore.store.resample import resample
from MAESILCore.store.sources import _RECONSTRUCTION, find_scans
from MAESILCore.store.workers import in_parallel
from MAESILCore.training.scans import data_at


def states(store: Path) -> dict[str, tuple[str, str]]:
    """State and reason of each source."""
    return {entry.source.file: (entry.state, entry.reason) for entry in Index(store).entries()}


def whole(store: Store, number: int) -> np.ndarray:
    return store.read(number, (0, 0, 0), store.shape(number))


def test_voxels_and_oblique_geometry_come_back_exactly(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    write_ct("a.nrrd", 1, ijk_to_ras=oblique())
    write_ct("b.nrrd", 2, shape=(33, 64, 31), ijk_to_ras=np.diag([-0.5, -0.7, 3.0, 1.0]))
    made = prepare([tmp_path / "scans"], tmp_path / "store")
    store = Store(tmp_path / "store")
    assert (made, store.files) == (Summary(2, 2, 0, ()), ("a.nrrd", "b.nrrd"))
    assert np.array_equal(whole(store, 0), ct(1))
    assert np.array_equal(whole(store, 1), ct(2, (33, 64, 31)))
    assert np.array_equal(store.ijk_to_ras[0], read_volume(tmp_path / "scans/a.nrrd").ijk_to_ras)
    assert store.ijk_to_ras[0] == pytest.approx(oblique(), abs=1e-12)
    assert store.spacing(0) == pytest.approx((2.5, 0.9, 0.7))
    assert store.spacing(1) == pytest.approx((3.0, 0.7, 0.5))


def test_unusable_files_are_quarantined_with_the_reason(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    write_ct("good.nrrd")
    write_ct("labels.nrrd", voxels=(ct() > -500).astype(np.uint8))
    write_ct("mr.nrrd", voxels=np.abs(ct()) * 3)
    write_ct("thin.nrrd", shape=(5, 40, 40))
    (tmp_path / "scans/broken.nii.gz").write_bytes(b"\x1f\x8b no gzip")
    os.symlink(tmp_path / "nowhere.nii.gz", tmp_path / "scans/link.nii.gz")
    made = prepare([tmp_path / "scans"], tmp_path / "store")
    reasons = dict(made.quarantined)
    assert (made.scans, set(reasons)) == (
        1,
        {"broken.nii.gz", "labels.nrrd", "link.nii.gz", "mr.nrrd", "thin.nrrd"},
    )
    assert "label map" in reasons["labels.nrrd"]
    assert "HU" in reasons["mr.nrrd"]
    assert "40 x 40 x 5 voxels" in reasons["thin.nrrd"]
    assert "broken link" in reasons["link.nii.gz"]
    table = (tmp_path / "store/quarantine.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table] == ["file", *sorted(reasons)]
    # What is known is not read again, and nothing changes.
    before = tree(tmp_path / "store")
    assert prepare([tmp_path / "scans"], tmp_path / "store").added == 0
    assert tree(tmp_path / "store") == before


def test_one_scan_in_other_formats_and_orders_of_axes_is_a_duplicate(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    volume = read_volume(write_ct("a.nrrd", ijk_to_ras=oblique()))
    write_volume(volume, tmp_path / "scans/b.nii.gz")  # geometry in 32 bits
    matrix = volume.ijk_to_ras @ np.array([[0, -1, 0, 35], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    turned = Volume(np.flip(volume.voxels, 2).swapaxes(1, 2), matrix)
    write_volume(turned, tmp_path / "scans/c.nrrd")
    shifted = volume.ijk_to_ras.copy()
    shifted[0, 3] += 1.0
    write_ct("d.nrrd", ijk_to_ras=shifted)
    made = prepare([tmp_path / "scans"], tmp_path / "store")
    assert (made.scans, made.duplicates) == (2, 2)
    found = states(tmp_path / "store")
    assert found["b.nii.gz"] == found["c.nrrd"] == ("duplicate", "the same scan as a.nrrd")
    assert found["d.nrrd"][0] == "stored"


def test_a_series_and_its_nifti_are_one_scan_and_no_identifier_is_stored(
    write_series: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SMALLEST", 4)
    folder = write_series(
        PatientName="Secret^Name",
        PatientID="ID-4711",
        StudyDescription="Knee of Secret",
        AccessionNumber="ACC-0815",
    )
    volume = read_volume(folder)
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.voxels.T), volume.ijk_to_ras)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    made = prepare([folder, tmp_path / "scan.nii.gz"], tmp_path / "store")
    assert (made.scans, made.duplicates) == (1, 1)
    everything = b"".join(name.encode() + content for name, content in tree(tmp_path / "store").items())
    for text in ("Secret", "4711", "0815", "Knee", str(tmp_path)):
        assert text.encode() not in everything
        assert text.encode("utf-16-le") not in everything


def test_each_series_of_a_folder_is_a_scan(
    write_series: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "SMALLEST", 4)
    folder, uids = tmp_path / "scan", ("1.2.840.99.1", "1.2.840.99.2", "1.2.840.99.3")
    for number, uid in enumerate(uids, start=1):
        write_series(
            prefix=f"{number}-", step=(0.0, 0.0, 1.0 + number), SeriesInstanceUID=uid, SeriesNumber=number
        )
    store = tmp_path / "store"
    assert prepare([folder], store).scans == 3
    opened = Store(store)
    assert opened.files == ("scan", "scan (series 2)", "scan (series 3)")
    assert [opened.spacing(number)[0] for number in range(3)] == [2.0, 3.0, 4.0]
    assert prepare([folder], store).added == 0
    for path in folder.glob("3-*"):
        path.unlink()
    made = prepare([folder], store)
    assert (made.scans, made.quarantined) == (2, ())
    assert Store(store).identities == opened.identities[:2]
    assert check(store) == (2, [])
    assert b"1.2.840" not in b"".join(tree(store).values())


def test_more_scans_are_added_and_changed_ones_replaced(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = write_ct("one/ct.nrrd", 1)
    write_ct("two/ct.nrrd", 1)
    assert prepare([tmp_path / "scans"], store).duplicates == 1
    old = Store(store).identities[0]
    write_ct("three/ct.nrrd", 3)
    write_ct("one/ct.nrrd", 4, shape=(44, 40, 40))
    os.utime(first, ns=(1, first.stat().st_mtime_ns + 1000))
    made = prepare([tmp_path / "scans"], store)
    # The duplicate takes the place of the scan that was replaced.
    assert (made.scans, made.added, made.duplicates) == (3, 3, 0)
    opened = Store(store)
    assert opened.files == ("one/ct.nrrd", "three/ct.nrrd", "two/ct.nrrd")
    assert np.array_equal(whole(opened, 0), ct(4, (44, 40, 40)))
    assert sorted(path.name for path in (store / "scans").iterdir() if path.is_dir()) == sorted(
        opened.identities
    )
    assert opened.identities[2] == old
    assert read_description(store)["body"]["scans"] == 3
    assert check(store) == (3, [])


def test_a_touched_file_is_read_again_but_stays(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    path = write_ct()
    prepare([tmp_path / "scans"], tmp_path / "store")
    before = tree(tmp_path / "store/scans")
    os.utime(path, ns=(1, 2))
    assert prepare([tmp_path / "scans"], tmp_path / "store").scans == 1
    assert tree(tmp_path / "store/scans") == before
    assert Index(tmp_path / "store").entries()[0].source.modified == 2


def test_equal_names_of_other_folders_stay_apart_and_moved_folders_are_known(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    write_ct("here/ct.nrrd", 1)
    write_ct("there/ct.nrrd", 2)
    prepare([tmp_path / "scans/here"], store)
    assert prepare([tmp_path / "scans/there"], store).scans == 2
    assert Store(store).files == ("ct.nrrd", "ct.nrrd (2)")
    shutil.move(tmp_path / "scans/here", tmp_path / "moved")
    made = prepare([tmp_path / "moved"], store)
    assert (made.scans, made.added, made.duplicates) == (2, 0, 0)


def test_resampling_keeps_every_place(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    """A linear ramp over RAS has the same values at the same places on any grid, away from the faces."""
    matrix = oblique()
    k, j, i = np.indices((48, 40, 44))
    places = np.einsum("ab,bkji->akji", matrix[:3], np.stack([i, j, k, np.ones_like(i)]))
    slope = np.array([6.0, -8.0, 2.8])
    offset = -float(np.einsum("a,akji->kji", slope, places).mean())
    ramp = np.einsum("a,akji->kji", slope, places) + offset
    write_ct("ramp.nrrd", voxels=ramp.astype(np.float32), ijk_to_ras=matrix)
    prepare([tmp_path / "scans"], tmp_path / "store", spacing=(1.4, 1.1, 2.0))
    store = Store(tmp_path / "store")
    assert store.spacing(0) == pytest.approx((2.0, 1.1, 1.4))
    assert store.shape(0) == (60, round(40 * 0.9 / 1.1), 22)
    voxels = whole(store, 0)[4:-4, 4:-4, 4:-4]
    k, j, i = np.indices(voxels.shape) + 4
    there = np.einsum("ab,bkji->akji", store.ijk_to_ras[0][:3], np.stack([i, j, k, np.ones_like(i)]))
    assert np.abs(np.einsum("a,akji->kji", slope, there) + offset - voxels).max() <= 0.51
    with pytest.raises(ConfigError, match=r"of 1.4 x 1.1 x 2 mm, not of 1 x 1 x 1 mm"):
        prepare([tmp_path / "scans"], tmp_path / "store", spacing=(1.0, 1.0, 1.0))
    assert prepare([tmp_path / "scans"], tmp_path / "store").added == 0


def test_resampling_does_not_turn_fine_structures_into_coarse_ones(tmp_path: Path) -> None:
    """A wave along i as long as the new spacing would become a constant of up to its amplitude."""
    k, _, i = np.indices((20, 24, 60))
    fine, slow = 500 * np.cos(2 * np.pi * (i - 1) / 3), 200 * np.sin(2 * np.pi * k / 10)
    volume = Volume(np.rint(fine + slow).astype(np.int16), np.diag([0.7, 0.8, 2.0, 1.0]))
    made = resample(volume, (2.1, 0.4, 2.0))
    assert made.shape == (20, 48, 20)
    # The centre of the first new voxel is that of the second old one along i, and -1/4 along j.
    expected = np.diag([2.1, 0.4, 2.0, 1.0])
    expected[:2, 3] = 0.7, -0.2
    assert np.allclose(made.ijk_to_ras, expected)
    left = made.voxels - np.rint(slow[:, :1, :1]).astype(int)
    assert np.abs(left[..., 2:-2]).max() <= 0.05 * 500 + 1  # rounding
    assert np.ptp(left, axis=0).max() <= 1  # axes that do not become coarser are as they were


def test_a_store_that_was_resampled_in_another_way_gets_no_further_scans(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    write_ct("a.nrrd", 1)
    store = tmp_path / "store"
    prepare([tmp_path / "scans"], store, spacing=(1.0, 1.0, 2.0))
    assert check(store) == (1, [])
    description = (store / "store.json").read_text()
    (store / "store.json").write_text(description.replace('  "resampling": "gaussian, linear",\n', ""))
    assert (store / "store.json").read_text() != description
    assert check(store) == (1, [])
    write_ct("b.nrrd", 2)
    with pytest.raises(
        ConfigError, match="resampled by another version of MAESIL, in another way: choose another"
    ):
        prepare([tmp_path / "scans"], store)
    assert len(Store(store)) == 1


def test_a_spacing_by_mistake_is_a_sentence() -> None:
    with pytest.raises(Exception, match="would have"):
        resample(Volume(np.zeros((500, 500, 500), np.int16), np.eye(4)), (0.05, 0.05, 0.05))


def test_statistics_are_those_of_the_body(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    write_ct("a.nrrd", 1)
    write_ct("b.nrrd", 2, shape=(30, 60, 44))
    prepare([tmp_path / "scans"], tmp_path / "store")
    body = np.concatenate([hu[hu > -500] for hu in (ct(1), ct(2, (30, 60, 44)))])
    found = read_description(tmp_path / "store")["body"]
    assert found["body_voxels"] == body.size
    assert found["mean"] == pytest.approx(body.mean())
    assert found["std"] == pytest.approx(body.std())
    assert found["percentiles"]["95"] == pytest.approx(np.percentile(body, 95), abs=2.5)
    assert sum(found["histogram"]["counts"]) == body.size
    rows = (tmp_path / "store/scans.csv").read_text().splitlines()
    assert rows[1].startswith("a.nrrd,")
    assert rows[1].endswith(f"{ct(1)[ct(1) > -500].std():.1f}")


def test_a_full_disk_is_one_sentence_and_the_store_stays_valid(
    write_ct: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_ct(f"{number}.nrrd", number)
    real, calls = ingest.write_scan, []

    def write_scan(folder: Path, *rest: object) -> None:
        calls.append(folder)
        if len(calls) == 2:
            folder.mkdir()
            (folder / "half").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder, *rest)

    monkeypatch.setattr(ingest, "write_scan", write_scan)
    with pytest.raises(ConfigError, match=r"^The disk of the store .* is full\. The store is valid"):
        prepare([tmp_path / "scans"], tmp_path / "store")
    assert Store(tmp_path / "store").files == ("0.nrrd",)
    assert prepare([tmp_path / "scans"], tmp_path / "store").scans == 3
    assert check(tmp_path / "store") == (3, [])


def test_an_interrupt_leaves_a_store_that_goes_on(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(3):
        write_ct(f"{number}.nrrd", number)

    def stop(done: int, total: int, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        prepare([tmp_path / "scans"], tmp_path / "store", progress=stop)
    assert check(tmp_path / "store") == (1, [])
    assert sorted(tree(tmp_path / "store").keys() & {"lock", "scans.csv"}) == ["scans.csv"]
    assert prepare([tmp_path / "scans"], tmp_path / "store").added == 2


def test_other_folders_and_busy_stores_are_refused(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    write_ct()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no store"):
        prepare([tmp_path / "scans"], tmp_path / "other")
    with pytest.raises(ConfigError, match=r"thesis\.txt is a file; choose another place"):
        prepare([tmp_path / "scans"], tmp_path / "other/thesis.txt")
    with pytest.raises(ConfigError, match="is no store"):
        Store(tmp_path / "other")
    prepare([tmp_path / "scans"], tmp_path / "store")
    text = json.loads((tmp_path / "store/store.json").read_text()) | {"version": 3}
    (tmp_path / "store/store.json").write_text(json.dumps(text))
    with pytest.raises(ConfigError, match="update MAESIL"):
        Store(tmp_path / "store")


def test_previews_of_a_run_in_the_searched_folder_are_no_scans(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    scan, preview = write_ct(), write_ct("run/previews/truth.nrrd", seed=1)
    # A folder of this name that belongs to no run.
    other = write_ct("previews/ct.nrrd", seed=2)
    (tmp_path / "scans/run/events.jsonl").touch()
    assert {one.path for one in find_scans([tmp_path / "scans"]).scans} == {scan, other}
    with pytest.raises(VolumeError, match="but previews of runs"):
        find_scans([preview])
    assert prepare([tmp_path / "scans"], tmp_path / "store").scans == 2
    found = data_at([tmp_path / "scans"])
    assert isinstance(found, Discovery)
    assert len(found.scans) == 2


def test_saved_reconstructions_in_the_searched_folder_are_no_scans(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    alone = write_ct("mine/mosaic.nii.gz")  # without the other files, it is anything of this name
    beside = write_ct("result/ct.nii.gz")
    for name in ("reconstruction", "mosaic", "error", "uncertainty", "mask", "mask_lattice"):
        write_ct(f"result/{name}.nii.gz")
    assert {one.path for one in find_scans([tmp_path / "scans"]).scans} == {alone, beside}
    assert {name for name in FILES if name.endswith(".nii.gz")} == set(_RECONSTRUCTION)


def test_a_store_in_the_searched_folder_is_not_searched(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    write_ct()
    store = tmp_path / "scans/store"
    prepare([tmp_path / "scans"], store)
    made = prepare([tmp_path / "scans"], store)
    assert (made.scans, made.quarantined) == (1, ())


@pytest.mark.process
def test_two_processes_make_the_same_store_as_one(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(4):
        write_ct(f"{number}/ct.nrrd", number % 3)
    prepare([tmp_path / "scans"], tmp_path / "one")
    prepare([tmp_path / "scans"], tmp_path / "two", jobs=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert Store(tmp_path / "two").shape(0) == SHAPE


def test_nothing_of_preparing_is_left(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    write_ct()
    prepare([tmp_path / "scans"], tmp_path / "store")
    names = {path.name for path in (tmp_path / "store").iterdir()}
    expected = {"index.jsonl", "quarantine.csv", "scans", "scans.csv", "store.json", "zarr.json"}
    assert names == expected
    assert preparing.UNFINISHED not in names


def test_a_single_call_needs_no_other_process_and_leaves_ctrl_c_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert list(in_parallel(abs, [(-3,)], jobs=10**8)) == [3]
    assert signal.getsignal(signal.SIGINT) is before


def test_scans_without_hu_have_a_store_of_their_own(write_ct: Callable[..., Path], tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.int16)
    floats = np.random.default_rng(1).gamma(2.0, 0.01, SHAPE).astype(np.float32)
    write_ct("a.nrrd", voxels=numbers)
    write_ct("b.nrrd", voxels=floats)
    assert prepare([tmp_path / "scans"], tmp_path / "hu").scans == 0
    store = tmp_path / "store"
    arguments = ["prepare", str(tmp_path / "scans"), "--out", str(store), "--jobs", "1"]
    assert main([*arguments, "--without-hu"]) == 0
    opened, description = Store(store), read_description(store)
    assert (opened.is_hu, description["version"], description["body"]["scans"]) == (False, 2, 2)
    kept, stretched = (whole(opened, number) for number in range(2))
    assert np.array_equal(kept, numbers)
    assert (stretched.min(), stretched.max()) == (-32767, 32767)
    line = np.polynomial.Polynomial.fit(stretched.ravel(), floats.ravel(), 1)
    np.testing.assert_allclose(line(stretched), floats, atol=float(np.ptp(floats)) / 60000)
    floor = body_floor(numbers, Intensity("percentiles").window_of(numbers))
    assert opened.body_share(0, (0, 0, 0), SHAPE) == pytest.approx((numbers > floor).mean(), abs=1e-6)
    assert (store / "scans.csv").read_text().splitlines()[0].endswith("body_mean,body_std")
    assert check(store) == (2, [])
    # A store keeps its kind.
    write_ct("c.nrrd", voxels=floats[::-1])
    assert main(arguments) == 0
    assert len(Store(store)) == 3
    write_ct("ct.nrrd")
    assert prepare([tmp_path / "scans" / "ct.nrrd"], tmp_path / "hu").scans == 1
    with pytest.raises(ConfigError, match="holds CT in HU"):
        prepare([tmp_path / "scans"], tmp_path / "hu", without_hu=True)


def test_values_without_hu_are_resampled_in_their_range(
    write_ct: Callable[..., Path], tmp_path: Path
) -> None:
    write_ct("b.nrrd", voxels=np.random.default_rng(1).gamma(2.0, 0.01, SHAPE).astype(np.float32))
    prepare([tmp_path / "scans"], tmp_path / "store", spacing=(1.6, 1.6, 2.0), without_hu=True)
    store = Store(tmp_path / "store")
    assert store.shape(0) == (SHAPE[0], SHAPE[1] // 2, SHAPE[2] // 2)
    assert np.ptp(whole(store, 0).astype(int)) > 10000
