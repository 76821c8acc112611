"""Moving the controls: what a person chooses is what is hidden, shown and kept with the scene."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from hosting import Host
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MODES
from MAESILSlicerLib.session.choices import MODE_TITLES, REGION_MODES
from modulehelp import FACTS, OpenModule, answerAtOnce, stagesOf
from volumes import addTestVolume, putUnderBent


@pytest.fixture
def module(host: Host, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenModule]:
    answerAtOnce(monkeypatch, FACTS)
    return OpenModule(host, tiny_model)


def rowsShown(module: OpenModule) -> set[str]:
    rows = ("ratio", "planeRatio", "axisRatio", "blockSize", "roi", "segment", "seed")
    return {row for row in rows if getattr(module.ui, row + "Label").isVisibleTo(module.host.window)}


def chooseMode(module: OpenModule, name: str) -> None:
    from MAESILSlicerLib.desktop.parameters import MaskMode

    module.ui.modeComboBox.setCurrentIndex(list(MaskMode).index(MaskMode[name]))
    module.host.process()


def paint(segmentation: slicer.vtkMRMLSegmentationNode, label: np.ndarray, segmentId: str) -> None:
    """Give a segment the voxels of a label on a grid of 1 mm whose voxel (0, 0, 0) lies at RAS (0, 0, 0)."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(label.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = label.ravel()
    segment = segmentation.GetSegmentation().GetSegment(segmentId)
    segment.SetLabelValue(1)
    segment.AddRepresentation("Binary labelmap", image)
    segmentation.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)


def test_the_window_says_what_the_volume_is(module: OpenModule) -> None:
    assert "Choose a volume" in module.ui.volumeInfoLabel.text
    assert not module.ui.reconstructButton.isEnabled()
    assert "Choose a volume" in module.ui.reconstructButton.toolTip
    module.use(spacing=(0.7, 0.7, 1.5))
    assert module.ui.volumeInfoLabel.text.startswith("40 x 32 x 24 voxels of 0.7 x 0.7 x 1.5 mm; 3 x 2 x 2")
    assert module.ui.reconstructButton.isEnabled()
    assert module.host.ui.maskInfoLabel.text.startswith("75.0 % hidden: 360 of 480 patches.")
    module.use(shape=(16, 16, 16))
    assert module.ui.volumeInfoLabel.text.endswith("; 1 superpatch.")


def test_a_volume_that_cannot_be_used_says_why(module: OpenModule) -> None:
    colored = addTestVolume(module.host.scene, nodeClass="vtkMRMLVectorVolumeNode", name="Photo")
    module.ui.volumeSelector.setCurrentNode(colored)
    assert module.ui.volumeSelector.currentNode() is None
    module.parameters.inputVolume = colored
    module.host.process()
    assert "colours" in module.ui.volumeInfoLabel.text
    assert not module.ui.reconstructButton.isEnabled()
    assert module.ui.reconstructButton.toolTip == module.ui.volumeInfoLabel.text
    assert module.session.overlays.maskNode is None


def test_an_image_that_is_no_ct_is_warned_about(module: OpenModule) -> None:
    module.use(voxels=np.full((16, 16, 16), 200, np.uint8))
    assert "8-bit" in module.ui.volumeInfoLabel.text
    assert module.ui.reconstructButton.isEnabled()


def test_only_what_a_mode_needs_is_shown(module: OpenModule) -> None:
    module.use()
    for modes, rows in (
        (("NESTED", "PRODUCT"), {"planeRatio", "axisRatio", "seed"}),
        (("RANDOM", "PLANE", "AXIS"), {"ratio", "seed"}),
        (("BLOCK",), {"ratio", "blockSize", "seed"}),
        (("ROI",), {"roi"}),
        (("SEGMENT",), {"segment"}),
    ):
        for mode in modes:
            chooseMode(module, mode)
            assert rowsShown(module) == rows, mode


