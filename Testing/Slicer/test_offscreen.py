"""The off-screen views show what Slicer would show, so that pixels can be held against voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from offscreen import SLICES, THREE_D, OffscreenApplication, OffscreenViews
from volumes import MakeVolume, matrixOf


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"spacing": (0.8, 0.8, 2.5), "flips": (-1, -1, 1)},
        {"angles": (20.0, -15.0, 40.0), "spacing": (1.0, 1.2, 2.0), "origin": (10.0, -200.0, 33.0)},
        {"shear": 0.3, "flips": (-1, 1, -1)},
    ],
    ids=["plain", "flipped", "oblique", "sheared"],
)
def test_a_bright_voxel_is_seen_at_its_centre_and_not_two_voxels_on(
    views: OffscreenViews, makeVolume: MakeVolume, geometry: dict[str, Any]
) -> None:
    voxels = np.zeros((20, 24, 28), dtype=np.int16)
    voxels[9, 10, 11] = 1000
    node = makeVolume(voxels=voxels, **geometry)
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1000, 500)
    display.SetInterpolate(False)
    views.showVolume(node)
    ijkToRas = matrixOf(**geometry)
    centerRas = (ijkToRas @ (11, 10, 9, 1))[:3]
    views.jumpTo(centerRas)
    for name in SLICES:
        assert views.colorAt(name, centerRas) == (255, 255, 255)
        normal = slicer.util.arrayFromVTKMatrix(views.sliceNode(name).GetSliceToRAS())[:3, 2]
        steps = [2 * edge for edge in ijkToRas[:3, :3].T if abs(normal @ edge) < 1e-6]
        assert steps, "the slice lies along no axis of the volume"
        for step in steps:
            assert views.colorAt(name, centerRas + step) == (0, 0, 0)
            assert views.colorAt(name, centerRas - step) == (0, 0, 0)


def test_what_is_translucent_in_3d_is_drawn_over_what_is_behind_it(
    scene: slicer.vtkMRMLScene, views: OffscreenViews
) -> None:
    def addBall(a: float, color: tuple[float, float, float], opacity: float) -> None:
        ball = vtk.vtkSphereSource()
        ball.SetCenter(0.0, a, 0.0)
        ball.Update()
        node = scene.AddNewNodeByClass("vtkMRMLModelNode")
        node.SetAndObservePolyData(ball.GetOutput())
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetColor(color)
        node.GetDisplayNode().SetOpacity(opacity)

    # Seen from the front, green is before red.
    addBall(0.0, (1.0, 0.0, 0.0), 1.0)
    addBall(5.0, (0.0, 1.0, 0.0), 0.5)
    views.view(THREE_D).reset_view()
    red, green, blue = views.pictureOf(THREE_D)[150, 150]
    assert red > 50
    assert green > 50
    assert blue < 20


def test_an_error_of_mrml_is_heard(application: OffscreenApplication, scene: slicer.vtkMRMLScene) -> None:
    assert application.errors == []
    scene.AddNewNodeByClass("vtkMRMLNoSuchNode")
    assert "vtkMRMLNoSuchNode" in application.errors.pop()


def test_the_test_scene_is_the_applications_scene_as_modules_know_it(scene: slicer.vtkMRMLScene) -> None:
    assert slicer.mrmlScene is scene
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
