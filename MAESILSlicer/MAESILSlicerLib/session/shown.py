"""What a scene shows of one study: kept in line with the choices that a face has applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import slicer

from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILSlicerLib.overlays.overlays import Overlays
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.scene.regions import maskFromRegion
from MAESILSlicerLib.scene.regionwatch import RegionWatch
from MAESILSlicerLib.scene.volumes import VolumeCheck, checkVolume
from MAESILSlicerLib.scene.volumewatch import VolumeWatch
from MAESILSlicerLib.session.choices import Nothing, NothingHidden, Region, StudyChoices
from MAESILSlicerLib.session.models import ModelInfo, readModelInfo
from MAESILSlicerLib.session.signal import Signal

#: What a session tells its listeners of. "volume": volume, check or grid; "model"; "mask"; "display": the outlined
#: superpatch; "moved": the hidden region was moved, so that the face is to apply the choices again; "job": job and
#: message; "results".
TOPICS = ("volume", "model", "mask", "display", "moved", "job", "results")


class ShownStudy:
    """Volume, grid, mask and overlays of one study in a scene.

    Args:
        scene: the MRML scene.

    Attributes:
        changed: tells of changes, by `TOPICS`.
        choices: what was applied last.
        problems: why the "model", "volume", "mask" or "display" is not as it was chosen; empty if all are.
        check: what was found out about the volume.
        superpatch: the outlined one; None if there is none.
        results: what the newest reconstruction of the volume has made while it was shown; None if there is none.
        message: one sentence on what happened last.
        failed: whether that sentence is about something that went wrong.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.scene = scene
        self.overlays = Overlays(scene)
        self.model: ModelInfo = readModelInfo()
        self.changed = Signal(*TOPICS)
        self.choices = StudyChoices()
        self.problems: dict[str, MaesilError] = {}
        self.volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self.check = VolumeCheck("Choose a volume.", ())
        self.grid: SuperpatchGrid | None = None
        self.mask: Mask | None = None
        self.superpatch: int | None = None
        self.results: ResultSet | None = None
        self.message, self.failed = "", False
        self._usedModel = self.choices.model
        self._isPlaced = False
        self._madeFor: object = None
        self._news: set[str] | None = None
        self._regionWatch = RegionWatch(self._onRegionMoved)
        self._volumeWatch = VolumeWatch(self._onVolumeChanged, self._applyAnew)

    # Telling

    def _changed(self, message: str = "", failed: bool = False, *topics: str) -> None:
        """Tell of the job, or of its end, by a message in place of the one before."""
        self.message, self.failed = message, failed
        self._tell("job", *topics)

    def _tell(self, *topics: str) -> None:
        if self._news is None:
            self.changed.emit(*topics)
        else:
            self._news.update(topics)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Tell of all changes at once, when everything is in line."""
        if self._news is not None:
            yield
            return
        self._news = set()
        try:
            yield
        finally:
            news, self._news = self._news, None
            if news:
                self.changed.emit(*news)

    # The choices

    @property
    def problem(self) -> MaesilError | None:
        """Why the choices are not all in use; None if they are."""
        parts = ("model", "volume", "mask", "display")
        return next((self.problems[part] for part in parts if part in self.problems), None)

    @property
    def isRegion(self) -> bool:
        """Whether what is hidden was made by hand."""
        return self.mask is not None and isinstance(self.choices.region, Region)

    def change(self, **choices: Any) -> None:  # noqa: ANN401 - fields of `StudyChoices`
        """Apply the present choices with some of them changed."""
        self.apply(replace(self.choices, **choices))

    def apply(self, choices: StudyChoices) -> None:
        """Bring everything in line with choices; what is in line already is not touched.

        A choice that cannot be used is among `problems`, and what it was to replace stays. Only the mask is cleared,
        because the mask before would be mistaken for the chosen one.
        """
        with self._together():
            self.choices = choices
            for part, applyPart in (
                ("model", self._applyModel),
                ("volume", self._applyVolume),
                ("mask", self._applyMask),
                ("display", self._applyDisplay),
            ):
                before, problem = self.problems.pop(part, None), None
                try:
                    applyPart(choices)
                except MaesilError as error:
                    problem = self.problems[part] = error
                if str(before or "") != str(problem or ""):
                    self._tell(part)

    def _applyModel(self, choices: StudyChoices) -> None:
        if choices.model != self._usedModel:
            self.model = readModelInfo(choices.model)
            self._usedModel, self._isPlaced = choices.model, False
            self._tell("model")

    def _applyVolume(self, choices: StudyChoices) -> None:
        if choices.volume is not self.volumeNode:
            self.volumeNode, self.results, self._isPlaced = choices.volume, None, False
            self._volumeWatch.follow(choices.volume)
            self._tell("results")
        if not self._isPlaced:
            self._place()
            self._isPlaced = True

    def _place(self) -> None:
        """Check the volume anew and show its grid, so far without a mask."""
        self.message, self.failed = "", False
        self._madeFor = self.mask = self.superpatch = self.grid = None
        self._tell("volume", "mask", "display", "job")
        self.check = checkVolume(self.volumeNode)
        if self.check.problem is not None:
            self.overlays.remove()
            return
        k, j, i = reversed(self.volumeNode.GetImageData().GetDimensions())
        grid = SuperpatchGrid((k, j, i), self.model.superpatchSize, self.model.patchSize)
        self.overlays.show(self.volumeNode, grid)
        self.grid = grid

    def _applyMask(self, choices: StudyChoices) -> None:
        region = choices.region
        self._regionWatch.follow(region.node if isinstance(region, Region) else None, self.volumeNode)
        wanted = (choices.strategy, choices.seed) if region is None else region
        if self.grid is None or wanted == self._madeFor:
            return
        self._madeFor = None
        try:
            mask = self._makeMask(choices)
        except MaesilError:
            self._showMask(None)
            raise
        self._madeFor = wanted
        self._showMask(mask)
        if region is None:
            # Not for a region, which follows the volume: the message about a change of that must stay readable.
            self.message, self.failed = "", False
            self._tell("job")

    def _showMask(self, mask: Mask | None) -> None:
        if mask is not None or self.mask is not None:
            self.mask = mask
            self.overlays.setMask(mask)
            self._tell("mask")

    def _makeMask(self, choices: StudyChoices) -> Mask | None:
        """The mask of some choices; None where nothing is to be hidden and people need no reason."""
        region = choices.region
        if isinstance(region, Region):
            return maskFromRegion(self.grid, self.volumeNode, region.node, region.segmentId or None)
        if isinstance(region, Nothing):
            if region.reason:
                raise ConfigError(region.reason)
            return None
        mask = choices.strategy.sample_grid(self.grid, choices.seed)
        if not mask.stages.any():
            raise NothingHidden(mask.stages.size)
        return mask

    def _applyDisplay(self, choices: StudyChoices) -> None:
        if self.grid is None:
            return
        display, superpatch = choices.display, choices.superpatch
        # Another volume, or another model, may not have that superpatch.
        if superpatch is not None and not 0 <= superpatch < len(self.grid):
            superpatch = None
        if display.clip is not None and not 0 <= display.clip < len(self.grid):
            display = replace(display, clip=None)
        self.overlays.setDisplay(display)
        if superpatch != self.overlays.highlight:
            self.overlays.setHighlight(superpatch)
        if superpatch != self.superpatch:
            self.superpatch = superpatch
            self._tell("display")

    def _onRegionMoved(self) -> None:
        """The mask is made anew with the next application, which is the face's to time: it takes a while."""
        self._madeFor = None
        self._tell("moved")

    def _onVolumeChanged(self) -> None:
        """The volume has other voxels, or another place: results of it are not shown any more."""
        with self._together():
            self.results = None
            self._tell("results")
            self._applyAnew()

    def _applyAnew(self) -> None:
        with self._together():
            self._isPlaced = False
            self.apply(self.choices)

    def close(self) -> None:
        """Take the overlays out of the scene and stop watching it; results stay."""
        self._volumeWatch.follow(None)
        self._regionWatch.follow(None, None)
        self.changed = Signal(*TOPICS)
        self.overlays.remove()
