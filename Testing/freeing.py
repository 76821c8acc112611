"""Frees what trame-slicer's applications and views keep, so that a long test run stays small.

Scene, logics and views call back into Python, which holds them in turn: no garbage collection sees such a cycle.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys

from slicer import vtkMRMLLayerDMPipelineFactory
from trame_slicer.core import SlicerApp
from trame_slicer.views import AbstractView

_modules_spared = 0


def spare_collections() -> None:
    """Leave what is there, modules above all, out of all garbage collections; to be called before an application.

    Only new modules are worth it: what is left out once, such as the application before, is never collected.
    """
    global _modules_spared
    if len(sys.modules) > _modules_spared:
        gc.collect()
        gc.freeze()
        _modules_spared = len(sys.modules)


def free_view(view: AbstractView) -> None:
    """Free the window of a view, and let go of the scene; it is not to be drawn again."""
    view.finalize()
    view._displayable_manager_group.RemoveAllObservers()
    view._event_observer.SetPythonCallback(None)


def free_application(app: SlicerApp) -> None:
    """Free the views that an application has made, its files, and its entry in a list of the process."""
    for view in app.view_manager.get_views():
        free_view(view)
    app.io_manager.cache_dir.cleanup()
    editor = app.segmentation_editor
    # Every later application would go through it.
    vtkMRMLLayerDMPipelineFactory.GetInstance().RemovePipelineCreator(editor._pipeline_creator)
    editor._pipeline_creator.SetPythonCallback(None)
    for effect in editor._effects.values():
        effect._obs.SetPythonCallback(None)
    for logic in (app.volume_rendering, app.markups_logic):
        logic._observer.SetPythonCallback(None)
    editor._editor_node.RemoveAllObservers()
    app.scene.RemoveAllObservers()
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        # It keeps what is freed in small pieces: half of what an application takes.
        ctypes.CDLL(None).malloc_trim(0)
