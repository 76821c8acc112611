"""Whole volumes through fake models whose answers are known."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.data.window import LUNG_TO_BONE, Window
from MAESILCore.errors import Cancelled, CheckpointError, ConfigError, OutOfMemoryError, VolumeError
from MAESILCore.inference import Reconstruction, network, save_reconstruction
from MAESILCore.inference import reconstruct as reconstruct_as_usual
from MAESILCore.inference.shifts import shifted_coverage, shifts
from MAESILCore.inference.statistics import RunningStatistics
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, roi_mask_from_box, usual_overlap
from MAESILCore.methods.abilities import UNDECLARED, Abilities
from MAESILCore.models.checkpoint import load_checkpoint
from MAESILCore.phantom import make_phantom
from MAESILCore.scoring.reconstruction import describe_metrics, score_reconstruction
from MAESILCore.scoring.superpatches import superpatch_scores

torch.set_num_threads(1)

# No overlap unless a test says otherwise: passes are easy to count.
reconstruct = partial(reconstruct_as_usual, overlap=0)

OBLIQUE = np.array([[0.7, 0.2, -0.9, 31.0], [-0.3, 0.6, 0.5, -80.5], [0.1, 0.4, 2.1, 12.25], [0, 0, 0, 1]])
SHEARED = np.array([[0.7, 0, 0.3, 5.0], [0, -0.7, 0.2, -9.0], [0, 0, 2.5, 1.0], [0, 0, 0, 1]])
FLIPPED = np.array([[-0.7, 0, 0, 5.0], [0, -0.7, 0, -9.0], [0, 0, -2.5, 1.0], [0, 0, 0, 1]])


def keep(voxels: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Give back what came in: visible voxels as they are."""
    return voxels


