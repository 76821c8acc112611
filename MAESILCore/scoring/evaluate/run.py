"""Evaluation of a model on several scans."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from MAESILCore import __version__
from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.scans import failed_unexpectedly
from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.errors import ConfigError, MaesilError, OutOfMemoryError, VolumeError
from MAESILCore.inference import Reconstructor
from MAESILCore.lattice import MaskStrategy, usual_overlap
from MAESILCore.methods.abilities import abilities_of, check_reconstructs
from MAESILCore.options import check_coverage
from MAESILCore.scoring.controls import CONTROLS
from MAESILCore.scoring.evaluate.case import CaseOptions, evaluate_case
from MAESILCore.scoring.evaluate.selection import Selection
from MAESILCore.scoring.evaluate.summary import summarise
from MAESILCore.scoring.metrics import lpips_obstacle

ProgressCallback = Callable[[int, int, str], None]

_PACKAGES = ("torch", "numpy", "scipy")


class EvaluatedModel(Reconstructor, Protocol):
    """A reconstructing model that has a name; `checkpoint.LoadedModel` is one."""

    @property
    def name(self) -> str:
        """For tables."""


def evaluate(
    paths: Iterable[str | Path],
    model: EvaluatedModel,
    *,
    strategy: MaskStrategy | None = None,
    seed: int = 0,
    coverage: int = 0,
    controls: Iterable[str] = tuple(CONTROLS),
    exclude: Iterable[str] = (),
    include_not_hu: bool = False,
    device: str = "auto",
    batch_size: int | None = None,
    command: str = "",
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score a model and the controls on scans, all filling in the same hidden patches.

    A model that sees the whole scan (`Abilities.hides`) is scored on all voxels; no control is compared with it, and
    there is no coverage.

    Label maps, scans that are not in HU, repetitions of a scan and what cannot be read are left out.

    Args:
        paths: scans, DICOM folders, or folders of such.
        model: a loaded checkpoint.
        strategy: how masks are drawn; the nested 75 % mask by default.
        seed: of the masks.
        coverage: if above 0, also score the mean of this many masks, at least, that hide every patch together.
        controls: names from `controls.CONTROLS`.
        exclude: globs of scans to leave out; they match the path below the folder or the end of it, see
            `formats.found.FoundScan.fits`.
        include_not_hu: also score scans whose values do not look like HU.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches a pass; None leaves it to the device.
        command: what makes these results again, kept in `setup`.
        progress: called with parts of the work done, parts in all, and a sentence.
        cancelled: asked before every part; True stops the work.

    Returns:
        A dictionary ready for JSON. `setup`: what was done. `cases`: for each scan `model`, `controls.<name>` and, if
        asked for, `coverage`, with the scores that `metrics.Scorer` defines in the model's window, and under
        `soft_tissue` in [-175, 250] HU; cases are named by their path below the folder. `summary`: mean, standard
        deviation and lowest value over the cases of all of these, and of the model's gain over the best control of
        each case and over every control. `left_out`: name and reason of the other scans, and of what could not be
        read below the folders.

    Raises:
        Cancelled: `cancelled` said so.
        ConfigError: options that do not fit, or a pattern that fits no scan.
        VolumeError: there is no scan that can be evaluated.
    """
    check_coverage(coverage)
    check_reconstructs(model)
    hides, chosen = abilities_of(model).hides, _checked(controls)
    options = CaseOptions(
        strategy=(strategy or MaskStrategy()) if hides else None,
        seed=seed,
        coverage=coverage if hides else 0,
        controls=chosen if hides else (),
        device=device,
        batch_size=batch_size,
        cancelled=cancelled or (lambda: False),
    )
    selection = Selection.of(paths, exclude, include_not_hu)
    tracker = _Tracker(progress, len(selection.scans) * options.parts)
    cases, failure = [], None
    for place, scan, volume in selection.read():
        tracker.begin(place * options.parts, volume.name)
        try:
            cases.append(evaluate_case(volume, model, options, tracker.part_done))
        except (VolumeError, OutOfMemoryError) as error:
            failure = _left_out(selection, scan, str(error), error)
        except MaesilError:
            raise
        except Exception as error:
            # The scores of the other scans may have taken hours.
            failure = _left_out(selection, scan, failed_unexpectedly("Scoring", error), error)
    if not cases:
        first = selection.left_out[0]
        reason = with_name(first["name"], first["reason"])
        message = f"No scan can be evaluated; the first one was left out: {reason}"
        raise VolumeError(message) from failure
    tracker.begin(tracker.total, "all scans")
    return {
        "setup": _setup(model, options, command),
        "summary": summarise(cases),
        "cases": cases,
        "left_out": selection.left_out,
    }


def _left_out(selection: Selection, scan: FoundScan, reason: str, error: Exception) -> Exception:
    selection.leave_out(scan.file, with_name(scan.file, reason))
    return error


def _checked(controls: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(controls))
    unknown = [name for name in chosen if name not in CONTROLS]
    if unknown:
        message = f"There is no control {unknown[0]!r}; choose from {', '.join(CONTROLS)}."
        raise ConfigError(message)
    return chosen


class _Tracker:
    """Counts parts of the work for a progress bar."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self._progress, self.total = progress, total
        self._done, self._name = 0, ""

    def begin(self, done: int, name: str) -> None:
        self._done, self._name = done, name
        self._tell()

    def part_done(self) -> None:
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self.total, f"Evaluating {self._name}.")


def _mask(strategy: MaskStrategy | None) -> dict[str, Any]:
    if strategy is None:
        return {"mode": "none", "hidden_share": 0.0}
    return {**asdict(strategy), "hidden_share": strategy.hidden_share}


def _setup(model: EvaluatedModel, options: CaseOptions, command: str) -> dict[str, Any]:
    """What was done, without a path of this machine."""
    return {
        "model": model.name,
        # A model of a user's own need not have notes.
        "model_notes": list(getattr(model, "notes", ())),
        "window_hu": [model.window.low, model.window.high],
        "soft_tissue_window_hu": [SOFT_TISSUE.low, SOFT_TISSUE.high],
        "superpatch_size_kji": list(model.superpatch_size),
        "patch_size_kji": list(model.patch_size),
        "overlap_kji": list(usual_overlap(model.superpatch_size, model.patch_size)),
        "mask": _mask(options.strategy),
        "seed": options.seed,
        "coverage": options.coverage,
        "controls": list(options.controls),
        "command": command,
        "lpips_note": lpips_obstacle() or "LPIPS with AlexNet, mean over the slices along k.",
        "versions": {
            "maesil": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
    }
