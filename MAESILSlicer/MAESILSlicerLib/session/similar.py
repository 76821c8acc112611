"""The places that are most similar to the picked point, in all volumes with features and in an index of scans."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MAESILCore.data.scans import failed_unexpectedly
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.search.boxes import PooledBoxes, factors_of
from MAESILCore.downstream.search.index import Index
from MAESILCore.downstream.search.layout import IndexedScan
from MAESILCore.downstream.search.ranking import best_places
from MAESILCore.downstream.search.thumbnails import thumbnail
from MAESILCore.errors import Cancelled, ConfigError, MaesilError
from MAESILCore.lattice import FeatureMap, Triple
from MAESILCore.lattice.whitening import Projection
from MAESILSlicerLib.results import featureview
from MAESILSlicerLib.results.comparison import jumpTo
from MAESILSlicerLib.results.features import KIND, Likeness, encoderOf, strideOf
from MAESILSlicerLib.results.resultset import ResultSet, allResults
from MAESILSlicerLib.scene.nodes import inputOf
from MAESILSlicerLib.scene.transforms import linearTransformToWorld
from MAESILSlicerLib.scene.volumes import addVolume, geometryOf, voxelsOf
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILSlicerLib.session.features import ShownFeatures
    from MAESILSlicerLib.session.session import Session

#: Places of a search.
MOST = 12

Ras = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SimilarPlace:
    """A place that looks like the picked point.

    Attributes:
        similarity: cosine between directions by the projection of all boxes that were searched, from -1 to 1.
        name: name of the volume or scan.
        ras: its centre in mm, in the scan's own coordinates, without transforms of the scene.
        volumeNode: the volume; None for a scan of an index that is not loaded.
        scan: the scan of an index; None for a volume of the scene.
        picture: (192, 192, 3) uint8, an axial cut with a cross; None until it is drawn.
    """

    similarity: float
    name: str
    ras: Ras
    volumeNode: slicer.vtkMRMLScalarVolumeNode | None
    scan: IndexedScan | None = None
    picture: np.ndarray | None = None


@dataclass(eq=False)
class _Source:
    """A volume with features, as the thread of a search needs it."""

    volume: Volume
    node: slicer.vtkMRMLScalarVolumeNode
    map: FeatureMap | None
    boxes: PooledBoxes | None


@dataclass(eq=False)
class _Work:
    """A search that runs in a thread of its own, which touches no node of the scene.

    Attributes:
        sources: the volumes; the first one holds the point.
        place: the box of the point on the lattice of the first one's pooled features.
        index: an index of the same encoder, or None.
        isStopped: set when nobody waits for the outcome any more.
        outcomes: places, then pairs of a place's number and its picture, at last a sentence, "" for none.
    """

    sources: list[_Source]
    place: Triple
    index: Index | None
    isStopped: threading.Event = field(default_factory=threading.Event)
    outcomes: queue.SimpleQueue[list[SimilarPlace] | tuple[int, np.ndarray] | str] = field(
        default_factory=queue.SimpleQueue
    )

    def run(self) -> None:
        """The whole search, with its pictures."""
        try:
            places = self._found()
            self.outcomes.put(places)
            self.outcomes.put(self._draw(places))
        except Cancelled:
            return
        except MaesilError as error:
            self.outcomes.put(str(error))
        except Exception as error:
            self.outcomes.put(failed_unexpectedly("The search", error))

    def _found(self) -> list[SimilarPlace]:
        """The places, best first."""
        for source in self.sources:
            if source.boxes is None:
                source.boxes = PooledBoxes.of(source.map)
                source.map = None
        all_boxes = [source.boxes for source in self.sources]
        first = all_boxes[0]
        row = np.flatnonzero(first.numbers == np.ravel_multi_index(self.place, first.shape))
        if not len(row):
            raise ConfigError(sentence("similar.air"))
        vectors = np.concatenate([boxes.vectors for boxes in all_boxes])
        compared = self.index if self.index is not None else Projection.of(vectors)
        directions = compared.directions_of(vectors)
        direction = directions[row[0]]
        scores = directions @ direction
        places = np.concatenate(
            [
                np.column_stack([np.full(len(boxes.numbers), number), boxes.numbers])
                for number, boxes in enumerate(all_boxes)
            ]
        )
        shapes = [boxes.shape for boxes in all_boxes]
        found = []
        for best, number, box in best_places(scores, places, shapes, MOST, without=(0, [self.place])):
            r, a, s, _ = (all_boxes[number].lattice_to_ras @ [*box[::-1], 1.0]).tolist()
            source = self.sources[number]
            found.append(SimilarPlace(float(scores[best]), source.volume.name, (r, a, s), source.node))
        if self.index is not None:
            # The scans of the volumes would be listed twice, and the point itself found.
            copies = [number for boxes in all_boxes for number in self.index.copies_of(boxes)]
            hits = self.index.search(direction, MOST, leave_out=copies, cancelled=self.isStopped.is_set)
            found += [SimilarPlace(hit.similarity, hit.scan.name, hit.ras, None, hit.scan) for hit in hits]
        return sorted(found, key=lambda place: -place.similarity)[:MOST]

    def _draw(self, places: list[SimilarPlace]) -> str:
        """Draw the places, each scan once; returns a sentence if one cannot be read."""
        volumes: dict[object, Volume] = {source.node: source.volume for source in self.sources}
        problem = ""
        for scan in [None, *dict.fromkeys(place.scan for place in places if place.scan is not None)]:
            volume = None
            if scan is not None and self.index is not None:
                try:
                    volume = self.index.read(scan)
                except MaesilError as error:
                    problem = problem or str(error)
                    continue
            for number, place in enumerate(places):
                if self.isStopped.is_set():
                    raise Cancelled("stopped")
                if place.scan is scan:
                    drawn = thumbnail(volume or volumes[place.volumeNode], place.ras)
                    self.outcomes.put((number, drawn))
        return problem


def pngOf(picture: np.ndarray) -> bytes:
    """A picture (rows, columns, 3) uint8 as a PNG file."""
    image = vtk.vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    # The first row of VTK is the lowest one.
    rows = np.ascontiguousarray(picture[::-1]).reshape(-1, 3)
    image.GetPointData().SetScalars(numpy_to_vtk(rows, deep=True))
    writer = vtk.vtkPNGWriter()
    writer.WriteToMemoryOn()
    writer.SetInputData(image)
    writer.Write()
    return bytes(vtk_to_numpy(writer.GetResult()))


class SimilarPlaces:
    """Finds places that look like the picked point of a session's volume. Call `poll` often while `isRunning`.

    Args:
        session: the session.
        shown: its features, with the point.

    Attributes:
        places: the places of the last search, best first.
        problem: why the last search failed or has not all pictures, as a sentence; "" if nothing is wrong.
    """

    def __init__(self, session: Session, shown: ShownFeatures) -> None:
        self._session, self._shown = session, shown
        self.places: tuple[SimilarPlace, ...] = ()
        self.problem = ""
        self._work: _Work | None = None
        self._index: Index | None = None
        #: Pooled features by the vectors' node, with the time at which they were changed last.
        self._pooled: dict[slicer.vtkMRMLNode, tuple[int, PooledBoxes]] = {}
        self._started: list[tuple[slicer.vtkMRMLNode, int, _Source]] = []

    @property
    def isRunning(self) -> bool:
        """Whether a search is running."""
        return self._work is not None

    @property
    def hint(self) -> str:
        """What the search does or has found, as a sentence; "" before the first one."""
        if self.isRunning:
            return sentence("similar.running")
        return self.problem or (sentence("similar.means") if self.places else "")

    @property
    def obstacle(self) -> str:
        """Why nothing can be searched for, as a sentence; "" if it can."""
        if self._shown.results is None:
            return self._shown.obstacle
        return "" if self._shown.hasPoint else sentence("similar.no-point")

    def start(self, index: Index | None = None) -> None:
        """Search for places like the picked point in a thread, and return at once.

        Args:
            index: an index to be searched, too.

        Raises:
            MaesilError: there is no point or no feature, or the index is of another model.
        """
        self.stop()
        if self.obstacle:
            raise ConfigError(self.obstacle)
        results = self._shown.results
        encoder = encoderOf(results)
        if index is not None and encoder != f"{index.description.model_hash} {index.description.level}":
            name = Path(index.description.model).stem  # the page names no paths
            raise ConfigError(sentence("similar.other-model", model=name))
        place = self._shown.place
        if place is None:
            raise ConfigError(sentence("features.outside"))
        sources = [self._sourceOf(one) for one in self._withFeatures(results, encoder)]
        stride = strideOf(results)
        k, j, i = (n // factor for n, factor in zip(place, factors_of(stride), strict=True))
        self._work, self._index = _Work(sources, (k, j, i), index), index
        self.problem = ""
        threading.Thread(target=self._work.run, name="MAESIL search", daemon=True).start()

    def poll(self) -> bool:
        """Take what the search has found since the last call; return whether anything changed."""
        work, hasChanged = self._work, False
        while work is not None and self._work is work:
            try:
                outcome = work.outcomes.get_nowait()
            except queue.Empty:
                break
            hasChanged = True
            if isinstance(outcome, list):
                self.places = tuple(outcome)
                self._keepPooled()
            elif isinstance(outcome, tuple):
                number, picture = outcome
                places = list(self.places)
                places[number] = replace(places[number], picture=picture)
                self.places = tuple(places)
            else:
                self.problem, self._work = outcome, None
        return hasChanged

    def stop(self) -> None:
        """End a running search, and forget the places of the last one."""
        if self._work is not None:
            self._work.isStopped.set()
        self._work, self.places, self.problem = None, (), ""
        self._started.clear()

    def close(self) -> None:
        """End a running search, and take the mark of a place out of the views."""
        self.stop()
        self._pooled.clear()
        featureview.removeFoundPoints(self._session.scene)

    def goTo(self, place: SimilarPlace, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show a place in all slice views, and mark it there and in 3D.

        Args:
            place: one of `places`.
            volumeNode: its volume, which the views show.

        Raises:
            SceneError: the volume is under a transform that is not linear.
        """
        r, a, s, _ = (linearTransformToWorld(volumeNode) @ [*place.ras, 1.0]).tolist()
        featureview.placeFoundPoint(volumeNode, (r, a, s))
        jumpTo(self._session.scene, (r, a, s))

    def load(self, place: SimilarPlace) -> slicer.vtkMRMLScalarVolumeNode:
        """Read the scan of a place of an index into the scene; `places` then name its volume.

        Raises:
            VolumeError: the scan is gone or cannot be read.
        """
        volume = self._index.read(place.scan)
        node = addVolume(self._session.scene, volume, volume.name)
        self.places = tuple(
            replace(one, volumeNode=node) if one.scan is place.scan else one for one in self.places
        )
        return node

    def _withFeatures(self, results: ResultSet, encoder: str) -> list[ResultSet]:
        """The newest comparable features of each volume, those of the point first."""
        found: dict[slicer.vtkMRMLNode, ResultSet] = {}
        for one in allResults(self._session.scene):
            if one.kind is KIND and encoder and encoderOf(one) == encoder and inputOf(one.main) is not None:
                found[inputOf(one.main)] = one
        found.pop(inputOf(results.main), None)
        return [results, *found.values()]

    def _sourceOf(self, results: ResultSet) -> _Source:
        node, vectors = inputOf(results.main), results.nodesByRole["vectors"]
        time = vectors.GetImageData().GetMTime()
        known = self._pooled.get(vectors)
        boxes = known[1] if known is not None and known[0] == time else None
        # The thread may outlive the node: the array keeps its memory.
        volume = Volume(voxelsOf(node), geometryOf(node), node.GetName())
        source = _Source(volume, node, None if boxes is not None else Likeness(results).map, boxes)
        self._started.append((vectors, time, source))
        return source

    def _keepPooled(self) -> None:
        self._pooled = {
            vectors: (time, source.boxes)
            for vectors, time, source in self._started
            if source.boxes is not None and vectors.GetScene() is not None
        }
        self._started.clear()
