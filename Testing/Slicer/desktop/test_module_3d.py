"""The 3D view of the desktop: the camera that a volume is fitted to, and its volume rendering."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
import slicer
import vtk

from modulehelp import FACTS, OpenModule, answerAtOnce
from volumes import addTestVolume

if TYPE_CHECKING:
    from pathlib import Path

    from hosting import Host

FAR_AWAY = (1500.0, -800.0, 2000.0)


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> OpenModule:
    """The module, open in the host, as yet without a volume."""
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def renderer_of(module: OpenModule) -> vtk.vtkRenderer:
    window = module.host.app.layoutManager().threeDWidget(0).threeDView().renderWindow()
    return window.GetRenderers().GetFirstRenderer()


def camera_of(module: OpenModule) -> vtk.vtkCamera:
    return renderer_of(module).GetActiveCamera()


def choose(module: OpenModule, node: slicer.vtkMRMLScalarVolumeNode) -> None:
    module.ui.volumeSelector.setCurrentNode(node)
    module.host.process()


def is_whole_in_view(module: OpenModule, node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether every corner of a volume is drawn in 3D, and the volume takes a good part of the view."""
    renderer, bounds = renderer_of(module), [0.0] * 6
    node.GetRASBounds(bounds)
    places = []
    for corner in itertools.product(bounds[:2], bounds[2:4], bounds[4:]):
        renderer.SetWorldPoint(*corner, 1.0)
        renderer.WorldToView()
        places.append(renderer.GetViewPoint()[:2])
    return bool(np.abs(places).max() <= 1.0 and np.ptp(places, axis=0).max() > 0.7)


def direction_of(module: OpenModule) -> np.ndarray:
    return np.array(camera_of(module).GetDirectionOfProjection())


def test_the_first_volume_is_seen_whole_from_left_front_above(module: OpenModule) -> None:
    node = module.use(origin=FAR_AWAY)
    assert is_whole_in_view(module, node)
    right, anterior, superior = -direction_of(module)
    assert right < -0.3
    assert anterior > 0.3
    assert superior > 0.2
    assert camera_of(module).GetViewUp()[2] > 0.8


def test_a_volume_that_the_slices_show_already_is_fitted_as_well(module: OpenModule) -> None:
    node = addTestVolume(module.host.scene, origin=FAR_AWAY)
    slicer.util.setSliceViewerLayers(background=node)
    choose(module, node)
    assert is_whole_in_view(module, node)


def test_another_volume_is_fitted_once_and_in_the_direction_that_the_user_has_turned_to(
    module: OpenModule,
) -> None:
    first = module.use(name="First")
    camera_of(module).Azimuth(70.0)
    turned = direction_of(module)
    second = addTestVolume(module.host.scene, name="Second", origin=FAR_AWAY)
    for node in (second, first, second):
        choose(module, node)
        assert is_whole_in_view(module, node)
        assert direction_of(module) == pytest.approx(turned)
    camera_of(module).Zoom(3.0)
    camera_of(module).Elevation(20.0)
    position = camera_of(module).GetPosition()
    # All of it draws the window anew.
    module.ui.planeRatioSlider.setValue(0.25)
    module.host.process()
    module.host.widget.exit()
    module.host.widget.enter()
    module.host.process()
    assert camera_of(module).GetPosition() == pytest.approx(position)


def test_a_camera_that_was_turned_before_the_first_volume_keeps_its_direction(module: OpenModule) -> None:
    camera_of(module).Azimuth(40.0)
    turned = direction_of(module)
    node = module.use(origin=FAR_AWAY)
    assert is_whole_in_view(module, node)
    assert direction_of(module) == pytest.approx(turned)


def test_the_camera_of_a_loaded_scene_stays(module: OpenModule, tmp_path: Path) -> None:
    module.use()
    camera_of(module).Azimuth(33.0)
    camera_of(module).Zoom(2.0)
    position = camera_of(module).GetPosition()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    module.host.closeScene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    module.host.process()
    assert module.session.volumeNode is not None
    assert camera_of(module).GetPosition() == pytest.approx(position)


