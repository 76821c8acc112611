"""What the tests with a MRML scene share: a scene, volumes of any geometry, and views without a screen."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import slicer

    from offscreen import OffscreenApplication, OffscreenViews
    from volumes import MakeVolume

_HERE = Path(__file__).resolve().parent
# The folder of the module, which Slicer puts there, and the helpers beside this file and above it.
sys.path[:0] = [str(_HERE.parents[1] / "MAESILSlicer"), str(_HERE), str(_HERE.parent)]

if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("trame_slicer") is None:
    # Real MRML comes with `pip install maesil[app]`; without it there is nothing to test here.
    collect_ignore_glob = ["test_*.py"]

# Only the topmost conftest may name plugins, but whatever fixture is imported here is known below, too.
from hosting import host as host  # noqa: E402
from hosting import hostApplication as hostApplication  # noqa: E402


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[OffscreenApplication]:
    """Slicer without Qt, its scene empty and known as `slicer.mrmlScene`; an error of MRML or VTK fails the test."""
    import slicer
    from freeing import spare_collections

    from offscreen import OffscreenApplication

    spare_collections()
    application = OffscreenApplication()
    monkeypatch.setattr(slicer, "mrmlScene", application.scene, raising=False)
    yield application
    application.close()
    assert not application.errors


@pytest.fixture
def scene(application: OffscreenApplication) -> slicer.vtkMRMLScene:
    """A fresh scene, which is `slicer.mrmlScene` while the test runs."""
    return application.scene


@pytest.fixture
def views(application: OffscreenApplication) -> Iterator[OffscreenViews]:
    """Three slice views and a 3D view of `scene`, which render into arrays."""
    from offscreen import OffscreenViews

    views = OffscreenViews(application)
    yield views
    views.close()


@pytest.fixture
def makeVolume(scene: slicer.vtkMRMLScene) -> MakeVolume:
    """Adds a volume to `scene`; `volumes.addTestVolume` says what can be chosen."""
    from volumes import addTestVolume

    return partial(addTestVolume, scene)
