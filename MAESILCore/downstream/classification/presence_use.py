"""A trained finder of structures on other scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.classification.cases import read_table
from MAESILCore.downstream.classification.folds import patients_of
from MAESILCore.downstream.classification.linear import LinearHead
from MAESILCore.downstream.classification.presence import (
    presence_facts,
    presence_header,
    presence_lines,
    presence_scores,
)
from MAESILCore.downstream.classification.progress import FEATURES, Progress
from MAESILCore.downstream.classification.results import Row, setup_of, write_files, writing
from MAESILCore.downstream.classification.scores import DRAWS
from MAESILCore.downstream.classification.stored import SUPERPATCH
from MAESILCore.downstream.classification.structures import examine_labelled, superpatches_of
from MAESILCore.downstream.classification.use import Classifier, refuse_known
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import ConfigError


def structures_in(
    volume: Volume, classifier: Classifier, *, cancelled: Callable[[], bool] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each structure in each superpatch that holds more than air.

    Args:
        volume: the scan.
        classifier: one of superpatches; see `load_classifier`.
        cancelled: called before each pass; True stops the work.

    Returns:
        Boxes (N, 2, 3) int64, first voxel and end (exclusive) along k, j, i; and probabilities (N, S) float64.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the classifier is for whole scans.
    """
    found = _vectors(volume, classifier, cancelled or (lambda: False))
    return found.boxes, _probabilities(found, classifier)


def evaluate_presence(
    classifier: Classifier,
    table: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    command: str = "",
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score a finder of structures on scans that it has not seen; as `evaluate_classifier`.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the table is invalid, or lists a scan that the classifier learned from.
        VolumeError: a scan or label map cannot be read, or the folder cannot be written.
    """
    cases = read_table(table, target="labels")
    watch = Progress((2 + FEATURES) * len(cases.cases) + 1, progress, cancelled)
    examined, there = examine_labelled(cases, watch.step, watch.cancelled)
    refuse_known(
        classifier, {one.content: case.name for case, one in zip(cases.cases, examined, strict=True)}
    )
    vectors = []
    for case in cases.cases:
        watch.step(f"Features of {case.name}", FEATURES)
        vectors.append(_vectors(read_scan(case.path), classifier, watch.cancelled))
    least = int(classifier.description.facts["least_voxels"])
    names = classifier.classes
    found = superpatches_of(cases, vectors, names, least, watch.step, watch.cancelled)
    probabilities = np.concatenate([_probabilities(one, classifier) for one in vectors])
    patients = patients_of(cases.cases)[found.cases]
    row = Row(f"logistic, {classifier.description.encoder['name']}", probabilities)
    watch.step("Scoring")
    everything = np.arange(len(patients))
    without_hu = sum(not one.looks_like_hu for one in examined)
    notes = list(classifier.encoder.note_on(without_hu, len(examined)))
    unknown = [name for name in there if name not in names]
    if unknown:
        notes.append(f"The classifier knows nothing of {', '.join(unknown)}.")
    setup = setup_of(
        classifier.description,
        cases,
        (),
        command=command,
        cases_scored=np.unique(found.cases),
        notes=notes,
        seed=seed,
        draws=draws,
        more=presence_facts(classifier.description, found.targets),
    )
    scores = presence_scores([row], found.targets, names, patients, everything, seed, draws, watch)
    results = {"setup": setup, "rows": scores}
    watch.check()
    with writing(Path(out)) as unfinished:
        write_files(
            unfinished, results, presence_header(names), presence_lines(cases, found, row, everything)
        )
    return results


def _vectors(volume: Volume, classifier: Classifier, cancelled: Callable[[], bool]) -> SuperpatchVectors:
    description = classifier.description
    if description.task != SUPERPATCH:
        raise ConfigError("This classifier is for whole scans, and finds no structures in superpatches.")
    return classifier.encoder.superpatches(volume, cancelled, description.superpatch)


def _probabilities(found: SuperpatchVectors, classifier: Classifier) -> np.ndarray:
    """(N, S) of the superpatches of a scan."""
    columns = [
        head.probabilities(found.levels[head.level].astype(np.float64))[:, 1]
        for head in classifier.heads
        if isinstance(head, LinearHead)
    ]
    return np.stack(columns, axis=1)
