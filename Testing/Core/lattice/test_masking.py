"""Masks have exact counts, are alike everywhere for one seed, and together cover a volume."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import (
    FIRST_STAGE,
    MODES,
    SECOND_STAGE,
    VISIBLE,
    LatticeBox,
    Mask,
    MaskStrategy,
    SuperpatchGrid,
    roi_mask_from_box,
    roi_mask_from_label,
    roi_mask_from_ras_box,
)

thoroughly = settings(deadline=None, derandomize=True, max_examples=100)

lattices = st.tuples(*[st.integers(1, 7)] * 3)
ratios = st.floats(0.02, 0.98)
seeds = st.integers(0, 2**40)
strategies = st.builds(
    MaskStrategy,
    mode=st.sampled_from(MODES),
    ratio=ratios,
    plane_ratio=st.floats(0.0, 0.97),
    axis_ratio=st.floats(0.02, 0.97),
    block_size=st.integers(1, 4),
    plane_axis=st.sampled_from("kji"),
)

#: One mask per mode on a lattice of (2, 3, 4) patches with seed 7: stages in row-major order.
GOLDEN = {
    "random": "111011011111011111110010",
    "block": "001111111100111111111100",
    "nested": "111001011222111221011020",
    "product": "200202220002111111111111",
    "plane": "000000000000111111111111",
    "axis": "111011011110111011011110",
}


def kept(total: int, ratio: float) -> int:
    return max(1, round(total * (1 - ratio)))


def planes_first(strategy: MaskStrategy, stages: np.ndarray) -> np.ndarray:
    """(depth, positions), by the strategy's plane axis."""
    moved = np.moveaxis(stages, "kji".index(strategy.plane_axis), 0)
    return moved.reshape(len(moved), -1)


