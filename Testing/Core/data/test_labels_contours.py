"""Tests of `data.labels.contours`: the voxels inside contours, compared with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon as draw_polygon

from MAESILCore.data.labels import contours
from MAESILCore.data.labels.contours import fill, fill_polygons, planar_axis

SQUARE = np.array([[1.0, 1], [1, 6], [5, 6], [5, 1]])


@pytest.mark.parametrize("seed", range(8))
def test_polygons_are_filled_as_scikit_image_fills_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the tolerance for rounded files, which takes more voxels.
    monkeypatch.setattr(contours, "_ON_LINE", 0.0)
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 30))
    # Partly outside of the picture.
    radius = generator.uniform(3, 14, 30)
    points = np.stack([10 + radius * np.sin(angles), 12 + radius * np.cos(angles)], axis=1)
    expected = np.zeros((19, 23), bool)
    expected[draw_polygon(points[:, 0], points[:, 1], expected.shape)] = True
    np.testing.assert_array_equal(fill_polygons([points], (19, 23)), expected)


@pytest.mark.parametrize("turn", [lambda points: points, lambda points: points[::-1]])
def test_voxels_on_a_contour_belong_to_it(turn: object) -> None:
    filled = fill_polygons([turn(SQUARE)], (8, 9))  # type: ignore[operator]
    expected = np.zeros((8, 9), bool)
    expected[1:6, 1:7] = True
    np.testing.assert_array_equal(filled, expected)


def test_a_contour_inside_another_is_a_hole() -> None:
    hole = np.array([[2.5, 2.5], [2.5, 4.5], [3.5, 4.5], [3.5, 2.5]])
    filled = fill_polygons([SQUARE, hole], (8, 9))
    assert not filled[3, 3:5].any()
    assert filled.sum() == 30 - 2


def test_a_keyhole_is_a_hole() -> None:
    inner = np.array([[2.5, 2.5], [2.5, 4.5], [3.5, 4.5], [3.5, 2.5]])
    filled = fill_polygons([np.concatenate([SQUARE, SQUARE[:1], inner, inner[:1]])], (8, 9))
    assert not filled[3, 3:5].any()


def test_neighbours_with_a_common_edge_leave_no_gap() -> None:
    filled = fill_polygons([SQUARE, SQUARE + np.array([0, 5])], (8, 12))
    assert filled[1:6, 1:12].all()
    assert filled.sum() == 5 * 11


def outlines(places: list[float], axis: int = 2) -> list[np.ndarray]:
    return [np.insert(SQUARE, axis, place, axis=1) for place in places]


@pytest.mark.parametrize(
    ("places", "slices"),
    [
        ([2.0], [2]),
        ([2.3], [2]),
        ([1.0, 2.0, 4.0], [1, 2, 4]),
        ([1.0, 3.0, 5.0], [0, 1, 2, 3, 4, 5, 6]),
        ([1.0, 1.5, 2.0], [1, 2]),
        ([-3.0, -2.0, -1.0, 0.0], [0]),
        ([20.0], []),
    ],
)
def test_slices_take_the_contours_of_the_nearest_plane(places: list[float], slices: list[int]) -> None:
    filled = fill(outlines(places), (8, 9, 9), 2)
    assert np.flatnonzero(filled.any(axis=(1, 2))).tolist() == slices
    assert all(filled[number].sum() == 30 for number in slices)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_may_lie_along_each_axis(axis: int) -> None:
    drawn = outlines([2.0, 3.0], axis)
    assert planar_axis(drawn) == axis
    filled = fill(drawn, (9, 9, 9), axis)
    expected = np.zeros((9, 9, 9), bool)
    spans = [slice(1, 6), slice(1, 7)]
    spans.insert(axis, slice(2, 4))
    expected.T[tuple(spans)] = True
    np.testing.assert_array_equal(filled, expected)


def test_tilted_contours_lie_along_no_axis() -> None:
    tilted = outlines([2.0])[0]
    tilted[:, 2] += 0.3 * tilted[:, 0]
    assert planar_axis([tilted]) is None
