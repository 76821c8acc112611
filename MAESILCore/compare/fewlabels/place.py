"""The control without a network: where the structures lie in the labelled scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    Nothing but the place in the scan is used, in fractions of its extent along right, anterior and superior. What a
    network scores above this it has from the image.

    Attributes:
        classes: the structures of the labelled scans.
        votes: for each labelled scan, (classes, k, j, i) float32 with the axes nearest to S, A, R: 1 where its labels
            have the class.
        voices: of the same shapes, 1 where its labels say whether the class is there.
    """

    classes: Classes
    votes: tuple[torch.Tensor, ...]
    voices: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, labelled: Sequence[ReadCase]) -> PlaceControl:
        """Learn the places of the structures.

        Raises:
            ConfigError: no case has a labelled voxel.
        """
        classes = Classes.of([one.segmentation for one in labelled])
        votes, voices = [], []
        for one in labelled:
            labels = CaseLabels.of(one.segmentation, classes)
            view, _ = canonical(labels.indices, one.volume.ijk_to_ras)
            indices = torch.from_numpy(np.ascontiguousarray(view))
            votes.append(torch.stack([indices == index for index in range(len(classes))]).float())
            known = torch.from_numpy(~labels.missing)[:, None, None, None]
            voices.append((known & (indices != IGNORED)[None]).float())
        return cls(classes, tuple(votes), tuple(voices))

    def predict(self, read: ReadCase) -> np.ndarray:
        """The class that the labelled scans have most often at each place.

        Returns:
            (k, j, i) uint8 on the grid of the scan; the labels of the case are not looked at.
        """
        predicted = np.zeros(read.volume.voxels.shape, dtype=np.uint8)
        view, _ = canonical(predicted, read.volume.ijk_to_ras)
        voices = _stretched_sum(self.voices, view.shape)
        share = _stretched_sum(self.votes, view.shape) / torch.clamp(voices, min=_LEAST)
        view[...] = share.argmax(dim=0).numpy()
        return predicted


def _stretched_sum(maps: Sequence[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """(classes, k, j, i) of each -> (classes, *shape), trilinear between voxel centres in fractions of the extent."""
    total = torch.zeros(len(maps[0]), *shape)
    for one in maps:
        total += functional.interpolate(one[None], size=shape, mode="trilinear", align_corners=False)[0]
    return total
