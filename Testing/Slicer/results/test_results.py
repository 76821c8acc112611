"""A finished job becomes nodes beside its input: exactly placed, well named, all of them or none."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slicer
import vtk

from finishedjob import PATCH, expanded, writeFinishedJob
from MAESILCore.report.shading import ERROR_STOPS, UNCERTAINTY_STOPS
from MAESILSlicerLib.results.jobfiles import ResultsError
from MAESILSlicerLib.results.reconstruction import maskCount
from MAESILSlicerLib.results.resultset import allResults, importResults, removeResults
from MAESILSlicerLib.results.tables import addScoreChart, addSuperpatchTable, superpatchOfRow
from MAESILSlicerLib.scene.volumes import geometryOf, readVolume, voxelsOf

if TYPE_CHECKING:
    from finishedjob import MakeJob
    from offscreen import OffscreenViews
    from volumes import MakeVolume

OBLIQUE = {
    "angles": (20.0, -15.0, 40.0),
    "spacing": (0.8, 1.2, 2.0),
    "flips": (-1, 1, -1),
    "origin": (9.0, -70.0, 3.0),
}
SHEARED = {"shear": 0.3, "flips": (-1, -1, 1), "spacing": (0.7, 0.7, 3.0)}


@pytest.fixture
def makeJob(tmp_path: Path) -> MakeJob:
    """Writes the folder of a finished job; `finishedjob.writeFinishedJob` says what can be chosen."""
    return partial(writeFinishedJob, tmp_path / "job")


def _contents(scene: slicer.vtkMRMLScene) -> tuple[set[str], int]:
    nodes = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
    return nodes, scene.GetSubjectHierarchyNode().GetNumberOfItems()


def _placed(node: slicer.vtkMRMLScalarVolumeNode, folder: str = "Patient") -> int:
    """Give a volume an item below a folder, as Slicer's plugins would."""
    hierarchy = node.GetScene().GetSubjectHierarchyNode()
    parent = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), folder)
    return hierarchy.CreateItem(parent, node)


def _column(tableNode: slicer.vtkMRMLTableNode, name: str) -> list[Any]:
    table = tableNode.GetTable()
    return [table.GetValueByName(row, name).ToString() for row in range(table.GetNumberOfRows())]


@pytest.mark.parametrize("geometry", [{}, OBLIQUE, SHEARED], ids=["straight", "oblique", "sheared"])
def test_results_lie_exactly_on_their_input(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob, geometry: dict[str, Any]
) -> None:
    node = makeVolume(**geometry)
    results = importResults(scene, node, makeJob(node))
    for volume in results.nodes[:5]:
        assert np.array_equal(geometryOf(volume), geometryOf(node))
        assert volume.GetImageData().GetDimensions() == node.GetImageData().GetDimensions()


