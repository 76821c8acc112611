"""The features of a session's volume as both faces show them: over the slices, asked at a point, and in 3D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer

from MAESILCore.errors import ConfigError
from MAESILSlicerLib.results import featureview
from MAESILSlicerLib.results.features import KIND, Likeness
from MAESILSlicerLib.results.resultset import ResultSet, allResults, removeResults
from MAESILSlicerLib.scene.nodes import removeNodes
from MAESILSlicerLib.scene.watch import Observations
from MAESILSlicerLib.session.wording import TEXTS, sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.session.session import Session

NOTHING, COLOURS, SIMILARITY = "nothing", "colours", "similarity"
#: Display names of what the slices show over the volume.
LAYER_TITLES = TEXTS.titles("features.layer")


def similarityTo(features: ResultSet, world: tuple[float, float, float]) -> slicer.vtkMRMLScalarVolumeNode:
    """The volume that says where features agree with those at a point, from 0 to 1, in place of an earlier one.

    Args:
        features: the results of a features job.
        world: RAS of the scene, in mm.

    Raises:
        MaesilError: these are other results or no longer in the scene, or the point lies outside them.
    """
    scene = features.main.GetScene()
    # As they are now: with the volume of an earlier point.
    found = [one for one in allResults(scene) if one.main is features.main] if scene is not None else []
    if features.kind is not KIND or not found:
        raise ConfigError(sentence("features.others"))
    shown = Likeness(found[0]).show(world)
    if shown is None:
        raise ConfigError(sentence("features.outside"))
    return shown.similarity


@dataclass(frozen=True)
class FeatureDisplay:
    """What the views show of features.

    Attributes:
        layer: over the slices, `NOTHING`, `COLOURS` or `SIMILARITY`.
        opacity: that of the layer, 0 to 1.
        threshold: least similarity that slices and surface show, 0 to 1.
    """

    layer: str = COLOURS
    opacity: float = 0.5
    threshold: float = 0.5


class ShownFeatures:
    """Shows the newest features of a session's volume, and where they agree with those at a picked point.

    The point can be dragged in the views. Call `refresh` after the topics "volume" and "results" of the session, once
    the scene has changed.

    Args:
        session: the session.
        onPoint: called after the point was dragged.

    Attributes:
        results: the features; None if the volume has none. Those of the last `refresh`.
        display: as applied last.
        problem: why the point cannot be asked, as a sentence; "" if it can.
    """

    def __init__(self, session: Session, onPoint: Callable[[], None] = lambda: None) -> None:
        self._session, self._onPoint = session, onPoint
        self.display = FeatureDisplay()
        self.results: ResultSet | None = None
        self.problem = ""
        self._likeness: Likeness | None = None
        self._asked: tuple[int, int, int] | None = None
        #: The box and the threshold of the surface.
        self._drawn: tuple[object, float] | None = None
        self._watched: slicer.vtkMRMLNode | None = None
        self._observations = Observations()

    @property
    def hasPoint(self) -> bool:
        """Whether a point of the volume is picked."""
        return self._point() is not None

    @property
    def place(self) -> tuple[int, int, int] | None:
        """The box (k, j, i) of the features at the picked point; None without a point, or if it is outside."""
        point = self._point()
        if point is None or self.results is None:
            return None
        world = [0.0] * 3
        point.GetNthControlPointPositionWorld(0, world)
        return self._likenessOf(self.results).placeAt((world[0], world[1], world[2]))

    @property
    def obstacle(self) -> str:
        """Why no point can be picked, as a sentence; "" if one can."""
        return "" if self.results is not None else sentence("features.none")

    def hint(self, isPicking: bool) -> str:
        """What the views show, or what is to do, as a sentence; "" for nothing.

        Args:
            isPicking: whether a click picks a point.
        """
        layer = self.display.layer
        if self.results is None:
            return self.obstacle
        if layer == SIMILARITY and self.problem:
            return self.problem
        if isPicking:
            return sentence("features.picking")
        if layer == SIMILARITY:
            return sentence("features.similarity-means" if self.hasPoint else "features.no-point")
        return sentence("features.colours-mean") if layer == COLOURS else ""

    def dropOlder(self) -> None:
        """Remove all features of the volume but the newest from the scene."""
        for results in self._all()[:-1]:
            removeResults(results)

    def refresh(self, display: FeatureDisplay | None = None) -> None:
        """Follow the session's volume and the newest of its features, and show them.

        Args:
            display: how, from now on; None changes nothing.
        """
        self.display = display or self.display
        found = self._all()
        before, self.results = self.results, found[-1] if found else None
        if (before and before.main) is not (self.results and self.results.main):
            self._likeness = self._asked = None
            self.problem = ""
        self._watchPoint()
        self._draw()

    def pick(self, world: tuple[float, float, float]) -> None:
        """Show where the features agree with those at a point, in place of an earlier one.

        Args:
            world: RAS of the scene, in mm.

        Raises:
            MaesilError: there are no features, or the point lies outside the volume; the earlier point stays.
        """
        # The scene may have changed since the last one.
        self.refresh()
        if self.results is None:
            raise ConfigError(self.obstacle)
        if self._likenessOf(self.results).placeAt(world) is None:
            raise ConfigError(sentence("features.outside"))
        self._observations.clear()
        featureview.placePoint(self._session.volumeNode, world)
        self._watched = None
        self._watchPoint()
        self._draw()

    def forget(self) -> None:
        """Remove features and point of the volume from the scene."""
        results, scene = self.results, self._session.scene
        self.results = self._likeness = self._asked = None
        self._observations.clear()
        self._watched = None
        removeNodes(scene, featureview.POINT)
        self._draw()
        if results is not None:
            removeResults(results)

    def close(self) -> None:
        """Take the features out of the views; they stay in the scene."""
        self._observations.clear()
        self._watched = self._likeness = self.results = None
        self._draw()

    def _all(self) -> list[ResultSet]:
        """The features of the volume, oldest first."""
        session = self._session
        found = allResults(session.scene, session.volumeNode) if session.check.usable else []
        return [one for one in found if one.kind is KIND]

    def _point(self) -> slicer.vtkMRMLMarkupsFiducialNode | None:
        volumeNode = self._session.volumeNode
        return featureview.pointOf(volumeNode) if volumeNode is not None else None

    def _likenessOf(self, results: ResultSet) -> Likeness:
        if self._likeness is None:
            self._likeness = Likeness(results)
        return self._likeness

    def _watchPoint(self) -> None:
        point = self._point()
        if point is not self._watched:
            self._observations.clear()
            self._watched = point
            if point is not None:
                self._observations.add(point, slicer.vtkMRMLMarkupsNode.PointModifiedEvent, self._onMoved)

    def _onMoved(self, *_event: object) -> None:
        self.refresh()
        self._onPoint()

    def _draw(self) -> None:
        scene, results, layer = self._session.scene, self.results, self.display.layer
        node = None
        if results is not None and layer == COLOURS:
            node = results.colours
        elif results is not None and layer == SIMILARITY and self.hasPoint:
            node = self._ask(results)
        featureview.showOverSlices(scene, node, self.display.opacity)
        featureview.showPoints(scene, self._session.volumeNode if layer == SIMILARITY and results else None)
        isAsked = layer == SIMILARITY and node is not None
        featureview.removeSurfaces(scene, self._session.volumeNode if isAsked else None)
        drawn = (self._asked, self.display.threshold) if isAsked else None
        if drawn is not None and (drawn != self._drawn or featureview.surfaceOf(node) is None):
            featureview.setThreshold(node, self.display.threshold)
            featureview.showSurface(node, self.display.threshold)
        self._drawn = drawn

    def _ask(self, results: ResultSet) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The similarity to the point; that of the point before if this one is outside the volume."""
        likeness, world = self._likenessOf(results), [0.0] * 3
        self._point().GetNthControlPointPositionWorld(0, world)
        place = likeness.placeAt((world[0], world[1], world[2]))
        self.problem = "" if place is not None else sentence("features.outside")
        if place is not None and (place != self._asked or results.similarity is None):
            self.results = likeness.show((world[0], world[1], world[2]))
            self._asked = place
        return self.results.similarity
