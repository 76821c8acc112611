"""The sample: a synthetic CT of a torso, generated on this computer without network and cached."""

from __future__ import annotations

import logging
from pathlib import Path

import slicer

from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError
from MAESILSlicerLib.scene.volumes import addVolume

NAME = "Torso phantom"
#: File in Slicer's cache of samples. A changed phantom needs a new file name.
FILE_NAME = "MAESIL-torso-phantom-1.nrrd"
#: Voxels along k, j, i; two cores reconstruct it within a minute or two.
SHAPE = (96, 192, 192)

#: A display window wide enough for lungs and bones, HU.
_WINDOW, _LEVEL = 1500.0, -250.0


def loadSample(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the sample to a scene with a window for CT; takes several seconds the first time.

    Raises:
        SceneError: there is not enough memory; the scene is then unchanged.
    """
    node = addVolume(scene, readSample(cacheFolder(scene)), scene.GenerateUniqueName(NAME), autoWindow=False)
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(_WINDOW, _LEVEL)
    return node


def readSample(folder: Path | None = None) -> Volume:
    """The sample as a volume; needs no scene and is safe in any thread.

    Args:
        folder: the cache folder; None generates the sample each time.
    """
    from MAESILCore.data.volume import read_volume, write_volume
    from MAESILCore.phantom import make_phantom

    file = folder / FILE_NAME if folder is not None else None
    if file is not None and file.is_file():
        try:
            return read_volume(file)
        except VolumeError as error:
            logging.info("MAESIL: the sample's file is damaged and is replaced: %s", error)
    volume = make_phantom(SHAPE).volume
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_volume(volume, file)
        except (OSError, VolumeError) as error:
            # Without the cache, the sample is still usable.
            logging.warning("MAESIL: the sample could not be cached: %s", error)
    return volume


def cacheFolder(scene: slicer.vtkMRMLScene) -> Path | None:
    """The application's cache folder for samples; None if it has none."""
    manager = scene.GetCacheManager()
    folder = manager.GetRemoteCacheDirectory() if manager is not None else None
    return Path(folder) if folder else None


def loadIntoViews(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the sample to a scene and show it in the slice views, like the module Sample Data.

    Raises:
        SceneError: there is not enough memory; the scene is then unchanged.
    """
    node = loadSample(scene)
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node
