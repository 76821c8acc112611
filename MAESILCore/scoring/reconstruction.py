"""Scores of one reconstruction, and of fills without learning in the same hidden patches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.inference.result import Reconstruction
from MAESILCore.lattice import Mask
from MAESILCore.scoring.controls import CONTROLS, fill
from MAESILCore.scoring.metrics import Scorer, body_mask


def score_reconstruction(
    result: Reconstruction,
    controls: Sequence[str] = (),
    *,
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score what a model filled in, in its own window and in [-175, 250] HU.

    After a coverage all voxels count as hidden, since every one was predicted while it was; that is no task
    that a control could be given, so controls go with a single mask.

    Args:
        result: what `reconstruct` gave.
        controls: names from `controls.CONTROLS`.
        progress: called with parts done, parts in all, and a sentence.
        cancelled: asked before every part.

    Returns:
        `model` and `controls.<name>`, each with the scores of `metrics.Scorer` in the model's window, and under
        `soft_tissue` in the other; `notes`, how the body was found.

    Raises:
        Cancelled: `cancelled` said so.
        ConfigError: an unknown control, or controls for a coverage.
    """
    check_controls(controls, is_coverage=result.is_coverage)
    progress, cancelled = progress or (lambda done, total, message: None), cancelled or (lambda: False)
    body, note = body_mask(result.volume, result.window)
    notes = [note]
    if controls and not _scored_mask(result).stages.any():
        controls, notes = (), [note, "Nothing was hidden, so no control is compared."]
    entries: dict[str, dict[str, Any]] = {name: {} for name in ("model", *controls)}
    total = 2 * len(entries)
    for window_number, window in enumerate((result.window, SOFT_TISSUE)):
        scorer = Scorer(result.volume.voxels, window, _scored_mask(result), result.grid, body)
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
    """What `metrics.json` holds: what was done, and how well.

    Args:
        result: what `reconstruct` gave.
        model: its name.
        options: what was asked for; what is None is left out.
        scores: of `score_reconstruction`.
    """
    from MAESILCore import __version__

    setup = {
        "scan": result.volume.name,
        "model": model,
        "window_hu": [result.window.low, result.window.high],
        **result.hidden_shares,
        "masks": len(result.masks),
        "overlap": list(result.grid.overlap),
        **{name: value for name, value in options.items() if value is not None},
        "maesil": __version__,
    }
    # Scores of an evaluation have the volume's own notes among theirs.
    notes = list(dict.fromkeys([*result.volume.notes, *result.notes, *scores["notes"]]))
    return {"setup": setup, "model": scores["model"], "controls": scores["controls"], "notes": notes}


def check_controls(controls: Sequence[str], *, is_coverage: bool) -> None:
    """See that these controls can be compared with.

    Raises:
        ConfigError: an unknown control, or controls for a coverage.
    """
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown:
        message = f"There is no control {unknown[0]!r}; choose from {', '.join(CONTROLS)}."
        raise ConfigError(message)
    if controls and is_coverage:
        message = "Controls are compared on a single mask: leave out the coverage, or use `maesil evaluate`."
        raise ConfigError(message)


def _scored_mask(result: Reconstruction) -> Mask:
    return Mask(np.ones(result.grid.lattice_shape, dtype=np.uint8)) if result.is_coverage else result.mask


def _filled(result: Reconstruction, scorer: Scorer, name: str) -> np.ndarray:
    """What the model or a control made of the hidden voxels, beside the visible ones, in [0, 1]."""
    if name != "model":
        # Anew in each window: the fill of a clipped volume is a stronger control than the clipped fill.
        return fill(name, scorer.original, scorer.hidden, result.grid)
    return scorer.window.apply((result.reconstruction if result.is_coverage else result.mosaic).voxels)
