"""A volume under one mask: which tiles need a pass, and how their predictions become a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.inference.air import Content, PatchLevels
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.inference.shifts import ShiftedMask
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import Assembler, LatticeBox, Tiling
from MAESILCore.wording import Sentence

#: Callback with parts done, parts in all, and a sentence.
ProgressCallback = Callable[[int, int, str], None]


class Passes:
    """Counts the passes of all masks for a progress callback."""

    def __init__(self, total: int, progress: ProgressCallback | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def of_turn(self) -> Callable[[int, int], None]:
        """The callback for the passes of one mask."""
        before = self._done

        def passed(done: int, _: int) -> None:
            self._done = before + done
            if self._progress is not None:
                self._progress(self._done, self._total, _passed(self._done, self._total))

        return passed


@dataclass(frozen=True, eq=False)
class Turn:
    """A volume under one mask: the tiles that need a pass, and the values known without one.

    Attributes:
        volume: the volume.
        window: maps its values to [0, 1].
        masked: the mask and its grid.
        content: the patches that hold more than air.
        tiling: tiles around all patches to predict; None if there are none.
        passed: the tiles that need a pass.
    """

    volume: Volume
    window: Window
    masked: ShiftedMask
    content: Content
    tiling: Tiling | None
    passed: list[LatticeBox]

    @classmethod
    def of(cls, volume: Volume, window: Window, masked: ShiftedMask) -> Turn:
        """Plan the tiles for one mask."""
        grid, hidden = masked.grid, masked.mask.hidden
        content = Content.of(PatchLevels.of(masked.extended(volume.voxels), window, grid), hidden)
        wanted = content.present & (hidden if hidden.any() else True)
        tiling = grid.tiles_around(wanted, content.present)
        passed = [box for box in tiling or () if wanted[box.slices].any()]
        return cls(volume, window, masked, content, tiling, passed)

    def predict(
        self, passes: NetworkPasses, report: Passes, cancelled: Callable[[], bool] | None
    ) -> np.ndarray:
        """The volume in HU, (k, j, i) float32, in the geometry of the input."""
        voxels, grid = self.masked.extended(self.volume.voxels), self.masked.grid
        if self.tiling is None:
            return self.masked.inside(self._known(voxels, grid.everything))
        assembler = Assembler(self.tiling, grid.shape, scale=grid.patch_size)
        predictions = walk(
            voxels,
            grid,
            [Step(box, self.masked.mask.hidden) for box in self.passed],
            passes,
            prepare=self.window.apply,
            progress=report.of_turn(),
            cancelled=cancelled,
        )
        for step, predicted in predictions:
            assembler.add(step.box, self.window.invert(predicted))
        for box in set(self.tiling).difference(self.passed):
            assembler.add(box, self._known(voxels, box)[None])
        (assembled,) = assembler.result()
        self._surround(assembled, voxels, self.tiling.region)
        return self.masked.inside(assembled)

    def _surround(self, assembled: np.ndarray, voxels: np.ndarray, region: LatticeBox) -> None:
        """Write the known values outside a region into an array, in place."""
        grid = self.masked.grid
        for box, slices in grid.rows():
            slab = assembled[slices]
            known = self._known(voxels, box)
            if region.start[0] <= box.start[0] < region.stop[0]:
                inside = (slice(None), *region.voxel_slices(grid.patch_size, grid.shape)[1:])
                known[inside] = slab[inside]
            slab[...] = known

    def _known(self, voxels: np.ndarray, box: LatticeBox) -> np.ndarray:
        """Values that need no pass, in HU: the scan; in air, clipped voxels, and their mean where hidden."""
        grid = self.masked.grid
        known = voxels[box.voxel_slices(grid.patch_size, grid.shape)].astype(np.float32)
        air = ~self.content.present[box.slices]
        if air.any():
            np.clip(known, self.window.low, self.window.high, out=known, where=grid.expand(air, box))
            hidden = air & self.masked.mask.hidden[box.slices]
            level = grid.expand(self.window.invert(self.content.air[box.slices]), box)
            np.copyto(known, level, where=grid.expand(hidden, box))
        return known


def _passed(done: int, total: int) -> Sentence:
    return Sentence("job.passes", "Reconstructed {done} of {total} passes.", done=done, total=total)
