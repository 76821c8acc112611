"""Results of a classification: rows of scores, and the files in the output folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.downstream.classification.cases import Table
from MAESILCore.downstream.classification.folds import Fold
from MAESILCore.downstream.classification.scores import DRAWS, with_intervals
from MAESILCore.downstream.classification.stored import Description
from MAESILCore.errors import VolumeError
from MAESILCore.files import why_unwritable, write_json, write_together

if TYPE_CHECKING:
    from collections.abc import Iterator

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"


@dataclass(frozen=True, eq=False)
class Row:
    """A classifier or a control.

    Attributes:
        name: the first cell of its row.
        probabilities: (N, ...) of all cases.
        facts: more about it, for the JSON file.
    """

    name: str
    probabilities: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


def scored(
    rows: Sequence[Row],
    score: Callable[[np.ndarray, np.ndarray], Mapping[str, float]],
    patients: np.ndarray,
    *,
    seed: int,
    cancelled: Callable[[], bool],
    draws: int = DRAWS,
) -> list[dict[str, Any]]:
    """Score rows on the same cases, and the first row against each other one, draw by draw.

    Args:
        rows: the classifier, then controls.
        score: probabilities of a row and indices of cases, which may repeat -> scores by name.
        patients: (N,) the patient of each case.
        seed: of the bootstrap.
        cancelled: True stops the work.
        draws: draws of the bootstrap.

    Returns:
        For each row `name`, `scores` (see `with_intervals`) and `facts`; controls also `model_minus_this`, the
        difference of the first row to them.

    Raises:
        Cancelled: `cancelled` returned True.
    """

    def all_scores(chosen: np.ndarray) -> dict[tuple[int, str, str], float]:
        found: dict[tuple[int, str, str], float] = {}
        first: Mapping[str, float] = {}
        for number, row in enumerate(rows):
            own = score(row.probabilities, chosen)
            first = first or own
            found |= {(number, "scores", name): value for name, value in own.items()}
            if number:
                differences = {name: first[name] - value for name, value in own.items()}
                found |= {(number, "model_minus_this", name): value for name, value in differences.items()}
        return found

    written: list[dict[str, Any]] = [{"name": row.name, "facts": dict(row.facts)} for row in rows]
    intervals = with_intervals(all_scores, patients, seed=seed, cancelled=cancelled, draws=draws)
    for (number, kind, name), interval in intervals.items():
        written[number].setdefault(kind, {})[name] = interval
    return written


def setup_of(
    description: Description,
    table: Table,
    folds: Sequence[Fold],
    *,
    command: str,
    cases_scored: np.ndarray,
    notes: Sequence[str],
    seed: int,
    draws: int,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """What `metrics.json` says of how its rows were made.

    Args:
        description: the classifier.
        table: the cases.
        folds: the folds; none for an evaluation.
        command: the command line.
        cases_scored: (M,) int64, indices of the cases that were scored.
        notes: sentences for the user, after those on the table.
        seed: of folds, heads and bootstrap.
        draws: draws of the bootstrap.
        more: facts of this task.
    """
    setup: dict[str, Any] = {
        "command": command,
        "table": table.path.name,
        "task": description.task,
        "head": description.head,
        "encoder": {name: description.encoder[name] for name in ("name", "sha256")},
        "level": description.level,
        "scans": len(cases_scored),
        "patients": len({table.cases[case].patient for case in cases_scored.tolist()}),
        **more,
    }
    if folds:
        setup["folds"] = {fold.name: len(fold.test) for fold in folds}
        setup["folds_from"] = "table" if any(case.fold for case in table.cases) else "drawn by patient"
    setup["seed"] = seed
    setup["bootstrap"] = {"draws": draws, "over": "patients", "interval": 0.95}
    setup["notes"] = [*table.notes, *notes]
    setup["maesil"] = __version__
    return setup


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Give a temporary folder, whose files are moved to `out` at the end, the metrics last.

    Raises:
        VolumeError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with write_together(out, last=METRICS) as unfinished:
            yield unfinished
    except OSError as error:
        raise VolumeError(f"The results cannot be written: {why_unwritable(out, error)}.") from error


def write_files(
    folder: Path, results: Mapping[str, Any], header: Sequence[str], lines: Iterable[Sequence[object]]
) -> None:
    """Write metrics and predictions into a folder.

    Raises:
        OSError: a file cannot be written.
    """
    write_predictions(folder / PREDICTIONS, header, lines)
    write_json(folder / METRICS, results)


def write_predictions(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; numbers have six digits.

    Raises:
        OSError: the file cannot be written; no partial file is left.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for line in lines:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in line])
    # Names of files can hold any bytes.
    content = text.getvalue().encode("utf-8", "surrogateescape")
    with write_together(path.parent) as unfinished:
        (unfinished / path.name).write_bytes(content)