def mean_of_visible(voxels: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Fill everything with the mean of what is visible, or with 0.5."""
    patch = voxels.shape[2] // hidden.shape[1]
    visible = ~hidden[:, None]
    for axis in (2, 3, 4):
        visible = visible.repeat_interleave(patch, dim=axis)
    total = (voxels * visible).sum(dim=(1, 2, 3, 4), keepdim=True)
    count = visible.sum(dim=(1, 2, 3, 4), keepdim=True)
    return torch.where(count > 0, total / count.clamp_min(1), 0.5).expand_as(voxels)


@dataclass
class FakeModel:
    """A model that follows a plain function, and remembers its batches."""

    answer: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = keep
    superpatch_size: tuple[int, int, int] = (16, 16, 16)
    patch_size: tuple[int, int, int] = (4, 4, 4)
    window: Window = LUNG_TO_BONE
    abilities: Abilities = UNDECLARED
    fits: int = 1000
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def reconstruct(self, voxels: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        assert voxels.dtype == torch.float32
        assert hidden.dtype == torch.bool
        assert voxels.shape[2:] == tuple(
            n * p for n, p in zip(hidden.shape[1:], self.patch_size, strict=True)
        )
        assert 0.0 <= float(voxels.min()) <= float(voxels.max()) <= 1.0
        self.batches.append(tuple(voxels.shape))
        if len(voxels) > self.fits:
            message = "DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."
            raise RuntimeError(message)
        return self.answer(voxels, hidden)


def a_scan(
    shape: tuple[int, int, int] = (20, 37, 33),
    ijk_to_ras: np.ndarray = OBLIQUE,
    low: int = -1000,
    high: int = 1000,
) -> Volume:
    rng = np.random.default_rng(sum(shape))
    return Volume(rng.integers(low, high, shape, endpoint=True).astype(np.int16), ijk_to_ras, "scan")


@pytest.mark.slow
def test_the_bundled_model_works_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on most GPUs and some CPUs, whichever machine runs these tests."""
    scan, model = make_phantom((16, 32, 32)).volume, load_checkpoint()
    whole, rough = [], []
    for found, is_half in ((whole, False), (rough, True)):
        monkeypatch.setattr(network, "computes_in_bf16", lambda device, is_half=is_half: is_half)
        found.append(reconstruct(scan, model, device="cpu").mosaic.voxels)
    assert (whole[0] != rough[0]).any()
    np.testing.assert_allclose(rough[0], whole[0], atol=30.0)
    assert np.abs(rough[0] - whole[0]).mean() < 3.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scan_with_values_that_are_no_numbers_is_refused_before_any_work(value: float) -> None:
    scan, model = a_scan(), FakeModel()
    voxels = scan.voxels.astype(np.float32)
    voxels[0, 1, 2] = value
    with pytest.raises(VolumeError, match="NaN or infinite voxels"):
        reconstruct(scan.with_voxels(voxels), model, device="cpu")
    assert model.batches == []


def test_tiles_share_a_quarter_unless_told_otherwise() -> None:
    scan, model = a_scan(), FakeModel(mean_of_visible, superpatch_size=(64, 64, 64))
    usual, explicit = (
        reconstruct_as_usual(scan, model),
        reconstruct_as_usual(scan, model, overlap=(4, 16, 16)),
    )
    expected = usual_overlap(model.superpatch_size, model.patch_size, scan.spacing[::-1])
    assert usual.grid.overlap == expected == (4, 16, 16)
    np.testing.assert_array_equal(usual.reconstruction.voxels, explicit.reconstruction.voxels)


def hidden_voxels(grid: SuperpatchGrid, mask: Mask) -> np.ndarray:
    return grid.expand(mask.hidden)


def hidden_of(result: Reconstruction) -> list[np.ndarray]:
    """(k, j, i) bool for each mask, whether it hides a voxel."""
    found = []
    for mask, shift in zip(result.masks, result.shifts, strict=True):
        shape = np.add(result.grid.shape, shift)
        lattice = SuperpatchGrid(tuple(shape.tolist()), result.grid.superpatch_size, result.grid.patch_size)
        k, j, i = shift
        found.append(lattice.expand(mask.hidden)[k:, j:, i:])
    return found


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.sampled_from([0, 4, 8, (0, 4, 12)]),
    st.integers(0, 3),
    st.integers(1, 5),
)
def test_what_the_network_gives_back_is_assembled_in_its_place(
    shape: tuple[int, int, int], overlap: int | tuple[int, int, int], coverage: int, batch_size: int
) -> None:
    scan = a_scan(shape)
    result = reconstruct(
        scan, FakeModel(), coverage=coverage, overlap=overlap, batch_size=batch_size, device="cpu"
    )
    # The model gives back visible voxels as they are, and hidden ones as the floor of the window: it never saw them.
    ever_hidden = np.any(hidden_of(result), axis=0)
    expected = np.where(ever_hidden, -1000, scan.voxels)
    assert result.reconstruction.voxels.dtype == result.mosaic.voxels.dtype == np.float32
    np.testing.assert_allclose(result.reconstruction.voxels, expected, atol=1e-3)
    mosaic = np.where(hidden_voxels(result.grid, result.mask), -1000, scan.voxels)
    np.testing.assert_allclose(result.mosaic.voxels, mosaic, atol=1e-3)
    np.testing.assert_allclose(result.error.voxels, expected - scan.voxels, atol=1e-3)
    assert (result.uncertainty is None) == (coverage == 0)
    if result.uncertainty is not None:
        assert result.uncertainty.voxels.max() < 1e-3


@pytest.mark.parametrize("matrix", [OBLIQUE, SHEARED, FLIPPED])
def test_geometry_is_carried_over_bit_by_bit(matrix: np.ndarray) -> None:
    scan = a_scan(ijk_to_ras=matrix)
    result = reconstruct(scan, FakeModel(), coverage=2, device="cpu")
    assert result.uncertainty is not None
    for volume in (result.reconstruction, result.mosaic, result.error, result.uncertainty):
        np.testing.assert_array_equal(volume.ijk_to_ras, scan.ijk_to_ras)
        assert volume.shape == scan.shape


def test_visible_patches_show_the_scan_and_hidden_ones_the_prediction() -> None:
    scan = a_scan(low=-1500, high=3000)
    model = FakeModel(lambda voxels, hidden: torch.full_like(voxels, 0.25))
    result = reconstruct(scan, model, seed=3, device="cpu")
    hidden = hidden_voxels(result.grid, result.mask)
    assert 0.7 < hidden.mean() < 0.8
    np.testing.assert_allclose(result.reconstruction.voxels, -500, atol=1e-3)
    np.testing.assert_array_equal(result.mosaic.voxels[~hidden], scan.voxels[~hidden])
    np.testing.assert_allclose(result.mosaic.voxels[hidden], -500, atol=1e-3)
    seen = np.clip(scan.voxels, -1000, 1000)
    np.testing.assert_allclose(result.error.voxels, np.where(hidden, -500 - seen, 0), atol=1e-3)
    expected = MaskStrategy().sample_grid(result.grid, 3)
    np.testing.assert_array_equal(result.mask.stages, expected.stages)


