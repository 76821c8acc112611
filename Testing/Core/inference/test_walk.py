"""Any function over a volume, tile by tile; and the air that needs no pass."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import LUNG_TO_BONE
from MAESILCore.errors import Cancelled, CheckpointError, OutOfMemoryError
from MAESILCore.inference import reconstruct
from MAESILCore.inference.air import Content, PatchLevels
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import Assembler, Mask, MaskStrategy, SuperpatchGrid, roi_mask_from_box

torch.set_num_threads(1)

GRID = SuperpatchGrid((21, 37, 18), 16, 4, 4)
VOXELS = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)


def walked(
    function: Callable[..., torch.Tensor], channels: int, on_lattice: bool, batch_size: int
) -> np.ndarray:
    """What a function gives for `VOXELS`, joined: as any task that wants features or logits would do it."""
    passes = NetworkPasses(function, None, "cpu", batch_size)
    shape, scale = (GRID.lattice_shape, (1, 1, 1)) if on_lattice else (GRID.shape, GRID.patch_size)
    assembler = Assembler(GRID.tiles(), shape, channels, scale)
    steps = [Step(box) for box in GRID.tiles()]
    for step, output in walk(VOXELS, GRID, steps, passes, prepare=lambda cut: cut):
        assembler.add(step.box, output)
    return assembler.result()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_features_are_assembled_on_the_patch_lattice(batch_size: int) -> None:
    def encode(superpatches: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool3d(superpatches, 4)
        return torch.cat([pooled, pooled**2, 1 - pooled], dim=1)

    features = walked(encode, 3, True, batch_size)
    padded = np.pad(VOXELS, [(0, -n % 4) for n in GRID.shape], mode="edge")
    expected = encode(torch.from_numpy(padded)[None, None])[0].numpy()
    assert features.shape == (3, *GRID.lattice_shape)
    np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_logits_of_a_sliding_window_are_assembled_on_the_voxels() -> None:
    logits = walked(lambda voxels: torch.cat([voxels, 2 - voxels], dim=1), 2, False, 2)
    np.testing.assert_allclose(logits, np.stack([VOXELS, 2 - VOXELS]), rtol=1e-6)


def test_the_function_never_sees_what_is_hidden() -> None:
    mask, seen = MaskStrategy().sample_grid(GRID, 0), []

    def look(superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        places = hidden.repeat_interleave(4, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)[:, None]
        seen.append((float(superpatches[places].abs().max()), float(superpatches[~places].min())))
        return superpatches

    steps = [Step(box, mask.hidden) for box in GRID.tiles()]
    passes = NetworkPasses(look, None, "cpu")
    outputs = list(walk(VOXELS, GRID, steps, passes, prepare=lambda cut: cut + 1.0))
    assert [step for step, _ in outputs] == steps
    assert len(seen) == len(steps)
    assert all(hidden == 0.0 and visible >= 1.0 for hidden, visible in seen)


def test_progress_and_cancelling_stand_between_batches() -> None:
    seen: list[tuple[int, int]] = []
    steps = [Step(box) for box in GRID.tiles()] * 2
    passes = NetworkPasses(lambda voxels: voxels, None, "cpu", 5)
    outputs = walk(
        VOXELS,
        GRID,
        steps,
        passes,
        prepare=lambda cut: cut,
        progress=lambda done, total: seen.append((done, total)),
        cancelled=lambda: len(seen) == 2,
    )
    with pytest.raises(Cancelled):
        list(outputs)
    assert seen == [(5, 24), (10, 24)]


def test_batches_shrink_for_good_when_memory_runs_out() -> None:
    sizes: list[int] = []

    def scarce(superpatches: torch.Tensor) -> torch.Tensor:
        sizes.append(len(superpatches))
        if len(superpatches) > limit:
            raise MemoryError
        return superpatches

    steps, limit = [Step(box) for box in GRID.tiles()][:7], 2
    passes = NetworkPasses(scarce, None, "cpu", 4)
    outputs = list(walk(VOXELS, GRID, steps, passes, prepare=lambda cut: cut))
    assert sizes == [4, 2, 2, 2, 1]
    np.testing.assert_array_equal(outputs[6][1][0], GRID.cut_box(VOXELS, steps[6].box))
    limit = 0
    with pytest.raises(OutOfMemoryError):
        list(walk(VOXELS, GRID, steps, passes, prepare=lambda cut: cut))


def test_values_that_are_no_numbers_are_refused() -> None:
    passes = NetworkPasses(lambda voxels: voxels / 0.0, None, "cpu")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        list(walk(VOXELS, GRID, [Step(box) for box in GRID.tiles()], passes, prepare=lambda cut: cut))


def a_body_in_air(shape: tuple[int, int, int] = (24, 96, 96)) -> Volume:
    """Noisy air around a bright block that is 32 voxels wide and as long as the scan."""
    voxels = np.random.default_rng(3).normal(-1000, 15, shape)
    voxels[:, 24:56, 40:72] = np.random.default_rng(4).integers(-200, 200, (shape[0], 32, 32))
    return Volume(voxels.astype(np.int16), np.eye(4), "body")


def a_model(batches: list[tuple[int, ...]] | None = None) -> SimpleNamespace:
    def predict(superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        if batches is not None:
            batches.append(tuple(superpatches.shape))
        return torch.full_like(superpatches, 0.5)

    return SimpleNamespace(
        superpatch_size=(16, 16, 16), patch_size=(4, 4, 4), window=LUNG_TO_BONE, reconstruct=predict
    )


def test_tiles_of_air_are_spared_and_show_the_mean_of_the_visible_air() -> None:
    scan, batches = a_body_in_air(), []
    result = reconstruct(scan, a_model(batches), seed=1, device="cpu")
    passed = sum(np.prod(shape) for shape in batches)
    assert passed < 0.6 * scan.voxels.size
    body = np.zeros(scan.shape, dtype=bool)
    body[:, 24:56, 40:72] = True
    assert np.abs(result.reconstruction.voxels[body]).max() < 1e-3  # all of the body went through the network
    far = np.zeros(scan.shape, dtype=bool)
    far[:, 80:] = far[:, :, :16] = True
    hidden = result.grid.expand(result.mask.hidden)
    seen = np.clip(scan.voxels, -1000, 1000)
    np.testing.assert_array_equal(result.reconstruction.voxels[far & ~hidden], seen[far & ~hidden])
    predicted = result.reconstruction.voxels[far & hidden]
    assert predicted.mean() == pytest.approx(seen[far & ~hidden].mean(), abs=0.5)
    assert predicted.std() < 2.0
    assert any("only air, as far as the visible patches tell" in note for note in result.notes)


@pytest.mark.parametrize("coverage", [0, 3])
def test_what_is_hidden_never_decides_what_is_air(coverage: int) -> None:
    """Change hidden voxels in the air, in the body and at its edge: plan and prediction stay."""
    scan = a_body_in_air()
    grid = SuperpatchGrid(scan.shape, 16, 4, 4)
    masks = MaskStrategy().coverage(grid, coverage, 0) if coverage else [MaskStrategy().sample_grid(grid, 0)]
    for mask in masks:
        changed = scan.voxels.copy()
        hidden = grid.expand(mask.hidden)
        changed[hidden] = np.random.default_rng(9).integers(-1000, 1000, int(hidden.sum()))
        one, other = (
            reconstruct(scan.with_voxels(voxels), a_model(), mask=mask, device="cpu")
            for voxels in (scan.voxels, changed)
        )
        np.testing.assert_array_equal(one.reconstruction.voxels, other.reconstruction.voxels)
        assert one.notes == other.notes


def test_a_coverage_is_made_of_its_masks_alone() -> None:
    """Each mask of a coverage is walked as if it were the only one."""
    scan = a_body_in_air()
    result = reconstruct(scan, a_model(), coverage=3, seed=2, device="cpu")
    alone = [
        reconstruct(scan, a_model(), mask=mask, device="cpu").reconstruction.voxels for mask in result.masks
    ]
    hidden = [result.grid.expand(mask.hidden) for mask in result.masks]
    mean = np.ma.masked_array(alone, ~np.stack(hidden)).mean(axis=0).filled(np.nan)
    np.testing.assert_allclose(result.reconstruction.voxels, mean, atol=1e-2)


def test_the_middle_of_a_large_hidden_region_is_not_taken_for_air() -> None:
    scan = a_body_in_air()
    grid = SuperpatchGrid(scan.shape, 16, 4, 4)
    # Around the body with room to spare: no visible patch tells that there is one.
    region = roi_mask_from_box(grid, (0, 16, 32), (24, 64, 80))
    content = Content.of(PatchLevels.of(scan.voxels, LUNG_TO_BONE, grid), region.hidden)
    assert content.present[region.hidden].all()
    result = reconstruct(scan, a_model(), mask=region, device="cpu")
    np.testing.assert_allclose(result.reconstruction.voxels[grid.expand(region.hidden)], 0.0, atol=1e-3)


def test_cloth_foam_and_strong_noise_are_no_air() -> None:
    grid = SuperpatchGrid((16, 16, 16), 16, 4)
    nothing = np.zeros(grid.lattice_shape, dtype=bool)
    for level, spread, is_air in ((-2000, 0, True), (-1000, 20, True), (-900, 20, False), (-1000, 60, False)):
        voxels = np.random.default_rng(0).normal(level, spread, grid.shape)
        present = Content.of(PatchLevels.of(voxels, LUNG_TO_BONE, grid), nothing).present
        assert present.all() != is_air
        assert present.any() != is_air


def test_a_scan_of_air_alone_needs_no_pass() -> None:
    batches: list[tuple[int, ...]] = []
    scan = Volume(np.full((9, 30, 20), -1024, dtype=np.int16), np.eye(4), "air")
    for coverage in (0, 2):
        result = reconstruct(scan, a_model(batches), coverage=coverage, device="cpu")
        np.testing.assert_array_equal(result.reconstruction.voxels, -1000)
    unmasked = reconstruct(scan, a_model(batches), mask=Mask(np.zeros(result.mask.shape)), device="cpu")
    np.testing.assert_array_equal(unmasked.reconstruction.voxels, -1000)
    assert batches == []
