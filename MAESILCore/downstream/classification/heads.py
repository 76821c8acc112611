"""The heads of a classifier: what they learn from, and how they are fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.downstream.classification.attentive import AttentiveTraining, fit_attentive
from MAESILCore.downstream.classification.cases import Case, Table
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.features import FOLDER, Arrays, Features
from MAESILCore.downstream.classification.finetune import FinetunedHead, FinetuneTraining, fit_finetuned
from MAESILCore.downstream.classification.linear import LinearHead, fit_linear
from MAESILCore.downstream.classification.progress import FEATURES, Progress
from MAESILCore.downstream.classification.scans import Examined
from MAESILCore.downstream.classification.stored import Head

HEADS = ("logistic", "attentive", "finetune")
_NONE = Arrays(())


@dataclass(frozen=True)
class Recipe:
    """How heads are trained.

    Attributes:
        attentive: sizes of a training of an attentive head.
        finetuning: sizes of a fine-tuning.
        seed: of the training.
    """

    attentive: AttentiveTraining
    finetuning: FinetuneTraining
    seed: int


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a head learns from; only the fields of its kind are filled.

    Attributes:
        vectors: for each level (N, D) float64, for a logistic head.
        tokens: for each case (tokens, C), for an attentive head.
        level: the level of the tokens, or that of a logistic head; None lets it choose.
        encoder: where a fine-tuning starts.
        scans: for each case (k, j, i) as that encoder sees it.
        cases: the cases, whose scans a fine-tuned encoder passes whole.
    """

    vectors: Sequence[np.ndarray] = ()
    tokens: Arrays = _NONE
    level: int | None = None
    encoder: Encoder | None = None
    scans: Arrays = _NONE
    cases: Sequence[Case] = ()

    @classmethod
    def of(
        cls,
        table: Table,
        examined: Sequence[Examined],
        encoder: Encoder,
        head: str,
        level: int | None,
        out: Path,
        watch: Progress,
    ) -> Inputs:
        """The features of all cases, or their scans for a fine-tuning.

        Raises:
            Cancelled: the user wants to stop.
            VolumeError: a scan cannot be read, or the features cannot be kept.
        """
        features, deepest = Features(out / FOLDER), int(level or 0)
        pooled: list[tuple[np.ndarray, ...]] = []
        tokens: list[Path] = []
        scans: list[Path] = []
        for case, one in zip(table.cases, examined, strict=True):
            watch.step(f"Features of {case.name}", FEATURES)
            if head == "attentive":
                tokens.append(features.tokens(encoder, case, one.content, deepest, watch.cancelled))
            elif head == "finetune":
                scans.append(features.scan(encoder, case, one.content))
            else:
                found = features.superpatches(encoder, case, one.content, watch.cancelled)
                pooled.append(found.pooled())
        levels = [np.stack(vectors) for vectors in zip(*pooled, strict=True)]
        return cls(levels, Arrays(tokens), level, encoder, Arrays(scans), table.cases)

    def fit(
        self, train: np.ndarray, classes: np.ndarray, patients: np.ndarray, recipe: Recipe, watch: Progress
    ) -> Head:
        """A head of some cases.

        Args:
            train: (M,) int64, indices of the cases.
            classes: (N,) int64, the classes of all cases.
            patients: (N,) the patients of all cases.
            recipe: how it is trained.
            watch: for progress and cancellation.

        Raises:
            Cancelled: the user wants to stop.
        """
        if self.vectors:
            return fit_linear(
                [vectors[train] for vectors in self.vectors],
                classes[train],
                patients[train],
                seed=recipe.seed,
                cancelled=watch.cancelled,
                level=self.level,
            )
        if self.encoder is not None and self.scans:
            return fit_finetuned(
                self.encoder,
                self.scans.chosen(train),
                classes[train],
                level=int(self.level or 0),
                seed=recipe.seed,
                training=recipe.finetuning,
                progress=watch.within,
                cancelled=watch.cancelled,
            )
        return fit_attentive(
            self.tokens.chosen(train),
            classes[train],
            seed=recipe.seed,
            training=recipe.attentive,
            progress=watch.within,
            cancelled=watch.cancelled,
        )

    def probabilities(self, head: Head, cases: np.ndarray, cancelled: Callable[[], bool]) -> np.ndarray:
        """(M, K) of some cases, given by their indices (M,).

        Raises:
            Cancelled: `cancelled` returned True.
        """
        if isinstance(head, LinearHead):
            return head.probabilities(self.vectors[head.level][cases])
        if isinstance(head, FinetunedHead):
            scans = (read_scan(self.cases[case].path) for case in cases)
            return np.stack([head.probabilities(scan, cancelled) for scan in scans])
        return np.stack([head.probabilities(self.tokens[case]) for case in cases])