def test_a_volume_in_a_new_scene_is_seen_from_aside_again(module: OpenModule) -> None:
    module.use()
    module.host.closeScene()
    node = module.use(origin=FAR_AWAY)
    assert is_whole_in_view(module, node)
    assert abs(direction_of(module)).max() < 0.95


def test_a_view_of_another_layout_is_fitted_when_it_comes_onto_the_screen(module: OpenModule) -> None:
    module.use(name="First")
    layoutManager = module.host.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    module.host.process()
    position = camera_of(module).GetPosition()
    node = module.use(name="Second", origin=FAR_AWAY)
    assert camera_of(module).GetPosition() == pytest.approx(position)
    # Other sizes than the view had when it was hidden.
    module.host.window.resize(1200, 1100)
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
    module.host.process()
    assert is_whole_in_view(module, node)


def renderings() -> list[slicer.vtkMRMLNode]:
    """What renders volumes, also while it is invisible."""
    return slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")


def rendered(module: OpenModule) -> list[slicer.vtkMRMLNode]:
    return [node for node in renderings() if node.GetVisibility()]


def test_volume_rendering_is_off_until_it_is_ticked(module: OpenModule) -> None:
    node = module.use()
    assert not module.ui.renderingCheckBox.checked
    assert renderings() == []
    module.host.click(module.ui.renderingCheckBox)
    (display,) = rendered(module)
    assert display.GetVolumeNode().GetNodeReference("MAESIL.input") is node
    assert display.GetVolumePropertyNode().GetName() == "CT-Chest-Contrast-Enhanced"
    module.ui.renderingComboBox.setCurrentIndex(4)
    module.host.process()
    assert module.ui.renderingComboBox.currentText == "Lung"
    assert display.GetVolumePropertyNode().GetName() == "CT-Lung"
    module.host.click(module.ui.renderingCheckBox)
    assert rendered(module) == []


def test_the_rendering_goes_with_the_chosen_volume(module: OpenModule) -> None:
    first = module.use(name="First")
    module.host.click(module.ui.renderingCheckBox)
    second = addTestVolume(module.host.scene, name="Second")
    for node in (second, first):
        choose(module, node)
        (display,) = rendered(module)
        assert display.GetVolumeNode().GetNodeReference("MAESIL.input") is node
    module.host.scene.RemoveNode(first)
    module.host.process()
    assert rendered(module) == []
    assert module.ui.volumeSelector.currentNode() is not first


def test_a_volume_that_is_not_in_hu_is_not_rendered_and_the_box_says_why(module: OpenModule) -> None:
    ct = module.use(name="CT")
    module.host.click(module.ui.renderingCheckBox)
    assert rendered(module)
    module.use(name="MR", voxels=np.full((24, 32, 40), 700, dtype=np.uint16))
    assert renderings() == []
    assert not module.ui.renderingCheckBox.isEnabled()
    assert "HU" in module.ui.renderingCheckBox.toolTip
    choose(module, ct)
    assert rendered(module)
    assert module.ui.renderingCheckBox.isEnabled()


def test_the_choice_is_saved_with_the_scene_and_the_rendering_is_made_anew(
    module: OpenModule, tmp_path: Path
) -> None:
    module.use()
    module.host.click(module.ui.renderingCheckBox)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    module.host.closeScene()
    assert slicer.util.getNodesByClass("vtkMRMLVolumePropertyNode") == []
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    module.host.process()
    assert module.ui.renderingCheckBox.checked
    assert len(rendered(module)) == 1
    assert len(slicer.util.getNodesByClass("vtkMRMLVolumePropertyNode")) == 1


def test_the_rendering_is_made_anew_by_a_reload_and_goes_with_the_module(module: OpenModule) -> None:
    module.use()
    module.host.click(module.ui.renderingCheckBox)
    module.host.reload()
    assert len(rendered(module)) == 1
    module.host.widget.cleanup()
    for kind in ("vtkMRMLVolumeRenderingDisplayNode", "vtkMRMLVolumePropertyNode"):
        assert slicer.util.getNodesByClass(kind) == []
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == ["CT"]


