"""A label map that is painted segment by segment, where a later segment wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from MAESILCore.data.formats.found import listed
from MAESILCore.data.formats.scan import Unreadable
from MAESILCore.data.segmentation import UNLABELLED, Segment

_LARGEST = int(np.iinfo(np.uint16).max)


def label_type(largest: int) -> type[np.uint8] | type[np.uint16]:
    """The smallest type of a label map with this value.

    Raises:
        Unreadable: 16 bits do not hold the value.
    """
    if largest > _LARGEST:
        raise Unreadable(
            f"has the label {largest}, but labels up to {_LARGEST} are supported: renumber them."
        )
    return np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16


def unlabelled(segments: Iterable[Segment]) -> list[int]:
    """The values of voxels that nobody has labelled, which named structures cover; see `Canvas`."""
    return [one.value for one in segments if one.name == UNLABELLED]


class Canvas:
    """A label map to paint on.

    Args:
        shape: k, j, i.
        largest: the largest value that will be painted.
        weak: values that every other one covers, whatever the order, such as that of `UNLABELLED`.

    Attributes:
        labels: (k, j, i) uint8 or uint16.
    """

    def __init__(self, shape: Sequence[int], largest: int, weak: Iterable[int] = ()) -> None:
        self.labels: np.ndarray = np.zeros(tuple(shape), dtype=label_type(largest))
        self._weak = frozenset(weak)
        self._overlaps: Counter[tuple[int, int]] = Counter()

    def paint(self, value: int, mask: np.ndarray, where: tuple[slice, ...] = ()) -> None:
        """Give the voxels of a mask a value.

        Args:
            value: at least 1.
            mask: bool, of the shape of the part.
            where: the part of the label map; the default is all of it.
        """
        part = self.labels[where]
        if value in self._weak:
            mask = mask & (part == 0)
        before = part[mask]
        counts = np.bincount(before)
        for earlier in np.flatnonzero(counts).tolist():
            if earlier not in (0, value, *self._weak):
                self._overlaps[earlier, value] += int(counts[earlier])
        part[mask] = value

    def notes(self, names: Mapping[int, str]) -> tuple[str, ...]:
        """A note on voxels that several segments claimed, if there are any.

        Args:
            names: name of each value.
        """
        if not self._overlaps:
            return ()
        pairs = [f"{names[later]} over {names[earlier]}" for earlier, later in sorted(self._overlaps)]
        return (
            f"Segments overlap in {self._overlaps.total()} voxels, which went to the later one ({listed(pairs)}).",
        )
