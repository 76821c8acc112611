"""Folds of a cross-validation: those of the table, or drawn by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MAESILCore.downstream.classification.cases import TEST, Case, Table
from MAESILCore.errors import ConfigError

#: Folds that are drawn at most.
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Fold:
    """A part of the cases that is scored by a classifier of the others.

    Attributes:
        name: the name of the part.
        train: (N,) int64, indices of the cases that it learns from.
        test: (M,) int64, indices of the cases that are scored.
    """

    name: str
    train: np.ndarray
    test: np.ndarray


def folds_of(table: Table, classes: np.ndarray | None, seed: int) -> list[Fold]:
    """The folds of a table, or drawn ones: stratified by class, and each patient in one.

    A split has one fold: its part test, scored by a classifier of train and validation.

    Args:
        table: the cases.
        classes: (N,) int64, the class of each case; None for several labels per case, which are not stratified.
        seed: of drawn folds.

    Raises:
        ConfigError: there is one fold only, too few patients, or a class that only one fold has.
    """
    cases = table.cases
    names = [case.fold for case in cases]
    if table.is_split:
        folds = [_fold(TEST, np.array([name == TEST for name in names]))]
    elif any(names):
        found = list(dict.fromkeys(names))
        if len(found) < 2:
            raise ConfigError(
                f"All scans of {table.path.name} are in the fold {found[0]}: give two or more folds."
            )
        folds = [_fold(name, np.array([name == other for other in names])) for name in found]
    else:
        folds = _drawn(table, classes, seed)
    if classes is not None:
        for fold in folds:
            _check_classes(table, fold, classes)
    return folds


def inner_parts(classes: np.ndarray, patients: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of training and held-out indices inside the training part of a fold, for choosing settings.

    Each training index set has all classes; the list is empty if there are too few patients for that.

    Args:
        classes: (N,) int64.
        patients: (N,) the patient of each case, of any type.
        seed: of the draw.
    """
    count = min(FOLDS, _fewest_patients(classes, patients))
    if count < 2:
        return []
    parts = _stratified(classes, patients, count, seed)
    return [
        (train, held) for train, held in parts if len(np.unique(classes[train])) == len(np.unique(classes))
    ]


def patients_of(cases: Sequence[Case]) -> np.ndarray:
    """(N,) int64, a number for the patient of each case."""
    return np.unique([case.patient for case in cases], return_inverse=True)[1]


def _fold(name: str, test: np.ndarray) -> Fold:
    return Fold(name, np.flatnonzero(~test), np.flatnonzero(test))


def _drawn(table: Table, classes: np.ndarray | None, seed: int) -> list[Fold]:
    patients = patients_of(table.cases)
    if classes is None:
        count = min(FOLDS, len(np.unique(patients)))
        parts = np.random.default_rng(seed).permutation(patients.max() + 1) % max(count, 1)
        held = [np.flatnonzero(parts[patients] == number) for number in range(count)]
    else:
        count = min(FOLDS, _fewest_patients(classes, patients))
        held = [test for _, test in _stratified(classes, patients, count, seed)] if count > 1 else []
    if count < 2:
        raise ConfigError(
            f"{table.path.name} has too few patients: each class needs at least two, one to learn from and one to "
            "score."
        )
    masks = [np.isin(np.arange(len(patients)), test) for test in held]
    return [_fold(str(number), mask) for number, mask in enumerate(masks, start=1)]


def _check_classes(table: Table, fold: Fold, classes: np.ndarray) -> None:
    missing = sorted(set(classes.tolist()) - set(classes[fold.train].tolist()))
    if missing:
        label = next(case.target for case, one in zip(table.cases, classes, strict=True) if one == missing[0])
        what = "part test" if table.is_split else f"fold {fold.name}"
        raise ConfigError(
            f"All scans of {table.path.name} with the label {label} are in the {what}: there is none to learn from."
        )


def _fewest_patients(classes: np.ndarray, patients: np.ndarray) -> int:
    return min(len(np.unique(patients[classes == one])) for one in np.unique(classes))


def _stratified(
    classes: np.ndarray, patients: np.ndarray, count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [
        (np.asarray(train), np.asarray(test))
        for train, test in splitter.split(np.zeros(len(classes)), classes, patients)
        if len(test)
    ]
