"""Scores against references: scikit-image, loops and numbers worked out by hand."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.data.window import LUNG_TO_BONE, SOFT_TISSUE, Window
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid
from MAESILCore.scoring.metrics import (
    HIGHEST_PSNR,
    SCORES,
    Scorer,
    below_skin,
    body_mask,
    lpips_obstacle,
    measure_steps,
    perceptual_distance,
    psnr_of,
    similarity,
    ssim_map,
)

AXIAL = np.diag([-1.0, -1.0, 2.0, 1.0])
UNIT = Window(0.0, 1.0)


def smooth_noise(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random(shape)
    for axis in range(3):
        noise = (noise + np.roll(noise, 1, axis)) / 2
    return noise.astype(np.float32)


def a_pair(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A volume and a disturbed copy, both in [0, 1], with a flat bright part where float32 would be too coarse."""
    original = smooth_noise(shape, seed)
    original[:, : shape[1] // 2] = 0.95 + 0.001 * original[:, : shape[1] // 2]
    disturbed = original + 0.02 * (smooth_noise(shape, seed + 1) - 0.5)
    return original, np.clip(disturbed, 0, 1).astype(np.float32)


def test_psnr_of_a_tenth_is_twenty_decibels() -> None:
    assert psnr_of(0.1**2) == pytest.approx(20.0)


def test_psnr_agrees_with_scikit_image() -> None:
    original, image = a_pair((9, 10, 11))
    ours = psnr_of(float(np.mean((original.astype(np.float64) - image) ** 2)))
    assert ours == pytest.approx(peak_signal_noise_ratio(original, image, data_range=1.0), abs=1e-6)


def test_a_perfect_psnr_is_capped() -> None:
    assert psnr_of(0.0) == HIGHEST_PSNR


@pytest.mark.parametrize("shape", [(7, 7, 7), (8, 21, 13), (30, 16, 25)])
def test_ssim_agrees_with_scikit_image(shape: tuple[int, int, int]) -> None:
    original, image = a_pair(shape)
    _, reference = structural_similarity(
        original.astype(np.float64), image.astype(np.float64), data_range=1.0, full=True
    )
    np.testing.assert_allclose(ssim_map(original, image), reference, atol=1e-6)


def test_ssim_in_slabs_is_ssim_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    original, image = a_pair((31, 12, 10))
    whole = ssim_map(original, image)
    for voxels in (120, 120 * 7, 120 * 11):
        monkeypatch.setattr(similarity, "_SLAB_VOXELS", voxels)
        np.testing.assert_allclose(ssim_map(original, image), whole, atol=1e-6)


def test_ssim_of_thin_volumes_uses_the_largest_odd_window_that_fits() -> None:
    original, image = a_pair((4, 12, 11))
    got = ssim_map(original, image)
    # Voxel (1, 5, 5) is far enough from the borders for the 3 x 7 x 7 window.
    x, y = (volume[0:3, 2:9, 2:9].astype(np.float64).ravel() for volume in (original, image))
    covariance = np.cov(x, y)
    c1, c2 = 0.01**2, 0.03**2
    means = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
    contrast = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
    assert got[1, 5, 5] == pytest.approx(means * contrast, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 9), (1, 30, 1)])
def test_ssim_of_equal_volumes_is_one_however_thin(shape: tuple[int, int, int]) -> None:
    original, _ = a_pair(shape)
    np.testing.assert_allclose(ssim_map(original, original), 1.0, atol=1e-6)


def test_ssim_refuses_unequal_shapes() -> None:
    with pytest.raises(ConfigError, match="one shape"):
        ssim_map(np.zeros((3, 3, 3)), np.zeros((3, 3, 4)))


# Where the patient is


def a_torso(axis: int = 0) -> Volume:
    """A block of tissue with two lungs, a table beside it and air around; slices along array axis `axis`."""
    hu = np.full((6, 40, 40), -1000, dtype=np.int16)
    hu[:, 5:30, 5:35] = 40
    hu[:, 10:20, 8:16] = -800
    hu[:, 10:20, 22:30] = -800
    hu[:, 34:36, :] = 100
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    order = [axis, *[a for a in range(3) if a != axis]]
    # Array axis a is column 2 - a of the matrix; the slices' axis points to S.
    for place, array_axis in enumerate(order):
        matrix[2 - place, 2 - array_axis] = 1.0
    return Volume(np.ascontiguousarray(np.moveaxis(hu, 0, axis)), matrix, "torso")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_body_has_its_lungs_but_not_the_table(axis: int) -> None:
    volume = a_torso(axis)
    body, _ = body_mask(volume, LUNG_TO_BONE)
    expected = np.zeros((6, 40, 40), dtype=bool)
    expected[:, 5:30, 5:35] = True
    np.testing.assert_array_equal(np.moveaxis(body, axis, 0), expected)


