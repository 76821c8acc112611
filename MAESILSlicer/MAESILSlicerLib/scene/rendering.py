"""Volume rendering of a CT: presets in HU, their shift, and a voxel limit for software rendering."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from MAESILCore.data.formats import voxeltypes
from MAESILSlicerLib.scene.nodes import leaveOutOfFiles, markNode, newNode, removeNode
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf
from MAESILSlicerLib.scene.volumes import addDisplayWithoutWindow, checkVolume, voxelsOf
from MAESILSlicerLib.scene.watch import Observations
from MAESILSlicerLib.scene.wording import TEXTS, sentence

ROLE = "rendered"

#: Presets for a CT of the trunk: titles by name.
PRESETS = TEXTS.titles("preset")
USUAL_PRESET = "CT-Chest-Contrast-Enhanced"
SHIFT_RANGE = (-300, 300)

#: Volumes with more voxels are subsampled for software rendering.
_MOST_IN_SOFTWARE = 3_000_000
#: Names of software renderers, in lower case.
_SOFTWARE = (
    "apple software renderer",
    "basic render driver",
    "llvmpipe",
    "software rasterizer",
    "softpipe",
    "swiftshader",
    "swrast",
)
_AIR_HU, _LOWEST_PADDING_HU = -1024, -4096

_CPU, _GPU = (f"vtkMRML{kind}RayCastVolumeRenderingDisplayNode" for kind in ("CPU", "GPU"))
_EVENTS = (
    vtk.vtkCommand.ModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
    slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
)


class Rendering:
    """Renders one volume at a time through a hidden copy, which follows its voxels, geometry and transforms.

    The volume's own display nodes, including a rendering by the user, are not touched.

    Args:
        scene: the scene of the volumes.
        logic: the scene's vtkSlicerVolumeRenderingLogic, or trame-slicer's wrapper of it.
        isSoftware: whether rendering is by the CPU; large volumes are then subsampled.
        isVisible: the initial visibility, before `set` is called.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        logic: slicer.vtkSlicerVolumeRenderingLogic,
        isSoftware: bool,
        isVisible: bool = True,
    ) -> None:
        self._scene, self._logic, self._isSoftware = scene, logic, isSoftware
        self._input: slicer.vtkMRMLScalarVolumeNode | None = None
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._copied: tuple[object, ...] = ()
        self._observations = Observations()
        self._preset, self._shift, self._isVisible = USUAL_PRESET, 0.0, isVisible

    @property
    def node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The hidden copy that is rendered; None before it is first visible."""
        return self._node

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None, isVisible: bool | None = None) -> None:
        """Render another volume, or none.

        Args:
            volumeNode: the volume.
            isVisible: as for `set`; None keeps the current state.

        Raises:
            SceneError: there is not enough memory.
        """
        self._observations.clear()
        self._removeNodes()
        self._input = volumeNode
        if isVisible is not None:
            self._isVisible = isVisible
        if volumeNode is not None:
            for event in _EVENTS:
                self._observations.add(volumeNode, event, self._onModified)
            self._apply()

    def set(self, preset: str, shiftHu: float, isVisible: bool) -> None:
        """Set the appearance of the volume.

        Args:
            preset: one of `PRESETS`.
            shiftHu: shift of the preset's colours and opacities, in HU.
            isVisible: whether to render the volume; grid and mask stay visible either way.

        Raises:
            SceneError: there is not enough memory.
        """
        self._preset, self._shift, self._isVisible = preset, shiftHu, isVisible
        self._apply()

    def _apply(self) -> None:
        if self._input is None or not (self._isVisible or self._exists()):
            return
        if not checkVolume(self._input).usable:
            self._removeNodes()
            return
        if not self._exists():
            self._add()
        display = self._logic.GetFirstVolumeRenderingDisplayNode(self._node)
        propertyNode = display.GetVolumePropertyNode()
        with slicer.util.NodeModify(display), slicer.util.NodeModify(propertyNode):
            propertyNode.Copy(self._logic.GetPresetByName(self._preset))
            # A preset is listed and saved, and its copy inherits that.
            _keepInternal(propertyNode)
            _shift(propertyNode.GetVolumeProperty(), self._shift)
            display.SetVisibility(self._isVisible)

    def _exists(self) -> bool:
        """Whether the node still exists; a script or a closed scene may have removed it."""
        return self._node is not None and self._node.GetScene() is self._scene

    def _add(self) -> None:
        """Create the node with its own display node for every 3D view.

        Raises:
            SceneError: there is not enough memory; the scene is then unchanged.
        """
        self._removeNodes()
        node = _newHiddenNode(self._scene, "vtkMRMLScalarVolumeNode", "MAESIL 3D")
        self._fill(node)
        node.SetAndObserveTransformNodeID(self._input.GetTransformNodeID())
        self._scene.AddNode(node)
        markNode(node, ROLE, self._input)
        self._node, self._copied = node, self._state()
        method = _CPU if self._isSoftware else self._logic.GetDefaultRenderingMethod() or _GPU
        display = _newHiddenNode(self._scene, method)
        display.SetFollowVolumeDisplayNode(False)
        self._scene.AddNode(display)
        # The logic copies the colours of this display node and warns if it is missing.
        addDisplayWithoutWindow(node)
        node.AddAndObserveDisplayNodeID(display.GetID())
        # Finds the display node and adds its property and ROI nodes.
        self._logic.CreateDefaultVolumeRenderingNodes(node)
        for part in (node, *_helpersOf(display)):
            _keepInternal(part)

    def _fill(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Set the voxels to render: those of the volume, or a copy if they are too many or padded."""
        image, ijkToRas = self._input.GetImageData(), geometryOf(self._input)
        voxels = voxelsOf(self._input)
        k, j, i = _steps(voxels.shape, ijkToRas, _MOST_IN_SOFTWARE if self._isSoftware else 2**31)
        # A minimum slightly below air means a padded CT, whose voxel type can represent air.
        isPadded = _LOWEST_PADDING_HU <= image.GetScalarRange()[0] < _AIR_HU
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas @ np.diag((i, j, k, 1.0))))
        if (k, j, i) == (1, 1, 1) and not isPadded:
            node.SetAndObserveImageData(image)
            return
        try:
            thinned = voxeltypes.storable(voxels[::k, ::j, ::i])
            slicer.util.updateVolumeFromArray(node, np.maximum(thinned, _AIR_HU) if isPadded else thinned)
        except MemoryError as error:
            raise SceneError(sentence("rendering.no-memory", volume=self._input.GetName())) from error

    def _onModified(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, _event: str) -> None:
        """Follow a new parent transform at once; changed voxels or geometry need a new copy."""
        if not self._exists():
            return
        if self._state() != self._copied:
            self._removeNodes()
            self._apply()
        else:
            self._node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())

    def _state(self) -> tuple[object, ...]:
        image = self._input.GetImageData()
        return (image, image.GetMTime() if image is not None else 0, geometryOf(self._input).tobytes())

    def _removeNodes(self) -> None:
        """Remove the node and its helper nodes."""
        node, self._node = self._node, None
        # Drop this reference to the voxels; otherwise they would outlive the volume.
        self._copied = ()
        if node is None:
            return
        display = self._logic.GetFirstVolumeRenderingDisplayNode(node)
        for part in (node, *(_helpersOf(display) if display is not None else ())):
            removeNode(part)


