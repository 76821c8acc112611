"""Training of a classifier of scans, scored on patients that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.downstream.classification.attentive import AttentiveTraining
from MAESILCore.downstream.classification.cases import Table, class_names, counts_of, read_table
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.finetune import FinetuneTraining
from MAESILCore.downstream.classification.folds import Fold, folds_of, patients_of
from MAESILCore.downstream.classification.heads import HEADS, Inputs, Recipe
from MAESILCore.downstream.classification.linear import LinearHead
from MAESILCore.downstream.classification.progress import FEATURES, FITS, Progress
from MAESILCore.downstream.classification.results import Row, scored, setup_of, write_files, writing
from MAESILCore.downstream.classification.scans import Examined, examine_all
from MAESILCore.downstream.classification.scores import DRAWS, scores_of
from MAESILCore.downstream.classification.stored import FILE, SCAN, Description, Head, save_heads
from MAESILCore.errors import ConfigError
from MAESILCore.optional import require


@dataclass(frozen=True, eq=False)
class _Study:
    """What all rows of the table share.

    Attributes:
        table: the cases.
        names: names of the classes.
        classes: (N,) int64, the class of each case.
        patients: (N,) int64, the patient of each case.
        folds: the folds.
        recipe: how heads are trained.
        watch: for progress and cancellation.
    """

    table: Table
    names: tuple[str, ...]
    classes: np.ndarray
    patients: np.ndarray
    folds: Sequence[Fold]
    recipe: Recipe
    watch: Progress

    @property
    def tested(self) -> np.ndarray:
        """(M,) int64, the cases that a fold tests, ascending."""
        return np.sort(np.concatenate([fold.test for fold in self.folds]))

    @property
    def learned(self) -> np.ndarray:
        """The cases that the classifier learns from: all, or the training part of a split."""
        return self.folds[0].train if self.table.is_split else np.arange(len(self.classes))

    def held_out(self, title: str, inputs: Inputs, weight: int) -> tuple[Row, Head]:
        """Probabilities of each fold by a head of its training part, and the last of these heads."""
        probabilities = np.full((len(self.classes), len(self.names)), np.nan)
        heads: list[Head] = []
        for fold in self.folds:
            self.watch.step(f"Fitting {title}, fold {fold.name}", weight)
            heads.append(self.fit(inputs, fold.train))
            probabilities[fold.test] = inputs.probabilities(heads[-1], fold.test, self.watch.cancelled)
        choices = [
            {"fold": fold.name, "level": head.level, "strength": head.strength}
            for fold, head in zip(self.folds, heads, strict=True)
            if isinstance(head, LinearHead)
        ]
        return Row(title, probabilities, {"choices": choices} if choices else {}), heads[-1]

    def fit(self, inputs: Inputs, train: np.ndarray) -> Head:
        """A head of some cases."""
        return inputs.fit(train, self.classes, self.patients, self.recipe, self.watch)

    def controls(self, examined: Sequence[Examined]) -> list[Row]:
        """What the files alone tell, and the most frequent class."""
        facts = Inputs([np.stack([one.facts for one in examined])])
        shares = np.bincount(self.classes) / len(self.classes)
        frequent = np.tile(shares, (len(self.classes), 1))
        return [self.held_out("file facts", facts, 1)[0], Row("most frequent class", frequent)]

    def scores(self, rows: Sequence[Row], draws: int) -> list[dict[str, Any]]:
        """The rows of `metrics.json`."""
        self.watch.step("Scoring")
        tested = self.tested
        return scored(
            [replace(row, probabilities=row.probabilities[tested]) for row in rows],
            lambda probabilities, some: scores_of(probabilities[some], self.classes[tested][some]),
            self.patients[tested],
            seed=self.recipe.seed,
            cancelled=self.watch.cancelled,
            draws=draws,
        )

    def predictions(self, row: Row) -> list[list[object]]:
        """The lines of `predictions.csv`."""
        fold_of = {case: fold.name for fold in self.folds for case in fold.test.tolist()}
        cases = self.table.cases
        return [
            [cases[case].name, cases[case].target, fold_of[case], *row.probabilities[case].tolist()]
            for case in self.tested.tolist()
        ]


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
    out, cases = Path(out), read_table(table)
    names = class_names(cases.path, cases.cases)
    classes = np.array([names.index(case.target) for case in cases.cases])
    folds = folds_of(cases, classes, seed)
    encoder = Encoder.load(model, device=device, batch_size=batch_size)
    chosen = (
        None if level is None and head == "logistic" else encoder.level_at(-1 if level is None else level)
    )
    encoders = [encoder, *([encoder.untrained(seed)] if untrained else [])]
    fits = FITS[head] * (len(encoders) * len(folds) + 1) + len(folds)
    steps = len(cases.cases) * (1 + FEATURES * len(encoders)) + fits + 1
    watch = Progress(steps, progress, cancelled)
    recipe = Recipe(training or AttentiveTraining(), finetuning or FinetuneTraining(), seed)
    study = _Study(cases, names, classes, patients_of(cases.cases), folds, recipe, watch)
    examined = examine_all(cases, watch.step, watch.cancelled)

    rows: list[Row] = []
    heads: list[Head] = []
    for one in encoders:
        inputs = Inputs.of(cases, examined, one, head, chosen, out, watch)
        title = f"{head}, {encoder.model.name}" + (" untrained" if one is not encoder else "")
        row, fitted = study.held_out(title, inputs, FITS[head])
        rows.append(row)
        if one is encoder:
            watch.step(f"Fitting {title}, all scans", FITS[head])
            # The head of a split's only fold has learned from its training part.
            heads.append(fitted if cases.is_split else study.fit(inputs, study.learned))
    rows += study.controls(examined)
    scores = study.scores(rows, draws)
    description = Description(
        head=head,
        task=SCAN,
        classes=names,
        level=heads[0].level if isinstance(heads[0], LinearHead) else int(chosen or 0),
        encoder=encoder.identity.to_json(),
        learned_from=tuple(examined[case].content for case in study.learned),
        facts={"seed": seed, "scans": len(study.learned), "maesil": __version__},
    )
    setup = setup_of(
        description,
        cases,
        folds,
        command=command,
        cases_scored=study.tested,
        notes=encoder.note_on(sum(not one.looks_like_hu for one in examined), len(examined)),
        seed=seed,
        draws=draws,
        more={"classes": counts_of(case.target for case in cases.cases), "f1": "mean over classes"},
    )
    results = {"setup": setup, "rows": scores}
    header = ["scan", "label", "fold", *(f"p({name})" for name in names)]
    watch.check()
    with writing(out) as unfinished:
        save_heads(unfinished / FILE, description, heads)
        write_files(unfinished, results, header, study.predictions(rows[0]))
    return results
