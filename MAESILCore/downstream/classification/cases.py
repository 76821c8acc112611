"""The table of a classification: scans, labels, patients and folds from a CSV file, checked before any work."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.data.formats.found import listed
from MAESILCore.errors import ConfigError
from MAESILCore.wording import displayable

#: Values of the column `split`.
TRAIN, VALIDATION, TEST = "train", "validation", "test"
_SPLITS = (TRAIN, VALIDATION, TEST)

_OPTIONAL = ("fold", "split", "patient")


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: the scan as the table names it.
        path: the file or DICOM folder.
        target: the label, or the path of the label map as the table names it.
        patient: its patient; the name of the scan if the table has no such column.
        fold: its fold or part of the split; "" without such a column.
        row: number of the row in the file, from 2.
    """

    name: str
    path: Path
    target: str
    patient: str
    fold: str
    row: int


@dataclass(frozen=True)
class Table:
    """The cases of a CSV file.

    Attributes:
        path: the file.
        cases: its rows.
        is_split: whether the folds are the parts train, validation and test.
        has_patients: whether it says which scans are of one patient.
    """

    path: Path
    cases: tuple[Case, ...]
    is_split: bool
    has_patients: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about what the table does not say."""
        if self.has_patients:
            return ()
        return (
            f"{self.path.name} has no column patient, so each scan counts as a patient of its own: add the column if "
            "patients have several scans.",
        )

    def beside(self, case: Case) -> Path:
        """The file that a target names; relative paths start at the folder of the table."""
        return self.path.parent / Path(case.target)


def read_table(path: str | Path, target: str = "label") -> Table:
    """Read a CSV file with the columns `scan` and `label`, and optionally `patient` and `fold` or `split`.

    Columns are separated by commas, semicolons or tabs. Paths are relative to the file. `split` has the values train,
    validation and test; folds have any names.

    Args:
        path: the file.
        target: name of the column with the labels; `labels` for label maps, which must exist.

    Raises:
        ConfigError: a column is missing or unknown, a value is empty, a file is missing, a scan is listed twice, or the
            scans of a patient are in several folds.
    """
    path = Path(path)
    columns, rows = _rows(path)
    _check_columns(path, columns, target)
    for number, row in rows:
        for column, value in row.items():
            if not value:
                raise ConfigError(
                    f"Row {number} of {path.name} has no {column}: fill it in, or leave out the row."
                )
    cases = tuple(
        Case(
            name=row["scan"],
            path=path.parent / row["scan"],
            target=row[target],
            patient=row.get("patient", row["scan"]),
            fold=row.get("fold", row.get("split", "")),
            row=number,
        )
        for number, row in rows
    )
    table = Table(path, cases, "split" in columns, "patient" in columns)
    files = [case.path for case in cases]
    if target == "labels":
        files += [table.beside(case) for case in cases]
    _check_files(path, files)
    _check_twice(path, cases)
    if table.is_split:
        _check_split(path, cases)
    check_leaks(path, cases)
    return table


def check_leaks(path: Path, cases: Iterable[Case]) -> None:
    """Check that no patient is in several folds.

    Raises:
        ConfigError: a patient is; the message names patients and folds.
    """
    folds: dict[str, list[str]] = {}
    for case in cases:
        known = folds.setdefault(case.patient, [])
        if case.fold not in known:
            known.append(case.fold)
    leaks = [f"{patient} ({' and '.join(found)})" for patient, found in folds.items() if len(found) > 1]
    if leaks:
        raise ConfigError(
            f"Patient-level leak in {path.name}: scans of one patient are in several folds, of {listed(leaks)}. Put "
            "all scans of a patient into one fold."
        )


def class_names(path: Path, cases: Sequence[Case]) -> tuple[str, ...]:
    """The distinct labels, sorted as numbers if all are.

    Raises:
        ConfigError: there is one class only, or as many classes as scans.
    """
    found = Counter(case.target for case in cases)
    if len(found) < 2:
        only = next(iter(found))
        raise ConfigError(
            f"All {len(cases)} scans of {path.name} have the label {only}: a classifier needs at least two classes."
        )
    if len(found) == len(cases):
        raise ConfigError(
            f"Each scan of {path.name} has a label of its own: a classifier needs several scans of each class."
        )
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(sorted(found))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, and the rows that are not blank with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not a text in UTF-8: save it as CSV (UTF-8).") from error
    header = text.partition("\n")[0]
    delimiter = next((one for one in ",;\t" if one in header), ",")
    try:
        lines = list(csv.reader(text.splitlines(), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ConfigError(f"{path.name} is not a CSV file: {error}.") from error
    columns = [name.strip() for name in lines[0]] if lines else []
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        values = [value.strip() for value in line]
        if not any(values):
            continue
        if len(values) != len(columns):
            raise ConfigError(
                f"Row {number} of {path.name} has {len(values)} values, but there are {len(columns)} columns."
            )
        rows.append((number, dict(zip(columns, values, strict=True))))
    if not rows:
        raise ConfigError(
            f"{path.name} lists no scans: give a CSV file with a column scan and a row per scan."
        )
    return columns, rows


def _check_columns(path: Path, columns: Sequence[str], target: str) -> None:
    known = ("scan", target, *_OPTIONAL)
    missing = [name for name in ("scan", target) if name not in columns]
    if missing:
        raise ConfigError(
            f"{path.name} has no column {' and no column '.join(missing)}: its columns are {', '.join(columns)}."
        )
    unknown = [name or "(no name)" for name in columns if name not in known]
    if unknown:
        raise ConfigError(
            f"{path.name} has the unknown column {', '.join(unknown)}: columns may be {', '.join(known)}."
        )
    if len(set(columns)) < len(columns) or {"fold", "split"} <= set(columns):
        raise ConfigError(f"{path.name} has a column twice, or both fold and split: keep one of them.")


def _check_files(path: Path, files: Sequence[Path]) -> None:
    missing = [displayable(file) for file in files if not file.exists()]
    if missing:
        there = "is no file" if len(missing) == 1 else "are no files"
        raise ConfigError(
            f"There {there} {listed(missing)}, which {path.name} lists: paths are relative to its folder."
        )


def _check_twice(path: Path, cases: Sequence[Case]) -> None:
    rows: dict[str, int] = {}
    for case in cases:
        place = os.path.realpath(case.path)
        if place in rows:
            raise ConfigError(
                f"Rows {rows[place]} and {case.row} of {path.name} list the same scan {case.name}: keep one."
            )
        rows[place] = case.row


def _check_split(path: Path, cases: Sequence[Case]) -> None:
    parts = {case.fold for case in cases}
    unknown = parts - set(_SPLITS)
    if unknown:
        raise ConfigError(
            f"The column split of {path.name} says {', '.join(sorted(unknown))}: it may say {', '.join(_SPLITS)}."
        )
    for part in (TRAIN, TEST):
        if part not in parts:
            raise ConfigError(f"No scan of {path.name} is in the part {part} of the split.")


def same_content(path: Path, cases: Sequence[Case], hashes: Sequence[str]) -> None:
    """Check that no two scans have the same voxels.

    Args:
        path: the table.
        cases: its rows.
        hashes: a hash of the voxels of each.

    Raises:
        ConfigError: two have; the message names them.
    """
    first: dict[str, Case] = {}
    for case, content in zip(cases, hashes, strict=True):
        if content in first:
            raise ConfigError(
                f"Patient-level leak in {path.name}: {first[content].name} and {case.name} hold the same voxels. "
                "Leave one of them out."
            )
        first[content] = case


def counts_of(labels: Iterable[str]) -> Mapping[str, int]:
    """How often each label occurs."""
    return dict(Counter(labels))