def test_the_rendering_is_hidden_while_another_module_is_open_and_comes_back(module: OpenModule) -> None:
    module.use()
    module.host.click(module.ui.renderingCheckBox)
    (display,) = rendered(module)
    for _ in range(2):
        module.host.widget.exit()
        module.host.process()
        assert rendered(module) == []
        assert module.parameters.showRendering
        module.host.widget.enter()
        module.host.process()
        assert rendered(module) == [display]
        assert module.ui.renderingCheckBox.checked
    module.host.click(module.ui.renderingCheckBox)
    module.host.widget.exit()
    module.host.widget.enter()
    module.host.process()
    assert rendered(module) == []


def test_the_users_own_rendering_stays_when_another_module_is_opened(module: OpenModule) -> None:
    node = module.use()
    own = slicer.modules.volumerendering.logic().CreateDefaultVolumeRenderingNodes(node)
    own.SetVisibility(True)
    module.host.click(module.ui.renderingCheckBox)
    assert len(rendered(module)) == 2
    module.host.widget.exit()
    module.host.process()
    assert rendered(module) == [own]


@pytest.mark.parametrize("isDeleted", [False, True])
def test_no_rendering_outlasts_its_volume_while_another_module_is_open(
    module: OpenModule, isDeleted: bool
) -> None:
    first = module.use(name="First")
    module.host.click(module.ui.renderingCheckBox)
    module.host.widget.exit()
    if isDeleted:
        module.host.scene.RemoveNode(first)
    else:
        module.logic.showMask(addTestVolume(module.host.scene, (24, 32, 40), name="Second"))
    module.host.process()
    assert renderings() == []
    assert "MAESIL 3D" not in module.namesOf("vtkMRMLScalarVolumeNode")


def test_a_volume_for_whose_rendering_memory_lacks_says_so_and_is_masked(
    module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.scene import rendering

    def fail(_voxels: np.ndarray) -> np.ndarray:
        raise MemoryError

    module.use(name="First")
    module.host.click(module.ui.renderingCheckBox)
    monkeypatch.setattr(rendering.voxeltypes, "storable", fail)
    # Padding is replaced in a copy.
    padded = np.linspace(-1000, 1000, 40**3).astype(np.int16).reshape(40, 40, 40)
    padded[0] = -2000
    node = module.use(name="Second", voxels=padded)
    assert 'not enough memory to render "Second"' in module.status
    assert renderings() == []
    assert not module.ui.renderingCheckBox.checked
    assert module.session.volumeNode is node
    assert module.ui.volumeInfoLabel.text.startswith("40 x 40 x 40 voxels")
    assert module.ui.maskInfoLabel.text
    # The box can be ticked for a volume that fits.
    choose(module, slicer.util.getNode("First"))
    module.host.click(module.ui.renderingCheckBox)
    assert len(rendered(module)) == 1


def test_a_volume_is_rendered_once_it_can_be_used(module: OpenModule) -> None:
    ct = module.use(name="CT")
    module.host.click(module.ui.renderingCheckBox)
    empty = module.host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    choose(module, empty)
    assert renderings() == []
    empty.SetAndObserveImageData(ct.GetImageData())
    module.host.process()
    (display,) = rendered(module)
    assert display.GetVolumeNode().GetNodeReference("MAESIL.input") is empty


def test_nothing_is_rendered_before_a_3d_view_is_on_the_screen(module: OpenModule) -> None:
    layoutManager = module.host.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    module.use()
    module.host.click(module.ui.renderingCheckBox)
    assert renderings() == []
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    module.host.process()
    assert len(rendered(module)) == 1


def test_nothing_is_rendered_before_the_3d_view_can_tell_how_it_draws(
    module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILSlicerLib.desktop import displaypanel

    # As Qt's window is before it was drawn for the first time.
    window = vtk.vtkGenericOpenGLRenderWindow()
    window.SetReadyForRendering(False)
    module.use()
    with monkeypatch.context() as patch:
        patch.setattr(displaypanel, "renderWindows", lambda: [window])
        module.host.click(module.ui.renderingCheckBox)
        assert renderings() == []
    window.InvokeEvent(vtk.vtkCommand.EndEvent)
    module.host.process()
    assert len(rendered(module)) == 1
    assert not window.HasObserver(vtk.vtkCommand.EndEvent)
