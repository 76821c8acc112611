"""The segment that is hidden instead of a drawn mask: a label of an uploaded label map."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from vtk.util.numpy_support import numpy_to_vtk

from MAESILCore.data.volume import Volume, find_scans, looks_like_label, read_volume
from MAESILCore.errors import VolumeError
from MAESILSlicerLib.session.choices import Nothing, Region
from MAESILSlicerLib.web.page import Page

MODE = "segment"

_HEADER_BYTES = 1 << 18
_SEGMENT_FIELD = re.compile(rb"^Segment(\d+)_(Name|LabelValue):=([^\r\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class LabelMap:
    """A label map with the names of its labels.

    Attributes:
        volume: integers, 0 outside every segment, on any grid in the scan's space.
        names: names of the existing labels, by value.
    """

    volume: Volume
    names: dict[int, str]


def readLabelMap(folder: Path) -> LabelMap:
    """Read the single label map in the folder of an upload.

    Raises:
        VolumeError: there are several files, or the file is not a label map or is all 0.
    """
    paths = find_scans(folder)
    if len(paths) > 1:
        raise VolumeError(f"The upload has {len(paths)} files; upload one label map alone.")
    volume = read_volume(paths[0], within=folder)
    if not looks_like_label(volume):
        raise VolumeError(
            f"{volume.name} is not a label map; upload one with a whole number for each structure and 0 elsewhere."
        )
    values = [int(value) for value in np.unique(volume.voxels) if value != 0]
    if not values:
        raise VolumeError(f"{volume.name} is 0 everywhere and has no segment; upload another label map.")
    stated = _statedNames(paths[0])
    return LabelMap(volume, {value: stated.get(value) or f"Label {value}" for value in values})


def _statedNames(path: Path) -> dict[int, str]:
    """The label names in the header of a .seg.nrrd file by Slicer."""
    if not path.name.lower().endswith(".nrrd"):
        return {}
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES).partition(b"\n\n")[0]
    fields: dict[bytes, dict[bytes, str]] = {}
    for number, field, text in _SEGMENT_FIELD.findall(header):
        fields.setdefault(number, {})[field] = text.decode("utf-8", errors="replace").strip()
    return {
        int(one[b"LabelValue"]): one[b"Name"]
        for one in fields.values()
        if b"Name" in one and one.get(b"LabelValue", "").isdigit()
    }


class SegmentPanel:
    """Receives a label map, one label of which is the mask.

    The state holds `segments`, the titles and values of the labels, and `segment`, the chosen value.

    Args:
        page: the shared objects of the page.
        onChosen: called when another label is chosen.
    """

    def __init__(self, page: Page, onChosen: Callable[[], None]) -> None:
        self._state, self._session, self._onChosen = page.state, page.session, onChosen
        self._labels: LabelMap | None = None
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        self._shown: tuple[LabelMap, int] | None = None
        self._segmentId = ""
        page.state.update({"segments": [], "segment": 0, "segment_file": ""})
        page.state.change("segment")(lambda **_: self.isChosen and onChosen())

    @property
    def isChosen(self) -> bool:
        """Whether the page's mode is a segment."""
        return self._state.mode == MODE

    async def open(self, folder: Path) -> None:
        """Read an uploaded label map and choose its first label.

        Raises:
            MaesilError: the upload is not a label map; the previous one stays.
        """
        labels = await asyncio.to_thread(readLabelMap, folder)
        # The label map is now in memory; `Uploads` removes a refused upload.
        shutil.rmtree(folder, ignore_errors=True)
        with self._state as state:
            self._labels = labels
            state.segments = [{"value": value, "title": name} for value, name in labels.names.items()]
            state.segment = state.segments[0]["value"]
            state.segment_file = labels.volume.name
            self._onChosen()

    def choice(self) -> Region | Nothing:
        """The chosen label as a segment; `Nothing` without a label map."""
        value = self._state.segment
        if self._labels is None or value not in self._labels.names:
            return Nothing()
        self._show(self._labels, int(value))
        return Region(self._node, self._segmentId)

    def _show(self, labels: LabelMap, value: int) -> None:
        """Add one label to the scene as a segment."""
        if self._shown is not None and self._shown == (labels, value):
            return
        if self._node is None:
            self._node = self._session.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segment")
        segmentation = self._node.GetSegmentation()
        segmentation.RemoveAllSegments()
        self._segmentId = self._node.AddSegmentFromBinaryLabelmapRepresentation(
            _imageOf(labels.volume, value), labels.names[value]
        )
        self._shown = (labels, value)


def _imageOf(volume: Volume, value: int) -> slicer.vtkOrientedImageData:
    """A label as an image of ones and zeros."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(volume.shape[::-1])
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(volume.ijk_to_ras))
    image.GetPointData().SetScalars(
        numpy_to_vtk((volume.voxels == value).astype(np.uint8).ravel(), deep=True)
    )
    return image
