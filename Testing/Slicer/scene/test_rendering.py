"""Volume rendering: what is drawn in 3D, what follows the volume, and what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer
import vtk

from MAESILSlicerLib.scene.rendering import PRESETS, ROLE, USUAL_PRESET, Rendering, usesSoftware
from offscreen import THREE_D

if TYPE_CHECKING:
    from offscreen import OffscreenApplication, OffscreenViews
    from volumes import MakeVolume

LARGE = (160, 160, 160)


def a_bone(shape: tuple[int, int, int] = (24, 32, 40)) -> np.ndarray:
    """A block of bone in air, HU int16."""
    voxels = np.full(shape, -1000, dtype=np.int16)
    voxels[tuple(slice(size // 4, size - size // 4) for size in shape)] = 1000
    return voxels


@pytest.fixture
def rendering(application: OffscreenApplication) -> Iterator[Rendering]:
    """A rendering as on a computer without a graphics card."""
    made = Rendering(application.scene, application.volumeRendering, isSoftware=True)
    yield made
    made.show(None)


def all_ids(scene: slicer.vtkMRMLScene) -> list[str]:
    return [node.GetID() for node in scene.GetNodes()]


def display_of(rendering: Rendering) -> slicer.vtkMRMLVolumeRenderingDisplayNode:
    return next(
        node
        for node in map(rendering.node.GetNthDisplayNode, range(rendering.node.GetNumberOfDisplayNodes()))
        if node.IsA("vtkMRMLVolumeRenderingDisplayNode")
    )


def opacity_points(rendering: Rendering) -> list[float]:
    function = display_of(rendering).GetVolumePropertyNode().GetVolumeProperty().GetScalarOpacity()
    points = [[0.0] * 4 for _ in range(function.GetSize())]
    for index, point in enumerate(points):
        function.GetNodeValue(index, point)
    return [point[0] for point in points]


def test_a_volume_is_drawn_in_3d_only_while_it_is_visible(
    views: OffscreenViews, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume = makeVolume(voxels=a_bone())
    views.view(THREE_D).reset_view()
    empty = views.pictureOf(THREE_D)
    rendering.show(volume)
    views.view(THREE_D).reset_view()
    assert (views.pictureOf(THREE_D) != empty).any()
    rendering.set(USUAL_PRESET, 0.0, False)
    assert (views.pictureOf(THREE_D) == empty).all()


def test_nothing_is_made_before_it_is_wanted(
    application: OffscreenApplication, makeVolume: MakeVolume
) -> None:
    volume = makeVolume(voxels=a_bone())
    rendering = Rendering(application.scene, application.volumeRendering, True, isVisible=False)
    before = all_ids(application.scene)
    rendering.show(volume)
    assert rendering.node is None
    assert all_ids(application.scene) == before
    rendering.set(USUAL_PRESET, 0.0, True)
    assert rendering.node is not None
    rendering.show(None)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_exists(makeVolume: MakeVolume, rendering: Rendering, preset: str) -> None:
    rendering.show(makeVolume(voxels=a_bone()))
    rendering.set(preset, 0.0, True)
    assert len(opacity_points(rendering)) > 1


def test_a_shift_moves_all_points_of_the_preset_once(makeVolume: MakeVolume, rendering: Rendering) -> None:
    rendering.show(makeVolume(voxels=a_bone()))
    before = opacity_points(rendering)
    for shift in (50.0, -120.0):
        rendering.set(USUAL_PRESET, shift, True)
        assert opacity_points(rendering) == pytest.approx([hu + shift for hu in before])
    rendering.set(USUAL_PRESET, 0.0, True)
    assert opacity_points(rendering) == pytest.approx(before)


def test_nothing_is_left_behind_in_the_scene(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volumes = [makeVolume(voxels=a_bone()) for _ in range(2)]
    before = all_ids(scene)
    for volume in (*volumes, *volumes):
        rendering.show(volume)
    assert rendering.node.GetNodeReference("MAESIL.input") is volumes[1]
    rendering.show(None)
    assert all_ids(scene) == before


def test_it_is_in_no_list_and_in_no_saved_scene(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering, tmp_path: Path
) -> None:
    volume = makeVolume(voxels=a_bone())
    rendering.show(volume)
    servants = [display_of(rendering), display_of(rendering).GetVolumePropertyNode()]
    assert all(node.GetHideFromEditors() for node in (rendering.node, *servants))
    hierarchy = scene.GetSubjectHierarchyNode()
    assert not hierarchy.GetItemByDataNode(rendering.node)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    written = (tmp_path / "scene.mrml").read_text()
    assert ROLE not in written
    assert "VolumeRenderingDisplay" not in written
    assert written.count("<VolumeProperty") == 0


def test_a_rendering_of_the_users_own_is_left_alone(
    application: OffscreenApplication, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume = makeVolume(voxels=a_bone())
    own = application.volumeRendering.CreateDefaultVolumeRenderingNodes(volume)
    rendering.show(volume)
    rendering.set("CT-Lung", 10.0, False)
    rendering.show(None)
    assert own.GetScene() is application.scene
    assert own.GetVolumePropertyNode().GetScene() is application.scene
    assert application.volumeRendering.GetFirstVolumeRenderingDisplayNode(volume) is own


def test_it_follows_the_volume_under_another_transform(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume = makeVolume(voxels=a_bone())
    rendering.show(volume)
    node = rendering.node
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert rendering.node is node
    assert node.GetTransformNodeID() == transform.GetID()


@pytest.mark.parametrize("shape", [(24, 32, 40), LARGE])
def test_it_follows_voxels_that_are_edited(
    makeVolume: MakeVolume, rendering: Rendering, shape: tuple[int, int, int]
) -> None:
    volume = makeVolume(voxels=a_bone(shape))
    rendering.show(volume)
    slicer.util.arrayFromVolume(volume)[:] = 77
    slicer.util.arrayFromVolumeModified(volume)
    assert np.unique(slicer.util.arrayFromVolume(rendering.node)).tolist() == [77]


def test_it_follows_a_volume_that_is_moved(makeVolume: MakeVolume, rendering: Rendering) -> None:
    volume = makeVolume(voxels=a_bone())
    rendering.show(volume)
    volume.SetOrigin(10.0, 20.0, 30.0)
    assert rendering.node.GetOrigin() == (10.0, 20.0, 30.0)


def test_a_large_volume_is_thinned_out_for_the_processor_alone(
    application: OffscreenApplication, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume = makeVolume(voxels=a_bone(LARGE))
    rendering.show(volume)
    assert np.prod(rendering.node.GetImageData().GetDimensions()) <= 3_000_000
    bounds, thinned = [0.0] * 6, [0.0] * 6
    volume.GetRASBounds(bounds)
    rendering.node.GetRASBounds(thinned)
    assert thinned == pytest.approx(bounds, abs=2 * max(volume.GetSpacing()))

    onGraphicsCard = Rendering(application.scene, application.volumeRendering, isSoftware=False)
    onGraphicsCard.show(volume)
    # The very voxels, not another copy of them.
    assert onGraphicsCard.node.GetImageData() is volume.GetImageData()
    onGraphicsCard.show(None)


def test_padding_becomes_air(makeVolume: MakeVolume, rendering: Rendering) -> None:
    voxels = a_bone()
    voxels[0] = -3024
    volume = makeVolume(voxels=voxels)
    rendering.show(volume)
    assert slicer.util.arrayFromVolume(rendering.node).min() == -1024
    assert slicer.util.arrayFromVolume(volume).min() == -3024


def test_a_node_that_a_script_has_deleted_is_made_again(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    rendering.show(makeVolume(voxels=a_bone()))
    scene.RemoveNode(rendering.node)
    rendering.set(USUAL_PRESET, 0.0, True)
    assert rendering.node.GetScene() is scene


def test_a_volume_that_loses_its_voxels_is_rendered_no_more(
    makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume = makeVolume(voxels=a_bone())
    rendering.show(volume)
    volume.SetAndObserveImageData(None)
    assert rendering.node is None
    volume.SetAndObserveImageData(vtk.vtkImageData())
    assert rendering.node is None


def test_a_volume_that_is_shown_no_more_leaves_the_memory(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    volume, ends = makeVolume(voxels=a_bone()), []
    volume.GetImageData().AddObserver(vtk.vtkCommand.DeleteEvent, lambda *_: ends.append(1))
    rendering.show(volume)
    rendering.show(None)
    scene.RemoveNode(volume)
    assert ends == []
    del volume
    assert ends == [1]


def test_a_volume_can_be_shown_without_being_rendered(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, rendering: Rendering
) -> None:
    rendering.show(makeVolume(voxels=a_bone()))
    second = makeVolume(voxels=a_bone())
    before = len(all_ids(scene))
    rendering.show(second, isVisible=False)
    assert rendering.node is None
    assert len(all_ids(scene)) < before
    rendering.set(USUAL_PRESET, 0.0, True)
    assert rendering.node.GetNodeReference("MAESIL.input") is second


@pytest.mark.parametrize(
    ("renderer", "isSoftware"),
    [
        ("llvmpipe (LLVM 15.0.7, 256 bits)", True),
        ("D3D12 (Microsoft Basic Render Driver)", True),
        ("Apple Software Renderer", True),
        ("Google SwiftShader", True),
        ("NVIDIA GeForce RTX 4070/PCIe/SSE2", False),
        ("Apple M2", False),
        ("D3D12 (Intel(R) UHD Graphics)", False),
    ],
)
def test_drivers_that_draw_with_the_processor_are_known_by_their_names(
    renderer: str, isSoftware: bool
) -> None:
    window = SimpleNamespace(
        Render=lambda: None, ReportCapabilities=lambda: f"OpenGL renderer string:  {renderer}\n"
    )
    assert usesSoftware(window) == isSoftware