def test_predictions_beyond_the_window_are_clipped_to_it() -> None:
    result = reconstruct(a_scan(), FakeModel(lambda voxels, _: voxels * 8 - 3), device="cpu")
    assert result.reconstruction.voxels.min() == -1000
    assert result.reconstruction.voxels.max() == 1000


def slow_coverage(scan: Volume, model: FakeModel, result: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over whole-volume reconstructions, one mask after the other."""
    predictions = []
    for mask, (k, j, i) in zip(result.masks, result.shifts, strict=True):
        longer = Volume(np.pad(scan.voxels, [(k, 0), (j, 0), (i, 0)], mode="edge"), scan.ijk_to_ras)
        predictions.append(
            reconstruct(longer, model, mask=mask, device="cpu").reconstruction.voxels[k:, j:, i:]
        )
    unseen = np.ma.masked_array(np.stack(predictions), ~np.stack(hidden_of(result)))
    return unseen.mean(axis=0).filled(np.nan), unseen.std(axis=0).filled(np.nan)


@pytest.mark.parametrize("mode", ["nested", "random", "plane"])
def test_a_coverage_is_mean_and_spread_over_the_masks_that_hid_a_voxel(mode: str) -> None:
    scan, model = a_scan((18, 33, 21)), FakeModel(mean_of_visible)
    result = reconstruct(
        scan, model, strategy=MaskStrategy(mode=mode), coverage=5, batch_size=3, device="cpu"
    )
    assert len(result.masks) == 5
    assert set(result.shifts) == {(0, 0, 0)}
    mean, deviation = slow_coverage(scan, FakeModel(mean_of_visible), result)
    np.testing.assert_allclose(result.reconstruction.voxels, mean, atol=2e-3)
    assert result.uncertainty is not None
    np.testing.assert_allclose(result.uncertainty.voxels, deviation, atol=2e-3)
    assert deviation.max() > 1.0
    np.testing.assert_allclose(result.error.voxels, mean - scan.voxels, atol=2e-3)


@pytest.mark.parametrize("patch_size", [(8, 8, 8), (12, 12, 12), (4, 8, 8), (5, 6, 1)])
def test_no_plane_is_a_border_of_patches_in_more_masks_than_another(patch_size: tuple[int, int, int]) -> None:
    for axis, patch in enumerate(patch_size):
        along = [shift[axis] for shift in islice(shifts(patch_size), 3 * patch)]
        for start in range(0, len(along), patch):
            assert sorted(along[start : start + patch]) == list(range(patch))
    several = list(islice(shifts(patch_size), 2 * max(patch_size)))
    assert several[0] == (0, 0, 0)
    assert len(set(several)) == len(several)


def test_eight_masks_have_lattices_of_their_own() -> None:
    scan, model = a_scan((18, 33, 21)), FakeModel(mean_of_visible)
    result = reconstruct(scan, model, coverage=8, batch_size=3, device="cpu")
    assert len(result.masks) == len(result.shifts) >= 8
    assert result.shifts[0] == (0, 0, 0)
    assert len(set(result.shifts)) > 5
    assert result.mask.shape == result.grid.lattice_shape
    assert np.any(hidden_of(result), axis=0).all()
    mean, deviation = slow_coverage(scan, FakeModel(mean_of_visible), result)
    np.testing.assert_allclose(result.reconstruction.voxels, mean, atol=2e-3)
    assert result.uncertainty is not None
    np.testing.assert_allclose(result.uncertainty.voxels, deviation, atol=2e-3)
    few = reconstruct(scan, model, coverage=8, strategy=MaskStrategy("random", ratio=0.3), device="cpu")
    assert set(few.shifts) == {(0, 0, 0)}


@pytest.mark.parametrize("seed", range(5))
def test_masks_on_several_lattices_hide_every_voxel(seed: int) -> None:
    grid = SuperpatchGrid((25, 40, 33), (16, 16, 16), (8, 8, 8))
    masks = shifted_coverage(MaskStrategy("random", ratio=0.5), grid, 8, seed)
    assert len({mask.shift for mask in masks}) == len(masks) >= 8
    assert np.any([mask.hidden_voxels() for mask in masks], axis=0).all()
    again = shifted_coverage(MaskStrategy("random", ratio=0.5), grid, 8, seed)
    assert all(np.array_equal(a.mask.stages, b.mask.stages) for a, b in zip(masks, again, strict=True))


def test_a_patch_that_was_hidden_once_has_no_spread_and_a_note_says_so() -> None:
    result = reconstruct(a_scan(), FakeModel(mean_of_visible), coverage=2, device="cpu")
    times = np.sum(hidden_of(result), axis=0)
    assert result.uncertainty is not None
    assert not result.uncertainty.voxels[times == 1].any()
    assert any("hidden only once" in note for note in result.notes)
    enough = reconstruct(a_scan(), FakeModel(mean_of_visible), coverage=4, device="cpu")
    assert not any("hidden only once" in note for note in enough.notes)


def test_running_statistics_agree_with_numpy() -> None:
    rng = np.random.default_rng(5)
    predictions = rng.random((6, 4, 6, 4), dtype=np.float32)
    counted = rng.random((6, 4, 6, 4)) < 0.6
    statistics = RunningStatistics((4, 6, 4))
    for prediction, voxels in zip(predictions, counted, strict=True):
        statistics.add(prediction.copy(), voxels)
    np.testing.assert_array_equal(statistics.times, counted.sum(axis=0))
    reference = np.ma.masked_array(predictions, ~counted)
    np.testing.assert_allclose(statistics.mean, reference.mean(axis=0).filled(0), atol=1e-6)
    np.testing.assert_allclose(statistics.deviation(), reference.std(axis=0).filled(0), atol=1e-6)


@pytest.mark.parametrize("coverage", [0, 1, 4])
def test_a_volume_of_one_voxel_is_reconstructed(coverage: int) -> None:
    scan = a_scan((1, 1, 1))
    result = reconstruct(scan, FakeModel(mean_of_visible), coverage=coverage, device="cpu")
    assert result.reconstruction.shape == (1, 1, 1)
    if coverage:  # everything hidden
        assert result.reconstruction.voxels[0, 0, 0] == 0
        assert any("Nothing was visible" in note for note in result.notes)
    else:  # nothing hidden
        np.testing.assert_allclose(result.reconstruction.voxels, scan.voxels, atol=1e-3)
        assert any("Nothing was hidden" in note for note in result.notes)


def test_superpatches_without_a_hidden_patch_are_spared_and_show_the_scan() -> None:
    scan = a_scan((16, 16, 64), high=3000)
    grid = SuperpatchGrid(scan.shape, 16, 4)
    region = roi_mask_from_box(grid, (0, 0, 20), (16, 16, 28))
    model = FakeModel(lambda voxels, hidden: torch.zeros_like(voxels))
    result = reconstruct(scan, model, mask=region, device="cpu")
    assert model.batches == [(1, 1, 16, 16, 16)]
    assert any("3 of 4 superpatches had nothing hidden" in note for note in result.notes)
    np.testing.assert_array_equal(result.reconstruction.voxels[..., :16], scan.voxels[..., :16])
    np.testing.assert_array_equal(result.reconstruction.voxels[..., 32:], scan.voxels[..., 32:])
    np.testing.assert_array_equal(result.reconstruction.voxels[..., 16:32], -1000)
    np.testing.assert_array_equal(result.mosaic.voxels[..., :20], scan.voxels[..., :20])


def test_a_region_may_hide_a_whole_superpatch() -> None:
    scan = a_scan((16, 16, 48))
    grid = SuperpatchGrid(scan.shape, 16, 4)
    region = roi_mask_from_box(grid, (0, 0, 16), (16, 16, 32))
    result = reconstruct(scan, FakeModel(mean_of_visible), mask=region, device="cpu")
    np.testing.assert_array_equal(result.mosaic.voxels[..., 16:32], 0)
    np.testing.assert_array_equal(result.mosaic.voxels[..., :16], scan.voxels[..., :16])
    assert result.mask is region


def test_a_mask_that_hides_nothing_gives_the_unmasked_pass() -> None:
    scan = a_scan()
    nothing = Mask(np.zeros(SuperpatchGrid(scan.shape, 16, 4).lattice_shape))
    result = reconstruct(scan, FakeModel(lambda voxels, _: voxels * 0.5), mask=nothing, device="cpu")
    np.testing.assert_allclose(result.reconstruction.voxels, (scan.voxels + 1000) * 0.5 - 1000, atol=1e-3)
    np.testing.assert_array_equal(result.mosaic.voxels, scan.voxels)
    assert not result.error.voxels.any()


def test_no_tile_is_thin() -> None:
    model = FakeModel()
    reconstruct(a_scan((17, 16, 16)), model, device="cpu")
    assert model.batches == [(1, 1, 12, 16, 16)] * 2


def test_equal_superpatches_share_batches() -> None:
    model = FakeModel()
    reconstruct(a_scan((16, 32, 48)), model, batch_size=4, device="cpu")
    assert [shape[0] for shape in model.batches] == [4, 2]


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    scan, model = a_scan((32, 32, 32)), FakeModel(fits=2)
    result = reconstruct(scan, model, batch_size=8, device="cpu")
    assert [shape[0] for shape in model.batches] == [8, 4, 2, 2, 2, 2]
    hidden = hidden_voxels(result.grid, result.mask)
    np.testing.assert_allclose(result.reconstruction.voxels[~hidden], scan.voxels[~hidden], atol=1e-3)


def test_too_little_memory_for_one_superpatch_is_said_clearly() -> None:
    with pytest.raises(OutOfMemoryError, match="single superpatch"):
        reconstruct(a_scan(), FakeModel(fits=0), batch_size=2, device="cpu")


def test_other_faults_of_a_model_are_not_mistaken_for_lack_of_memory() -> None:
    def fail(voxels: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        message = "mat1 and mat2 shapes cannot be multiplied"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="mat1"):
        reconstruct(a_scan(), FakeModel(fail), device="cpu")


def test_a_model_that_went_wrong_in_training_is_named() -> None:
    model = FakeModel(lambda voxels, hidden: torch.full_like(voxels, torch.nan))
    with pytest.raises(CheckpointError, match="NaN or infinite values"):
        reconstruct(a_scan(), model, device="cpu")


def test_progress_counts_every_pass_and_the_work_can_be_stopped() -> None:
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int, message: str) -> None:
        assert message.endswith(".")
        seen.append((done, total))

    reconstruct(a_scan((16, 16, 48)), FakeModel(), coverage=2, device="cpu", progress=note)
    assert seen == [(n, 6) for n in range(1, 7)]
    seen.clear()
    with pytest.raises(Cancelled):
        reconstruct(
            a_scan((16, 16, 48)), FakeModel(), device="cpu", progress=note, cancelled=lambda: len(seen) == 2
        )
    assert seen == [(1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"coverage": -1}, "coverage"),
        ({"coverage": 2, "mask": Mask(np.ones((5, 10, 9)))}, "not both"),
        ({"mask": Mask(np.ones((5, 10, 8)))}, "The mask has"),
        ({"batch_size": 0}, "batch size"),
        ({"overlap": 3}, "overlap"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"device": "cuda:99"}, "not available"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        reconstruct(a_scan(), FakeModel(), **options)  # type: ignore[arg-type]


def a_smooth_scan(shape: tuple[int, int, int] = (20, 30, 33)) -> Volume:
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return Volume((300 * np.sin(k / 6) * np.cos(j / 7) + 10 * i - 200).astype(np.int16), OBLIQUE, "scan")


def test_scores_are_of_the_hidden_voxels_in_both_windows() -> None:
    scan = a_smooth_scan()
    result = reconstruct(scan, FakeModel(mean_of_visible), device="cpu")
    scores = score_reconstruction(result, ["mean", "harmonic"])
    hidden = hidden_voxels(result.grid, result.mask)
    error = result.error.voxels[hidden].astype(np.float64) / result.window.width
    assert scores["model"]["psnr_hidden_pooled"] == pytest.approx(-10 * np.log10(np.mean(error**2)))
    assert set(scores["controls"]) == {"mean", "harmonic"}
    for entry in (scores["model"], *scores["controls"].values()):
        assert entry["psnr_hidden"] != entry["soft_tissue"]["psnr_hidden"]
    assert scores["controls"]["harmonic"]["psnr_hidden"] > scores["model"]["psnr_hidden"] + 5


def test_all_voxels_of_a_coverage_are_scored_as_hidden() -> None:
    result = reconstruct(a_smooth_scan(), FakeModel(mean_of_visible), coverage=3, device="cpu")
    scores = score_reconstruction(result)
    error = result.error.voxels.astype(np.float64) / result.window.width
    assert scores["model"]["psnr_hidden_pooled"] == pytest.approx(-10 * np.log10(np.mean(error**2)))
    assert scores["controls"] == {}
    with pytest.raises(ConfigError, match="single mask"):
        score_reconstruction(result, ["mean"])
    with pytest.raises(ConfigError, match="no control 'magic'"):
        score_reconstruction(result, ["magic"])


def test_all_voxels_of_a_model_that_hides_nothing_are_scored() -> None:
    scan, sees_all = a_smooth_scan(), Abilities(hides=False, reconstructs=True, levels=())
    model = FakeModel(lambda voxels, hidden: voxels * 0.5, abilities=sees_all)
    result = reconstruct(scan, model, coverage=2, device="cpu")
    assert not result.mask.hidden.any()
    assert np.array_equal(result.mosaic.voxels, scan.voxels)
    error = result.error.voxels.astype(np.float64) / result.window.width
    assert (error < 0).all()
    scored = score_reconstruction(result)
    scores = scored["model"]
    assert scores["psnr_hidden"] is None
    assert scores["psnr_full"] == pytest.approx(psnr_of_parts(result, error), abs=0.01)
    setup = describe_metrics(result, "fake", {"mode": "nested", "seed": 0}, scored)["setup"]
    assert not {"mode", "seed"} & set(setup), "no mask was drawn"
    for row in superpatch_scores(result):
        box = result.grid.box(row["index"]).voxel_slices(result.grid.patch_size, scan.shape)
        assert (row["hidden_voxels"], row["psnr_hidden"]) == (0, None)
        assert row["psnr_full"] == pytest.approx(-10 * np.log10(np.mean(error[box] ** 2)), abs=0.01)


def psnr_of_parts(result: Reconstruction, error: np.ndarray) -> float:
    """The mean PSNR of the superpatches."""
    boxes = [
        result.grid.box(n).voxel_slices(result.grid.patch_size, error.shape) for n in range(len(result.grid))
    ]
    return float(np.mean([-10 * np.log10(np.mean(error[box] ** 2)) for box in boxes]))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 40), (17, 5, 3)])
def test_the_smallest_volumes_have_scores_that_json_can_hold(shape: tuple[int, int, int]) -> None:
    for coverage in (0, 2):
        result = reconstruct(a_scan(shape), FakeModel(mean_of_visible), coverage=coverage, device="cpu")
        json.dumps(score_reconstruction(result, [] if coverage else ["mean", "nearest"]), allow_nan=False)


def test_scoring_shows_progress_and_can_be_stopped() -> None:
    result = reconstruct(a_smooth_scan(), FakeModel(), device="cpu")
    seen: list[tuple[int, int]] = []
    score_reconstruction(result, ["mean"], progress=lambda done, total, message: seen.append((done, total)))
    assert seen == [(n, 4) for n in range(5)]
    with pytest.raises(Cancelled):
        score_reconstruction(result, cancelled=lambda: True)


@pytest.mark.slow
# A coverage counts how often it hid each voxel, and eight masks have a copy of the scan, both in 2 bytes a voxel.
@pytest.mark.parametrize(("coverage", "outputs"), [(0, 3), (3, 5), (8, 6)])
def test_memory_stays_at_the_outputs_and_a_batch(coverage: int, outputs: int) -> None:
    scan = a_scan((128, 160, 160))
    model = FakeModel(superpatch_size=(32, 32, 32), patch_size=(8, 8, 8))
    tracemalloc.start()
    try:
        reconstruct(scan, model, coverage=coverage, overlap=8, device="cpu", batch_size=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < outputs * 4 * scan.voxels.size + 6 * 2**20


@pytest.mark.parametrize("name", ["train/STS_002_CT.nii.gz", "test/STS_042_dicom"])
def test_a_real_scan_is_filled_in_on_its_own_grid(scans: Path, name: str) -> None:
    scan = read_volume(scans / name)
    model = FakeModel(mean_of_visible, superpatch_size=(64, 64, 64), patch_size=(8, 8, 8))
    result = reconstruct(scan, model, device="cpu")
    hidden = hidden_voxels(result.grid, result.mask)
    np.testing.assert_array_equal(result.mosaic.voxels[~hidden], scan.voxels[~hidden])
    np.testing.assert_array_equal(result.mosaic.voxels[hidden], result.reconstruction.voxels[hidden])
    np.testing.assert_array_equal(result.reconstruction.ijk_to_ras, scan.ijk_to_ras)
    assert 0.70 < hidden.mean() < 0.80


@pytest.mark.parametrize("coverage", [0, 3])
def test_saved_files_lie_on_the_input_grid_in_whole_hu(tmp_path: Path, coverage: int) -> None:
    scan = a_scan(ijk_to_ras=SHEARED, low=-1500, high=3000)
    result = reconstruct(scan, FakeModel(mean_of_visible), coverage=coverage, device="cpu")
    files = save_reconstruction(result, tmp_path / "new" / "out", metrics={"psnr_hidden": 20.5})
    names = [
        "reconstruction",
        "mosaic",
        "error",
        *(["uncertainty"] if coverage else []),
        "mask",
        "mask_lattice",
    ]
    assert [file.name for file in files] == [*(f"{name}.nii.gz" for name in names), "metrics.json"]
    assert sorted(file.name for file in (tmp_path / "new" / "out").iterdir()) == sorted(f.name for f in files)
    loaded = {file.name.split(".")[0]: read_volume(file) for file in files[:-1]}
    for name in names[:-1]:
        np.testing.assert_allclose(loaded[name].ijk_to_ras, scan.ijk_to_ras, atol=1e-4)
        assert loaded[name].shape == scan.shape
    for name in names[:-2]:
        assert loaded[name].voxels.dtype == np.int16
        np.testing.assert_array_equal(loaded[name].voxels, np.rint(getattr(result, name).voxels))
    hidden = hidden_voxels(result.grid, result.mask)
    np.testing.assert_array_equal(loaded["mosaic"].voxels[~hidden], scan.voxels[~hidden])
    np.testing.assert_array_equal(loaded["mask"].voxels, result.grid.expand(result.mask.stages))
    np.testing.assert_array_equal(loaded["mask_lattice"].voxels, result.mask.stages)
    lattice_to_ras = result.grid.lattice_to_ras(scan.ijk_to_ras)
    np.testing.assert_allclose(loaded["mask_lattice"].ijk_to_ras, lattice_to_ras, atol=1e-4)
    assert json.loads(files[-1].read_text()) == {"psnr_hidden": 20.5}


def test_fractions_of_hu_are_kept_when_the_input_has_them(tmp_path: Path) -> None:
    scan = Volume(a_scan((9, 9, 9)).voxels.astype(np.float32) + 0.25, OBLIQUE, "scan")
    result = reconstruct(scan, FakeModel(mean_of_visible), device="cpu")
    files = save_reconstruction(result, tmp_path)
    mosaic = read_volume(files[1])
    assert mosaic.voxels.dtype == np.float32
    np.testing.assert_array_equal(mosaic.voxels, result.mosaic.voxels)


def test_a_new_result_leaves_nothing_of_an_old_one_behind(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("stays")
    for coverage in (2, 0):
        result = reconstruct(a_scan((9, 9, 9)), FakeModel(), coverage=coverage, device="cpu")
        save_reconstruction(result, tmp_path)
    assert not (tmp_path / "uncertainty.nii.gz").exists()
    assert (tmp_path / "mine.txt").read_text() == "stays"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Cancelled])
def test_an_interrupted_save_leaves_no_file(tmp_path: Path, interruption: type[BaseException]) -> None:
    def interrupt(path: Path) -> None:
        path.write_bytes(b"half a picture")
        raise interruption

    result = reconstruct(a_scan((9, 9, 9)), FakeModel(), device="cpu")
    with pytest.raises(interruption):
        save_reconstruction(result, tmp_path / "out", draw_report=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_hold_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = reconstruct(a_scan((9, 9, 9)), FakeModel(), device="cpu")
    with pytest.raises(VolumeError, match="cannot be written to"):
        save_reconstruction(result, tmp_path / "file")
