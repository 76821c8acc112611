"""Shapes on the patch lattice, held against slow and obvious versions of themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from MAESILCore.lattice import MODES, MaskStrategy, SuperpatchGrid
from MAESILSlicerLib.overlays import cubes, lattice
from MAESILSlicerLib.overlays.sections import sectionsOf

SHAPES = [(5, 6, 7), (1, 4, 3), (3, 1, 1), (9, 2, 4)]
Place = tuple[int, ...]


def masks() -> list[np.ndarray]:
    """Stages of every mode on lattices of odd shapes, and nothing and everything hidden."""
    drawn = [MaskStrategy(mode).sample(shape, seed=3).stages for mode in MODES for shape in SHAPES]
    return [*drawn, np.zeros(SHAPES[0], dtype=np.uint8), np.full(SHAPES[0], 2, dtype=np.uint8)]


def patchesWithin(corners: np.ndarray, shape: tuple[int, ...]) -> list[Place]:
    """The patches of a box, or the lowest corners of the unit squares of a face, from its corner numbers."""
    places = np.array(np.unravel_index(corners, np.add(shape, 1)))
    low, high = places.min(axis=1), places.max(axis=1)
    return list(itertools.product(*(range(a, max(b, a + 1)) for a, b in zip(low, high, strict=True))))


@pytest.mark.parametrize("stages", masks())
def test_boxes_fill_exactly_the_hidden_patches(stages: np.ndarray) -> None:
    boxes, ofStage = lattice.boxes(stages)
    filled = np.zeros_like(stages)
    for corners, stage in zip(boxes, ofStage, strict=True):
        for place in patchesWithin(corners, stages.shape):
            assert filled[place] == 0, "two boxes overlap"
            filled[place] = stage
    np.testing.assert_array_equal(filled, stages)


def test_boxes_have_their_corners_in_the_order_of_a_hexahedron() -> None:
    stages = np.zeros((3, 3, 3), dtype=np.uint8)
    stages[1, 1, 1] = 1
    (corners,), _ = lattice.boxes(stages)
    places = np.array(np.unravel_index(corners, (4, 4, 4))).T
    for begin, end in [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 0),
        (4, 5),
        (5, 6),
        (6, 7),
        (7, 4),
        (0, 4),
        (1, 5),
        (2, 6),
        (3, 7),
    ]:
        assert np.abs(places[begin] - places[end]).sum() == 1


def outerSquares(stages: np.ndarray, chosen: np.ndarray) -> dict[Place, int]:
    """The stages by axis and lowest corner of the unit squares between hidden and not hidden, of chosen patches."""
    expected = {}
    around = np.pad(stages, 1)
    for place in zip(*np.nonzero((stages > 0) & chosen), strict=True):
        for axis, far in itertools.product(range(3), (0, 1)):
            neighbour = np.add(place, 1)
            neighbour[axis] += 2 * far - 1
            if not around[tuple(neighbour)]:
                corner = np.array(place)
                corner[axis] += far
                expected[(axis, *corner.tolist())] = stages[place]
    return expected


def squaresOf(stages: np.ndarray, faces: np.ndarray, ofStage: np.ndarray) -> dict[Place, int]:
    """The unit squares of faces, which must look outward and not overlap."""
    found = {}
    around = np.pad(stages, 1)
    for corners, stage in zip(faces, ofStage, strict=True):
        places = np.array(np.unravel_index(corners, np.add(stages.shape, 1)))
        (axis,) = np.flatnonzero(np.ptp(places, axis=1) == 0)
        steps = np.abs(np.diff(places, axis=1, append=places[:, :1]))
        assert (np.count_nonzero(steps, axis=0) == 1).all(), (
            "the corners do not follow each other around the face"
        )
        first, second = places[::-1, 1] - places[::-1, 0], places[::-1, 2] - places[::-1, 1]
        outwardKji = np.cross(first, second)[::-1]
        for place in patchesWithin(corners, stages.shape):
            beyond = np.array(place) + (outwardKji[axis] < 0) * np.eye(3, dtype=int)[axis] * -1
            assert around[tuple(beyond + 1)] == 0, "the face looks inward"
            assert (axis, *place) not in found, "two faces overlap"
            found[(axis, *place)] = stage
    return found


@pytest.mark.parametrize("stages", masks())
def test_outer_faces_are_those_between_hidden_and_not_hidden(stages: np.ndarray) -> None:
    everything = np.ones(stages.shape, dtype=bool)
    assert squaresOf(stages, *lattice.outerFaces(stages)) == outerSquares(stages, everything)


@pytest.mark.parametrize("stages", masks())
def test_shapes_of_a_part_are_those_of_its_patches(stages: np.ndarray) -> None:
    k, j, i = np.indices(stages.shape)
    for chosen in ((k + j + i) % 3 == 0, k == k.max(), (j == 0) | (i == i.max())):
        part = lattice.Part.around(chosen)
        filled = np.zeros_like(stages)
        for corners, stage in zip(*lattice.boxes(stages, part), strict=True):
            for place in patchesWithin(corners, stages.shape):
                filled[place] += stage
        np.testing.assert_array_equal(filled, stages * chosen)
        assert squaresOf(stages, *lattice.outerFaces(stages, part)) == outerSquares(stages, chosen)
        drawn = lattice.hatching(stages, part).tolist()
        assert sorted(drawn) == sorted(lattice.hatching(stages * chosen).tolist())


def test_a_plane_cuts_the_patches_that_have_corners_on_both_sides() -> None:
    edges = lattice.patchEdges(SuperpatchGrid((20, 16, 24), superpatch_size=16))
    corners = np.stack(np.meshgrid(*edges[::-1], [1.0], indexing="ij")[:3], axis=-1)[..., 0, :]
    for plane in ([0, 0, 1, -3.0], [0.3, -0.2, 0.8, -7.0], [0, 1, 0, 50.0], [1, 0, 0, -7.5]):
        distance = corners @ plane[:3] + plane[3]
        at = [distance[a : a + 3, b : b + 2, c : c + 3] for a, b, c in itertools.product((0, 1), repeat=3)]
        expected = (np.min(at, axis=0) <= 0) & (np.max(at, axis=0) >= 0)
        np.testing.assert_array_equal(lattice.patchesOn(edges, np.array(plane)), expected.transpose(2, 1, 0))
    near = lattice.patchesOn(edges, np.array([1, 0, 0, 0.6]), tolerance=0.2)
    assert near.any(axis=(0, 1)).tolist() == [True, False, False]


def test_hatching_lies_in_the_patches_of_its_stage_on_whole_sums() -> None:
    stages = MaskStrategy("nested").sample((4, 5, 6), seed=1).stages
    triangles = np.array(np.unravel_index(lattice.hatching(stages), np.add(stages.shape, 1)))
    assert triangles.shape == (3, 2 * np.count_nonzero(stages == 2), 3)
    sums = triangles.sum(axis=0)
    assert (sums == sums[:, :1]).all()
    assert (stages[tuple(triangles.min(axis=2))] == 2).all()
    assert (np.ptp(triangles, axis=2) == 1).all()


def test_a_partial_last_patch_ends_with_the_volume() -> None:
    k, j, i = lattice.patchEdges(SuperpatchGrid((20, 16, 5), superpatch_size=16))
    np.testing.assert_array_equal(k, [-0.5, 7.5, 15.5, 19.5])
    np.testing.assert_array_equal(j, [-0.5, 7.5, 15.5])
    np.testing.assert_array_equal(i, [-0.5, 4.5])


@pytest.mark.parametrize("shape", [(40, 33, 64), (10, 16, 17)])
def test_superpatches_end_where_their_boxes_do(shape: tuple[int, int, int]) -> None:
    grid = SuperpatchGrid(shape, superpatch_size=16)
    edges, patches = lattice.superpatchEdges(grid), lattice.patchEdges(grid)
    for index in range(len(grid)):
        box, place = grid.box(index), np.unravel_index(index, grid.counts)
        for axis in range(3):
            assert edges[axis][place[axis]] == patches[axis][box.start[axis]]
            assert edges[axis][place[axis] + 1] == patches[axis][box.stop[axis]]


def test_a_grid_has_each_face_once() -> None:
    faces = lattice.gridFaces((2, 3, 4))
    assert len(faces) == 3 * 3 * 4 + 2 * 4 * 4 + 2 * 3 * 5
    assert len({tuple(sorted(face)) for face in faces.tolist()}) == len(faces)


def test_corners_lie_at_voxel_edges() -> None:
    ijkToRas = np.array([[0, -2.0, 0, 5], [1.5, 0, 0.5, 6], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    grid = SuperpatchGrid((16, 8, 8), superpatch_size=8)
    corners = lattice.cornersRas(lattice.patchEdges(grid), ijkToRas)
    assert corners.shape == (3 * 2 * 2, 3)
    np.testing.assert_allclose(corners[-1], (ijkToRas @ (7.5, 7.5, 15.5, 1))[:3])
    np.testing.assert_allclose(corners[1], (ijkToRas @ (7.5, -0.5, -0.5, 1))[:3])


def test_only_cavities_that_cannot_be_seen_are_closed() -> None:
    stages = np.ones((5, 5, 5), dtype=np.uint8)
    stages[1, 1, 1] = 0
    stages[3, 3, 3:] = 0
    closed = cubes.closed(stages)
    assert closed[1, 1, 1] != 0
    assert (closed[3, 3, 3:] == 0).all()
    assert np.count_nonzero(closed != stages) == 1


def test_sections_are_found_where_a_slice_cuts_boxes() -> None:
    k, j, i = np.meshgrid([0.0, 10, 20], [0.0, 10], [0.0, 10, 30], indexing="ij")
    cornersXyz = np.stack([i + 100, j + 50, k - 12], axis=-1)
    sections = sectionsOf(cornersXyz)
    assert sections.index.tolist() == [2, 3]
    np.testing.assert_allclose(sections.topLeft, [[100, 60], [110, 60]])
    np.testing.assert_allclose(sections.size, [[10, 10], [20, 10]])


def test_a_section_across_is_as_large_as_the_cut() -> None:
    k, j, i = np.meshgrid([0.0, 10], [0.0, 10], [0.0, 10], indexing="ij")
    diagonal = np.stack([(i + j) / np.sqrt(2), k, (j - i) / np.sqrt(2)], axis=-1)
    sections = sectionsOf(diagonal)
    assert sections.index.tolist() == [0]
    np.testing.assert_allclose(sections.size, [[np.sqrt(200), 10]])
    np.testing.assert_allclose(sections.topLeft, [[0, 10]])
    assert not len(sectionsOf(np.add(diagonal, (0, 0, 100))).index)
