"""The sample comes without a network and is made once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from MAESILSlicerLib.scene import samples
from MAESILSlicerLib.scene.volumes import checkVolume, geometryOf, voxelsOf


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Has a small phantom made instead of the sample; each time it is made is noted here."""
    from MAESILCore import phantom

    real, shapes = phantom.make_phantom, []

    def makeSmall(shape: tuple[int, int, int]) -> phantom.Phantom:
        shapes.append(shape)
        return real((12, 16, 20))

    monkeypatch.setattr(phantom, "make_phantom", makeSmall)
    return shapes


@pytest.fixture
def folder(scene: slicer.vtkMRMLScene, tmp_path: Path) -> Path:
    """The folder in which the application of `scene` keeps downloaded samples; empty."""
    folder = tmp_path / "Ärztin ümlaut" / "cache"
    scene.GetCacheManager().SetRemoteCacheDirectory(str(folder))
    return folder


@pytest.mark.usefixtures("made")
def test_the_sample_is_a_ct_that_can_be_used_at_once(scene: slicer.vtkMRMLScene, folder: Path) -> None:
    node = samples.loadSample(scene)
    check = checkVolume(node)
    assert check.usable
    assert check.warnings == ()
    assert node.GetName() == "Torso phantom"
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (1500, -250)


def test_the_sample_is_made_once_and_is_the_same_when_it_is_read_again(
    scene: slicer.vtkMRMLScene, folder: Path, made: list[tuple[int, int, int]]
) -> None:
    first, second = samples.loadSample(scene), samples.loadSample(scene)
    assert made == [samples.SHAPE]
    assert [file.name for file in folder.iterdir()] == [samples.FILE_NAME]
    assert first.GetName() != second.GetName()
    assert voxelsOf(first).dtype == voxelsOf(second).dtype == np.int16
    assert np.array_equal(voxelsOf(first), voxelsOf(second))
    assert np.allclose(geometryOf(first), geometryOf(second), atol=1e-9)


def test_a_damaged_file_is_replaced(
    scene: slicer.vtkMRMLScene, folder: Path, made: list[tuple[int, int, int]]
) -> None:
    (folder / samples.FILE_NAME).write_bytes(b"NRRD0004\nnothing of sense")
    first = samples.loadSample(scene)
    assert made == [samples.SHAPE]
    assert np.array_equal(voxelsOf(samples.loadSample(scene)), voxelsOf(first))
    assert len(made) == 1


def test_the_sample_can_be_used_where_it_cannot_be_kept(
    scene: slicer.vtkMRMLScene, folder: Path, made: list[tuple[int, int, int]]
) -> None:
    folder.rmdir()
    folder.write_text("a file in the way")
    assert checkVolume(samples.loadSample(scene)).usable
    assert made == [samples.SHAPE]


def test_the_sample_needs_no_scene(made: list[tuple[int, int, int]]) -> None:
    assert samples.readSample().looks_like_hu
    assert made == [samples.SHAPE]


def test_the_sample_is_shown_in_the_views_if_there_are_any(
    scene: slicer.vtkMRMLScene, made: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(
        slicer.util, "setSliceViewerLayers", lambda **layers: shown.append(layers), raising=False
    )
    for manager in (None, object()):
        app = SimpleNamespace(layoutManager=lambda manager=manager: manager)
        monkeypatch.setattr(slicer, "app", app, raising=False)
        node = samples.loadIntoViews(scene)
    assert node.GetScene() is scene
    assert shown == [{"background": node, "fit": True}]