def test_every_mode_has_a_title(module: OpenModule) -> None:
    from MAESILSlicerLib.desktop.parameters import MaskMode

    assert [mode.value for mode in MaskMode] == list(MODE_TITLES)
    assert set(MODES) == set(MODE_TITLES) - set(REGION_MODES)


def test_each_slider_moves_the_mask(module: OpenModule) -> None:
    module.use()
    for mode, slider in (("NESTED", "planeRatio"), ("NESTED", "axisRatio"), ("RANDOM", "ratio")):
        chooseMode(module, mode)
        shares = []
        for value in (0.25, 0.5, 0.75):
            getattr(module.ui, slider + "Slider").value = value
            module.host.process()
            shares.append(module.session.mask.hidden_fraction)
            assert getattr(module.parameters, slider) == value
        assert shares == sorted(set(shares)), (mode, slider)
        assert module.session.overlays.maskNode is not None


def test_many_moves_in_one_go_are_drawn_once(module: OpenModule) -> None:
    module.use()
    drawn = []
    module.session.changed.connect(lambda _topics: drawn.append(module.session.choices.strategy), "mask")
    for percent in range(20, 80):
        module.ui.planeRatioSlider.value = percent / 100
    assert not drawn
    module.host.process()
    assert [strategy.plane_ratio for strategy in drawn] == [0.79]


def test_seed_and_block_size_draw_another_mask(module: OpenModule) -> None:
    module.use()
    chooseMode(module, "BLOCK")
    first = stagesOf(module)
    module.ui.blockSizeSpinBox.value = 3
    module.host.process()
    second = stagesOf(module)
    assert (first != second).any()
    module.host.click(module.ui.redrawButton)
    assert module.ui.seedSpinBox.value == module.parameters.seed != 0
    assert (stagesOf(module) != second).any()


def assertNothingIsHidden(module: OpenModule) -> None:
    """No mask is shown that would be taken for what was chosen; the window says in its place what is wrong."""
    assert html.unescape(module.ui.maskInfoLabel.text) == module.status
    assert module.session.mask is None
    for node in (module.session.overlays.maskNode, module.session.overlays.cubesNode):
        assert not node.GetDisplayNode().GetVisibility()


def test_shares_that_hide_nothing_are_refused_in_words(module: OpenModule) -> None:
    module.use()
    module.ui.planeRatioSlider.value = 0.0
    module.ui.axisRatioSlider.value = 0.0
    module.host.process()
    assert "both 0" in module.status
    assertNothingIsHidden(module)
    assert module.ui.reconstructButton.toolTip == module.status
    assert not module.ui.reconstructButton.isEnabled()
    module.ui.axisRatioSlider.value = 0.5
    module.host.process()
    assert module.status == ""
    assert module.ui.reconstructButton.isEnabled()


def test_a_volume_of_which_nothing_is_hidden_is_refused_in_words(module: OpenModule) -> None:
    module.use(shape=(4, 4, 4))
    assert "hide none of the volume's patches (1)" in module.status
    assertNothingIsHidden(module)
    assert not module.ui.reconstructButton.isEnabled()
    module.use()
    assert module.status == ""
    assert module.ui.reconstructButton.isEnabled()


def test_the_check_boxes_and_the_opacity_reach_the_overlays(module: OpenModule) -> None:
    from MAESILSlicerLib.overlays.overlays import OverlayDisplay

    module.use()
    for box, field in (
        ("gridCheckBox", "grid"),
        ("labelsCheckBox", "labels"),
        ("mask2dCheckBox", "mask2d"),
        ("mask3dCheckBox", "mask3d"),
        ("outlineCheckBox", "outline"),
    ):
        module.host.click(getattr(module.ui, box))
        assert getattr(module.session.overlays._display, field) is False, box
    module.ui.opacitySlider.value = 0.8
    module.host.process()
    assert module.session.overlays._display == OverlayDisplay(False, False, False, False, 0.8, False)


