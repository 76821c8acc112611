"""Features pooled to the boxes of an index: their means, their places, and air."""

from __future__ import annotations

import numpy as np

from MAESILCore.downstream.search.boxes import PooledBoxes, box_of, factors_of
from MAESILCore.lattice import FeatureMap


def a_map(stride: tuple[int, int, int] = (8, 8, 8)) -> FeatureMap:
    generator = np.random.default_rng(0)
    matrix = np.eye(4)
    matrix[:3, :3] = np.linalg.qr(generator.normal(size=(3, 3)))[0] * (5.6, 5.6, 20.0)
    matrix[:3, 3] = (-30.0, 12.0, 700.0)
    shape = (5, 4, 7)
    vectors = generator.normal(size=(3, *shape)).astype(np.float32)
    body = generator.random(shape) < 0.4
    body[:2, :2, :2] = False
    return FeatureMap(vectors, matrix, stride, body)


def test_a_pooled_box_is_the_mean_of_its_parts_that_hold_more_than_air() -> None:
    found = a_map()
    pooled = PooledBoxes.of(found)
    assert pooled.shape == (3, 2, 4)
    expected: dict[int, np.ndarray] = {}
    for number, (k, j, i) in enumerate(np.ndindex(3, 2, 4)):
        part = tuple(slice(2 * n, 2 * n + 2) for n in (k, j, i))
        body = found.body[part]
        if body.any():
            expected[number] = found.vectors[(slice(None), *part)][:, body].mean(axis=1)
    assert 0 not in expected
    assert pooled.numbers.tolist() == list(expected)
    np.testing.assert_allclose(pooled.vectors, np.stack(list(expected.values())), rtol=1e-5, atol=1e-6)


def test_a_pooled_box_lies_at_the_mean_of_its_parts() -> None:
    found = a_map()
    pooled = PooledBoxes.of(found)
    k, j, i = 1, 0, 2
    parts = [found.lattice_to_ras @ [2 * i + a, 2 * j + b, 2 * k + c, 1.0] for c, b, a in np.ndindex(2, 2, 2)]
    np.testing.assert_allclose(pooled.lattice_to_ras @ [i, j, k, 1.0], np.mean(parts, axis=0), atol=1e-9)


def test_boxes_have_about_sixteen_voxels_per_edge() -> None:
    assert (factors_of((8, 8, 8)), box_of((8, 8, 8))) == ((2, 2, 2), (16, 16, 16))
    assert (factors_of((2, 4, 16)), box_of((2, 4, 16))) == ((8, 4, 1), (16, 16, 16))
    assert (factors_of((6, 32, 5)), box_of((6, 32, 5))) == ((3, 1, 3), (18, 32, 15))
