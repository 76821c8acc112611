"""Where a node lies is known exactly under linear transforms, and not guessed under others."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld, putBeside
from volumes import MakeVolume, matrixOf, putUnder, putUnderBent


def test_a_volume_without_a_transform_lies_in_the_world(makeVolume: MakeVolume) -> None:
    assert np.array_equal(linearTransformToWorld(makeVolume()), np.eye(4))


def test_nested_linear_transforms_are_multiplied_from_the_outside_in(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    inner = matrixOf(angles=(10, 20, 30), origin=(5, 6, 7))
    outer = matrixOf(angles=(-40, 0, 5), spacing=(1, 2, 1), origin=(100, 0, -7))
    node = makeVolume()
    putUnder(scene, node, inner, outer)
    assert np.allclose(linearTransformToWorld(node), outer @ inner, atol=1e-12)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    flips=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    shear=st.floats(-0.8, 0.8),
    turns=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
)
def test_the_voxel_corners_lie_where_slicer_says_that_the_volume_ends(
    scene: slicer.vtkMRMLScene,
    makeVolume: MakeVolume,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    flips: tuple[int, int, int],
    shear: float,
    turns: tuple[float, float, float],
) -> None:
    node = makeVolume(
        (3, 4, 5), spacing=spacing, angles=angles, flips=flips, shear=shear, origin=(50, -60, 70)
    )
    transform = putUnder(scene, node, matrixOf(angles=turns, origin=(1, 2, 3)))
    cornersIjk = np.array([[i, j, k, 1] for i in (-0.5, 4.5) for j in (-0.5, 3.5) for k in (-0.5, 2.5)])
    cornersWorld = (linearTransformToWorld(node) @ geometryOf(node) @ cornersIjk.T)[:3]
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    assert np.allclose(cornersWorld.min(axis=1), bounds[::2], atol=1e-9)
    assert np.allclose(cornersWorld.max(axis=1), bounds[1::2], atol=1e-9)
    scene.RemoveNode(transform)
    scene.RemoveNode(node)


def test_a_bent_transform_anywhere_above_is_refused_by_name(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    directly, nested = makeVolume(name="liver"), makeVolume(name="lung")
    putUnderBent(scene, directly)
    putUnderBent(scene, putUnder(scene, nested, np.eye(4)))
    for node, name, transform in ((directly, "liver", "bent"), (nested, "lung", "moved")):
        with pytest.raises(SceneError) as caught:
            linearTransformToWorld(node)
        assert str(caught.value) == (
            f'"{name}" lies under a transform that is not linear ("{transform}"); '
            "harden or remove the transform in the Transforms module."
        )


def test_a_transform_that_flattens_space_is_refused(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    node = makeVolume()
    putUnder(scene, node, np.diag([1.0, 1.0, 0.0, 1.0]))
    with pytest.raises(SceneError, match='flattens space \\("moved"\\)'):
        linearTransformToWorld(node)


def test_a_node_put_beside_another_leaves_the_transform_it_was_under(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    free, bound = makeVolume(), makeVolume()
    putUnder(scene, bound, np.eye(4))
    putBeside(bound, free)
    assert bound.GetParentTransformNode() is None


def test_nothing_is_put_into_the_hierarchy_beside_what_is_not_in_it(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume
) -> None:
    first, second = makeVolume(), makeVolume()
    putBeside(second, first)
    assert scene.GetSubjectHierarchyNode().GetItemByDataNode(second) == 0
