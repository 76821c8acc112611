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
from MAESILCore.errors import MaesilError, OutOfMemoryError, VolumeError
from MAESILCore.inference import Reconstructor
from MAESILCore.inference.network import expects_hu
from MAESILCore.inference.turn import ProgressCallback
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods.abilities import abilities_of, check_reconstructs
from MAESILCore.options import check_coverage
from MAESILCore.scoring.controls import CONTROLS, known_controls
from MAESILCore.scoring.evaluate.case import CaseOptions, evaluate_case
from MAESILCore.scoring.evaluate.selection import Selection
from MAESILCore.scoring.evaluate.summary import summarise
from MAESILCore.scoring.metrics import lpips_obstacle

_PACKAGES = ("torch", "numpy", "scipy")


class EvaluatedModel(Reconstructor, Protocol):
    """A reconstructing model with a name, such as `checkpoint.LoadedModel`."""

    @property
    def name(self) -> str:
        """The name for tables."""


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
    """Score a model and controls on scans; all predict the same hidden patches.

    A model that sees the whole scan (`Abilities.hides` is False) is scored on all voxels, without controls or coverage.
    Label maps, scans that are not in HU, repeated scans and unreadable files are left out.

    Args:
        paths: scans, DICOM folders, or folders of these.
        model: a loaded checkpoint.
        strategy: draws the masks; default: the nested 75 % mask.
        seed: seed of the masks.
        coverage: least number of masks of a coverage to score as well; 0 for none.
        controls: names from `controls.CONTROLS`.
        exclude: glob patterns of scans to leave out; they match the path below the folder or its end, see
            `formats.found.FoundScan.fits`.
        include_not_hu: whether to include scans whose values do not look like HU; a model for such scans does.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches per pass; None is the device's default.
        command: the command that reproduces the results, stored in `setup`.
        progress: callback with parts done, parts in all, and a sentence.
        cancelled: called before each part; True stops the work.

    Returns:
        A dictionary ready for JSON. `setup`: the options. `cases`: for each scan `model`, `controls.<name>` and, with a
        coverage, `coverage`, each with the scores of `metrics.Scorer` in the model's window, and under `soft_tissue` in
        [-175, 250] HU, unless the model is for scans without HU. A model that was trained in that window is asked in it
        for these scores, as the controls are. Cases are named by their path below the folder. `summary`: mean, standard
        deviation and lowest value over the cases of these scores, and of the model's gain over the best control of each
        case and over each control. `left_out`: name and reason of the other scans and of unreadable entries.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: options are invalid, or a pattern matches no scan.
        VolumeError: no scan can be evaluated.
    """
    check_coverage(coverage)
    check_reconstructs(model)
    hides, chosen = abilities_of(model).hides, known_controls(controls)
    options = CaseOptions(
        strategy=(strategy or MaskStrategy()) if hides else None,
        seed=seed,
        coverage=coverage if hides else 0,
        controls=chosen if hides else (),
        device=device,
        batch_size=batch_size,
        cancelled=cancelled or (lambda: False),
    )
    selection = Selection.of(paths, exclude, include_not_hu or not expects_hu(model))
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
            # Keep the scores of the other scans, which may have taken hours.
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


class _Tracker:
    """Counts parts of the work for a progress bar."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self._progress, self.total = progress, total
        self._done, self._name = 0, ""

    def begin(self, done: int, name: str) -> None:
        self._done, self._name = done, name
        self._report()

    def part_done(self) -> None:
        self._done += 1
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self.total, f"Evaluating {self._name}.")


def _mask(strategy: MaskStrategy | None) -> dict[str, Any]:
    if strategy is None:
        return {"mode": "none", "hidden_share": 0.0}
    return {**asdict(strategy), "hidden_share": strategy.hidden_share}


def _setup(model: EvaluatedModel, options: CaseOptions, command: str) -> dict[str, Any]:
    """The options of the evaluation, without paths of this machine."""
    return {
        "model": model.name,
        # Users' own models may have no notes.
        "model_notes": list(getattr(model, "notes", ())),
        "intensity": str(getattr(model, "intensity", model.window)),
        "window_hu": [model.window.low, model.window.high] if expects_hu(model) else None,
        "soft_tissue_window_hu": [SOFT_TISSUE.low, SOFT_TISSUE.high],
        "asked_in_soft_tissue": SOFT_TISSUE in getattr(model, "windows", ()),
        "superpatch_size_kji": list(model.superpatch_size),
        "patch_size_kji": list(model.patch_size),
        "latent_per_voxel": abilities_of(model).latent_per_voxel,
        "latent_bits_per_voxel": abilities_of(model).latent_bits_per_voxel,
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
