"""Presence of structures in superpatches: a logistic regression for each, on pooled frozen features.

The task is that of NEMESIS (arXiv:2604.01612). Where a superpatch is in the scan tells much of what is in it, so the
place alone stands beside the features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.downstream.classification.cases import Table, read_table
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.features import FOLDER, Features
from MAESILCore.downstream.classification.folds import Fold, folds_of, patients_of
from MAESILCore.downstream.classification.linear import LinearHead
from MAESILCore.downstream.classification.multilabel import Learner
from MAESILCore.downstream.classification.progress import FEATURES, FITS, Progress
from MAESILCore.downstream.classification.results import Row, scored, setup_of, write_files, writing
from MAESILCore.downstream.classification.scans import Examined
from MAESILCore.downstream.classification.scores import DRAWS, auroc
from MAESILCore.downstream.classification.stored import FILE, SUPERPATCH, Description, Head, save_heads
from MAESILCore.downstream.classification.structures import (
    PRESENT,
    UNKNOWN,
    Superpatches,
    examine_labelled,
    superpatches_of,
)
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import ConfigError
from MAESILCore.optional import require

#: Largest edge of a superpatch, and the voxels from which a structure counts as present (NEMESIS has more than 100).
SIZE, LEAST_VOXELS = 64, 100


def train_presence(
    table: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = None,
    size: int = SIZE,
    least_voxels: int = LEAST_VOXELS,
    level: int | None = None,
    untrained: bool = False,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    draws: int = DRAWS,
    command: str = "",
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Learn which structures a superpatch holds, and score it on patients that were held out.

    Files in `out` are those of `train_classifier`. Superpatches of air alone are left out. A structure that a label map
    does not name is absent there; voxels of the segment `unlabelled` make what is not present unknown.

    Args:
        table: CSV file with the columns `scan` and `labels` (a label map of any format of `read_segmentation`); see
            `read_table`.
        out: output folder, created if missing; features in it are used again.
        model: the encoder: checkpoint, run folder or bundled name; None is the bundled one.
        size: largest edge of a superpatch in voxels.
        least_voxels: voxels from which a structure counts as present.
        level: feature level of the encoder; None chooses it on the training part.
        untrained: also score the same network with random weights.
        seed: of folds and bootstrap.
        device: auto, cpu, cuda, cuda:N or mps, for the features.
        batch_size: superpatches per pass; None is the default of the device.
        draws: draws of the bootstrap.
        command: the command line, for the results.
        progress: callback with (done, total, message).
        cancelled: True stops the work; features stay in `out`.

    Returns:
        The content of `metrics.json`.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the encoder cannot be loaded.
        ConfigError: the table or an option is invalid, or no structure is in some superpatches of two patients.
        MissingPackageError: scikit-learn is not installed.
        VolumeError: a scan or label map cannot be read, or the folder cannot be written.
    """
    require("sklearn", "A classification")
    if least_voxels < 1:
        raise ConfigError(f"A structure needs at least 1 voxel to be present, but not {least_voxels}.")
    out = Path(out)
    cases = read_table(table, target="labels")
    folds = folds_of(cases, None, seed)
    encoder = Encoder.load(model, device=device, batch_size=batch_size)
    chosen = None if level is None else encoder.level_at(level)
    encoders = [encoder, *([encoder.untrained(seed)] if untrained else [])]
    fits = (len(encoders) + 2) * len(folds) + 1
    steps = len(cases.cases) * (2 + FEATURES * len(encoders)) + FITS["logistic"] * fits + 1
    watch = Progress(steps, progress, cancelled)
    examined, names = examine_labelled(cases, watch.step, watch.cancelled)
    features = Features(out / FOLDER)
    vectors = [_vectors(features, one, cases, examined, size, watch) for one in encoders]
    found = superpatches_of(cases, vectors[0], names, least_voxels, watch.step, watch.cancelled)
    patients = patients_of(cases.cases)[found.cases]
    kept = _learnable(found, patients)
    if not kept:
        raise ConfigError(
            f"No structure of {cases.path.name} is in some, but not all superpatches of at least two patients: try "
            "another size of superpatches, or add scans."
        )
    found, left_out = found.of_structures(kept), [name for n, name in enumerate(names) if n not in kept]
    names = tuple(names[one] for one in kept)

    learned = folds[0].train if cases.is_split else np.arange(len(cases.cases))
    rows: list[Row] = []
    heads: list[LinearHead] = []
    for one, scans in zip(encoders, vectors, strict=True):
        title = f"logistic, {one.model.name}" + (" untrained" if one is not encoder else "")
        by_level = zip(*(scan.levels for scan in scans), strict=True)
        levels = [np.concatenate(parts).astype(np.float64) for parts in by_level]
        learner = Learner(levels, found.targets, patients, seed, chosen)
        rows.append(_held_out(title, learner, found.cases, folds, watch))
        if one is encoder:
            watch.step(f"Fitting {title}, all scans", FITS["logistic"])
            heads = learner.fit(np.isin(found.cases, learned), watch.within, watch.cancelled)
    for title, known in (
        ("place in the scan", found.places),
        ("mean and spread of the voxels", found.values),
    ):
        learner = Learner([known], found.targets, patients, seed, 0, strength=1.0)
        rows.append(_held_out(title, learner, found.cases, folds, watch))
    tested = np.flatnonzero(np.isin(found.cases, np.concatenate([fold.test for fold in folds])))
    watch.step("Scoring")
    scores = presence_scores(rows, found.targets, names, patients, tested, seed, draws, watch)
    without_hu = sum(not one.looks_like_hu for one in examined)
    description = Description(
        head="logistic",
        task=SUPERPATCH,
        classes=names,
        level=-1,
        encoder=encoder.identity.to_json(),
        superpatch=size,
        learned_from=tuple(examined[case].content for case in learned),
        facts={"seed": seed, "scans": len(learned), "least_voxels": least_voxels, "maesil": __version__},
    )
    notes = list(encoder.note_on(without_hu, len(examined)))
    if left_out:
        notes.append(
            f"Left out, as they do not differ between superpatches of two patients: {', '.join(left_out)}."
        )
    setup = setup_of(
        description,
        cases,
        folds,
        command=command,
        cases_scored=np.unique(found.cases[tested]),
        notes=notes,
        seed=seed,
        draws=draws,
        more=presence_facts(description, found.targets[tested]),
    )
    results = {"setup": setup, "rows": scores}
    fold_of = {case: fold.name for fold in folds for case in fold.test.tolist()}
    watch.check()
    with writing(out) as unfinished:
        save_heads(unfinished / FILE, description, list[Head](heads))
        lines = [
            [*line[:7], fold_of[int(found.cases[one])], *line[7:]]
            for one, line in zip(tested, presence_lines(cases, found, rows[0], tested), strict=True)
        ]
        header = presence_header(names)
        write_files(unfinished, results, [*header[:7], "fold", *header[7:]], lines)
    return results


