"""Scores of one reconstruction, and of controls for the same hidden patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.inference.result import Reconstruction
from MAESILCore.lattice import Mask
from MAESILCore.scoring.controls import fill, known_controls
from MAESILCore.scoring.metrics import Scorer, below_skin, body_mask


def score_reconstruction(
    result: Reconstruction,
    controls: Sequence[str] = (),
    *,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score the predictions of a model in the window of the reconstruction and in [-175, 250] HU.

    For a coverage all voxels count as hidden, since each was predicted while hidden. Controls need visible voxels, so
    they require a single mask.

    Args:
        result: the result of `reconstruct`.
        controls: names from `controls.CONTROLS`.
        progress: callback with parts done, parts in all, and a sentence.
        cancelled: called before each part; True stops the work.

    Returns:
        `model` and `controls.<name>`, each with the scores of `metrics.Scorer` in the window of the reconstruction, and
        of a scan in HU, unless they are the same, under `soft_tissue` in [-175, 250] HU; `notes`: the method of the
        body mask, and others.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: a control is unknown, or controls are given for a coverage.
    """
    check_controls(controls, is_coverage=result.is_coverage)
    progress, cancelled = progress or (lambda done, total, message: None), cancelled or (lambda: False)
    body, note = body_mask(result.volume, result.window)
    deep, notes = below_skin(body, result.volume.spacing[::-1]), [note]
    if controls and not _scored_mask(result).stages.any():
        controls, notes = (), [note, "Nothing was hidden, so no control is compared."]
    entries: dict[str, dict[str, Any]] = {name: {} for name in ("model", *controls)}
    is_second = result.volume.looks_like_hu and result.window != SOFT_TISSUE
    windows = (result.window, SOFT_TISSUE) if is_second else (result.window,)
    total = len(windows) * len(entries)
    for window_number, window in enumerate(windows):
        scorer = Scorer(result.volume.voxels, window, _scored_mask(result), result.grid, body, deep)
        for number, name in enumerate(entries):
            if cancelled():
                message = "The scoring was stopped; nothing was kept."
                raise Cancelled(message)
            progress(window_number * len(entries) + number, total, f"Scoring {name} in {window}.")
            scores = scorer.score(_filled(result, scorer, name))
            entries[name] |= {"soft_tissue": scores} if window_number else scores
    progress(total, total, "Scored.")
    return {"model": entries.pop("model"), "controls": entries, "notes": notes}


def describe_metrics(
    result: Reconstruction, model: str, options: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `metrics.json`: setup and scores.

    Args:
        result: the result of `reconstruct`.
        model: name of the model.
        options: fields of the setup that describe how the masks were drawn; None values are left out, and all for a
            model that sees the whole scan.
        scores: the result of `score_reconstruction`.
    """
    from MAESILCore import __version__

    drawn = {} if result.sees_all else options
    setup = {
        "scan": result.volume.name,
        "model": model,
        **result.window_facts,
        **result.hidden_shares,
        "masks": len(result.masks),
        "overlap": list(result.grid.overlap),
        **{name: value for name, value in drawn.items() if value is not None},
        "maesil": __version__,
    }
    # Scores of an evaluation repeat the volume's notes.
    notes = list(dict.fromkeys([*result.volume.notes, *result.notes, *scores["notes"]]))
    return {"setup": setup, "model": scores["model"], "controls": scores["controls"], "notes": notes}


def check_controls(controls: Sequence[str], *, is_coverage: bool) -> None:
    """Check names of controls and their use.

    Raises:
        ConfigError: a control is unknown, or controls are given for a coverage.
    """
    if known_controls(controls) and is_coverage:
        message = "Controls are compared on a single mask: leave out the coverage, or use `maesil evaluate`."
        raise ConfigError(message)


def _scored_mask(result: Reconstruction) -> Mask:
    return Mask(np.ones(result.grid.lattice_shape, dtype=np.uint8)) if result.is_coverage else result.mask


def _filled(result: Reconstruction, scorer: Scorer, name: str) -> np.ndarray:
    """The volume in [0, 1] with hidden voxels from the model or a control."""
    if name != "model":
        # Fill per window: the fill of a clipped volume is a stronger control than the clipped fill.
        return fill(name, scorer.original, scorer.hidden, result.grid)
    predicted = result.reconstruction if result.is_coverage or result.sees_all else result.mosaic
    return scorer.window.apply(predicted.voxels)
