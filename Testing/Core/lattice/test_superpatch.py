"""How a volume is divided, for every shape: the partition into superpatches, and the patch lattice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import LatticeBox, SuperpatchGrid

thoroughly = settings(deadline=None, derandomize=True, max_examples=80)

#: From one voxel to odd, long and thin; small enough for a quick test.
sides = st.integers(1, 30)
shapes = st.one_of(
    st.tuples(sides, sides, sides),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(100, 700)),
    st.tuples(st.integers(100, 700), st.integers(1, 3), st.integers(1, 3)),
)


@st.composite
def grids(draw: st.DrawFn) -> SuperpatchGrid:
    patch = draw(st.tuples(*[st.integers(1, 5)] * 3))
    counts = draw(st.tuples(*[st.integers(1, 4)] * 3))
    overlaps = [draw(st.integers(0, count - 1)) for count in counts]
    return SuperpatchGrid(
        draw(shapes),
        superpatch_size=[p * c for p, c in zip(patch, counts, strict=True)],
        patch_size=patch,
        overlap=[p * o for p, o in zip(patch, overlaps, strict=True)],
    )


def voxels_of(shape: tuple[int, ...], dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(len(shape) + sum(shape)).integers(-1024, 3072, shape).astype(dtype)


@thoroughly
@given(grids())
def test_every_patch_lies_in_exactly_one_superpatch(grid: SuperpatchGrid) -> None:
    times = np.zeros(grid.lattice_shape, dtype=int)
    for index in range(len(grid)):
        times[grid.box(index).slices] += 1
    assert (times == 1).all()
    assert len(grid) == np.prod(grid.counts)


@thoroughly
@given(grids())
def test_expand_repeats_each_patch_over_its_voxels(grid: SuperpatchGrid) -> None:
    lattice = voxels_of(grid.lattice_shape)
    expanded = grid.expand(lattice)
    k, j, i = (np.arange(n) // p for n, p in zip(grid.shape, grid.patch_size, strict=True))
    np.testing.assert_array_equal(expanded, lattice[np.ix_(k, j, i)])
    assert expanded.flags.c_contiguous
    for index in range(min(len(grid), 3)):
        box = grid.box(index)
        part = grid.expand(lattice[box.slices], box)
        np.testing.assert_array_equal(part, expanded[box.voxel_slices(grid.patch_size, grid.shape)])


def test_a_clinical_ct_is_cut_as_the_paper_says() -> None:
    grid = SuperpatchGrid((133, 512, 512))
    assert grid.lattice_shape == (17, 64, 64)
    assert grid.counts == (2, 4, 4)
    assert grid.box(0) == LatticeBox((0, 0, 0), (16, 16, 16))
    assert grid.box(31) == LatticeBox((16, 48, 48), (17, 64, 64))


def test_padding_repeats_the_edge() -> None:
    volume = voxels_of((3, 5, 2))
    cut = SuperpatchGrid(volume.shape, 8, 4).cut_box(volume, LatticeBox((0, 1, 0), (1, 2, 1)))
    np.testing.assert_array_equal(cut, np.pad(volume[:, 4:], [(0, 1), (0, 3), (0, 2)], mode="edge"))


def test_a_lattice_voxel_lies_at_the_mean_of_its_voxels_in_an_oblique_sheared_scan() -> None:
    ijk_to_ras = np.array(
        [[0.7, 0.2, -0.9, 31.0], [-0.3, 0.6, 0.5, -80.5], [0.1, 0.4, 2.1, 12.25], [0, 0, 0, 1]]
    )
    grid = SuperpatchGrid((16, 24, 40), (16, 24, 40), (2, 4, 5))
    lattice_to_ras = grid.lattice_to_ras(ijk_to_ras)
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    ras = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ ijk_to_ras.T
    for patch in [(0, 0, 0), (7, 5, 7), (3, 1, 6)]:
        voxels = LatticeBox(patch, tuple(n + 1 for n in patch)).voxel_slices(grid.patch_size, grid.shape)
        mean = ras[voxels].reshape(-1, 4).mean(axis=0)
        np.testing.assert_allclose(lattice_to_ras @ [*patch[::-1], 1], mean, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shape": (0, 3, 3)}, "volume shape"),
        ({"shape": (3, 3)}, "volume shape"),
        ({"shape": (9, 9, np.nan)}, "volume shape"),
        ({"shape": 4.5}, "volume shape"),
        ({"shape": (9, 9, 9), "patch_size": 0}, "patch size"),
        ({"shape": (9, 9, 9), "patch_size": 8.5}, "patch size"),
        ({"shape": (9, 9, 9), "patch_size": None}, "patch size"),
        ({"shape": (9, 9, 9), "patch_size": "abc"}, "patch size"),
        ({"shape": (9, 9, 9), "superpatch_size": 12, "patch_size": 8}, "does not divide"),
        ({"shape": (9, 9, 9), "superpatch_size": 16, "patch_size": 8, "overlap": 4}, "overlap"),
        ({"shape": (9, 9, 9), "superpatch_size": 16, "patch_size": 8, "overlap": 16}, "overlap"),
        ({"shape": (9, 9, 9), "superpatch_size": 16, "patch_size": 8, "overlap": -8}, "overlap"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        SuperpatchGrid(**options)  # type: ignore[arg-type]


def test_a_whole_number_may_be_of_any_type() -> None:
    assert SuperpatchGrid((32, 32, 32), 16.0, np.float32(8)) == SuperpatchGrid((32, 32, 32), 16, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(9, 14, 8), (8, 8, 8), (1, 5, 17)])
def test_the_share_of_voxels_counts_cut_patches_as_they_are(shape: tuple[int, int, int]) -> None:
    grid = SuperpatchGrid(shape, 8, 4)
    patches = np.random.default_rng(0).random(grid.lattice_shape) < 0.6
    assert grid.voxel_share(patches) == pytest.approx(grid.expand(patches).mean())
    assert grid.voxel_share(np.ones_like(patches)) == 1.0
    assert grid.voxel_share(np.zeros_like(patches)) == 0.0
    with pytest.raises(ConfigError, match="Expected one value for each"):
        grid.voxel_share(patches[:-1])


def test_a_volume_of_another_shape_is_refused() -> None:
    grid = SuperpatchGrid((9, 9, 9), 8, 4)
    with pytest.raises(ConfigError, match="Expected a volume of"):
        grid.cut_box(np.zeros((9, 9, 8)), grid.box(0))
    with pytest.raises(ConfigError, match="Expected one value for each"):
        grid.expand(np.zeros((2, 2, 2)))
    with pytest.raises(ConfigError, match="no superpatch 8"):
        grid.box(8)
