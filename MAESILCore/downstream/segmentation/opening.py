"""Opens the cases of a training: scans, labels on their grids, the classes of all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.labels import read_segmentation
from MAESILCore.data.scans import read_scan
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.segmentation.cases import Case, check_cases
from MAESILCore.downstream.segmentation.classes import CaseLabels, Classes
from MAESILCore.downstream.segmentation.data import LabelledScan
from MAESILCore.errors import ConfigError, VolumeError


@dataclass(frozen=True)
class ReadCase:
    """A case as read.

    Attributes:
        case: where it comes from.
        volume: the scan.
        segmentation: its labels on the grid of the scan.
    """

    case: Case
    volume: Volume
    segmentation: Segmentation


@dataclass(frozen=True)
class OpenedCases:
    """All cases of a training.

    Attributes:
        training: the cases to train on.
        validation: the cases that are held out.
        classes: the structures of the training cases.
        notes: sentences about the cases.
    """

    training: tuple[LabelledScan, ...]
    validation: tuple[LabelledScan, ...]
    classes: Classes
    notes: tuple[str, ...]


def read_case(case: Case) -> ReadCase:
    """Read the scan and the labels of a case; labels on another grid are resampled to the scan's, with a note.

    Raises:
        VolumeError: a file cannot be read, or the labels lie beside the scan.
    """
    try:
        volume = read_scan(Path(case.scan))
        return ReadCase(case, volume, read_segmentation(case.labels, volume, scan=case.scan))
    except VolumeError as error:
        raise VolumeError(f"The case {case.name} cannot be used: {error}") from error


def read_all(cases: Sequence[Case], report: Callable[[str], None] = lambda _: None) -> list[ReadCase]:
    """Read all cases.

    Args:
        cases: the cases.
        report: called with a sentence before each; it may raise `Cancelled`.

    Raises:
        ConfigError: see `check_cases`; also if a training case and a validation case have the same voxels.
        VolumeError: see `read_case`.
    """
    check_cases(cases)
    found = []
    for number, case in enumerate(cases, start=1):
        report(f"Reading case {number} of {len(cases)}: {case.name}.")
        found.append(read_case(case))
    _check_apart(found)
    return found


def _check_apart(cases: Sequence[ReadCase]) -> None:
    """Check that no scan is on both sides under two names."""
    sides: dict[bytes, ReadCase] = {}
    for one in cases:
        content = hashlib.blake2b(np.ascontiguousarray(one.volume.voxels).data, digest_size=16).digest()
        other = sides.setdefault(content, one)
        if other.case.validation != one.case.validation:
            raise ConfigError(
                f"{other.case.name} and {one.case.name} have the same voxels, one for training and one for "
                "validation, which would flatter the scores: leave one out."
            )


def opened(
    cases: Sequence[ReadCase],
    intensity: Intensity,
    only_labelled_slices: bool = False,
    known: Classes | None = None,
) -> OpenedCases:
    """Map the labels of cases to classes.

    Args:
        cases: the cases as read.
        intensity: gives each scan its window.
        only_labelled_slices: see `CaseLabels.of`.
        known: structures of an earlier model, which come first and keep their indices.

    Raises:
        ConfigError: no training case has a label.
        VolumeError: a scan gives no window.
    """
    training = [one for one in cases if not one.case.validation]
    found = Classes.of([one.segmentation for one in training])
    classes = found if known is None else known.extended(found)
    sides: dict[bool, list[LabelledScan]] = {False: [], True: []}
    notes: list[str] = []
    for one in cases:
        labels = CaseLabels.of(one.segmentation, classes, only_labelled_slices)
        sides[one.case.validation].append(LabelledScan.of(one.case.name, one.volume, labels, intensity))
        notes += [f"{one.case.name}: {note}" for note in one.segmentation.notes]
        left_out = [name for name in _outlined(one) if name not in classes.names]
        if left_out:
            notes.append(f"{one.case.name}: {', '.join(left_out)} is in no training case and is not scored.")
    unsure = [one.case.name for one in cases if not one.case.patient]
    if unsure and any(one.case.validation for one in cases):
        notes.append("The cases name no patients, so that two scans of a patient may be on both sides.")
    return OpenedCases(tuple(sides[False]), tuple(sides[True]), classes, tuple(notes))


def _outlined(case: ReadCase) -> list[str]:
    """Names of the structures that have voxels."""
    present = set(np.unique(case.segmentation.labels).tolist())
    return [one.name for one in case.segmentation.segments if one.value in present]