def presence_scores(
    rows: Sequence[Row],
    targets: np.ndarray,
    names: Sequence[str],
    patients: np.ndarray,
    tested: np.ndarray,
    seed: int,
    draws: int,
    watch: Progress,
) -> list[dict[str, Any]]:
    """The AUROC of each structure and their mean, `auroc`, with intervals over patients; see `scored`.

    Args:
        rows: the classifier, then controls, with probabilities (N, S).
        targets: (N, S) of `Superpatches`.
        names: the S structures.
        patients: (N,) the patient of each superpatch.
        tested: (M,) int64, the superpatches that are scored.
        seed: of the bootstrap.
        draws: draws of the bootstrap.
        watch: for cancellation.
    """
    truth = targets[tested]

    def score(probabilities: np.ndarray, some: np.ndarray) -> dict[str, float]:
        areas = {}
        for number, name in enumerate(names):
            said, true = probabilities[some, number], truth[some, number]
            known = true != UNKNOWN
            areas[f"auroc {name}"] = auroc(said[known], true[known] == PRESENT)
        defined = [area for area in areas.values() if np.isfinite(area)]
        return {"auroc": float(np.mean(defined)) if defined else float("nan"), **areas}

    return scored(
        [replace(row, probabilities=row.probabilities[tested]) for row in rows],
        score,
        patients[tested],
        seed=seed,
        cancelled=watch.cancelled,
        draws=draws,
    )


def presence_header(names: Sequence[str]) -> list[str]:
    """Columns of `presence_lines`."""
    ends = [f"{axis}_{end}" for end in ("start", "stop") for axis in "kji"]
    return ["scan", *ends, *(f"present({name})" for name in names), *(f"p({name})" for name in names)]


def presence_lines(table: Table, found: Superpatches, row: Row, chosen: np.ndarray) -> list[list[object]]:
    """Lines of the table of predictions: the scan, the box in voxels, targets ("" if unknown) and probabilities."""
    lines: list[list[object]] = []
    for one in chosen.tolist():
        targets = ["" if target == UNKNOWN else target for target in found.targets[one].tolist()]
        name, box = table.cases[found.cases[one]].name, found.boxes[one].ravel().tolist()
        lines.append([name, *box, *targets, *row.probabilities[one].tolist()])
    return lines


def _vectors(
    features: Features,
    encoder: Encoder,
    table: Table,
    examined: Sequence[Examined],
    size: int,
    watch: Progress,
) -> list[SuperpatchVectors]:
    found = []
    for case, one in zip(table.cases, examined, strict=True):
        watch.step(f"Features of {case.name}", FEATURES)
        found.append(features.superpatches(encoder, case, one.content, watch.cancelled, size))
    return found


def _learnable(found: Superpatches, patients: np.ndarray) -> list[int]:
    """Structures that are present in superpatches of two patients and absent in those of two."""
    return [
        number
        for number, targets in enumerate(found.targets.T)
        if all(len(np.unique(patients[targets == value])) > 1 for value in (0, PRESENT))
    ]


def presence_facts(description: Description, targets: np.ndarray) -> dict[str, Any]:
    """Facts of a setup: superpatches, and in how many of them each structure is.

    Args:
        description: the classifier.
        targets: (M, S) of the superpatches that are scored.
    """
    counts = (targets == PRESENT).sum(axis=0).tolist()
    return {
        "superpatch": description.superpatch,
        "least_voxels": description.facts["least_voxels"],
        "superpatches": len(targets),
        "present": dict(zip(description.classes, counts, strict=True)),
    }


def _held_out(title: str, learner: Learner, cases: np.ndarray, folds: Sequence[Fold], watch: Progress) -> Row:
    """Probabilities (N, S) of each fold by heads of its training part; NaN for what no fold tests."""
    probabilities = np.full(learner.targets.shape, np.nan)
    choices = []
    for fold in folds:
        watch.step(f"Fitting {title}, fold {fold.name}", FITS["logistic"])
        train, test = np.isin(cases, fold.train), np.isin(cases, fold.test)
        heads = learner.fit(train, watch.within, watch.cancelled)
        for number, head in enumerate(heads):
            probabilities[test, number] = head.probabilities(learner.levels[head.level][test])[:, 1]
        choices.append({"fold": fold.name, "level": heads[0].level})
    return Row(title, probabilities, {"choices": choices})
