"""Tiles fit what they cover, and are joined without seams, on voxels and on the patch lattice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import Assembler, LatticeBox, SuperpatchGrid, Tiling, usual_overlap

thoroughly = settings(deadline=None, derandomize=True, max_examples=120)


@st.composite
def tilings(
    draw: st.DrawFn, most: int = 25, largest_most: int = 9
) -> tuple[Tiling, tuple[int, int, int], tuple[int, int, int]]:
    start = draw(st.tuples(*[st.integers(0, 5)] * 3))
    extent = draw(st.tuples(*[st.integers(1, most)] * 3))
    largest = draw(st.tuples(*[st.integers(1, largest_most)] * 3))
    k, j, i = (draw(st.integers(0, size - 1)) for size in largest)
    region = LatticeBox(start, tuple(a + n for a, n in zip(start, extent, strict=True)))
    return Tiling.over(region, largest, (k, j, i)), largest, (k, j, i)


@thoroughly
@given(tilings())
def test_tiles_cover_their_region_and_share_what_was_asked_for(
    case: tuple[Tiling, tuple[int, int, int], tuple[int, int, int]],
) -> None:
    tiling, largest, overlap = case
    region = tiling.region
    times = np.zeros(region.stop, dtype=int)
    for box in tiling:
        assert box.shape == tiling.size
        times[box.slices] += 1
    assert times[region.slices].min() >= 1
    assert times.sum() == len(tiling) * np.prod(tiling.size)  # none leaves the region
    for axis, starts in enumerate(tiling.starts):
        extent = region.shape[axis]
        assert tiling.size[axis] <= min(largest[axis], extent)
        shared = [a + tiling.size[axis] - b for a, b in itertools.pairwise(starts)]
        assert all(overlap[axis] <= patches < tiling.size[axis] for patches in shared)
        assert max(shared, default=0) - min(shared, default=0) <= 1
        # As few tiles as their largest size allows, and as small as their number allows.
        count = len(starts)
        assert count == 1 or (count - 1) * (largest[axis] - overlap[axis]) + overlap[axis] < extent
        assert count * (tiling.size[axis] - 1) - (count - 1) * overlap[axis] < extent


def test_a_clinical_ct_does_not_cost_two_full_layers() -> None:
    tiling = SuperpatchGrid((133, 512, 512), overlap=16).tiles()
    assert tiling.size == (10, 15, 15)
    assert tiling.starts == ((0, 7), (0, 12, 24, 36, 49), (0, 12, 24, 36, 49))


def test_a_volume_that_fits_is_one_tile() -> None:
    grid = SuperpatchGrid((121, 128, 9), overlap=32)
    assert list(grid.tiles()) == [LatticeBox((0, 0, 0), grid.lattice_shape)]


def test_the_usual_overlap_is_a_quarter() -> None:
    assert usual_overlap((128, 128, 128), (8, 8, 8)) == (32, 32, 32)
    assert usual_overlap((8, 16, 128), (4, 4, 8)) == (0, 4, 32)
    assert usual_overlap((4, 4, 4), (4, 4, 4)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("spacing", "overlap"),
    [
        ((2.5, 0.7, 0.7), (8, 32, 32)),
        ((2.5, 1.366, 1.366), (16, 32, 32)),
        ((0.5, 1.0, 9.0), (32, 16, 8)),
        ((1.5, 1.5, 1.5), (32, 32, 32)),
    ],
)
def test_the_usual_overlap_is_as_long_in_mm_along_coarser_axes(
    spacing: tuple[float, float, float], overlap: tuple[int, int, int]
) -> None:
    assert usual_overlap((128, 128, 128), (8, 8, 8), spacing) == overlap


def test_a_small_region_gets_one_tile_with_context_on_all_sides() -> None:
    grid = SuperpatchGrid((400, 400, 400), overlap=16)
    wanted = np.zeros(grid.lattice_shape, dtype=bool)
    wanted[20:24, 14:19, 0:2] = True
    assert list(grid.tiles_around(wanted)) == [LatticeBox((14, 9, 0), (30, 25, 9))]
    # A larger one gets an eighth of a superpatch on each side.
    wanted[5:35] = wanted[20]
    assert grid.tiles_around(wanted).region == LatticeBox((3, 9, 0), (37, 25, 9))
    present = np.zeros_like(wanted)
    present[4:35, 10:20, :6] = True
    assert grid.tiles_around(wanted, present).region == LatticeBox((4, 10, 0), (35, 20, 6))
    assert grid.tiles_around(np.zeros_like(wanted)) is None


@thoroughly
@given(tilings(most=9, largest_most=5), st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3))
def test_what_was_cut_into_tiles_is_assembled_again(
    case: tuple[Tiling, tuple[int, int, int], tuple[int, int, int]],
    channels: int,
    scale: tuple[int, int, int],
) -> None:
    tiling, _, _ = case
    shape = tuple(stop * n - (n > 1) for stop, n in zip(tiling.region.stop, scale, strict=True))
    array = np.random.default_rng(1).random((channels, *shape), dtype=np.float32)
    assembler = Assembler(tiling, shape, channels, scale)
    for box in tiling:
        block = array[(slice(None), *box.voxel_slices(scale, shape))]
        missing = [(0, n * p - have) for n, p, have in zip(box.shape, scale, block.shape[1:], strict=True)]
        assembler.add(box, np.pad(block, [(0, 0), *missing], constant_values=np.nan))
    inside = (slice(None), *tiling.region.voxel_slices(scale, shape))
    np.testing.assert_allclose(assembler.result()[inside], array[inside], rtol=1e-6)
    if len(tiling) == 1:
        np.testing.assert_array_equal(assembler.result()[inside], array[inside])
    outside = assembler.result().copy()
    outside[inside] = 0
    assert not outside.any()


def test_overlapping_tiles_blend_smoothly() -> None:
    tiling = Tiling.over(LatticeBox((0, 0, 0), (1, 1, 6)), (1, 1, 4), (0, 0, 2))
    assembler = Assembler(tiling, (4, 4, 24), scale=(4, 4, 4))
    for value, box in enumerate(tiling):
        assembler.add(box, np.full((1, 4, 4, 16), value, dtype=np.float32))
    profile = assembler.result()[0, 0, 0]
    assert (profile[:8] == 0).all()
    assert (profile[16:] == 1).all()
    assert (np.diff(profile[7:17]) > 0).all()
    np.testing.assert_allclose(profile[8:16], 1 - profile[8:16][::-1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 7, 8, 8), (2, 8, 8, 8)])
def test_a_block_that_does_not_fill_its_tile_is_refused(shape: tuple[int, ...]) -> None:
    grid = SuperpatchGrid((9, 9, 9), 8, 4)
    assembler = Assembler(grid.tiles(), grid.shape, scale=grid.patch_size)
    with pytest.raises(ConfigError, match="cannot be filled"):
        assembler.add(next(iter(grid.tiles())), np.zeros(shape, dtype=np.float32))
