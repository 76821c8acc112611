"""Mean and standard deviation over the cases, and the model's gain over the controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

#: Scores that compare a model with a control, the most important first; higher is better.
DECISIVE = ("psnr_hidden_body", "psnr_hidden", "ssim_hidden")

Spread = dict[str, float | int | None]


def summarise(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Summary of the cases, as `evaluate` describes it."""
    controls = list(cases[0]["controls"])
    summary: dict[str, Any] = {
        "cases": len(cases),
        "model": _spreads([case["model"] for case in cases]),
        "controls": {name: _spreads([case["controls"][name] for case in cases]) for name in controls},
    }
    if "coverage" in cases[0]:
        summary["coverage"] = _spreads([case["coverage"] for case in cases])
    if controls:
        summary["gain_over_best_control"] = _gains(cases, _best_control)
        summary["gain_over"] = {name: _gains(cases, _one_control(name)) for name in controls}
    return summary


def spread(values: Iterable[float | None]) -> Spread:
    """Mean, sample standard deviation (None for fewer than two), lowest value and number of values, without None."""
    defined = [value for value in values if value is not None]
    if not defined:
        return {"mean": None, "sd": None, "lowest": None, "n": 0}
    mean = math.fsum(defined) / len(defined)
    squares = math.fsum((value - mean) ** 2 for value in defined)
    deviation = math.sqrt(squares / (len(defined) - 1)) if len(defined) > 1 else None
    return {"mean": mean, "sd": deviation, "lowest": min(defined), "n": len(defined)}


def _spreads(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: _spreads([each[name] for each in scores])
        if isinstance(value, dict)
        else spread(each[name] for each in scores)
        for name, value in scores[0].items()
    }


#: Returns a control's score of one case: (scores by control, name of the score).
_Opponent = Callable[[dict[str, dict[str, Any]], str], float | None]


def _best_control(controls: dict[str, dict[str, Any]], score: str) -> float | None:
    defined = [scores[score] for scores in controls.values() if scores[score] is not None]
    return max(defined, default=None)


def _one_control(name: str) -> _Opponent:
    return lambda controls, score: controls[name][score]


def _gains(cases: list[dict[str, Any]], opponent: _Opponent) -> dict[str, Any]:
    """Gain of the model case by case, in the model's window and, for scans in HU, under `soft_tissue`."""
    wide = [(case["model"], case["controls"]) for case in cases]
    gains: dict[str, Any] = {
        score: spread(_gain(pair, opponent, score) for pair in wide) for score in DECISIVE
    }
    if all("soft_tissue" in model for model, _ in wide):
        narrow = [
            (model["soft_tissue"], {name: scores["soft_tissue"] for name, scores in controls.items()})
            for model, controls in wide
        ]
        gains["soft_tissue"] = {
            score: spread(_gain(pair, opponent, score) for pair in narrow) for score in DECISIVE
        }
    return gains


def _gain(
    pair: tuple[dict[str, Any], dict[str, dict[str, Any]]], opponent: _Opponent, score: str
) -> float | None:
    model, controls = pair
    ours, theirs = model[score], opponent(controls, score)
    return None if ours is None or theirs is None else ours - theirs
