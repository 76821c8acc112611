"""The sample that needs no network: an artificial CT of a torso, made on this computer and kept for next time."""

from __future__ import annotations

import logging
from pathlib import Path

import slicer

from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError
from MAESILSlicerLib.scene.volumes import addVolume

NAME = "Torso phantom"
#: In the folder in which Slicer keeps downloaded samples. Another phantom gets another file.
FILE_NAME = "MAESIL-torso-phantom-1.nrrd"
#: Voxels along k, j, i: the whole torso, reconstructed within a minute or two on two cores.
SHAPE = (96, 192, 192)

#: Wide enough for lungs and bones, HU.
_WINDOW, _LEVEL = 1500.0, -250.0


def loadSample(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the sample to a scene, shown in a window for CT; it takes some seconds the first time.

    Raises:
        SceneError: there is not enough memory; the scene is then as it was.
    """
    node = addVolume(scene, readSample(cacheFolder(scene)), scene.GenerateUniqueName(NAME), autoWindow=False)
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(_WINDOW, _LEVEL)
    return node


def readSample(folder: Path | None = None) -> Volume:
    """The sample, without a scene and so in any thread.

    Args:
        folder: in which it is kept; None makes it anew each time.
    """
    if folder is None:
        return _makeSample()
    from MAESILCore.data.volume import read_volume, write_volume

    file = folder / FILE_NAME
    if file.is_file():
        try:
            return read_volume(file)
        except VolumeError as error:
            logging.info("MAESIL: the sample is made anew: %s", error)
    volume = _makeSample()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(volume, file)
    except (OSError, VolumeError) as error:
        # It can be used all the same, only not kept.
        logging.warning("MAESIL: the sample could not be kept for the next time: %s", error)
    return volume


def cacheFolder(scene: slicer.vtkMRMLScene) -> Path | None:
    """Where the application keeps downloaded samples; None if it keeps none."""
    manager = scene.GetCacheManager()
    folder = manager.GetRemoteCacheDirectory() if manager is not None else None
    return Path(folder) if folder else None


def loadIntoViews(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the sample to a scene and show it in the slice views, as the button in Sample Data does.

    Raises:
        SceneError: there is not enough memory; the scene is then as it was.
    """
    node = loadSample(scene)
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def _makeSample() -> Volume:
    from MAESILCore.phantom import make_phantom

    return make_phantom(SHAPE).volume
