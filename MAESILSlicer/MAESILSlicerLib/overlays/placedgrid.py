"""The superpatches of a volume in world coordinates: the volume's geometry and parent transforms applied."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import slicer
import vtk

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import SuperpatchGrid
from MAESILSlicerLib.overlays import lattice
from MAESILSlicerLib.overlays.modelnodes import pointsOf
from MAESILSlicerLib.scene.transforms import SceneError, geometryOf, linearTransformToWorld


class PlacedGrid:
    """The partition of a volume into superpatches, placed in the world.

    Args:
        volumeNode: a scalar volume.
        grid: the volume's grid; its overlap is ignored.

    Attributes:
        ijkToRas: the volume's own matrix, (4, 4), without its parent transform.

    Raises:
        ConfigError: the grid does not fit this volume.
        SceneError: the volume is under a non-linear transform.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLVolumeNode, grid: SuperpatchGrid) -> None:
        if volumeNode.GetImageData().GetDimensions()[::-1] != grid.shape:
            message = (
                f'The grid is made for {grid.shape} voxels (k, j, i), which "{volumeNode.GetName()}" has not.'
            )
            raise ConfigError(message)
        linearTransformToWorld(volumeNode)
        self.volumeNode, self.grid = volumeNode, grid
        self.ijkToRas = geometryOf(volumeNode)

    @cached_property
    def cornersRas(self) -> np.ndarray:
        """The corners of all patches, (Dk + 1, Dj + 1, Di + 1, 3), in the volume's own RAS, mm."""
        corners = lattice.cornersRas(lattice.patchEdges(self.grid), self.ijkToRas)
        return corners.astype(np.float32).reshape(*np.add(self.grid.lattice_shape, 1), 3)

    @cached_property
    def points(self) -> vtk.vtkPoints:
        """The corners of all patches, which meshes can share."""
        return pointsOf(self.cornersRas.reshape(-1, 3))

    def rasToWorld(self) -> np.ndarray | None:
        """The current matrix from the volume's RAS to world RAS, (4, 4); None under a non-linear transform."""
        try:
            return linearTransformToWorld(self.volumeNode)
        except SceneError:
            return None

    def superpatchAt(self, ras: Sequence[float]) -> int | None:
        """The superpatch at a point (world RAS, mm); None outside the volume."""
        ijkToWorld = linearTransformToWorld(self.volumeNode) @ self.ijkToRas
        voxelKji = np.floor(np.linalg.solve(ijkToWorld, [*ras, 1.0])[2::-1] + 0.5)
        if (voxelKji < 0).any() or (voxelKji >= self.grid.shape).any():
            return None
        place = (voxelKji // self.grid.superpatch_size).astype(int)
        return int(np.ravel_multi_index(tuple(place), self.grid.counts))

    def centerOf(self, index: int) -> tuple[float, float, float]:
        """The centre of a superpatch's middle voxel (world RAS, mm), so that a slice there is never between patches.

        Raises:
            ConfigError: there is no such superpatch.
        """
        rasToWorld = linearTransformToWorld(self.volumeNode)
        right, anterior, superior = (rasToWorld @ [*self.centerRas(index), 1.0])[:3].tolist()
        return right, anterior, superior

    def centerRas(self, index: int) -> np.ndarray:
        """Like `centerOf`, but in the volume's own RAS, (3,), mm."""
        voxels = self.grid.box(index).voxel_slices(self.grid.patch_size, self.grid.shape)
        middleIjk = [(part.start + part.stop) // 2 for part in reversed(voxels)]
        return (self.ijkToRas @ [*middleIjk, 1.0])[:3]

    def labelOf(self, index: int) -> str:
        """The label i-j-k of a superpatch, counted from 0."""
        k, j, i = np.unravel_index(index, self.grid.counts)
        return f"{i}-{j}-{k}"
