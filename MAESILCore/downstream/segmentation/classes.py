"""The classes of a segmentation model, and a case's labels as indices of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.data.segmentation import UNLABELLED, Segment, Segmentation
from MAESILCore.errors import ConfigError

#: Index of voxels that no loss counts.
IGNORED = 255
_MOST = IGNORED - 1

#: Colours of structures without one, chosen to differ for most colour-blind people (Okabe and Ito 2008).
_COLOURS = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)


@dataclass(frozen=True)
class Classes:
    """The structures that a model tells apart; index 0 is the background, index n the n-th structure.

    Attributes:
        structures: the structures, whose values are their indices.
    """

    structures: tuple[Segment, ...]

    @classmethod
    def of(cls, segmentations: Sequence[Segmentation]) -> Classes:
        """The structures of all cases, by name; colour and terminology are those of the first case that has them.

        Raises:
            ConfigError: no case has a labelled voxel, or there are more than 254 structures.
        """
        found: dict[str, Segment] = {}
        for segmentation in segmentations:
            present = set(np.unique(segmentation.labels).tolist())
            for one in segmentation.segments:
                if one.name != UNLABELLED and (one.value in present or one.name in found):
                    before = found.get(one.name, one)
                    found[one.name] = Segment(
                        one.value, one.name, before.color or one.color, before.terminology or one.terminology
                    )
        if not found:
            raise ConfigError(
                "The labels of all cases are empty: outline the structure in at least one scan."
            )
        if len(found) > _MOST:
            raise ConfigError(
                f"The cases have {len(found)} structures; {_MOST} are the most that one model learns."
            )
        return cls(
            tuple(
                Segment(index, one.name, one.color or _COLOURS[(index - 1) % len(_COLOURS)], one.terminology)
                for index, one in enumerate(found.values(), start=1)
            )
        )

    def __len__(self) -> int:
        """Number of classes, the background included."""
        return 1 + len(self.structures)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures, in their order."""
        return tuple(one.name for one in self.structures)

    def extended(self, other: Classes) -> Classes:
        """These structures, then those of `other` that are new."""
        new = [one for one in other.structures if one.name not in self.names]
        numbered = (
            Segment(index, one.name, one.color, one.terminology)
            for index, one in enumerate(new, start=len(self))
        )
        return Classes((*self.structures, *numbered))

    def to_json(self) -> list[dict[str, Any]]:
        """The structures for a card."""
        return [
            {"name": one.name, "color": list(one.color or ()), "terminology": one.terminology}
            for one in self.structures
        ]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> Classes:
        """Read the result of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or of the wrong type.
        """
        structures = []
        for index, one in enumerate(content, start=1):
            colour = tuple(float(part) for part in one["color"])
            red, green, blue = colour if colour else _COLOURS[(index - 1) % len(_COLOURS)]
            structures.append(Segment(index, str(one["name"]), (red, green, blue), str(one["terminology"])))
        return cls(tuple(structures))


@dataclass(frozen=True, eq=False)
class CaseLabels:
    """The labels of a case as indices of classes.

    Attributes:
        indices: (k, j, i) uint8; `IGNORED` where nobody has labelled.
        missing: (classes,) bool, the structures that nobody has outlined in this case, so that its background may hold
            them. The background itself is never missing.
    """

    indices: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(
        cls, segmentation: Segmentation, classes: Classes, only_labelled_slices: bool = False
    ) -> CaseLabels:
        """Map the values of a segmentation.

        A structure is missing if the segmentation has no segment of its name; an empty segment says that the scan does
        not hold it.

        Args:
            segmentation: the labels of the case.
            classes: the classes of the model.
            only_labelled_slices: ignore slices along k without a labelled voxel.
        """
        table = np.zeros(int(np.iinfo(segmentation.labels.dtype).max) + 1, dtype=np.uint8)
        missing = np.ones(len(classes), dtype=bool)
        missing[0] = False
        index = {one.name: one.value for one in classes.structures}
        for one in segmentation.segments:
            if one.name == UNLABELLED:
                table[one.value] = IGNORED
            elif one.name in index:
                table[one.value], missing[index[one.name]] = index[one.name], False
        indices = table[segmentation.labels]
        if only_labelled_slices:
            empty = ~((indices > 0) & (indices != IGNORED)).any(axis=(1, 2))
            indices[empty] = IGNORED
        return cls(indices, missing)
