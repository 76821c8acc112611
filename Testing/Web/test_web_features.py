"""The section of features without a browser: compute, pick in a view, and what is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pagestate import Run, reconstruct, show, until

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application


pytestmark = pytest.mark.slow


async def compute(application: Application) -> None:
    application.features.start()
    assert application.state.running, application.state.notice
    await until(lambda: not application.state.running)
    await until(lambda: application.state.has_features)


def press(application: Application, ras: np.ndarray) -> None:
    """Press the left button at a point, in the axial view at its slice."""
    import slicer

    view = application.views.slices[0]
    node = view.get_view_node()
    node.JumpSliceByCentering(*map(float, ras))
    xy_to_ras = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())
    x, y = np.linalg.solve(xy_to_ras, [*ras, 1.0])[:2]
    view.interactor().SetEventPosition(round(x), round(y))
    view.interactor().InvokeEvent("LeftButtonPressEvent")


def foregrounds(application: Application) -> set[str | None]:
    return {view.get_foreground_volume_id() or None for view in application.views.slices}


def write_oblique(folder: Path) -> Path:
    from MAESILCore.data.volume import Volume, write_volume

    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = turn @ np.diag([-2.0, -2.0, 3.0])
    ijk_to_ras[:3, 3] = 5.0, -7.0, 11.0
    voxels = np.random.default_rng(0).integers(-1000, 1000, (16, 32, 32)).astype(np.int16)
    write_volume(Volume(voxels, ijk_to_ras), folder / "oblique.nii")
    return folder / "oblique.nii"


def test_features_are_computed_shown_and_asked_at_a_voxel_of_an_oblique_scan(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    from featurejob import PATCH, a_feature_map, write_feature_job

    from MAESILSlicerLib.results.featureview import POINT, SURFACE
    from MAESILSlicerLib.results.resultset import importResults
    from MAESILSlicerLib.scene.nodes import findNodes
    from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
    from MAESILSlicerLib.web.catalog import findEntries

    state, session = an_application.state, an_application.session

    async def work() -> None:
        (number,) = an_application.volume.catalog.add(findEntries([write_oblique(tmp_path)], "More"))
        an_application.volume.open(number)
        await until(lambda: state.scan == number and not state.loading)
        assert state.feature_models[:1] == ["As above (tiny)"]
        assert state.feature_levels[0]["title"] == "2 of 2 (deepest): 48 values per 4 x 4 x 4 voxels"
        assert not state.has_features
        assert state.feature_hint == "This volume has no features yet."
        await reconstruct(an_application)
        results = session.results
        await compute(an_application)
        assert state.layout == "four-up"
        assert foregrounds(an_application) == {session.made.colours.GetID()}
        assert not state.show_mask2d
        # The reconstruction and its files stay.
        assert session.results is results
        assert session.exportFolder is not None
        # Others take their place.
        job = write_feature_job(tmp_path / "job", a_feature_map(session.volumeNode))
        session.made = importResults(session.scene, session.volumeNode, job)
        an_application.features._refresh()
        assert an_application.scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == 2

        scan = geometryOf(session.volumeNode)
        voxel = np.array([21.0, 9.0, 6.0])  # i, j, k, not in the middle of a box
        ras = (scan @ [*voxel, 1.0])[:3]
        press(an_application, ras)
        assert state.feature_layer == "colours"
        state.feature_picking = True
        press(an_application, ras)
        (similarity,) = findNodes(session.scene, "similarity")
        assert state.feature_layer == "similarity"
        assert foregrounds(an_application) == {similarity.GetID()}
        box = tuple((voxel // PATCH).astype(int))
        assert tuple(np.rint(np.linalg.solve(geometryOf(similarity), [*ras, 1.0])[:3]).astype(int)) == box
        assert voxelsOf(similarity)[box[::-1]] == pytest.approx(1.0, abs=1e-4)
        (surface,) = findNodes(session.scene, SURFACE)
        bounds = np.array(surface.GetPolyData().GetBounds()).reshape(3, 2)
        centre = (geometryOf(similarity) @ [*box, 1.0])[:3]
        assert (bounds[:, 0] < centre).all()
        assert (centre < bounds[:, 1]).all()

        press(an_application, (scan @ [-60.0, 0.0, 6.0, 1.0])[:3])
        assert "outside the volume" in state.notice
        an_application.features.stopPicking()
        assert not state.feature_picking
        assert "can be dragged" in state.feature_hint
        state.feature_layer = "nothing"
        an_application.features._show()
        assert foregrounds(an_application) == {None}
        assert state.show_mask2d
        assert not findNodes(session.scene, SURFACE)
        # Another scan leaves nothing of it.
        await show(an_application, "second.nii")
        assert an_application.scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == 0
        assert not findNodes(session.scene, POINT)
        assert not state.has_features

    run(work())


def test_models_without_voxels_are_offered_and_those_without_features_are_told(
    an_application: Application, run: Run, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    from MAESILCore.errors import CheckpointError
    from MAESILCore.methods.abilities import Abilities, FeatureLevel
    from MAESILSlicerLib.web.panels.features import FeaturesPanel

    folder = tmp_path / "models"
    folder.mkdir()
    level = FeatureLevel((4, 4, 4), 48)
    only = Abilities(hides=True, reconstructs=False, levels=(level, level))
    none = Abilities(hides=True, reconstructs=True, levels=())
    make_tiny_model(folder / "only features.safetensors", abilities=only)
    blind = make_tiny_model(folder / "no features.safetensors", abilities=none)
    state, session = an_application.state, an_application.session

    async def work() -> None:
        an_application.features.close()
        panel = FeaturesPanel(an_application.features._page, [folder], lambda: None)
        an_application.features = panel
        await show(an_application, "first.nii")
        assert state.feature_models[-1] == "only features"
        assert "no features" not in state.feature_models
        with pytest.raises(CheckpointError, match="gives no features"):
            panel.useModel("blind", blind)
        session.change(model=blind)
        await until(lambda: state.feature_no_model)
        assert state.feature_no_model == "tiny gives no features: choose another model."
        panel.start()
        assert not session.isRunning
        assert state.notice == state.feature_no_model
        for wrong in (9, -1, None, str(blind)):
            state.feature_model = wrong
            panel._showModel()
            assert state.feature_model == 0
        panel.useModel("only", folder / "only features.safetensors")
        assert state.feature_models[state.feature_model] == "only features"
        assert state.feature_no_model == ""
        state.feature_level = 0
        panel.start()
        assert session.job.folder.description()[1]["level"] == 0
        session.cancel()
        await until(lambda: not session.isRunning)
        await asyncio.sleep(0.05)
        assert not state.has_features

    run(work())


def test_similar_places_are_listed_and_a_scan_of_the_index_is_loaded_after_a_question(
    an_application: Application, run: Run, tmp_path: Path
) -> None:
    import slicer
    from featurejob import a_feature_map, marked, write_feature_job, write_index

    from MAESILCore.data.volume import Volume, write_volume
    from MAESILCore.downstream.search.index import Index
    from MAESILSlicerLib.results.featureview import FOUND
    from MAESILSlicerLib.results.resultset import importResults
    from MAESILSlicerLib.scene.nodes import findNodes
    from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
    from MAESILSlicerLib.web.catalog import findEntries

    state, session, similar = an_application.state, an_application.session, an_application.similar
    place, there = (1, 1, 9), (1, 6, 4)
    voxels = np.random.default_rng(0).integers(-1000, 1000, (48, 64, 80)).astype(np.int16)
    write_volume(Volume(voxels, np.diag([-1.0, 1.0, 2.0, 1.0])), tmp_path / "here.nrrd")

    async def work() -> None:
        (first,) = an_application.volume.catalog.add(findEntries([tmp_path / "here.nrrd"], "More"))
        an_application.volume.open(first)
        await until(lambda: state.scan == first and not state.loading)
        node = session.volumeNode
        features = a_feature_map(node)
        session.made = importResults(
            session.scene, node, write_feature_job(tmp_path / "job", marked(features, place))
        )
        an_application.features._refresh()
        scan = Volume(voxelsOf(node).copy(), geometryOf(node))
        write_volume(scan, tmp_path / "there.nrrd")
        write_index(tmp_path / "index", node, marked(features, there), ["there.nrrd"])
        similar._index = Index.open(tmp_path / "index")
        assert "Pick a point first" in state.similar_obstacle
        state.feature_picking = True
        an_application.features.pick(
            tuple((scan.ijk_to_ras @ [*(8.0 * n + 3.5 for n in place[::-1]), 1.0])[:3])
        )
        assert state.similar_obstacle == ""
        similar.start()
        await until(lambda: str(state.similar_hint).startswith("Choose a place"))
        titles = [one["title"] for one in state.similar_places]
        number = titles.index("there.nrrd")
        assert all(one["picture"].startswith("data:image/png;base64,") for one in state.similar_places)
        similar.goTo(number)
        assert state.similar_ask == number
        assert session.volumeNode is node
        await similar.load(number)
        assert session.volumeNode is not node
        assert state.similar_ask == -1
        assert an_application.volume.catalog.entries[state.scan].title == "there.nrrd"
        (mark,) = findNodes(session.scene, FOUND)
        found = slicer.util.arrayFromMarkupsControlPoints(mark, world=True)[0]
        assert found == pytest.approx(similar._places.places[number].ras, abs=1e-3)
        assert state.similar_places
        # Its places are now shown without a question, those of the scan before are gone.
        similar.goTo(number)
        assert state.similar_ask == -1
        similar.goTo(next(count for count, title in enumerate(titles) if title != "there.nrrd"))
        assert "Another scan is shown now" in state.notice
        similar.goTo(99)

    run(work())
