"""Scores of a segmentation against labels, by MONAI: Dice, normalised surface Dice and the 95 % Hausdorff distance."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from MAESILCore.downstream.segmentation.classes import IGNORED, CaseLabels
from MAESILCore.optional import require


class StructureScores(NamedTuple):
    """The scores of one structure in one case; nan where a score is not defined.

    Attributes:
        dice: Dice coefficient, 0 to 1; nan if neither the labels nor the prediction have it.
        surface_dice: share of both surfaces within the tolerance of the other, 0 to 1 (NSD, Nikolov et al. 2021).
        hausdorff95: 95th percentile of the distances between the surfaces, in mm; nan if one of them has no voxel.
        labelled: ml of the structure in the labels.
        predicted: ml in the prediction.
    """

    dice: float
    surface_dice: float
    hausdorff95: float
    labelled: float
    predicted: float


def structure_scores(
    predicted: np.ndarray,
    truth: CaseLabels,
    index: int,
    spacing: tuple[float, float, float],
    tolerance: float = 2.0,
) -> StructureScores:
    """Scores of a structure over the labelled voxels.

    Args:
        predicted: (k, j, i) indices of classes.
        truth: the labels; a missing structure has no score.
        index: index of the structure's class.
        spacing: mm along k, j, i.
        tolerance: of the surface Dice, in mm.
    """
    nothing = StructureScores(math.nan, math.nan, math.nan, math.nan, math.nan)
    if truth.missing[index]:
        return nothing
    counts = truth.indices != IGNORED
    ours, theirs = (predicted == index) & counts, (truth.indices == index) & counts
    millilitre = math.prod(spacing) / 1000.0
    labelled, found = float(theirs.sum()) * millilitre, float(ours.sum()) * millilitre
    if not (labelled or found):
        return nothing._replace(labelled=labelled, predicted=found)
    if not (labelled and found):
        return StructureScores(0.0, 0.0, math.nan, labelled, found)
    metrics: Any = require("monai.metrics", "Scores of a segmentation")
    box = _around(ours | theirs)
    pair = [torch.from_numpy(one[box].astype(np.float32))[None, None] for one in (ours, theirs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of what is handled above
        dice = float(metrics.compute_dice(*pair, include_background=True)[0, 0])
        surface = metrics.compute_surface_dice(
            *pair, [tolerance], include_background=True, spacing=list(spacing)
        )
        distance = metrics.compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=list(spacing)
        )
    return StructureScores(dice, float(surface[0, 0]), float(distance[0, 0]), labelled, found)


def mean_dice(predicted: np.ndarray, truth: CaseLabels) -> dict[int, float]:
    """Dice of each structure that labels or prediction have, by its index; fast, for validation."""
    counts = truth.indices != IGNORED
    scores = {}
    for index in range(1, len(truth.missing)):
        if truth.missing[index]:
            continue
        ours, theirs = (predicted == index) & counts, (truth.indices == index) & counts
        total = int(ours.sum()) + int(theirs.sum())
        if total:
            scores[index] = 2.0 * float((ours & theirs).sum()) / total
    return scores


def _around(mask: np.ndarray) -> tuple[slice, ...]:
    """The box around a mask with a margin of one voxel, in which distances are the same as in the whole."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(places[0]) - 1), int(places[-1]) + 2))
    return tuple(box)
