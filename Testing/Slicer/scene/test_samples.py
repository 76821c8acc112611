"""The sample comes without a network, is made once, and is offered in Slicer's module Sample Data."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

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


class SampleDataLogic:
    """What Slicer's module SampleData offers to others, of Slicer 5.12."""

    sources: ClassVar[dict[str, list[SimpleNamespace]]] = {}

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:  # noqa: ANN401 - as in Slicer
        return SampleDataLogic.sources.get(category, [])

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: object = None,
        fileNames: object = None,
        nodeNames: object = None,
        customDownloader: object = None,
        thumbnailFileName: str | None = None,
        loadFileType: str = "VolumeFile",
        loadFiles: object = None,
        loadFileProperties: object = None,
        checksums: object = None,
    ) -> None:
        # Slicer fails on a source without addresses, even if it has a downloader of its own.
        assert isinstance(uris, str)
        SampleDataLogic.sources.setdefault(category, []).append(SimpleNamespace(**locals()))


@pytest.fixture
def sampleData(scene: slicer.vtkMRMLScene, monkeypatch: pytest.MonkeyPatch) -> type[SampleDataLogic]:
    """Slicer's module Sample Data, empty, in an application without views."""
    module = ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    monkeypatch.setattr(SampleDataLogic, "sources", {})
    monkeypatch.setitem(sys.modules, "SampleData", module)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(layoutManager=lambda: None), raising=False)
    return SampleDataLogic


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


def test_a_damaged_file_is_made_anew(
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


@pytest.mark.usefixtures("made", "folder")
def test_the_button_in_sample_data_loads_the_sample(
    scene: slicer.vtkMRMLScene, sampleData: type[SampleDataLogic]
) -> None:
    samples.registerSamples()
    (source,) = sampleData.sampleDataSourcesByCategory("MAESIL")
    (node,) = source.customDownloader(source)
    assert source.sampleName == "Torso phantom"
    assert node.GetScene() is scene
    assert Path(source.thumbnailFileName).is_file()


@pytest.mark.usefixtures("made")
def test_a_script_finds_the_sample_by_its_name_once_it_was_made(
    scene: slicer.vtkMRMLScene, folder: Path, sampleData: type[SampleDataLogic]
) -> None:
    samples.registerSamples()
    samples.loadSample(scene)
    (source,) = sampleData.sampleDataSourcesByCategory("MAESIL")
    assert source.uris == (folder / source.fileNames).as_uri()
    assert (folder / source.fileNames).is_file()


def test_the_sample_is_registered_once(sampleData: type[SampleDataLogic]) -> None:
    samples.registerSamples()
    samples.registerSamples()
    assert len(sampleData.sampleDataSourcesByCategory("MAESIL")) == 1


def test_opening_the_module_makes_no_sample(
    scene: slicer.vtkMRMLScene,
    folder: Path,
    sampleData: type[SampleDataLogic],
    made: list[tuple[int, int, int]],
) -> None:
    samples.registerSamples()
    assert made == []
    assert list(folder.iterdir()) == []
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