def test_what_could_not_be_shown_once_is_no_obstacle_once_it_can(
    module: OpenModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("Not now.")

    module.use()
    for owner, name, change in (
        (module.session, "_place", lambda: module.use(name="Other")),
        (module.session.overlays, "setDisplay", lambda: module.ui.gridCheckBox.click()),
        (module.session.overlays, "setHighlight", lambda: module.ui.superpatchSpinBox.stepUp()),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            change()
            module.host.process()
        assert (module.status, module.ui.reconstructButton.isEnabled()) == ("Not now.", False), name
        change()
        module.host.process()
        assert (module.status, module.ui.reconstructButton.isEnabled()) == ("", True), name


def test_a_superpatch_is_outlined_and_the_views_go_there(module: OpenModule) -> None:
    module.use()
    assert not module.ui.clipCheckBox.isEnabled()
    module.ui.superpatchSpinBox.value = 7
    module.host.process()
    assert module.session.overlays.highlightNode is not None
    assert module.ui.superpatchInfoLabel.text.startswith("Superpatch 1-0-1 (i-j-k)")
    center = module.session.overlays.centerOf(7)
    sliceNode = module.host.scene.GetNodeByID("vtkMRMLSliceNodeRed")
    assert sliceNode.GetSliceOffset() == pytest.approx(center[2])
    module.host.click(module.ui.clipCheckBox)
    assert module.session.overlays._display.clip == 7


def test_a_smaller_volume_forgets_a_superpatch_that_it_has_not(module: OpenModule) -> None:
    module.use()
    module.ui.superpatchSpinBox.value = 11
    module.host.process()
    module.use(shape=(16, 16, 16))
    assert module.parameters.superpatch == -1
    assert module.ui.superpatchSpinBox.maximum == 0
    assert not module.ui.superpatchInfoLabel.isVisibleTo(module.host.window)


def test_a_click_in_a_slice_chooses_the_superpatch_below(module: OpenModule) -> None:
    module.use()
    crosshair = module.host.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is None:
        crosshair = module.host.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    interactor = module.host.app.layoutManager().sliceWidget("Red").sliceView().interactor()
    crosshair.SetCursorPositionRAS(module.session.overlays.centerOf(4))
    interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    module.host.process()
    assert module.parameters.superpatch == -1
    module.host.click(module.ui.pickButton)
    interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    module.host.process()
    assert module.ui.superpatchSpinBox.value == 4


def test_a_region_hides_what_it_covers_and_is_followed(module: OpenModule) -> None:
    module.use()
    chooseMode(module, "ROI")
    assert "ROI" in module.status
    assertNothingIsHidden(module)
    assert not module.ui.reconstructButton.isEnabled()
    roi = module.host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Lesion")
    module.ui.roiSelector.nodeAddedByUser.emit(roi)
    module.ui.roiSelector.setCurrentNode(roi)
    module.host.process()
    assert module.status == ""
    assert 0 < module.session.mask.hidden_fraction < 0.2
    before = stagesOf(module)
    roi.SetCenter(8.0, 8.0, 8.0)
    module.host.wait(lambda: (stagesOf(module) != before).any(), 5)
    assert not module.ui.predictionComboBox.isEnabled()
    assert module.ui.reconstructButton.isEnabled()
    roi.SetCenter(500.0, 0.0, 0.0)
    module.host.wait(lambda: "Lesion" in module.status, 5)
    assertNothingIsHidden(module)
    assert not module.ui.reconstructButton.isEnabled()


def test_of_a_region_only_what_is_hidden_is_predicted_and_the_choice_for_other_masks_stays(
    module: OpenModule,
) -> None:
    from MAESILSlicerLib.desktop.parameters import Prediction

    module.use()
    combo, spinBox = module.ui.predictionComboBox, module.ui.maskCountSpinBox
    chooseMode(module, "ROI")
    useRoi(module)
    assert combo.currentText == "Only the mask shown"
    assert not spinBox.isVisibleTo(module.host.window)
    assert module.parameters.prediction is Prediction.EVERY_PATCH
    chooseMode(module, "NESTED")
    assert combo.currentText == "Cover all patches"
    assert spinBox.isVisibleTo(module.host.window)


def test_a_deleted_region_is_asked_for_again(module: OpenModule) -> None:
    module.use()
    chooseMode(module, "ROI")
    roi = module.ui.roiSelector.addNode()
    module.host.process()
    assert roi.GetName() == "MAESIL region"
    module.host.scene.RemoveNode(roi)
    module.host.process()
    assert "Choose the ROI" in module.status
    assertNothingIsHidden(module)
    chooseMode(module, "NESTED")
    assert module.status == ""
    assert module.session.overlays.maskNode.GetDisplayNode().GetVisibility()


def test_a_region_that_is_given_up_with_its_volume_is_no_obstacle(module: OpenModule) -> None:
    from MAESILSlicerLib.desktop.parameters import MaskMode

    module.use()
    chooseMode(module, "ROI")
    assert "Choose the ROI" in module.status
    other = addTestVolume(module.host.scene, shape=(16, 16, 16))
    with slicer.util.NodeModify(module.parameters):
        module.parameters.inputVolume = other
        module.parameters.mode = MaskMode.NESTED
    module.host.process()
    assert module.status == ""
    assert module.ui.reconstructButton.isEnabled()


def test_a_segment_hides_what_it_covers(module: OpenModule) -> None:
    module.use()
    segmentation = module.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    segmentId = segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
    chooseMode(module, "SEGMENT")
    assert "Choose the segment" in module.status
    assertNothingIsHidden(module)
    module.ui.segmentSelector.setCurrentNode(segmentation)
    module.ui.segmentSelector.setCurrentSegmentID(segmentId)
    module.host.process()
    assert module.parameters.segmentId == segmentId
    assert "Liver" in module.status
    assertNothingIsHidden(module)
    label = np.zeros((24, 32, 40), np.uint8)
    label[4:12, 8:16, 8:20] = 1
    paint(segmentation, label, segmentId)
    module.host.wait(lambda: module.status == "", 5)
    hidden = module.session.grid.expand(module.session.mask.hidden)
    np.testing.assert_array_equal(hidden, label.astype(bool))


def test_the_segment_that_a_script_chooses_is_the_one_that_is_hidden(module: OpenModule) -> None:
    node = module.use()
    labels = {name: np.zeros((24, 32, 40), np.uint8) for name in ("lung", "liver", "heart", "spleen")}
    for index, label in enumerate(labels.values()):
        label[4:12, 8:16, 8 * index : 8 * index + 8] = 1
    segmentations = []
    for names in (("lung", "liver"), ("heart", "spleen")):
        segmentations.append(module.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
        for name in names:
            segmentations[-1].GetSegmentation().AddEmptySegment(name, name)
            paint(segmentations[-1], labels[name], name)
    for segmentation, name in ((0, "liver"), (1, "spleen"), (0, "liver"), (1, "heart")):
        mask = module.logic.showMask(
            node,
            mode="segment",
            segmentation=segmentations[segmentation],
            segmentId=name,
            model=str(module.model),
        )
        module.host.process()
        assert mask is module.session.mask
        assert module.parameters.segmentId == module.ui.segmentSelector.currentSegmentID() == name
        np.testing.assert_array_equal(module.session.grid.expand(mask.hidden), labels[name].astype(bool))


def test_a_segment_that_is_not_there_any_more_is_not_shown_as_chosen(module: OpenModule) -> None:
    module.use()
    segmentation = module.host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name in ("lung", "liver"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    chooseMode(module, "SEGMENT")
    module.parameters.segmentation, module.parameters.segmentId = segmentation, "liver"
    module.host.process()
    assert module.ui.segmentSelector.currentSegmentID() == "liver"
    module.host.widget.exit()
    segmentation.GetSegmentation().RemoveSegment("liver")
    module.host.widget.enter()
    module.host.process()
    assert module.ui.segmentSelector.currentSegmentID() == ""
    assert 'no segment "liver"' in module.status
    assertNothingIsHidden(module)


def test_another_checkpoint_cuts_the_volume_anew(module: OpenModule, tiny_model: Path) -> None:
    module.use()
    assert "tiny" in module.ui.modelInfoLabel.text
    module.ui.modelComboBox.setCurrentIndex(0)
    module.ui.modelComboBox.activated.emit(0)
    module.host.process()
    assert module.session.grid.superpatch_size == (128, 128, 128)
    assert "Trained on" in module.ui.modelCardLabel.text
    module.host.dialogs.answers = [str(tiny_model)]
    module.host.click(module.ui.modelButton)
    assert module.session.grid.superpatch_size == (16, 16, 16)
    assert module.ui.modelComboBox.currentText == "tiny.safetensors"


def test_a_checkpoint_that_cannot_be_used_is_refused_in_words(
    module: OpenModule, tiny_model: Path, tmp_path: Path
) -> None:
    missing, short, other = (tmp_path / f"patient {name}.safetensors" for name in ("a", "b", "c"))
    short.write_bytes(tiny_model.read_bytes()[:-50])
    other.write_bytes(b"PK\x03\x04 a pickle in a zip")
    module.use()
    mask = stagesOf(module)
    for path in (missing, short, other):
        module.parameters.model = str(path)
        module.host.process()
        assert path.name in module.status
        assert module.ui.reconstructButton.toolTip == module.status
        assert not module.ui.reconstructButton.isEnabled()
        np.testing.assert_array_equal(stagesOf(module), mask)
        assert module.ui.modelComboBox.currentText == path.name
        assert module.ui.modelInfoLabel.text == module.status
    module.parameters.model = str(tiny_model)
    module.host.process()
    assert module.status == ""
    assert module.ui.reconstructButton.isEnabled()
    assert not any("patient" in name for name in modelsOffered(module))


def modelsOffered(module: OpenModule) -> list[str]:
    combo = module.ui.modelComboBox
    return [combo.itemText(index) for index in range(combo.count)]


def test_a_file_that_is_no_checkpoint_leaves_the_model_before(module: OpenModule, tmp_path: Path) -> None:
    path = tmp_path / "patient.safetensors"
    path.write_bytes(b"PK\x03\x04 a pickle in a zip")
    module.use()
    offered = modelsOffered(module)
    module.host.dialogs.answers = [str(path)]
    module.host.click(module.ui.modelButton)
    assert path.name in module.status
    assert module.ui.modelComboBox.currentText == module.model.name
    assert "tiny" in module.ui.modelInfoLabel.text
    assert modelsOffered(module) == offered
    assert module.parameters.model == str(module.model)
    assert module.ui.reconstructButton.isEnabled()


def test_a_listed_checkpoint_that_is_gone_leaves_the_model_before(
    module: OpenModule, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    module.use()
    for chosen in (path, tiny_model):
        module.host.dialogs.answers = [str(chosen)]
        module.host.click(module.ui.modelButton)
    path.unlink()
    index = module.ui.modelComboBox.findData(str(path))
    module.ui.modelComboBox.setCurrentIndex(index)
    module.ui.modelComboBox.activated.emit(index)
    module.host.process()
    assert "mine.safetensors" in module.status
    assert module.ui.modelComboBox.currentText == tiny_model.name
    assert module.parameters.model == str(tiny_model)


def test_the_choices_of_the_computer_outlive_the_scene(module: OpenModule) -> None:
    from MAESILSlicerLib.desktop import settings

    index = module.ui.deviceComboBox.findData("cpu")
    assert index > 0
    module.ui.deviceComboBox.setCurrentIndex(index)
    module.ui.deviceComboBox.activated.emit(index)
    module.ui.batchSizeSpinBox.value = 3
    module.host.closeScene()
    module.host.reload()
    assert (settings.device(), settings.batchSize()) == ("cpu", 3)
    assert module.ui.deviceComboBox.currentData == "cpu"
    assert module.ui.batchSizeSpinBox.value == 3


def test_a_device_that_is_gone_is_named_so(module: OpenModule) -> None:
    from MAESILSlicerLib.desktop import settings

    settings.setDevice("cuda:1")
    module.window.schedule("system")
    module.host.process()
    assert module.ui.deviceComboBox.currentText == "cuda:1, not found"


def test_choices_are_saved_with_the_scene_and_come_back(module: OpenModule, tmp_path: Path) -> None:
    module.use(name="Chest")
    chooseMode(module, "RANDOM")
    module.ui.ratioSlider.value = 0.4
    module.ui.seedSpinBox.value = 12
    module.ui.superpatchSpinBox.value = 3
    module.ui.gridCheckBox.setChecked(False)
    module.host.process()
    stages = stagesOf(module)
    path = tmp_path / "Szene.mrb"
    assert slicer.util.saveScene(str(path))
    module.host.closeScene()
    assert module.session.volumeNode is None
    assert "Choose a volume" in module.ui.volumeInfoLabel.text
    assert module.ui.ratioSlider.value == 0.75
    slicer.util.loadScene(str(path))
    module.host.process()
    assert module.session.volumeNode.GetName() == "Chest"
    assert module.ui.ratioSlider.value == 0.4
    assert module.ui.seedSpinBox.value == 12
    assert module.ui.superpatchSpinBox.value == 3
    assert not module.ui.gridCheckBox.checked
    np.testing.assert_array_equal(stagesOf(module), stages)
    assert module.session.overlays.maskNode is not None


def test_a_closed_and_reopened_scene_starts_anew(module: OpenModule) -> None:
    for _ in range(2):
        module.use()
        assert module.session.mask is not None
        module.host.closeScene()
        assert module.session.mask is None
        assert module.ui.volumeSelector.currentNode() is None
        assert not module.ui.reconstructButton.isEnabled()


def test_a_reload_leaves_one_window_that_works(module: OpenModule) -> None:
    module.use()
    before = module.host.widget
    module.host.reload()
    assert module.host.widget is not before
    assert module.ui.reconstructButton.isEnabled(), module.ui.reconstructButton.toolTip
    module.ui.planeRatioSlider.value = 0.25
    module.host.process()
    assert module.session.choices.strategy.plane_ratio == 0.25
    assert before.logic.session.choices.strategy.plane_ratio == 0.5


def test_a_reload_does_not_enter_a_module_that_was_left(module: OpenModule) -> None:
    module.use()
    module.host.widget.exit()
    module.host.reload()
    assert not module.ui.reconstructButton.isEnabled()
    assert module.session.overlays.maskNode is None


def useRoi(module: OpenModule) -> slicer.vtkMRMLMarkupsROINode:
    """Hide the middle of the chosen volume by a ROI."""
    chooseMode(module, "ROI")
    roi = module.host.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Lesion")
    module.ui.roiSelector.nodeAddedByUser.emit(roi)
    module.ui.roiSelector.setCurrentNode(roi)
    module.host.process()
    assert module.session.isRegion
    return roi


def test_a_checkpoint_that_was_refused_once_is_refused_again_until_it_is_there(
    module: OpenModule, tiny_model: Path, tmp_path: Path
) -> None:
    node, path = module.use(), tmp_path / "mine.safetensors"
    for _ in range(2):
        with pytest.raises(ConfigError, match="mine"):
            module.logic.showMask(node, model=str(path))
    module.host.widget.exit()
    module.host.widget.enter()
    module.host.process()
    assert "mine" in module.status
    assert not module.ui.reconstructButton.isEnabled()
    path.write_bytes(tiny_model.read_bytes())
    assert module.logic.showMask(node, model=str(path)) is module.session.mask
    module.host.process()
    assert module.session.model.path == path
    assert module.ui.reconstructButton.isEnabled()


def test_a_region_is_hidden_anew_when_its_volume_changes(module: OpenModule) -> None:
    node = module.use()
    useRoi(module)
    expected = stagesOf(module)
    before = module.session.mask
    node.SetOrigin(0.25, 0.0, 0.0)
    module.host.process()
    assert module.session.mask is not before
    assert module.session.isRegion
    np.testing.assert_array_equal(stagesOf(module), expected)


def test_a_region_is_what_is_reconstructed_however_soon_after_a_change(module: OpenModule) -> None:
    node = module.use()
    useRoi(module)
    expected = stagesOf(module)
    node.SetOrigin(0.25, 0.0, 0.0)
    module.ui.reconstructButton.click()
    assert module.session.isRunning, module.status
    assert module.session.isRegion
    np.testing.assert_array_equal(stagesOf(module), expected)
    node.SetOrigin(0.0, 0.25, 0.0)
    module.host.process()
    assert module.session.isRegion
    assert "moved" in module.status


def test_a_cropped_volume_keeps_its_superpatch_outlined_and_clipped(module: OpenModule) -> None:
    node = module.use()
    module.ui.superpatchSpinBox.value = 1
    module.host.process()
    module.host.click(module.ui.clipCheckBox)
    slicer.util.updateVolumeFromArray(node, np.zeros((24, 24, 32), np.int16))
    module.host.process()
    assert (module.ui.superpatchSpinBox.value, module.ui.clipCheckBox.checked) == (1, True)
    assert module.session.overlays._highlight == 1
    assert module.session.overlays._display.clip == 1


def test_a_region_is_hidden_where_it_is_when_the_volume_is_moved_below_it(module: OpenModule) -> None:
    node = module.use()
    useRoi(module)
    moved = module.host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    before = stagesOf(module)
    node.SetAndObserveTransformNodeID(moved.GetID())
    matrix = np.eye(4)
    matrix[0, 3] = 8.0
    moved.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    expected = np.roll(before, -2, axis=2)
    module.host.wait(lambda: np.array_equal(stagesOf(module), expected), 5)


def test_a_transform_that_is_not_linear_is_an_obstacle_until_it_is_taken_away(module: OpenModule) -> None:
    node = module.use()
    module.ui.superpatchSpinBox.value = 3
    module.host.process()
    module.host.click(module.ui.pickButton)
    expected = stagesOf(module)
    putUnderBent(module.host.scene, node)
    interactor = module.host.app.layoutManager().sliceWidget("Red").sliceView().interactor()
    interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    module.host.process()
    assert "not linear" in module.ui.volumeInfoLabel.text
    assert module.ui.reconstructButton.toolTip == module.ui.volumeInfoLabel.text
    assert not module.ui.reconstructButton.isEnabled()
    assert module.session.overlays.gridNode is None
    node.SetAndObserveTransformNodeID(None)
    module.host.process()
    assert module.ui.reconstructButton.isEnabled()
    np.testing.assert_array_equal(stagesOf(module), expected)
    assert module.session.overlays._highlight == 3


def test_a_model_that_hides_nothing_needs_no_mask(
    module: OpenModule, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from MAESILCore.jobs.reconstruction import ReconstructionRequest
    from MAESILCore.methods.abilities import Abilities

    module.use(name="Chest")
    ui, session = module.ui, module.session
    sees = Abilities(hides=False, reconstructs=True, levels=())
    module.parameters.model = str(make_tiny_model(tmp_path / "all.safetensors", abilities=sees))
    module.host.process()
    assert ui.maskInfoLabel.text == "The model tiny sees all patches, so there is no mask."
    assert not session.mask.hidden.any()
    for widget in (ui.modeComboBox, ui.planeRatioSlider, ui.redrawButton, ui.predictionComboBox):
        assert not widget.isEnabled()
        assert widget.toolTip == ui.maskInfoLabel.text
    for widget in (ui.maskCountSpinBox, ui.predictionComboBox, ui.predictionLabel):
        assert not widget.isVisibleTo(module.host.window)
    module.host.click(ui.reconstructButton)
    request = ReconstructionRequest.read(session.job.folder.path)
    assert (request.coverage, request.has_mask) == (0, True)
    session.cancel()
    module.finish()
    module.parameters.model = str(module.model)
    module.host.process()
    assert ui.modeComboBox.isEnabled()
    assert ui.modeComboBox.toolTip == "How the mask chooses the hidden patches."
    assert ui.maskInfoLabel.text.startswith("75.0 % hidden")
