"""Controls against answers that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import diags_array, eye_array, kron
from scipy.sparse.linalg import spsolve

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.lattice import MaskStrategy, SuperpatchGrid
from MAESILCore.nn import multigrid
from MAESILCore.scoring.controls import CONTROLS, fill


def a_scene(
    shape: tuple[int, int, int] = (20, 17, 24), seed: int = 0, strategy: MaskStrategy | None = None
) -> tuple[np.ndarray, np.ndarray, SuperpatchGrid]:
    """A random volume, its hidden voxels and its grid of 16^3 superpatches and 4^3 patches."""
    grid = SuperpatchGrid(shape, 16, 4)
    hidden = grid.expand((strategy or MaskStrategy()).sample_grid(grid, seed).hidden)
    unit = np.random.default_rng(seed).random(shape).astype(np.float32)
    return unit, hidden, grid


def solved_directly(unit: np.ndarray, hidden: np.ndarray, order: int) -> np.ndarray:
    """The same equations, as one sparse matrix and solved exactly."""
    laplacians = []
    for length in unit.shape:
        diagonal = np.full(length, 2.0)
        diagonal[0] -= 1.0
        diagonal[-1] -= 1.0
        side = -np.ones(length - 1)
        laplacians.append(diags_array([side, diagonal, side], offsets=[-1, 0, 1], shape=(length, length)))
    k, j, i = (eye_array(length) for length in unit.shape)
    matrix = (
        kron(kron(laplacians[0], j), i) + kron(kron(k, laplacians[1]), i) + kron(kron(k, j), laplacians[2])
    ).tocsr()
    if order == 2:
        matrix = (matrix @ matrix).tocsr()
    unknown = hidden.ravel()
    right = -(matrix[unknown][:, ~unknown] @ unit.ravel()[~unknown].astype(np.float64))
    result = unit.ravel().astype(np.float64)
    result[unknown] = spsolve(matrix[unknown][:, unknown].tocsc(), right)
    return result.reshape(unit.shape)


@pytest.mark.parametrize("name", CONTROLS)
def test_visible_voxels_stay_and_hidden_ones_are_never_looked_at(name: str) -> None:
    unit, hidden, grid = a_scene()
    filled = fill(name, unit, hidden, grid)
    assert filled.dtype == np.float32
    assert 0.0 <= filled.min() <= filled.max() <= 1.0
    np.testing.assert_array_equal(filled[~hidden], unit[~hidden])
    spoilt = np.where(hidden, np.float32(np.nan), unit)
    np.testing.assert_array_equal(fill(name, spoilt, hidden, grid), filled)


@pytest.mark.parametrize("name", CONTROLS)
def test_with_nothing_hidden_the_volume_comes_back(name: str) -> None:
    unit, hidden, grid = a_scene()
    np.testing.assert_array_equal(fill(name, unit, np.zeros_like(hidden), grid), unit)


@pytest.mark.parametrize("name", CONTROLS)
def test_with_nothing_visible_the_fill_is_grey(name: str) -> None:
    unit, hidden, grid = a_scene()
    np.testing.assert_array_equal(fill(name, unit, np.ones_like(hidden), grid), 0.5)


@pytest.mark.parametrize("name", CONTROLS)
def test_what_is_uniform_is_restored(name: str) -> None:
    _, hidden, grid = a_scene()
    uniform = np.full(grid.shape, 0.3, dtype=np.float32)
    np.testing.assert_allclose(fill(name, uniform, hidden, grid), uniform, atol=1e-4)


def test_the_mean_is_taken_in_each_superpatch() -> None:
    unit, hidden, grid = a_scene((16, 16, 32))
    filled = fill("mean", unit, hidden, grid)
    for half in (np.s_[:, :, :16], np.s_[:, :, 16:]):
        expected = unit[half][~hidden[half]].mean(dtype=np.float64)
        np.testing.assert_allclose(filled[half][hidden[half]], expected, rtol=1e-6)


def test_a_superpatch_without_visible_voxels_gets_the_mean_of_the_volume() -> None:
    unit, hidden, grid = a_scene((16, 16, 32))
    hidden[:, :, 16:] = True
    filled = fill("mean", unit, hidden, grid)
    np.testing.assert_allclose(filled[:, :, 16:], unit[~hidden].mean(dtype=np.float64), rtol=1e-6)


def test_the_nearest_voxel_is_the_one_that_a_search_finds() -> None:
    unit, hidden, grid = a_scene((9, 8, 10))
    filled = fill("nearest", unit, hidden, grid)
    visible = np.argwhere(~hidden)
    for place in np.argwhere(hidden):
        distances = ((visible - place) ** 2).sum(axis=1)
        nearest = visible[distances == distances.min()]
        assert filled[tuple(place)] in unit[tuple(nearest.T)]


def test_the_harmonic_fill_restores_a_ramp_between_two_planes() -> None:
    grid = SuperpatchGrid((8, 8, 24), 8, 4)
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 24, dtype=np.float32), grid.shape).copy()
    hidden = np.zeros(grid.shape, dtype=bool)
    hidden[:, :, 4:20] = True
    for name in ("harmonic", "biharmonic"):
        np.testing.assert_allclose(fill(name, ramp, hidden, grid), ramp, atol=2e-3)


def test_the_biharmonic_fill_continues_a_curve_that_the_harmonic_one_flattens() -> None:
    grid = SuperpatchGrid((8, 8, 32), 8, 4)
    x = np.linspace(-1.0, 1.0, 32, dtype=np.float32)
    curve = np.broadcast_to(0.9 - 0.8 * x**2, grid.shape).copy()
    hidden = np.zeros(grid.shape, dtype=bool)
    hidden[:, :, 8:24] = True
    harmonic, biharmonic = (
        np.abs(fill(n, curve, hidden, grid) - curve).max() for n in ("harmonic", "biharmonic")
    )
    assert biharmonic < 0.2 * harmonic


@pytest.mark.parametrize(("name", "order"), [("harmonic", 1), ("biharmonic", 2)])
@pytest.mark.parametrize(
    "strategy",
    [MaskStrategy(), MaskStrategy("random", ratio=0.9), MaskStrategy("plane"), MaskStrategy("block")],
)
def test_the_smooth_fills_are_the_solution_of_their_equation(
    name: str, order: int, strategy: MaskStrategy
) -> None:
    unit, hidden, grid = a_scene((13, 10, 17), 4, strategy)
    expected = np.clip(solved_directly(unit, hidden, order), 0.0, 1.0)
    np.testing.assert_allclose(fill(name, unit, hidden, grid), expected, atol=2e-3)


@settings(max_examples=25)
@given(st.tuples(*[st.integers(1, 21)] * 3), st.integers(0, 99))
def test_every_shape_can_be_filled(shape: tuple[int, int, int], seed: int) -> None:
    unit, hidden, grid = a_scene(shape, seed)
    for name in CONTROLS:
        filled = fill(name, unit, hidden, grid)
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~hidden], unit[~hidden])


@pytest.mark.parametrize("shape", [(64, 64, 64), (1, 90, 90)])
def test_large_holes_are_filled_in_few_cycles(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the coarser grids this takes hundreds of them."""
    monkeypatch.setattr(multigrid, "MOST_CYCLES", 25)
    grid = SuperpatchGrid(shape, 64, 8)
    k, j, i = np.indices(shape) / 63.0
    smooth = ((np.sin(3 * k) + np.cos(4 * j) + np.sin(5 * i) + 3) / 6).astype(np.float32)
    hidden = np.zeros(shape, dtype=bool)
    hidden[8 * (shape[0] > 8) : 56, 8:56, 8:56] = True
    filled = fill("biharmonic", smooth, hidden, grid)
    assert np.abs(filled - smooth).max() < 0.2


def test_an_iteration_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigrid, "MOST_CYCLES", 1)
    unit, hidden, grid = a_scene()
    with pytest.raises(MaesilError, match="did not converge"):
        fill("biharmonic", unit, hidden, grid)


def test_an_unknown_control_is_named_with_the_known_ones() -> None:
    unit, hidden, grid = a_scene()
    with pytest.raises(ConfigError, match=r"'spline'.*nearest"):
        fill("spline", unit, hidden, grid)


def test_shapes_that_differ_are_refused() -> None:
    unit, hidden, grid = a_scene()
    with pytest.raises(ConfigError, match="must agree"):
        fill("mean", unit[1:], hidden, grid)