def isReady(window: vtk.vtkRenderWindow) -> bool:
    """Whether a window can render; Qt's windows cannot before they were first shown."""
    return bool(getattr(window, "GetReadyForRendering", lambda: True)())


def usesSoftware(window: vtk.vtkRenderWindow) -> bool:
    """Whether a window that `isReady` renders in software, without a graphics card."""
    window.Render()
    capabilities = window.ReportCapabilities().lower()
    return any(name in capabilities for name in _SOFTWARE)


def _newHiddenNode(scene: slicer.vtkMRMLScene, className: str, name: str | None = None) -> slicer.vtkMRMLNode:
    """Create a node outside the scene that is hidden from lists and selectors."""
    node = newNode(scene, className, name)
    node.SetHideFromEditors(True)
    node.SetSelectable(False)
    return node


def _keepInternal(node: slicer.vtkMRMLNode) -> None:
    """Keep a node out of lists, selectors and files."""
    node.SetHideFromEditors(True)
    leaveOutOfFiles(node)


def _helpersOf(display: slicer.vtkMRMLVolumeRenderingDisplayNode) -> list[slicer.vtkMRMLNode]:
    """The helper nodes of this display node, which the scene does not remove with it."""
    helpers = (display.GetVolumePropertyNode(), display.GetShaderPropertyNode(), display.GetROINode())
    return [node for node in helpers if node is not None]


def _shift(volumeProperty: vtk.vtkVolumeProperty, shiftHu: float) -> None:
    """Shift the colours and opacities of a preset by `shiftHu`."""
    if not shiftHu:
        return
    for function, size, add in (
        (volumeProperty.GetScalarOpacity(), 4, "AddPoint"),
        (volumeProperty.GetRGBTransferFunction(), 6, "AddRGBPoint"),
    ):
        points = [[0.0] * size for _ in range(function.GetSize())]
        for index, point in enumerate(points):
            function.GetNodeValue(index, point)
        function.RemoveAllPoints()
        for hu, *values in points:
            getattr(function, add)(hu + shiftHu, *values)


def _steps(shapeKji: tuple[int, int, int], ijkToRas: np.ndarray, most: int) -> tuple[int, int, int]:
    """The subsampling steps along k, j, i; the finest axis is subsampled first."""
    spacing = np.linalg.norm(ijkToRas[:3, :3], axis=0)[::-1]
    steps = np.ones(3, dtype=int)
    while np.prod(np.ceil(np.array(shapeKji) / steps)) > most:
        steps[np.argmin(spacing * steps)] += 1
    return tuple(steps.tolist())
