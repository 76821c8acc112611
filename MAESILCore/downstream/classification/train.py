"""Training of a classifier of scans, scored on patients that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.data.scans import read_scan
from MAESILCore.downstream.classification.attentive import AttentiveTraining, fit_attentive
from MAESILCore.downstream.classification.cases import Case, Table, class_names, counts_of, read_table
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.features import FOLDER, Features
from MAESILCore.downstream.classification.finetune import FinetunedHead, FinetuneTraining, fit_finetuned
from MAESILCore.downstream.classification.folds import Fold, folds_of, patients_of
from MAESILCore.downstream.classification.linear import LinearHead, fit_linear
from MAESILCore.downstream.classification.progress import Progress
from MAESILCore.downstream.classification.results import Row, scored, write_files, writing
from MAESILCore.downstream.classification.scans import Examined, examine_all
from MAESILCore.downstream.classification.scores import DRAWS, scores_of
from MAESILCore.downstream.classification.stored import FILE, SCAN, Description, Head, save_heads
from MAESILCore.errors import ConfigError
from MAESILCore.optional import require

HEADS = ("logistic", "attentive", "finetune")


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What a head learns from.

    Attributes:
        vectors: for each level (N, D) float64, for a logistic head.
        tokens: for each case (tokens, C), for an attentive head.
        level: the level of the tokens, or that of a logistic head; None lets it choose.
        encoder: where a fine-tuning starts.
        scans: for each case (k, j, i) as that encoder sees it.
        cases: the cases, whose scans a fine-tuned encoder passes whole.
    """

    vectors: Sequence[np.ndarray] = ()
    tokens: Sequence[np.ndarray] = ()
    level: int | None = None
    encoder: Encoder | None = None
    scans: Sequence[np.ndarray] = ()
    cases: Sequence[Case] = ()

    def probabilities(self, head: Head, cases: np.ndarray, cancelled: Callable[[], bool]) -> np.ndarray:
        """(N, K) of some cases."""
        if isinstance(head, LinearHead):
            return head.probabilities(self.vectors[head.level][cases])
        if isinstance(head, FinetunedHead):
            scans = (read_scan(self.cases[case].path) for case in cases)
            return np.stack([head.probabilities(scan, cancelled) for scan in scans])
        return np.stack([head.probabilities(self.tokens[case]) for case in cases])


@dataclass(frozen=True)
class _Recipe:
    """How heads are trained."""

    attentive: AttentiveTraining
    finetuning: FinetuneTraining
    seed: int


