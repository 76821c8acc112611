"""Keeps grid, mask and overlays of one study in sync with the applied choices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILSlicerLib.overlays.overlays import Overlays
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.scene.regions import maskFromRegion
from MAESILSlicerLib.scene.volumes import checkVolume
from MAESILSlicerLib.scene.watch import RegionWatch, VolumeWatch
from MAESILSlicerLib.session.choices import Nothing, Region, StudyChoices
from MAESILSlicerLib.session.models import ModelInfo, readModelInfo
from MAESILSlicerLib.session.signal import Signal
from MAESILSlicerLib.session.wording import sentence

#: Topics of a session's signal. "volume": volume, check or grid; "display": the outlined superpatch; "moved": the
#: hidden region was moved, so the face must re-apply the choices; "job": job and message.
TOPICS = ("volume", "model", "mask", "display", "moved", "job", "results")


class ShownStudy:
    """Volume, grid, mask and overlays of one study in a scene.

    Args:
        scene: the MRML scene.

    Attributes:
        changed: signal with the topics `TOPICS`.
        choices: the choices applied last.
        problems: errors by the part that could not be applied, in this order: "model", "volume", "mask", "display".
        check: the check of the volume.
        superpatch: index of the outlined superpatch; None if there is none.
        results: the newest reconstruction made while the volume was shown; None if there is none.
        message: one sentence about the last event.
        failed: whether `message` reports a failure.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self.overlays = Overlays(scene)
        self.model: ModelInfo = readModelInfo()
        self.changed = Signal(*TOPICS)
        self.choices = StudyChoices()
        self.problems: dict[str, MaesilError] = {}
        self.volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self.check = checkVolume(None)
        self.grid: SuperpatchGrid | None = None
        self.mask: Mask | None = None
        self.superpatch: int | None = None
        self.results: ResultSet | None = None
        self.message, self.failed = "", False
        self._usedModel = self.choices.model
        self._isPlaced = False
        self._maskKey: object = None
        self._pending: set[str] | None = None
        self._regionWatch = RegionWatch(self._onRegionMoved)
        self._volumeWatch = VolumeWatch(self._onVolumeChanged, self._reapply)

    # Notifications

    def _report(self, message: str = "", failed: bool = False, *topics: str) -> None:
        """Replace the message and emit "job" and `topics`."""
        self.message, self.failed = message, failed
        self._notify("job", *topics)

    def _notify(self, *topics: str) -> None:
        if self._pending is None:
            self.changed.emit(*topics)
        else:
            self._pending.update(topics)

    @contextmanager
    def _batch(self) -> Iterator[None]:
        """Collect all topics and emit them once at the end."""
        if self._pending is not None:
            yield
            return
        self._pending = set()
        try:
            yield
        finally:
            topics, self._pending = self._pending, None
            if topics:
                self.changed.emit(*topics)

    # The choices

    @property
    def problem(self) -> MaesilError | None:
        """The first of `problems`; None if all choices are in use."""
        return next(iter(self.problems.values()), None)

    @property
    def hidesPatches(self) -> bool:
        """Whether the model needs a mask; other models see all patches, and `mask` hides none."""
        return self.model.hides

    @property
    def noMask(self) -> str:
        """Why masks have no effect, as a sentence; "" if they have."""
        return "" if self.hidesPatches else sentence("study.sees-all", name=self.model.name)

    @property
    def isRegion(self) -> bool:
        """Whether the mask is a region made by hand."""
        return self.mask is not None and self.hidesPatches and isinstance(self.choices.region, Region)

    def change(self, **choices: Any) -> None:  # noqa: ANN401 - fields of `StudyChoices`
        """Apply the current choices with these fields replaced."""
        self.apply(replace(self.choices, **choices))

    def apply(self, choices: StudyChoices) -> None:
        """Apply choices; parts that did not change are not touched.

        A choice that cannot be used goes into `problems`, and the part before it stays. The mask is the exception: it
        is cleared, because a stale mask would be mistaken for the chosen one.
        """
        with self._batch():
            self.choices = choices
            for part, applyPart in (
                ("model", self._applyModel),
                ("volume", self._applyVolume),
                ("mask", self._applyMask),
                ("display", self._applyDisplay),
            ):
                before = self.problems.pop(part, "")
                try:
                    applyPart(choices)
                except MaesilError as error:
                    self.problems[part] = error
                if str(before) != str(self.problems.get(part, "")):
                    self._notify(part)

    def _applyModel(self, choices: StudyChoices) -> None:
        if choices.model != self._usedModel:
            self.model = readModelInfo(choices.model)
            self._usedModel, self._isPlaced = choices.model, False
            self._notify("model")

    def _applyVolume(self, choices: StudyChoices) -> None:
        if choices.volume is not self.volumeNode:
            self.volumeNode, self.results, self._isPlaced = choices.volume, None, False
            self._volumeWatch.follow(choices.volume)
            self._notify("results")
        if not self._isPlaced:
            self._place()
            self._isPlaced = True

    def _place(self) -> None:
        """Check the volume again and show its grid without a mask."""
        self._maskKey = self.mask = self.superpatch = self.grid = None
        self._report("", False, "volume", "mask", "display")
        self.check = checkVolume(self.volumeNode, self.model.expectsHu)
        if self.check.problem is not None:
            self.overlays.remove()
            return
        k, j, i = reversed(self.volumeNode.GetImageData().GetDimensions())
        grid = SuperpatchGrid((k, j, i), self.model.superpatchSize, self.model.patchSize)
        self.overlays.show(self.volumeNode, grid)
        self.grid = grid

    def _applyMask(self, choices: StudyChoices) -> None:
        region = choices.region if self.hidesPatches else None
        self._regionWatch.follow(region.node if isinstance(region, Region) else None, self.volumeNode)
        key = (choices.strategy, choices.seed) if region is None else region
        if self.grid is None or key == self._maskKey:
            return
        self._maskKey = None
        try:
            mask = self._makeMask(choices)
        except MaesilError:
            self._showMask(None)
            raise
        self._maskKey = key
        self._showMask(mask)
        if region is None:
            # A region is re-applied when the volume changes; the message about that change must stay.
            self._report()

    def _showMask(self, mask: Mask | None) -> None:
        if mask is not None or self.mask is not None:
            self.mask = mask
            self.overlays.setMask(mask)
            self._notify("mask")

    def _makeMask(self, choices: StudyChoices) -> Mask | None:
        """The mask of these choices; None for an empty region without a reason."""
        region = choices.region
        if not self.hidesPatches:
            return Mask(np.zeros(self.grid.lattice_shape, dtype=np.uint8))
        if isinstance(region, Region):
            return maskFromRegion(self.grid, self.volumeNode, region.node, region.segmentId)
        if isinstance(region, Nothing):
            if region.reason:
                raise ConfigError(region.reason)
            return None
        mask = choices.strategy.sample_grid(self.grid, choices.seed)
        if not mask.stages.any():
            raise ConfigError(sentence("mask.nothing-hidden", count=mask.stages.size))
        return mask

    def _applyDisplay(self, choices: StudyChoices) -> None:
        if self.grid is None:
            return
        display, superpatch = choices.display, choices.superpatch
        # The index may be out of range after a change of volume or model.
        if superpatch is not None and not 0 <= superpatch < len(self.grid):
            superpatch = None
        if display.clip is not None and not 0 <= display.clip < len(self.grid):
            display = replace(display, clip=None)
        self.overlays.setDisplay(display)
        if superpatch != self.overlays.highlight:
            self.overlays.setHighlight(superpatch)
        if superpatch != self.superpatch:
            self.superpatch = superpatch
            self._notify("display")

    def _onRegionMoved(self) -> None:
        """Invalidate the mask; the face decides when to re-apply, since that is slow."""
        self._maskKey = None
        self._notify("moved")

    def _onVolumeChanged(self) -> None:
        """Drop the results when voxels or geometry of the volume have changed."""
        with self._batch():
            self.results = None
            self._notify("results")
            self._reapply()

    def _reapply(self) -> None:
        self._isPlaced = False
        self.apply(self.choices)

    def close(self) -> None:
        """Remove the overlays and stop observing the scene; results stay."""
        self._volumeWatch.follow(None)
        self._regionWatch.follow(None, None)
        self.changed = Signal(*TOPICS)
        self.overlays.remove()
