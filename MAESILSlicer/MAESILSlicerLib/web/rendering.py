"""Volume rendering of the shown scan: presets for CT, their shift, and a pace that bears a machine without graphics."""

from __future__ import annotations

import numpy as np
import slicer
from trame_slicer.core import SlicerApp

from MAESILCore.volume import Volume
from MAESILSlicerLib.nodes import removeNode
from MAESILSlicerLib.scene import addVolume, geometryOf, voxelsOf

ROLE = "rendered"

#: The presets worth a try on a CT of the trunk, by what people look for.
PRESETS = {
    "CT-Chest-Contrast-Enhanced": "Bones and contrast",
    "CT-Bones": "Bones, red",
    "CT-AAA": "Bones, white",
    "CT-Muscle": "Muscle",
    "CT-Lung": "Lung",
    "CT-Pulmonary-Arteries": "Pulmonary vessels",
    "CT-Cardiac3": "Heart",
    "CT-Soft-Tissue": "Skin",
    "CT-Air": "Air",
    "CT-MIP": "Brightest along the ray",
    "CT-X-ray": "X-ray",
}
USUAL_PRESET = "CT-Chest-Contrast-Enhanced"
SHIFT_RANGE = (-300, 300)

#: More voxels than this are thinned out before the processor casts rays through them.
_MOST_IN_SOFTWARE = 3_000_000
_AIR_HU, _LOWEST_PADDING_HU = -1024, -4096


class Rendering:
    """The volume in the 3D view.

    Args:
        app: trame-slicer's.
        isSoftware: whether the processor draws.
    """

    def __init__(self, app: SlicerApp, isSoftware: bool) -> None:
        self._app, self._isSoftware = app, isSoftware
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._preset, self._shift, self._isVisible = USUAL_PRESET, 0.0, True
        kind = "CPU" if isSoftware else "GPU"
        self._method = f"vtkMRML{kind}RayCastVolumeRenderingDisplayNode"
        app.volume_rendering.ChangeVolumeRenderingMethod(self._method)
        app.volume_rendering.SetDefaultRenderingMethod(self._method)

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Render another volume, or none."""
        previous, self._node = self._node, None
        removeNode(previous)
        if volumeNode is None:
            return
        self._node = self._copyOf(volumeNode)
        logic = self._app.volume_rendering
        display = logic.CreateDefaultVolumeRenderingNodes(self._node)
        display.SetFollowVolumeDisplayNode(False)
        self._apply()

    def set(self, preset: str, shiftHu: float, isVisible: bool) -> None:
        """Choose how the volume looks.

        Args:
            preset: one of `PRESETS`.
            shiftHu: by how many HU the preset's colours and opacities are moved.
            isVisible: whether the volume is rendered at all; else 3D is left to grid and mask.
        """
        self._preset, self._shift, self._isVisible = preset, shiftHu, isVisible
        self._apply()

    def _apply(self) -> None:
        if self._node is None:
            return
        rendering = self._app.volume_rendering
        display = rendering.get_vr_display_node(self._node)
        with slicer.util.NodeModify(display):
            rendering.apply_preset(display, self._preset)
            if self._shift:
                rendering.set_absolute_vr_shift_from_preset(self._node, self._preset, self._shift)
            display.SetVisibility(self._isVisible)

    def _copyOf(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
        """A node of its own, so that what lies in the slices and what is rendered are chosen apart."""
        voxels, ijkToRas = voxelsOf(volumeNode), geometryOf(volumeNode)
        steps = _steps(voxels.shape, ijkToRas, _MOST_IN_SOFTWARE if self._isSoftware else 2**31)
        k, j, i = steps
        thinned = voxels[::k, ::j, ::i]
        # Only what lies a little below air is padding of a CT, and only such a type can hold air.
        if _LOWEST_PADDING_HU <= voxels.min() < _AIR_HU:
            thinned = np.maximum(thinned, _AIR_HU)
        volume = Volume(np.ascontiguousarray(thinned), ijkToRas @ np.diag((i, j, k, 1.0)))
        node = addVolume(self._app.scene, volume, "MAESIL 3D", like=volumeNode, role=ROLE)
        node.SetHideFromEditors(True)
        return node


def _steps(shapeKji: tuple[int, int, int], ijkToRas: np.ndarray, most: int) -> tuple[int, int, int]:
    """Every how many voxels along k, j, i one is kept, the finest axis thinned first."""
    spacing = np.linalg.norm(ijkToRas[:3, :3], axis=0)[::-1]
    steps = np.ones(3, dtype=int)
    while np.prod(np.ceil(np.array(shapeKji) / steps)) > most:
        steps[np.argmin(spacing * steps)] += 1
    k, j, i = (int(step) for step in steps)
    return k, j, i