def test_a_lung_that_the_edge_of_the_picture_cuts_belongs_to_the_body() -> None:
    volume = a_torso()
    cropped = Volume(np.ascontiguousarray(volume.voxels[:, 12:, :]), volume.ijk_to_ras)
    body, _ = body_mask(cropped, LUNG_TO_BONE)
    assert body[:, :18, 5:35].all()
    assert not body[:, :, :5].any()


def test_without_hu_the_body_is_what_lies_above_the_window() -> None:
    volume = Volume(np.arange(27, dtype=np.int16).reshape(3, 3, 3), AXIAL)
    body, note = body_mask(volume, Window(10.0, 100.0))
    np.testing.assert_array_equal(body, volume.voxels > 10)
    assert "not HU" in note


def test_a_volume_of_air_has_no_body() -> None:
    air = np.full((4, 9, 9), -1000, dtype=np.int16)
    air[0, 0, 0] = 10
    assert body_mask(Volume(air, AXIAL), LUNG_TO_BONE)[0].sum() == 1


# Blockiness


def steps_by_loops(unit: np.ndarray, hidden: np.ndarray, patch: int) -> tuple[float, float]:
    """The definition, voxel by voxel."""
    between, seams = [], []
    for axis in range(3):
        kinds: dict[str, list[float]] = {"inside": [], "between": [], "seam": []}
        for place in np.ndindex(*unit.shape):
            before = tuple(n - (a == axis) for a, n in enumerate(place))
            if place[axis] == 0:
                continue
            step = abs(float(unit[place]) - float(unit[before]))
            if place[axis] % patch:
                if hidden[place]:
                    kinds["inside"].append(step)
            elif hidden[place] and hidden[before]:
                kinds["between"].append(step)
            elif hidden[place] or hidden[before]:
                kinds["seam"].append(step)
        between.append(np.mean(kinds["between"]) / np.mean(kinds["inside"]))
        seams.append(np.mean(kinds["seam"]) / np.mean(kinds["inside"]))
    return float(np.mean(between)), float(np.mean(seams))


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_steps_agree_with_loops(seed: int) -> None:
    grid = SuperpatchGrid((10, 9, 12), 8, 4)
    hidden = grid.expand(MaskStrategy("random", ratio=0.6).sample_grid(grid, seed).hidden)
    unit = smooth_noise(grid.shape, seed)
    steps = measure_steps(unit, hidden, grid)
    between, seams = steps_by_loops(unit, hidden, 4)
    assert steps.between_hidden == pytest.approx(between, rel=1e-5)
    assert steps.at_seams == pytest.approx(seams, rel=1e-5)