def train_classifier(
    table: str | Path,
    out: str | Path,
    *,
    model: str | Path | None = None,
    head: str = "logistic",
    level: int | None = None,
    untrained: bool = False,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    training: AttentiveTraining | None = None,
    finetuning: FinetuneTraining | None = None,
    draws: int = DRAWS,
    command: str = "",
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train a classifier of scans on frozen features, and score it by cross-validation or on a test part.

    Into the folder `out` go `metrics.json`, `predictions.csv` of patients that were held out, `classifier.safetensors`
    and the features. The classifier learns from all cases; with a split, from the parts train and validation.

    Args:
        table: CSV file; see `read_table`.
        out: output folder, created if missing; features in it are used again.
        model: the encoder: checkpoint, run folder or bundled name; None is the bundled one.
        head: `logistic` (regression on pooled features), `attentive` (a learned query over all tokens) or `finetune`
            (the same, and the encoder learns, too).
        level: feature level of the encoder; None lets a logistic head choose on its training part, and is the deepest
            for an attentive one.
        untrained: also score the same network with random weights.
        seed: of folds, head and bootstrap.
        device: auto, cpu, cuda, cuda:N or mps, for the features.
        batch_size: superpatches per pass; None is the default of the device.
        training: sizes of a training of an attentive head; None is the default.
        finetuning: sizes of a fine-tuning; None is the default.
        draws: draws of the bootstrap.
        command: the command line, for the results.
        progress: callback with (done, total, message).
        cancelled: True stops the work; features stay in `out`.

    Returns:
        The content of `metrics.json`.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the encoder cannot be loaded.
        ConfigError: the table or an option is invalid; see `read_table`.
        MissingPackageError: scikit-learn is not installed.
        VolumeError: a scan cannot be read, or the folder cannot be written.
    """
    require("sklearn", "A classification")
    if head not in HEADS:
        raise ConfigError(f"There is no head {head!r}; choose one of {', '.join(HEADS)}.")
    out = Path(out)
    cases = read_table(table)
    names = class_names(cases.path, cases.cases)
    classes = np.array([names.index(case.target) for case in cases.cases])
    patients = patients_of(cases.cases)
    folds = folds_of(cases, classes, seed)
    encoder = Encoder.load(model, device=device, batch_size=batch_size)
    chosen = (
        None if level is None and head == "logistic" else encoder.level_at(-1 if level is None else level)
    )
    encoders = [encoder, *([encoder.untrained(seed)] if untrained else [])]
    fits = len(encoders) * (len(folds) + 1)
    watch = Progress(len(cases.cases) * (1 + len(encoders)) + fits + len(folds) + 2, progress, cancelled)
    examined = examine_all(cases, watch.step, watch.cancelled)

    rows, heads = [], []
    recipe = _Recipe(training or AttentiveTraining(), finetuning or FinetuneTraining(), seed)
    for one in encoders:
        inputs = _inputs(one, head, chosen, cases, examined, out, watch)
        title = f"{head}, {encoder.model.name}" + (" untrained" if one is not encoder else "")
        row, fitted = _held_out(title, inputs, classes, patients, folds, recipe, watch)
        rows.append(row)
        heads.append(fitted)
    facts = np.stack([one.facts for one in examined])
    rows.append(_held_out("file facts", _Inputs([facts]), classes, patients, folds, recipe, watch)[0])
    shares = np.bincount(classes) / len(classes)
    rows.append(Row("most frequent class", np.tile(shares, (len(classes), 1))))
    scored_cases = np.concatenate([fold.test for fold in folds])
    watch.step("Scoring")
    found = scored(
        [replace(row, probabilities=row.probabilities[scored_cases]) for row in rows],
        lambda probabilities, some: scores_of(probabilities[some], classes[scored_cases][some]),
        patients[scored_cases],
        seed=seed,
        cancelled=watch.cancelled,
        draws=draws,
    )
    without_hu = sum(not one.looks_like_hu for one in examined)
    learned = folds[0].train if cases.is_split else np.arange(len(classes))
    description = Description(
        head=head,
        task=SCAN,
        classes=names,
        level=heads[0].level if isinstance(heads[0], LinearHead) else int(chosen or 0),
        encoder=encoder.identity.to_json(),
        learned_from=tuple(examined[case].content for case in learned),
        facts={"seed": seed, "scans": len(learned), "maesil": __version__},
    )
    results = {
        "setup": {
            "command": command,
            "table": cases.path.name,
            "head": head,
            "encoder": {"name": encoder.identity.name, "sha256": encoder.identity.sha256},
            "level": description.level,
            "scans": len(scored_cases),
            "patients": len(np.unique(patients[scored_cases])),
            "classes": counts_of(case.target for case in cases.cases),
            "folds": {fold.name: len(fold.test) for fold in folds},
            "folds_from": "table" if any(case.fold for case in cases.cases) else "drawn by patient",
            "seed": seed,
            "bootstrap": {"draws": draws, "over": "patients", "interval": 0.95},
            "f1": "mean over classes",
            "notes": [*cases.notes, *encoder.note_on(without_hu, len(examined))],
            "maesil": __version__,
        },
        "rows": found,
    }
    fold_of = {case: fold.name for fold in folds for case in fold.test.tolist()}
    lines = [
        [
            cases.cases[case].name,
            cases.cases[case].target,
            fold_of[case],
            *rows[0].probabilities[case].tolist(),
        ]
        for case in sorted(fold_of)
    ]
    watch.check()
    with writing(out) as unfinished:
        save_heads(unfinished / FILE, description, [heads[0]])
        write_files(unfinished, results, ["scan", "label", "fold", *(f"p({name})" for name in names)], lines)
    return results


def _inputs(
    encoder: Encoder,
    head: str,
    level: int | None,
    table: Table,
    examined: Sequence[Examined],
    out: Path,
    watch: Progress,
) -> _Inputs:
    """The features of all cases."""
    features = Features(out / FOLDER)
    pooled, tokens, scans = [], [], []
    for case, one in zip(table.cases, examined, strict=True):
        watch.step(f"Features of {case.name}")
        if head == "attentive":
            tokens.append(features.tokens(encoder, case, one.content, int(level or 0), watch.cancelled))
        elif head == "finetune":
            scans.append(features.scan(encoder, case, one.content))
        else:
            pooled.append(features.superpatches(encoder, case, one.content, watch.cancelled).pooled())
    levels = [np.stack(vectors) for vectors in zip(*pooled, strict=True)]
    return _Inputs(levels, tokens, level, encoder, scans, table.cases)


def _held_out(
    title: str,
    inputs: _Inputs,
    classes: np.ndarray,
    patients: np.ndarray,
    folds: Sequence[Fold],
    recipe: _Recipe,
    watch: Progress,
) -> tuple[Row, Head]:
    """Probabilities of each fold by a head of its training part; the head of all, or of the split's training part."""
    probabilities = np.full((len(classes), int(classes.max()) + 1), np.nan)
    choices, fitted = [], None
    for fold in folds:
        watch.step(f"Fitting {title}, fold {fold.name}")
        fitted = _fit(inputs, classes, patients, fold.train, recipe, watch)
        probabilities[fold.test] = inputs.probabilities(fitted, fold.test, watch.cancelled)
        if isinstance(fitted, LinearHead):
            choices.append({"fold": fold.name, "level": fitted.level, "strength": fitted.strength})
    everything = np.sort(np.concatenate([fold.test for fold in folds]))
    if fitted is None or len(everything) == len(classes):
        watch.step(f"Fitting {title}, all scans")
        fitted = _fit(inputs, classes, patients, np.arange(len(classes)), recipe, watch)
    return Row(title, probabilities, {"choices": choices} if choices else {}), fitted


def _fit(
    inputs: _Inputs,
    classes: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    recipe: _Recipe,
    watch: Progress,
) -> Head:
    if inputs.vectors:
        return fit_linear(
            [vectors[train] for vectors in inputs.vectors],
            classes[train],
            patients[train],
            seed=recipe.seed,
            cancelled=watch.cancelled,
            level=inputs.level,
        )
    if inputs.encoder is not None and inputs.scans:
        return fit_finetuned(
            inputs.encoder,
            [inputs.scans[case] for case in train],
            classes[train],
            level=int(inputs.level or 0),
            seed=recipe.seed,
            training=recipe.finetuning,
            progress=watch.within,
            cancelled=watch.cancelled,
        )
    return fit_attentive(
        [inputs.tokens[case] for case in train],
        classes[train],
        seed=recipe.seed,
        training=recipe.attentive,
        progress=watch.within,
        cancelled=watch.cancelled,
    )