def test_results_of_whole_numbers_are_rounded_and_others_are_not(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    for dtype, expected in ((np.int16, np.int16), (np.uint8, np.int16), (np.float32, np.float32)):
        node = makeVolume(voxels=np.random.default_rng(0).integers(0, 200, (24, 32, 40)).astype(dtype))
        folder = makeJob(node)
        results = importResults(scene, node, folder)
        predicted = np.load(folder / "reconstruction.npy")
        assert voxelsOf(results.reconstruction).dtype == expected
        assert np.abs(voxelsOf(results.reconstruction) - predicted).max() <= (
            0.5 if expected == np.int16 else 0.0
        )


def test_values_beyond_int16_are_cut_off_rather_than_wrapped(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    folder = makeJob(node)
    far = np.load(folder / "reconstruction.npy")
    far[0, 0, :2] = -1e6, 1e6
    np.save(folder / "reconstruction.npy", far)
    results = importResults(scene, node, folder)
    assert voxelsOf(results.reconstruction)[0, 0, :2].tolist() == [-32768, 32767]


def test_masked_is_the_input_with_hidden_voxels_at_the_low_end_of_the_window(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume(shape=(20, 33, 41))
    folder = makeJob(node)
    masked = voxelsOf(importResults(scene, node, folder).masked)
    hidden = expanded(np.load(folder / "mask.npy"), masked.shape) > 0
    assert hidden.any()
    assert not hidden.all()
    assert np.array_equal(masked, np.where(hidden, -1000, voxelsOf(node)))


def test_results_follow_the_transform_of_their_input(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    results = importResults(scene, node, makeJob(node))
    for volume in results.nodes[:5]:
        assert volume.GetParentTransformNode() is transform


def test_results_are_shown_in_the_window_of_their_input_and_maps_in_their_own(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(350, 40)
    results = importResults(scene, node, makeJob(node))
    for volume in (results.masked, results.reconstruction, results.mosaic):
        assert (volume.GetDisplayNode().GetWindow(), volume.GetDisplayNode().GetLevel()) == (350, 40)
    error, uncertainty = results.error.GetDisplayNode(), results.uncertainty.GetDisplayNode()
    assert error.GetWindowLevelMin() == -error.GetWindowLevelMax()
    # 99 % of a normal distribution of 80 HU lies within 206 HU.
    assert error.GetWindowLevelMax() == 300
    assert (uncertainty.GetWindowLevelMin(), uncertainty.GetWindowLevelMax()) == (0, 300)


def test_zero_error_has_the_middle_colour_of_its_table(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    results = importResults(scene, node, makeJob(node))

    def colorAt(volume: slicer.vtkMRMLScalarVolumeNode, value: float) -> str:
        display = volume.GetDisplayNode()
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        table = display.GetColorNode()
        place = round((value - low) / (high - low) * (table.GetNumberOfColors() - 1))
        rgba = [0.0] * 4
        table.GetColor(place, rgba)
        return "#" + "".join(f"{round(255 * part):02x}" for part in rgba[:3])

    assert [colorAt(results.error, value) for value in (-300, 0, 300)] == [
        ERROR_STOPS[0],
        ERROR_STOPS[3],
        ERROR_STOPS[-1],
    ]
    assert [colorAt(results.uncertainty, v) for v in (0, 300)] == [
        UNCERTAINTY_STOPS[0],
        UNCERTAINTY_STOPS[-1],
    ]


def test_maps_have_a_legend(scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob) -> None:
    node = makeVolume()
    results = importResults(scene, node, makeJob(node))
    legends = {
        volume: slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
        for volume in (results.error, results.uncertainty)
    }
    assert legends[results.error].GetTitleText() == "Error (HU)"
    assert legends[results.uncertainty].GetTitleText() == "Uncertainty (HU)"
    for volume, legend in legends.items():
        assert legend.GetPrimaryDisplayNode() is volume.GetDisplayNode()


def test_color_tables_are_shared_by_all_results(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    first = importResults(scene, node, makeJob(node))
    count = scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")
    second = importResults(scene, node, makeJob(node))
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") == count
    assert first.error.GetDisplayNode().GetColorNode() is second.error.GetDisplayNode().GetColorNode()


def test_results_are_named_after_their_input_and_a_second_run_keeps_them_apart(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume(name="Thorax")
    first = importResults(scene, node, makeJob(node))
    second = importResults(scene, node, makeJob(node))
    assert [n.GetName() for n in first.nodes] == [
        "Thorax masked (mask 1 of 4)",
        "Thorax reconstruction",
        "Thorax mosaic (mask 1 of 4)",
        "Thorax error",
        "Thorax uncertainty",
        "Thorax scores",
        "Thorax superpatches",
        "Thorax PSNR by superpatch",
    ]
    assert [n.GetName() for n in second.nodes] == [f"{n.GetName()} 2" for n in first.nodes]


def test_results_are_gathered_in_a_folder_beside_their_input(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    item = _placed(node)
    results = importResults(scene, node, makeJob(node))
    hierarchy = scene.GetSubjectHierarchyNode()
    series = results.chart.GetNthPlotSeriesNode(0)
    items = [hierarchy.GetItemByDataNode(node) for node in (*results.nodes, series)]
    (folder,) = {hierarchy.GetItemParent(item) for item in items}
    assert all(items)
    assert hierarchy.GetItemName(folder) == "CT MAESIL"
    assert hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(item)
    assert hierarchy.GetNumberOfItemChildren(folder) == len(items)


def test_what_the_application_puts_at_the_root_goes_into_the_folder_of_its_result(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    item = _placed(node)
    hierarchy = scene.GetSubjectHierarchyNode()
    kinds = ("vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode", "vtkMRMLTableNode")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def addItem(_caller: object, _event: str, added: slicer.vtkMRMLNode) -> None:
        # As the plugins of the application do, which are not here.
        if any(added.IsA(kind) for kind in kinds):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), added)

    observation = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, addItem)
    for _ in range(2):
        results = importResults(scene, node, makeJob(node))
    scene.RemoveObserver(observation)
    root = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), root, False)
    names = [hierarchy.GetItemName(root.GetId(index)) for index in range(root.GetNumberOfIds())]
    assert names == ["Patient"]
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(results.chart))
    assert hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(item)
    # What stands in the folder goes with it when the user deletes it in the tree.
    inFolder = vtk.vtkIdList()
    hierarchy.GetItemChildren(folder, inFolder, False)
    nodes = [hierarchy.GetItemDataNode(inFolder.GetId(n)) for n in range(inFolder.GetNumberOfIds())]
    assert set(nodes) == {*results.nodes, *results.series}


def test_a_single_mask_is_not_counted_in_names(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume(name="Thorax")
    results = importResults(scene, node, makeJob(node, isCoverage=False))
    assert maskCount(results) == 1
    assert (results.masked.GetName(), results.mosaic.GetName()) == ("Thorax masked", "Thorax mosaic")
    assert maskCount(importResults(scene, node, makeJob(node))) == 4


def test_results_that_are_removed_leave_nothing_of_theirs_and_all_of_the_others(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    _placed(node)
    importResults(scene, node, makeJob(node))
    before = _contents(scene)
    results = importResults(scene, node, makeJob(node))
    removeResults(results)
    assert _contents(scene) == before
    removeResults(results)
    assert _contents(scene) == before


def test_every_result_says_what_made_it_and_that_it_is_for_research(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    for result in importResults(scene, node, makeJob(node)).nodes:
        assert "maesil-small-ct" in result.GetDescription()
        assert "Made up." in result.GetDescription()
        assert "not a medical device" in result.GetDescription()


def test_a_single_mask_has_no_uncertainty(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    assert importResults(scene, node, makeJob(node, isCoverage=False)).uncertainty is None


def test_without_scores_of_the_whole_there_are_those_of_the_superpatches(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    results = importResults(scene, node, makeJob(node, scores=False))
    assert results.metrics is None
    assert results.superpatches.GetNumberOfRows() == 2


def test_scores_have_names_units_and_windows(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    controls = {"harmonic": {"psnr_hidden": 25.5}, "mean": {"psnr_hidden": None}}
    table = importResults(scene, node, makeJob(node, isCoverage=False, controls=controls)).metrics
    assert _column(table, "score") == [
        "PSNR, hidden voxels",
        "SSIM, hidden voxels",
        "Mean error, hidden body",
        "PSNR, hidden voxels",
    ]
    assert _column(table, "unit") == ["dB", "", "HU", "dB"]
    assert _column(table, "window") == ["\N{MINUS SIGN}1000 to 1000 HU"] * 3 + ["\N{MINUS SIGN}175 to 250 HU"]
    assert _column(table, "Model") == ["27.12", "0.812", "31.3", "19.5"]
    assert _column(table, "Control: harmonic") == ["25.5", "0.812", "31.3", "19.5"]
    assert _column(table, "Control: mean")[0] == "nan"


def test_a_row_of_the_superpatch_table_leads_to_its_superpatch(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    table = importResults(scene, node, makeJob(node)).superpatches
    assert [superpatchOfRow(table, row) for row in range(2)] == [0, 5]
    assert _column(table, "place") == ["0-0-0", "1-0-1"]
    assert _column(table, "psnr_hidden") == ["25.13", "31"]
    titles = [table.GetColumnTitle(table.GetColumnName(column)) for column in range(5)]
    assert titles == ["Superpatch", "Hidden", "PSNR (dB)", "Error (HU)", "No."]


def test_the_chart_plots_the_rows_of_the_superpatch_table(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    results = importResults(scene, node, makeJob(node))
    series = results.chart.GetNthPlotSeriesNode(0)
    assert results.chart.GetNumberOfPlotSeriesNodes() == 1
    assert series.GetTableNode() is results.superpatches
    names = [results.superpatches.GetColumnName(column) for column in range(5)]
    assert {series.GetXColumnName(), series.GetYColumnName(), series.GetLabelColumnName()} <= set(names)


def test_the_views_keep_what_they_show(
    scene: slicer.vtkMRMLScene, views: OffscreenViews, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    views.showVolume(node)
    importResults(scene, node, makeJob(node))
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        assert composite.GetBackgroundVolumeID() == node.GetID()
        assert composite.GetForegroundVolumeID() is None
        assert composite.GetLabelVolumeID() is None


REQUIRED = ("reconstruction.npy", "error.npy", "mask.npy", "superpatches.json", "result.json")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, damage) for file in REQUIRED for damage in ("missing", "empty", "garbage")),
        ("metrics.json", "empty"),
        ("metrics.json", "garbage"),
    ],
)
def test_damaged_results_leave_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob, file: str, damage: str
) -> None:
    node = makeVolume()
    _placed(node)
    folder = makeJob(node)
    if damage == "missing":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(b"" if damage == "empty" else b"\x00nothing of sense")
    before = _contents(scene)
    with pytest.raises(ResultsError, match=r"(reconstruct|start it) again"):
        importResults(scene, node, folder)
    assert _contents(scene) == before


def test_a_volume_that_was_replaced_by_a_larger_one_is_not_given_old_results(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume(shape=(24, 32, 40))
    folder = makeJob(node)
    slicer.util.updateVolumeFromArray(node, np.zeros((24, 32, 48), np.int16))
    with pytest.raises(ResultsError, match=r"size of .* has changed"):
        importResults(scene, node, folder)


def test_a_volume_that_was_deleted_gets_no_results(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    folder = makeJob(node)
    scene.RemoveNode(node)
    before = _contents(scene)
    with pytest.raises(ResultsError, match="no longer in the scene"):
        importResults(scene, node, folder)
    assert _contents(scene) == before


def test_results_are_found_again_after_the_scene_was_saved_and_loaded(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob, tmp_path: Path
) -> None:
    node = makeVolume(name="Thorax")
    importResults(scene, node, makeJob(node))
    importResults(scene, node, makeJob(node, isCoverage=False))
    url = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(url)
    scene.Clear(0)
    assert allResults(scene) == []
    assert scene.ReadFromMRB(url)
    again = scene.GetFirstNodeByName("Thorax")
    first, second = allResults(scene, again)
    assert first.error.GetName() == "Thorax error"
    assert first.error.GetDisplayNode().GetColorNode().GetName() == "MAESIL error"
    assert first.uncertainty.GetName() == "Thorax uncertainty"
    assert second.uncertainty is None
    assert superpatchOfRow(first.superpatches, 1) == 5
    assert second.chart.GetNthPlotSeriesNode(0).GetTableNode() is second.superpatches


def test_results_with_a_deleted_volume_are_not_offered(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, makeJob: MakeJob
) -> None:
    node = makeVolume()
    kept, broken = (importResults(scene, node, makeJob(node)) for _ in range(2))
    scene.RemoveNode(broken.masked)
    assert [results.reconstruction for results in allResults(scene, node)] == [kept.reconstruction]


def test_the_files_that_the_worker_writes_are_understood(
    scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> None:
    from MAESILCore.data.window import LUNG_TO_BONE
    from MAESILCore.inference import Reconstruction
    from MAESILCore.jobs import ReconstructionRequest, reconstruct
    from MAESILCore.lattice import MaskStrategy, SuperpatchGrid
    from MAESILCore.scoring.reconstruction import describe_metrics, score_reconstruction
    from MAESILCore.scoring.superpatches import superpatch_scores

    node = makeVolume(shape=(20, 36, 44))
    volume = readVolume(node)
    grid = SuperpatchGrid(volume.shape, 16, PATCH)
    mask = MaskStrategy().sample_grid(grid, seed=0)
    hidden = grid.expand(mask.hidden)
    error = np.where(hidden, np.float32(10), np.float32(0))
    filled, difference = volume.with_voxels(volume.voxels + error), volume.with_voxels(error)
    result = Reconstruction(volume, filled, filled, difference, None, mask, [mask], grid, LUNG_TO_BONE)
    request = ReconstructionRequest(tmp_path, volume.ijk_to_ras)
    (tmp_path / "job.json").write_text(json.dumps({"kind": "reconstruction", "request": {}}))
    measured = describe_metrics(result, "a model", request.options, score_reconstruction(result))
    reconstruct.write_arrays(result, tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(measured))
    (tmp_path / "superpatches.json").write_text(json.dumps(superpatch_scores(result)))
    reconstruct.write_result(result, request, {"model": "a model"}, ())

    results = importResults(scene, node, tmp_path)
    assert np.array_equal(voxelsOf(results.masked), np.where(hidden, -1000, voxelsOf(node)))
    assert np.array_equal(voxelsOf(results.error), error)
    assert results.metrics.GetNumberOfRows() > 0
    assert results.superpatches.GetNumberOfRows() == len(grid)
    assert "filled in by a model" in results.reconstruction.GetDescription()
    reconstruct.write_result(replace(result, sees_all=True), request, {"model": "a model"}, ())
    described = importResults(scene, node, tmp_path).reconstruction.GetDescription()
    assert "copied by a model, which saw all of it" in described
    assert "filled in" not in described
    whole = [one for one in allResults(scene, node) if one.caption("Masked", "masked") != "Masked"]
    assert [one.caption("Masked", "masked") for one in whole] == ["Input, nothing hidden"]
    assert whole[0].masked.GetName().endswith(" input 2")


def test_scores_over_all_voxels_are_shown_for_a_model_that_hides_nothing(scene: slicer.vtkMRMLScene) -> None:
    entry = {"index": 0, "i": 0, "j": 0, "k": 0, "hidden_voxels": 0, "psnr_hidden": None, "psnr_full": 31.5}
    table = addSuperpatchTable(scene, "Scores", [{**entry, "mae_hu": 12.0}])
    assert table.GetTable().GetValueByName(0, "psnr_full").ToDouble() == 31.5
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    assert not [name for name in names if "hidden" in name.lower()]
    chart = addScoreChart(scene, "Plot", table)
    assert chart.GetYAxisTitle() == "PSNR, all voxels (dB)"