def test_a_ramp_has_no_blocks_and_a_staircase_added_shows() -> None:
    grid = SuperpatchGrid((16, 16, 16), 16, 4)
    k, j, i = np.indices(grid.shape)
    ramp = 0.01 * (k + j + i)
    hidden = np.ones(grid.shape, dtype=bool)
    assert measure_steps(ramp, hidden, grid).between_hidden == pytest.approx(1.0)
    stairs = ramp + 0.02 * (k // 4 + j // 4 + i // 4)
    steps = measure_steps(stairs, hidden, grid)
    assert steps.between_hidden == pytest.approx(3.0)
    assert steps.at_seams is None


def test_flat_patches_have_no_blockiness() -> None:
    grid = SuperpatchGrid((8, 8, 8), 8, 4)
    flat = grid.expand(np.random.default_rng(0).random(grid.lattice_shape))
    assert measure_steps(flat, np.ones(grid.shape, dtype=bool), grid).between_hidden is None


# All scores together


def a_scene() -> tuple[np.ndarray, SuperpatchGrid, Mask, np.ndarray]:
    """Two superpatches, the second pure air; the original, its grid, a mask and the body."""
    grid = SuperpatchGrid((8, 8, 16), 8, 4)
    original = smooth_noise(grid.shape, 3)
    original[:, :, 8:] = 0.0
    stages = np.zeros(grid.lattice_shape, dtype=np.uint8)
    stages[0] = 1
    return original, grid, Mask(stages), original > 0


def test_scores_by_hand() -> None:
    original, grid, mask, body = a_scene()
    scorer = Scorer(original, UNIT, mask, grid, body)
    assert (scorer.scored, scorer.without_body) == (1, 1)
    candidate = original.copy()
    candidate[:4, :, :8] += np.float32(0.1)
    scores = scorer.score(candidate)
    assert set(scores) == set(SCORES)
    assert scores["psnr_hidden"] == pytest.approx(20.0, abs=1e-4)
    assert scores["psnr_hidden_body"] == pytest.approx(20.0, abs=1e-4)
    # Half of the superpatch is visible and right; half of the hidden voxels are air and right.
    assert scores["psnr_full"] == pytest.approx(20.0 + 10 * math.log10(2), abs=1e-4)
    assert scores["psnr_hidden_pooled"] == pytest.approx(20.0 + 10 * math.log10(2), abs=1e-4)
    assert scores["mae_hu_hidden_body"] == pytest.approx(0.1, abs=1e-5)
    assert scores["bias_hu_hidden_body"] == pytest.approx(0.1, abs=1e-5)
    similarity_map = ssim_map(original, candidate)
    assert scores["ssim_hidden"] == pytest.approx(similarity_map[:4].mean(), abs=1e-6)
    assert scores["ssim_hidden_body"] == pytest.approx(similarity_map[:4][body[:4]].mean(), abs=1e-6)
    assert scores["ssim_full"] == pytest.approx(similarity_map.mean(), abs=1e-6)
    assert scores["psnr_unmasked"] is None
    assert scores["ssim_unmasked"] is None


def test_psnr_is_averaged_over_superpatches_and_not_pooled() -> None:
    grid = SuperpatchGrid((8, 8, 16), 8, 4)
    original = np.full(grid.shape, 0.5, dtype=np.float32)
    everywhere = np.ones(grid.shape, dtype=bool)
    mask = Mask(np.ones(grid.lattice_shape, dtype=np.uint8))
    candidate = original.copy()
    candidate[:, :, :8] += np.float32(0.1)
    candidate[:, :, 8:] += np.float32(0.001)
    scores = Scorer(original, UNIT, mask, grid, everywhere).score(candidate)
    assert scores["psnr_hidden"] == pytest.approx((20 + 60) / 2, abs=1e-3)
    assert scores["psnr_hidden_pooled"] == pytest.approx(20 + 10 * math.log10(2), abs=1e-3)


def test_what_is_wrong_where_the_scan_was_visible_does_not_touch_the_hidden_scores() -> None:
    original, grid, mask, body = a_scene()
    scorer = Scorer(original, UNIT, mask, grid, body)
    candidate = original.copy()
    candidate[4:] = 1.0
    scores = scorer.score(candidate)
    assert scores["psnr_hidden"] == HIGHEST_PSNR
    assert scores["mae_hu_hidden_body"] == 0.0
    assert scores["psnr_full"] < 20


def test_the_unmasked_pass_is_scored_by_itself() -> None:
    original, grid, mask, body = a_scene()
    scores = Scorer(original, UNIT, mask, grid, body).score(original, original + np.float32(0.01))
    assert scores["psnr_hidden"] == HIGHEST_PSNR
    assert scores["psnr_unmasked"] == pytest.approx(40.0, abs=1e-3)
    assert scores["ssim_unmasked"] < 1.0


def test_a_scan_of_air_has_no_psnr() -> None:
    grid = SuperpatchGrid((8, 8, 8), 8, 4)
    air = np.zeros(grid.shape, dtype=np.float32)
    scorer = Scorer(air, UNIT, Mask(np.ones((2, 2, 2), dtype=np.uint8)), grid, air > 0)
    scores = scorer.score(air)
    assert scorer.scored == 0
    assert scores["psnr_hidden"] is None
    assert scores["mae_hu_hidden_body"] is None


def test_errors_are_in_hu_inside_the_window() -> None:
    grid = SuperpatchGrid((8, 8, 8), 8, 4)
    original = np.full(grid.shape, 3000.0, dtype=np.float32)
    everywhere = np.ones(grid.shape, dtype=bool)
    mask = Mask(np.ones((2, 2, 2), dtype=np.uint8))
    candidate = LUNG_TO_BONE.apply(np.full(grid.shape, 900.0))
    scores = Scorer(original, LUNG_TO_BONE, mask, grid, everywhere).score(candidate)
    assert scores["mae_hu_hidden_body"] == pytest.approx(100.0, abs=1e-2)
    assert scores["bias_hu_hidden_body"] == pytest.approx(-100.0, abs=1e-2)


def test_the_bias_below_the_skin_leaves_5_mm_out() -> None:
    grid = SuperpatchGrid((8, 32, 32), 16, 4)
    body = np.zeros(grid.shape, dtype=bool)
    body[:, 4:28, 6:26] = True
    deep = below_skin(body, (1.0, 2.0, 2.5))
    # The scan cuts the body off along k, where there is no skin.
    expected = np.zeros(grid.shape, dtype=bool)
    expected[:, 7:25, 8:24] = True
    np.testing.assert_array_equal(deep, expected)
    original = np.full(grid.shape, 0.5, dtype=np.float32)
    candidate = np.where(deep, original + np.float32(0.1), original - np.float32(0.2))
    mask = Mask(np.ones(grid.lattice_shape, dtype=np.uint8))
    assert Scorer(original, UNIT, mask, grid, body).score(candidate)["bias_hu_hidden_deep"] is None
    scores = Scorer(original, UNIT, mask, grid, body, deep).score(candidate)
    assert scores["bias_hu_hidden_deep"] == pytest.approx(0.1, abs=1e-6)
    assert scores["bias_hu_hidden_body"] < 0.1


def test_a_candidate_of_another_shape_is_refused() -> None:
    original, grid, mask, body = a_scene()
    with pytest.raises(ConfigError, match="candidate has the shape"):
        Scorer(original, UNIT, mask, grid, body).score(original[1:])


def test_a_narrow_window_sees_only_what_lies_in_it() -> None:
    volume = a_torso()
    grid = SuperpatchGrid(volume.shape, 16, 4)
    mask = MaskStrategy().sample_grid(grid, 0)
    hidden = grid.expand(mask.hidden)
    brighter = np.where(hidden, volume.voxels + 30, volume.voxels)
    body, _ = body_mask(volume, LUNG_TO_BONE)
    wide, narrow = (
        Scorer(volume.voxels, window, mask, grid, body).score(window.apply(brighter))
        for window in (LUNG_TO_BONE, SOFT_TISSUE)
    )
    assert wide["bias_hu_hidden_body"] == pytest.approx(30.0, abs=1e-2)
    # Lungs stay below the lower end of the narrow window, so that only tissue counts.
    share = float((volume.voxels[hidden & body] > 0).mean())
    assert 0.1 < share < 0.9
    assert narrow["bias_hu_hidden_body"] == pytest.approx(30.0 * share, abs=1e-2)


def test_a_chest_has_its_lungs_in_the_body(scans: object) -> None:
    volume = read_volume(f"{scans}/test/TS_aorta_ct.nii.gz")
    body, _ = body_mask(volume, LUNG_TO_BONE)
    lungs = (volume.voxels > -900) & (volume.voxels < -700)
    assert body[lungs].mean() > 0.9


# LPIPS


def test_lpips_says_why_it_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("MAESILCore.scoring.metrics.perceptual.find_spec", lambda name: None)
    reason = lpips_obstacle()
    assert reason is not None
    assert "not installed" in reason
    volume = np.zeros((2, 8, 8), dtype=np.float32)
    assert perceptual_distance(volume, volume) is None


def test_lpips_never_downloads_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr("MAESILCore.scoring.metrics.perceptual.find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    reason = lpips_obstacle()
    assert reason is not None
    assert "weights" in reason


def test_lpips_gets_three_channels_from_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return (x - y).abs().mean(dim=(1, 2, 3), keepdim=True)

    package = SimpleNamespace(LPIPS=lambda **options: SimpleNamespace(eval=lambda: distance))
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr("MAESILCore.scoring.metrics.perceptual.lpips_obstacle", lambda: None)
    original = np.zeros((11, 8, 6), dtype=np.float32)
    original[:, 0] = 1.0
    assert perceptual_distance(original, np.full_like(original, 0.5)) == pytest.approx(1.0)
    assert [tuple(x.shape) for x in seen] == [(8, 3, 8, 6), (3, 3, 8, 6)]
    assert (float(seen[0].min()), float(seen[0].max())) == (-1.0, 1.0)
