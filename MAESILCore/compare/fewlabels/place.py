"""The control without a network: where the structures lie in the labelled scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from MAESILCore.downstream.segmentation.classes import IGNORED, CaseLabels, Classes
from MAESILCore.downstream.segmentation.opening import ReadCase
from MAESILCore.store.content import canonical

#: Keeps places without a label finite.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class PlaceControl:
    """The mean of the labelled scans' label maps, stretched over the grid of another scan.

    Nothing but the place in the scan is used, in fractions of its extent along the voxel axes, which are brought into
    the order and directions nearest to right, anterior and superior. A network that does not beat this shows nothing
    that it has learned from the image.

    Attributes:
        classes: the structures of the labelled scans.
        labelled: the labels of each labelled scan, with k, j, i nearest to S, A, R.
    """

    classes: Classes
    labelled: tuple[CaseLabels, ...]

    @classmethod
    def of(cls, cases: Sequence[ReadCase]) -> PlaceControl:
        """Learn the places of the structures.

        Raises:
            ConfigError: no case has a labelled voxel.
        """
        classes = Classes.of([one.segmentation for one in cases])
        labelled = []
        for one in cases:
            labels = CaseLabels.of(one.segmentation, classes)
            view, _ = canonical(labels.indices, one.volume.ijk_to_ras)
            labelled.append(replace(labels, indices=np.ascontiguousarray(view)))
        return cls(classes, tuple(labelled))

    def predict(self, read: ReadCase) -> np.ndarray:
        """The class that the labelled scans have most often at each place.

        A scan has no say in voxels that nobody has labelled, nor about structures that nobody has outlined in it.

        Returns:
            (k, j, i) uint8 on the grid of the scan; the labels of the case are not looked at.
        """
        predicted = np.zeros(read.volume.voxels.shape, dtype=np.uint8)
        view, _ = canonical(predicted, read.volume.ijk_to_ras)
        most = np.full(view.shape, -1.0, dtype=np.float32)
        for index in range(len(self.classes)):  # one at a time, to bound memory
            share = self._share(index, view.shape)
            more = share > most
            view[more], most[more] = index, share[more]
        return predicted

    def _share(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """Share of the labelled scans that have the class at each place, among those that have a say."""
        votes, voices = torch.zeros(shape), torch.zeros(shape)
        for one in self.labelled:
            if not one.missing[index]:
                votes += _stretched(one.indices == index, shape)
                voices += _stretched(one.indices != IGNORED, shape)
        share: np.ndarray = (votes / voices.clamp(min=_LEAST)).numpy()
        return share


def _stretched(mask: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """(k, j, i) bool -> `shape`, trilinear between voxel centres in fractions of the extent."""
    voxels = torch.from_numpy(mask)[None, None].float()
    return functional.interpolate(voxels, size=shape, mode="trilinear", align_corners=False)[0, 0]
