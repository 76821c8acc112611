"""Evaluation of a segmentation model on labelled cases, per case and structure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.classes import CaseLabels, Classes
from MAESILCore.downstream.segmentation.inference import segment
from MAESILCore.downstream.segmentation.model import SegmentationModel
from MAESILCore.downstream.segmentation.opening import ReadCase, read_case
from MAESILCore.downstream.segmentation.scores import StructureScores, structure_scores
from MAESILCore.errors import ConfigError
from MAESILCore.files import write_json, write_whole

#: The scores with an interval, and their titles.
TITLES: Mapping[str, str] = {
    "dice": "Dice",
    "surface_dice": "Surface Dice",
    "hausdorff95": "Hausdorff 95 %, mm",
}
METRICS, SCORES = "metrics.json", "scores.csv"

_DRAWS, _SEED = 2000, 0


def evaluate_segmentation(
    model: SegmentationModel,
    cases: Sequence[Case],
    *,
    device: str = "auto",
    tolerance: float = 2.0,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score a model on labelled cases; the background is never scored.

    Args:
        model: the model.
        cases: the cases, none of which should be one that the model was trained on.
        device: auto, cpu, cuda, cuda:N or mps.
        tolerance: of the surface Dice, in mm.
        progress: called before each case with cases done, cases in all and the name of the case.
        cancelled: called before each batch of tiles; True stops the work.

    Returns:
        The content of `metrics.json`: `cases`, the scores per case and structure, and `structures`, the mean of each
        score over the cases with a 95 % bootstrap interval over them; `mean` is over the structures of each case.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: no case is given.
        VolumeError: a scan or its labels cannot be read.
    """

    def predict(read: ReadCase) -> np.ndarray:
        return segment(read.volume, model, device=device, cancelled=cancelled).segmentation.labels

    scores = score_cases(predict, model.classes, cases, tolerance=tolerance, progress=progress)
    return {
        "model": model.name,
        "step": model.card.step,
        "encoder": model.card.training.get("encoder", ""),
        **scores,
    }


def score_cases(
    predict: Callable[[ReadCase], np.ndarray],
    classes: Classes,
    cases: Sequence[Case],
    *,
    tolerance: float = 2.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Score predictions on labelled cases, of a model or of a control without a network.

    Args:
        predict: gives the indices of classes, (k, j, i) on the grid of a case's scan.
        classes: the classes.
        cases: the cases.
        tolerance: of the surface Dice, in mm.
        progress: see `evaluate_segmentation`.

    Returns:
        The content of `metrics.json` without what names the model.

    Raises:
        ConfigError: no case is given.
        VolumeError: a scan or its labels cannot be read.
    """
    if not cases:
        raise ConfigError("There is no case to evaluate on.")
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for number, case in enumerate(cases):
        if progress is not None:
            progress(number, len(cases), case.name)
        read = read_case(case)
        predicted = predict(read)
        truth = CaseLabels.of(read.segmentation, classes)
        notes += [f"{case.name}: {note}" for note in read.segmentation.notes]
        spacing = read.volume.spacing[::-1]
        for one in classes.structures:
            scores = structure_scores(predicted, truth, one.value, spacing, tolerance)
            rows.append({"case": case.name, "structure": one.name, **scores._asdict()})
    return {
        "cases": [{name: _plain(value) for name, value in row.items()} for row in rows],
        "structures": summarise(rows, classes),
        "tolerance_mm": tolerance,
        "bootstrap": {"draws": _DRAWS, "seed": _SEED, "over": "cases"},
        "notes": notes,
        "maesil": __version__,
    }


def summarise(rows: Sequence[Mapping[str, Any]], classes: Classes) -> dict[str, dict[str, Any]]:
    """Mean scores of each structure and of all, by name, with their intervals and the number of cases that count."""
    cases = list(dict.fromkeys(str(row["case"]) for row in rows))
    summary: dict[str, dict[str, Any]] = {}
    for name in (*classes.names, "mean"):
        mine = [row for row in rows if name in (row["structure"], "mean")]
        summary[name] = {
            score: interval([_mean([row[score] for row in mine if row["case"] == case]) for case in cases])
            for score in TITLES
        }
    return summary


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean and 95 % percentile bootstrap interval of the values that are numbers; None where there are none."""
    known = np.array([value for value in values if math.isfinite(value)])
    if not known.size:
        return {"mean": None, "low": None, "high": None, "cases": 0}
    draws = np.random.default_rng(_SEED).integers(known.size, size=(_DRAWS, known.size))
    low, high = np.percentile(known[draws].mean(axis=1), [2.5, 97.5])
    return {
        "mean": round(float(known.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "cases": int(known.size),
    }


def save_evaluation(metrics: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Write `metrics.json` and the rows of all cases as `scores.csv`; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["case", "structure", *StructureScores._fields], lineterminator="\n")
    writer.writeheader()
    writer.writerows(metrics["cases"])
    with write_whole(folder / SCORES) as unfinished:
        unfinished.write_text(text.getvalue(), encoding="utf-8")
    write_json(folder / METRICS, dict(metrics))
    return [folder / METRICS, folder / SCORES]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
