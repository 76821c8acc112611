"""Segmentations as 3D Slicer writes them: `.seg.nrrd`, a NRRD file with keys about its segments.

The keys are those of `vtkMRMLSegmentationStorageNode`. Overlapping segments are in different layers. The file holds the
smallest box with all segments, on the lattice of the scan.
"""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from MAESILCore.data.formats import content, itk_writers, names, nrrd
from MAESILCore.data.formats.scan import Scan, Unreadable
from MAESILCore.data.labels.canvas import Canvas, unlabelled
from MAESILCore.data.labels.labelmap import complete, values_of, whole_numbers
from MAESILCore.data.labels.naming import made_up, tidied
from MAESILCore.data.segmentation import Segment, Segmentation

ENDING = ".seg.nrrd"

_SEGMENT_KEY = re.compile(r"Segment(\d+)_(ID|Name)")
_TERMINOLOGY = "TerminologyEntry"

_FIELDS = ("ID", "Name", "Color", "Layer", "LabelValue", "Tags")

#: The golden ratio, whose multiples keep apart on a circle of hues.
_GOLDEN = (math.sqrt(5) - 1) / 2

#: Layer and label in the file.
_Place = tuple[int, int]


def has_segments(path: Path) -> bool:
    """Whether this is a NRRD file with keys about segments."""
    extension = names.extension_of(path)
    if extension not in names.NRRD:
        return False
    content.refuse_other_content(path, extension)
    return any(map(_SEGMENT_KEY.fullmatch, nrrd.read_keys(path)))


def read(path: Path, made_names: Mapping[int, str] | None, within: Path | None = None) -> Segmentation:
    """Read a file with keys about its segments.

    Values are kept if they are distinct; otherwise, as layers repeat them, segments are numbered from 1.

    Args:
        path: the file.
        made_names: names of values that no segment has.
        within: the folder that must contain its data; None allows all folders.

    Raises:
        Unreadable: the file is damaged.
    """
    scan = nrrd.read_layers(path, within)
    layers = whole_numbers(scan.voxels)
    stored = _stored_segments(nrrd.read_keys(path), len(layers))
    places = [place for place, _ in stored]
    found = [(layer, value) for layer, labels in enumerate(layers) for value in values_of(labels)]
    places += [place for place in found if place not in places]
    values = [value for _, value in places]
    if len(set(values)) < len(values):
        values = list(range(1, len(values) + 1))
    segments, notes = tidied(
        replace(one, value=value) for (_, one), value in zip(stored, values, strict=False)
    )
    notes = (*scan.notes, *notes)
    if len(layers) == 1 and values == [value for _, value in places]:
        return complete(layers[0], scan.ijk_to_ras, segments, made_names, notes)
    canvas = Canvas(layers.shape[1:], max(values, default=0), unlabelled(segments))
    for (layer, stored_value), value in zip(places, values, strict=True):
        canvas.paint(value, layers[layer] == stored_value)
    labels = {value: made_up(value) for value in values} | {one.value: one.name for one in segments}
    notes = (*notes, *canvas.notes(labels))
    return complete(canvas.labels, scan.ijk_to_ras, segments, made_names, notes)


def _stored_segments(keys: Mapping[str, str], layers: int) -> list[tuple[_Place, Segment]]:
    numbers = sorted({int(found[1]) for found in map(_SEGMENT_KEY.fullmatch, keys) if found})
    stored = []
    for number in numbers:
        own = {name: keys.get(f"Segment{number}_{name}", "") for name in _FIELDS}
        try:
            # Before its version 4.11, Slicer wrote a layer of 0 and 1 for each segment.
            layer, value = int(own["Layer"] or min(number, layers - 1)), int(own["LabelValue"] or 1)
        except ValueError as error:
            raise _damaged(number) from error
        if not 0 <= layer < layers or value < 1:
            raise _damaged(number)
        terminology = _tags_of(own["Tags"]).get(_TERMINOLOGY, "")
        name = own["Name"] or own["ID"]
        stored.append(((layer, value), Segment(value, name, _color_of(own["Color"]), terminology)))
    return stored


def _damaged(number: int) -> Unreadable:
    return Unreadable(
        f"states a layer or a label of segment {number} that it cannot have: save the segmentation again."
    )


def _color_of(text: str) -> tuple[float, float, float] | None:
    """The colour of three numbers from 0 to 1; None of any other text."""
    try:
        red, green, blue = (min(max(float(part), 0.0), 1.0) for part in text.split())
    except ValueError:
        return None
    return red, green, blue


def _tags_of(text: str) -> dict[str, str]:
    pairs = (tag.partition(":") for tag in text.split("|"))
    return {name.strip(): value for name, _, value in pairs}


def write(segmentation: Segmentation, scan: Scan, path: Path) -> None:
    """Write a file with keys about its segments; it has the whole grid.

    Args:
        segmentation: segments and grid.
        scan: its labels, as a writer takes them.
        path: the file.

    Raises:
        VolumeError: the path is not UTF-8.
    """
    keys = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    extent = " ".join(f"0 {length - 1}" for length in reversed(segmentation.labels.shape))
    for number, segment in enumerate(segmentation.segments):
        own = {
            "ID": f"Segment_{segment.value}",
            "Name": segment.name,
            "NameAutoGenerated": "0",
            "LabelValue": str(segment.value),
            "Layer": "0",
            "Extent": extent,
            "Tags": f"{_TERMINOLOGY}:{segment.terminology}|" if segment.terminology else "|",
            "Color": " ".join(f"{part:.6g}" for part in segment.color or color_of_value(segment.value)),
            "ColorAutoGenerated": str(int(segment.color is None)),
        }
        keys |= {f"Segment{number}_{name}": value for name, value in own.items()}
    itk_writers.write(scan, path, keys)


def color_of_value(value: int) -> tuple[float, float, float]:
    """The colour of a segment without one; those of neighbouring values differ much."""
    return colorsys.hsv_to_rgb(value * _GOLDEN % 1.0, 0.6, 0.9)
