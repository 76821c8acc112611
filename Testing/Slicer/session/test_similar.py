"""Places like the picked point are found in all volumes with features and in an index, drawn and gone to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
from featurejob import a_feature_map, marked, write_feature_job, write_index

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.search import arrays
from MAESILCore.downstream.search.index import Index
from MAESILCore.errors import ConfigError
from MAESILSlicerLib.results.featureview import FOUND
from MAESILSlicerLib.results.resultset import importResults
from MAESILSlicerLib.scene.nodes import findNodes, removeNode
from MAESILSlicerLib.scene.volumes import geometryOf, voxelsOf
from MAESILSlicerLib.session.features import ShownFeatures
from MAESILSlicerLib.session.session import Session
from MAESILSlicerLib.session.similar import MOST, SimilarPlaces
from volumes import MakeVolume

SHAPE = (48, 64, 80)
#: The box of the point on the lattice of the features.
PLACE = (1, 1, 9)


@pytest.fixture
def session(scene: slicer.vtkMRMLScene, tmp_path: Path) -> Iterator[Session]:
    session = Session(scene, jobsFolder=tmp_path / "jobs")
    yield session
    session.close()


@pytest.fixture
def volume(
    session: Session, scene: slicer.vtkMRMLScene, makeVolume: MakeVolume, tmp_path: Path
) -> slicer.vtkMRMLScalarVolumeNode:
    """An oblique volume with features, which the session shows."""
    node = makeVolume(
        shape=SHAPE, angles=(20.0, -15.0, 40.0), spacing=(0.8, 1.2, 2.0), flips=(-1, 1, -1), name="Chest"
    )
    importResults(scene, node, write_feature_job(tmp_path / "one", marked(a_feature_map(node), PLACE)))
    session.change(volume=node)
    return node


@pytest.fixture
def shown(session: Session, volume: slicer.vtkMRMLScalarVolumeNode) -> Iterator[ShownFeatures]:
    shown = ShownFeatures(session)
    shown.refresh()
    yield shown
    shown.close()


@pytest.fixture
def similar(session: Session, shown: ShownFeatures) -> Iterator[SimilarPlaces]:
    similar = SimilarPlaces(session, shown)
    yield similar
    similar.close()


def pointOf(node: slicer.vtkMRMLScalarVolumeNode, place: tuple[int, int, int] = PLACE) -> np.ndarray:
    return (geometryOf(node) @ [*(8.0 * n + 3.5 for n in place[::-1]), 1.0])[:3]


def finish(similar: SimilarPlaces) -> None:
    deadline = time.monotonic() + 60.0
    while similar.isRunning:
        similar.poll()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_place_is_found_in_another_volume_and_gone_to(
    session: Session,
    scene: slicer.vtkMRMLScene,
    volume: slicer.vtkMRMLScalarVolumeNode,
    shown: ShownFeatures,
    similar: SimilarPlaces,
    makeVolume: MakeVolume,
    tmp_path: Path,
) -> None:
    other = makeVolume(shape=SHAPE, spacing=(1.0, 1.0, 2.0), name="Other")
    there = (1, 6, 8)
    importResults(scene, other, write_feature_job(tmp_path / "two", marked(a_feature_map(other), there)))
    alien = makeVolume(shape=SHAPE, name="Alien")
    importResults(scene, alien, write_feature_job(tmp_path / "three", a_feature_map(alien), "4567 1"))
    with pytest.raises(ConfigError, match="Pick a point first"):
        similar.start()
    shown.pick(tuple(pointOf(volume)))
    similar.start()
    assert similar.isRunning
    finish(similar)
    assert not similar.problem
    best = similar.places[0]
    assert (best.name, best.volumeNode) == ("Other", other)
    assert best.similarity == pytest.approx(1.0, abs=1e-4)
    centre = geometryOf(other) @ [*(16.0 * (n // 2) + 7.5 for n in there[::-1]), 1.0]
    assert best.ras == pytest.approx(tuple(centre[:3]), abs=1e-3)
    assert len(similar.places) <= MOST
    assert {place.name for place in similar.places} == {"Chest", "Other"}
    assert [place.similarity for place in similar.places] == sorted(
        (place.similarity for place in similar.places), reverse=True
    )
    assert all(place.picture is not None and place.picture.any() for place in similar.places)

    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:3, 3] = (5.0, 6.0, -7.0)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    other.SetAndObserveTransformNodeID(transform.GetID())
    similar.goTo(best, other)
    (mark,) = findNodes(scene, FOUND)
    place = slicer.util.arrayFromMarkupsControlPoints(mark, world=True)[0]
    np.testing.assert_allclose(place, centre[:3] + moved[:3, 3], atol=1e-3)
    assert mark.GetLocked()
    similar.goTo(similar.places[1], similar.places[1].volumeNode)
    assert len(findNodes(scene, FOUND)) == 1
    similar.close()
    assert not findNodes(scene, FOUND)
    assert not similar.places


def test_the_neighbours_of_the_point_are_no_answer(
    volume: slicer.vtkMRMLScalarVolumeNode, shown: ShownFeatures, similar: SimilarPlaces
) -> None:
    shown.pick(tuple(pointOf(volume)))
    similar.start()
    finish(similar)
    own = np.array([n // 2 for n in PLACE])
    lattice = geometryOf(volume) @ np.array(
        [[16.0, 0, 0, 7.5], [0, 16.0, 0, 7.5], [0, 0, 16.0, 7.5], [0, 0, 0, 1]]
    )
    for place in similar.places:
        i, j, k = np.rint(np.linalg.solve(lattice, [*place.ras, 1.0])[:3]).astype(int)
        assert np.abs(np.array([k, j, i]) - own).max() >= 3


def test_air_and_volumes_that_go_away_do_no_harm(
    scene: slicer.vtkMRMLScene,
    volume: slicer.vtkMRMLScalarVolumeNode,
    session: Session,
    shown: ShownFeatures,
    similar: SimilarPlaces,
    makeVolume: MakeVolume,
    tmp_path: Path,
) -> None:
    airy = a_feature_map(volume)
    body = airy.body.copy()
    body[:, :, :2] = False
    importResults(scene, volume, write_feature_job(tmp_path / "airy", replace(airy, body=body)))
    shown.refresh()
    shown.pick(tuple(pointOf(volume, (3, 4, 1))))
    similar.start()
    finish(similar)
    assert similar.problem == "There is only air at the point; pick one inside the body."
    assert not similar.places
    shown.pick(tuple(pointOf(volume)))
    similar.start()
    removeNode(volume)
    session.change(volume=None)
    finish(similar)
    assert similar.places
    shown.refresh()
    assert similar.obstacle == "This volume has no features yet."
    with pytest.raises(ConfigError, match="no features yet"):
        similar.start()


def test_an_index_is_searched_too(
    volume: slicer.vtkMRMLScalarVolumeNode,
    shown: ShownFeatures,
    similar: SimilarPlaces,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "index"
    place = (0, 3, 4)
    features = marked(a_feature_map(volume), (2 * place[0], 2 * place[1], 2 * place[2]))
    description, files = write_index(folder, volume, features, ("here.nrrd", "gone.nrrd"))
    write_volume(Volume(voxelsOf(volume).copy(), geometryOf(volume)), tmp_path / "here.nrrd")
    shown.pick(tuple(pointOf(volume)))
    similar.start(Index.open(folder))
    finish(similar)
    assert "gone.nrrd is gone" in similar.problem
    first, second = similar.places[:2]
    assert {first.name, second.name} == {"here.nrrd", "gone.nrrd"}
    for found in (first, second):
        assert found.volumeNode is None
        assert found.similarity == pytest.approx(1.0, abs=2e-3)
        expected = geometryOf(volume) @ [*(16.0 * n + 7.5 for n in place[::-1]), 1.0]
        assert found.ras == pytest.approx(tuple(expected[:3]), abs=1e-3)
        assert (found.picture is not None) == (found.name == "here.nrrd")
    # The scan of the volume itself is no answer a second time.
    write_index(tmp_path / "own", volume, marked(a_feature_map(volume), PLACE), ["own.nrrd"])
    similar.start(Index.open(tmp_path / "own"))
    finish(similar)
    assert not similar.problem
    assert {one.name for one in similar.places} == {"Chest"}
    other = replace(description, level=0)
    arrays.join(folder, other, files)
    with pytest.raises(ConfigError, match="with another model or level than these features"):
        similar.start(Index.open(folder))