@thoroughly
@given(strategies, lattices, seeds)
def test_something_is_visible_and_something_hidden(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    mask = strategy.sample(lattice, seed)
    assert mask.shape == lattice
    assert mask.stages.dtype == np.uint8
    total = mask.stages.size
    assert len(mask.visible_indices) >= 1
    assert len(mask.hidden_indices) >= min(1, total - 1)
    if strategy.mode in ("random", "block"):
        assert len(mask.visible_indices) == min(kept(total, strategy.ratio), max(1, total - 1))


@thoroughly
@given(strategies, lattices, seeds)
def test_indices_are_sorted_and_share_out_all_patches(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    mask = strategy.sample(lattice, seed)
    for indices in (mask.visible_indices, mask.hidden_indices):
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()
    both = np.concatenate([mask.visible_indices, mask.hidden_indices])
    np.testing.assert_array_equal(np.sort(both), np.arange(mask.stages.size))
    np.testing.assert_array_equal(mask.hidden.ravel()[mask.hidden_indices], True)
    assert mask.hidden_fraction == len(mask.hidden_indices) / mask.stages.size


@thoroughly
@given(strategies, lattices, seeds)
def test_plane_and_axis_masks_hide_a_rounded_share_of_whole_planes_and_columns(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    for mode, axis in (("plane", 0), ("axis", 1)):
        strategy = dataclasses.replace(strategy, mode=mode)
        hidden = planes_first(strategy, strategy.sample(lattice, seed).stages) != VISIBLE
        choices = hidden.shape[axis]
        visible = np.count_nonzero(~hidden)
        if choices == 1:
            assert visible == min(kept(hidden.size, strategy.ratio), max(1, hidden.size - 1))
        else:
            line = hidden.all(axis=1 - axis)
            np.testing.assert_array_equal(line, hidden.any(axis=1 - axis))
            assert np.count_nonzero(~line) == min(kept(choices, strategy.ratio), choices - 1)


@thoroughly
@given(strategies, lattices, seeds)
def test_a_nested_mask_keeps_the_same_number_in_every_plane(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    strategy = dataclasses.replace(strategy, mode="nested")
    stages = planes_first(strategy, strategy.sample(lattice, seed).stages)
    positions = stages.shape[1]
    if positions == 1:
        assert FIRST_STAGE not in stages
        return
    survivors = kept(positions, strategy.plane_ratio)
    visible = min(kept(survivors, strategy.axis_ratio), positions - 1)
    np.testing.assert_array_equal(np.count_nonzero(stages == VISIBLE, axis=1), visible)
    np.testing.assert_array_equal(np.count_nonzero(stages == SECOND_STAGE, axis=1), survivors - visible)
    np.testing.assert_array_equal((stages == FIRST_STAGE).any(axis=0), (stages == FIRST_STAGE).all(axis=0))


@thoroughly
@given(strategies, lattices, seeds)
def test_a_product_mask_shows_where_kept_planes_and_kept_columns_cross(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    strategy = dataclasses.replace(strategy, mode="product")
    stages = planes_first(strategy, strategy.sample(lattice, seed).stages)
    planes, columns = (stages == VISIBLE).any(axis=1), (stages == VISIBLE).any(axis=0)
    np.testing.assert_array_equal(stages == VISIBLE, np.outer(planes, columns))
    np.testing.assert_array_equal(stages == FIRST_STAGE, np.outer(~planes, np.ones_like(columns)))
    assert abs(planes.sum() - kept(len(planes), strategy.plane_ratio)) <= 1
    assert abs(columns.sum() - kept(len(columns), strategy.axis_ratio)) <= 1


@thoroughly
@given(strategies, lattices, seeds)
def test_a_block_mask_breaks_one_block_at_most(
    strategy: MaskStrategy, lattice: tuple[int, int, int], seed: int
) -> None:
    strategy = dataclasses.replace(strategy, mode="block")
    hidden = strategy.sample(lattice, seed).hidden
    edge = strategy.block_size
    starts = [range(0, n, edge) for n in hidden.shape]
    blocks = [
        hidden[k : k + edge, j : j + edge, i : i + edge]
        for k in starts[0]
        for j in starts[1]
        for i in starts[2]
    ]
    assert sum(block.any() and not block.all() for block in blocks) <= 1


def test_the_default_mask_is_the_recommended_one() -> None:
    mask = MaskStrategy().sample((16, 16, 16), seed=0)
    assert len(mask.visible_indices) == 1024
    assert mask.hidden_fraction == 0.75
    np.testing.assert_array_equal(np.count_nonzero(~mask.hidden, axis=(1, 2)), 64)
    hidden_everywhere = mask.hidden.all(axis=0)
    np.testing.assert_array_equal(hidden_everywhere[(mask.stages == FIRST_STAGE).all(axis=0)], True)
    assert np.count_nonzero((mask.stages == FIRST_STAGE).all(axis=0)) == 128


@pytest.mark.parametrize("mode", MODES)
def test_one_seed_gives_the_very_same_mask_on_every_machine(mode: str) -> None:
    mask = MaskStrategy(mode=mode).sample((2, 3, 4), seed=7)
    assert "".join(map(str, mask.stages.ravel())) == GOLDEN[mode]


small_grids = st.builds(
    lambda shape, size, patch: SuperpatchGrid(shape, [s * patch for s in size], patch),
    st.tuples(*[st.integers(1, 11)] * 3),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.integers(1, 3),
)


@thoroughly
@given(strategies, small_grids, seeds)
def test_a_volume_wide_mask_has_exact_counts_in_every_superpatch(
    strategy: MaskStrategy, grid: SuperpatchGrid, seed: int
) -> None:
    mask = strategy.sample_grid(grid, seed)
    assert mask.shape == grid.lattice_shape
    assert not mask.hidden.all()
    assert mask.hidden.any() or mask.stages.size == 1
    for index in range(len(grid)):
        part = mask.crop(grid.box(index))
        if part.stages.size > 1:
            assert 0 < part.hidden_fraction < 1
            if strategy.mode in ("random", "block"):
                total = part.stages.size
                assert len(part.visible_indices) == min(kept(total, strategy.ratio), total - 1)


def test_every_superpatch_has_a_pattern_of_its_own() -> None:
    grid = SuperpatchGrid((32, 32, 32), 16, 4)
    mask = MaskStrategy().sample_grid(grid, 3)
    assert len({mask.crop(grid.box(n)).stages.tobytes() for n in range(8)}) == 8


def test_overlap_does_not_change_the_mask() -> None:
    plain, overlapping = SuperpatchGrid((40, 30, 20), 16, 4), SuperpatchGrid((40, 30, 20), 16, 4, 8)
    first, second = (MaskStrategy().sample_grid(grid, 5) for grid in (plain, overlapping))
    np.testing.assert_array_equal(first.stages, second.stages)


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=200)
@given(strategies, small_grids, seeds, st.integers(1, 5))
def test_a_coverage_hides_every_patch_at_least_once(
    strategy: MaskStrategy, grid: SuperpatchGrid, seed: int, count: int
) -> None:
    masks = strategy.coverage(grid, count, seed)
    assert len(masks) >= count
    times_hidden = sum(mask.hidden.astype(int) for mask in masks)
    assert times_hidden.min() >= 1
    for mask in masks:
        for index in range(len(grid)):
            part = mask.crop(grid.box(index))
            assert part.stages.size == 1 or 0 < part.hidden_fraction < 1


@pytest.mark.parametrize("mode", MODES)
def test_four_masks_hide_every_patch_of_a_ct_at_least_twice(mode: str) -> None:
    masks = MaskStrategy(mode=mode).coverage(SuperpatchGrid((133, 200, 256)), 4, seed=0)
    assert len(masks) == 4
    times_hidden = sum(mask.hidden.astype(int) for mask in masks)
    assert times_hidden.min() >= 2
    if mode == "random":
        interior = times_hidden[:16, :16, :16]
        assert (interior == 3).all()


def test_masks_of_a_coverage_keep_the_counts_of_single_ones() -> None:
    for mask in MaskStrategy().coverage(SuperpatchGrid((128, 128, 128)), 4, seed=2):
        np.testing.assert_array_equal(np.count_nonzero(~mask.hidden, axis=(1, 2)), 64)


def test_a_region_of_voxels_hides_the_patches_it_touches() -> None:
    grid = SuperpatchGrid((20, 20, 20), 16, 8)
    mask = roi_mask_from_box(grid, (7, 8, -5), (9, 9, 400))
    expected = np.zeros((3, 3, 3), dtype=np.uint8)
    expected[:2, 1, :] = FIRST_STAGE
    np.testing.assert_array_equal(mask.stages, expected)


@pytest.mark.parametrize(("start", "stop"), [((5, 5, 5), (5, 9, 9)), ((20, 0, 0), (30, 5, 5))])
def test_a_region_outside_the_volume_is_refused(start: tuple[int, ...], stop: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="has no voxel of the volume"):
        roi_mask_from_box(SuperpatchGrid((20, 20, 20), 16, 8), start, stop)


def test_a_region_without_three_axes_is_refused() -> None:
    with pytest.raises(ConfigError, match="along k, j, i"):
        roi_mask_from_box(SuperpatchGrid((20, 20, 20), 16, 8), (1, 1), (2, 2))


OBLIQUE = np.array([[0.7, 0.2, -0.9, 31.0], [-0.3, 0.6, 0.5, -80.5], [0.1, 0.4, 2.1, 12.25], [0, 0, 0, 1]])


def corners_of(start: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.array([start + sum(edges[a] * (n >> a & 1) for a in range(3)) for n in range(8)])


def test_a_box_in_ras_hides_the_patches_that_have_a_voxel_in_it() -> None:
    grid = SuperpatchGrid((12, 18, 23), 8, 4)
    edges = np.array([[6.0, 4.0, 0.0], [-4.0, 6.0, 0.0], [0.0, 0.0, 9.0]])
    start = (OBLIQUE @ [6, 5, 3, 1])[:3]
    mask = roi_mask_from_ras_box(grid, corners_of(start, edges), OBLIQUE)
    expected = np.zeros(grid.lattice_shape, dtype=np.uint8)
    for k, j, i in np.ndindex(grid.shape):
        place = np.linalg.solve(edges.T, (OBLIQUE @ [i, j, k, 1])[:3] - start)
        if (place >= -1e-9).all() and (place <= 1 + 1e-9).all():
            expected[k // 4, j // 4, i // 4] = FIRST_STAGE
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(mask.stages, expected)


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        (np.zeros((8, 3)), "do not form a box"),
        (np.zeros((4, 3)), "8 corners"),
        (corners_of(np.zeros(3), np.diag([1.0, 1.0, 0.0])), "do not form a box"),
        (corners_of(np.zeros(3), np.eye(3))[[1, 0, 2, 3, 4, 5, 6, 7]], "do not form a box"),
        (corners_of(np.full(3, 900.0), np.eye(3)), "contains no voxel"),
    ],
)
def test_corners_that_are_no_box_in_the_volume_are_refused(corners: np.ndarray, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        roi_mask_from_ras_box(SuperpatchGrid((12, 18, 23), 8, 4), corners, OBLIQUE)


@thoroughly
@given(small_grids, st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_a_label_hides_the_patches_that_it_covers(grid: SuperpatchGrid, seed: int, share: float) -> None:
    label = (np.random.default_rng(seed).random(grid.shape) < 0.5).astype(np.int16) * 3
    label[0, 0, 0] = 3
    expected = np.zeros(grid.lattice_shape, dtype=np.uint8)
    for patch in np.ndindex(grid.lattice_shape):
        box = LatticeBox(patch, tuple(n + 1 for n in patch))
        part = label[box.voxel_slices(grid.patch_size, grid.shape)] != 0
        expected[patch] = part.any() and part.mean() >= share - 1e-12
    if expected.any():
        np.testing.assert_array_equal(roi_mask_from_label(grid, label, share).stages, expected)
    else:
        with pytest.raises(ConfigError, match="covers no patch"):
            roi_mask_from_label(grid, label, share)


def test_a_label_that_does_not_fit_is_refused() -> None:
    grid = SuperpatchGrid((8, 8, 8), 8, 4)
    with pytest.raises(ConfigError, match="same grid"):
        roi_mask_from_label(grid, np.ones((8, 8, 7)))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        roi_mask_from_label(grid, np.ones((8, 8, 8)), share=1.5)
    with pytest.raises(ConfigError, match="covers no patch"):
        roi_mask_from_label(grid, np.zeros((8, 8, 8)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mode": "dual"}, "no mask mode 'dual'; choose one of random"),
        ({"ratio": 0.0}, "mask ratio"),
        ({"ratio": 1.0}, "mask ratio"),
        ({"ratio": float("nan")}, "mask ratio"),
        ({"plane_ratio": 1.0}, "plane ratio"),
        ({"axis_ratio": -0.1}, "axis ratio"),
        ({"plane_ratio": 0.0, "axis_ratio": 0.0}, "hides nothing"),
        ({"ratio": "x"}, "mask ratio"),
        ({"plane_ratio": None}, "plane ratio"),
        ({"block_size": 0}, "block size"),
        ({"block_size": 1.5}, "block size"),
        ({"block_size": float("nan")}, "block size"),
        ({"block_size": float("inf")}, "block size"),
        ({"block_size": "x"}, "block size"),
        ({"plane_axis": "z"}, "plane axis"),
    ],
)
def test_strategies_that_make_no_sense_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        MaskStrategy(**options)  # type: ignore[arg-type]


def test_a_whole_number_may_be_of_any_type() -> None:
    expected = MaskStrategy("block", block_size=2).sample((4, 4, 4), 1)
    for two, one in ((2.0, 1.0), (np.int64(2), np.int64(1)), (np.float32(2), np.float32(1))):
        drawn = MaskStrategy("block", block_size=two).sample((4, 4, 4), one)  # type: ignore[arg-type]
        np.testing.assert_array_equal(drawn.stages, expected.stages)


@pytest.mark.parametrize("mode", MODES)
def test_the_options_of_a_strategy_make_it_again(mode: str) -> None:
    strategy = MaskStrategy(mode, ratio=0.6, plane_ratio=0.4, axis_ratio=0.3, block_size=3)
    assert strategy.options["mode"] == mode
    again = MaskStrategy(**strategy.options)  # type: ignore[arg-type]
    drawn = [each.sample((8, 8, 8), 5).stages for each in (strategy, again)]
    np.testing.assert_array_equal(*drawn)


def test_seeds_lattices_and_counts_are_checked() -> None:
    with pytest.raises(ConfigError, match="seed"):
        MaskStrategy().sample((4, 4, 4), -1)
    with pytest.raises(ConfigError, match="seed"):
        MaskStrategy().sample((4, 4, 4), "x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lattice shape"):
        MaskStrategy().sample((4, 4), 1)
    with pytest.raises(ConfigError, match="at least one mask"):
        MaskStrategy().coverage(SuperpatchGrid((8, 8, 8), 8, 4), 0, 1)
    with pytest.raises(ConfigError, match="three axes"):
        Mask(np.zeros((4, 4)))


def test_a_mask_cannot_be_changed_and_does_not_follow_its_source() -> None:
    stages = np.zeros((2, 2, 2), dtype=np.uint8)
    mask = Mask(stages)
    stages[0] = FIRST_STAGE
    assert not mask.hidden.any()
    with pytest.raises(ValueError, match="read-only"):
        mask.stages[0] = FIRST_STAGE
