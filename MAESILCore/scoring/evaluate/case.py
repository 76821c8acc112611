"""Evaluates one scan: model and controls predict the same hidden patches and get the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE, Window
from MAESILCore.errors import Cancelled
from MAESILCore.inference import Reconstruction, Reconstructor, hidden_shares, reconstruct
from MAESILCore.inference.network import expects_hu, window_for
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, usual_overlap
from MAESILCore.methods.abilities import abilities_of
from MAESILCore.scoring.controls import fill
from MAESILCore.scoring.metrics import Scorer, below_skin, body_mask

#: Scores of a coverage, with their single-mask names; for a coverage all voxels count as hidden.
_COVERAGE_SCORES = {
    "psnr": "psnr_hidden",
    "ssim": "ssim_hidden",
    "psnr_body": "psnr_hidden_body",
    "ssim_body": "ssim_hidden_body",
    "psnr_pooled": "psnr_hidden_pooled",
    "mae_hu_body": "mae_hu_hidden_body",
    "bias_hu_body": "bias_hu_hidden_body",
    "bias_hu_deep": "bias_hu_hidden_deep",
    "blockiness": "blockiness",
    "blockiness_original": "blockiness_original",
    "blockiness_ratio": "blockiness_ratio",
    "lpips": "lpips",
}


@dataclass(frozen=True)
class CaseOptions:
    """Options for each scan; see `evaluate`. Without a strategy nothing is hidden."""

    strategy: MaskStrategy | None
    seed: int
    coverage: int
    controls: tuple[str, ...]
    device: str
    batch_size: int | None
    cancelled: Callable[[], bool]

    @property
    def parts(self) -> int:
        """Parts of work per scan, for progress."""
        return 1 + len(self.controls) + (self.coverage > 0)


def evaluate_case(
    volume: Volume, model: Reconstructor, options: CaseOptions, part_done: Callable[[], None]
) -> dict[str, Any]:
    """All scores of one scan, ready for JSON.

    Args:
        volume: the scan in HU.
        model: a loaded checkpoint.
        options: the options of the evaluation.
        part_done: callback after each of `options.parts`.

    Raises:
        Cancelled: `options.cancelled` returned True.
    """
    windows = _windows(volume, model)
    body, body_note = body_mask(volume, windows[0])
    deep = below_skin(body, volume.spacing[::-1])
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size)
    mask = Mask(np.zeros(grid.lattice_shape, dtype=np.uint8))
    if options.strategy is not None:
        mask = options.strategy.sample_grid(grid, options.seed)
    scorers = [Scorer(volume.voxels, window, mask, grid, body, deep) for window in windows]
    case: dict[str, Any] = {
        "name": volume.name,
        "shape_kji": list(volume.shape),
        "spacing_mm_ijk": [round(edge, 4) for edge in volume.spacing],
        "overlap_kji": list(usual_overlap(model.superpatch_size, model.patch_size, volume.spacing[::-1])),
        **hidden_shares(mask, grid),
        "window": [windows[0].low, windows[0].high],
        "body_fraction": float(body.mean()),
        "superpatches": {"scored": scorers[0].scored, "left_out_as_air": scorers[0].without_body},
        "notes": [*volume.notes, body_note],
    }
    case["model"] = _score_model(volume, model, mask, scorers, options)
    if abilities_of(model).keeps_visible:
        case["notes"].append(
            "The model gives visible voxels back as they are, so a pass with nothing hidden has no score."
        )
    part_done()
    case["controls"] = {}
    for name in options.controls:
        with _stoppable(options):
            case["controls"][name] = _score_control(name, scorers)
        part_done()
    if options.coverage:
        case["coverage"] = _score_coverage(volume, model, scorers[0], options)
        part_done()
    return case


@contextmanager
def _stoppable(options: CaseOptions) -> Iterator[None]:
    if options.cancelled():
        message = "The evaluation was stopped; nothing was written."
        raise Cancelled(message)
    yield


def _windows(volume: Volume, model: Reconstructor) -> list[Window]:
    """The windows of the scores: the model's, and [-175, 250] HU unless the model is for scans without HU."""
    own = window_for(model, volume.voxels)
    return [own, SOFT_TISSUE] if expects_hu(model) else [own]


def _asked_in(window: Window, own: Window, model: Reconstructor) -> Window:
    """The window of the passes that are scored in `window`: the same if the model was trained in it, else its own.

    Controls fill in each window, too.
    """
    return window if window in getattr(model, "windows", ()) else own


def _joined(nested: list[dict[str, Any]]) -> dict[str, Any]:
    """The scores in the model's window, with those in the second window under `soft_tissue`."""
    return {**nested[0], **({"soft_tissue": nested[1]} if len(nested) > 1 else {})}


def _score_model(
    volume: Volume, model: Reconstructor, mask: Mask, scorers: list[Scorer], options: CaseOptions
) -> dict[str, Any]:
    def reconstructed(mask: Mask, window: Window) -> Reconstruction:
        return reconstruct(
            volume,
            model,
            mask=mask,
            window=window,
            batch_size=options.batch_size,
            device=options.device,
            cancelled=options.cancelled,
        )

    passes: dict[Window, tuple[np.ndarray, np.ndarray | None]] = {}
    nested = []
    for scorer in scorers:
        window = _asked_in(scorer.window, scorers[0].window, model)
        if window not in passes:
            unmasked = None
            if not abilities_of(model).keeps_visible:  # its output would be a copy, and the score meaningless
                nothing = Mask(np.zeros(mask.shape, dtype=np.uint8))
                unmasked = reconstructed(nothing, window).reconstruction.voxels
            filled = unmasked
            if filled is None or mask.stages.any():
                filled = reconstructed(mask, window).mosaic.voxels
            passes[window] = filled, unmasked
        filled, unmasked = passes[window]
        whole = None if unmasked is None else scorer.window.apply(unmasked)
        nested.append(scorer.score(scorer.window.apply(filled), whole))
    return _joined(nested)


def _score_control(name: str, scorers: list[Scorer]) -> dict[str, Any]:
    """Fill per window: the fill of a clipped volume is a stronger control than the clipped fill."""
    return _joined(
        [scorer.score(fill(name, scorer.original, scorer.hidden, scorer.grid)) for scorer in scorers]
    )


def _score_coverage(
    volume: Volume, model: Reconstructor, masked: Scorer, options: CaseOptions
) -> dict[str, Any]:
    grid = masked.grid
    everything = Mask(np.ones(grid.lattice_shape, dtype=np.uint8))
    windows, results, nested = _windows(volume, model), dict[Window, Reconstruction](), []
    for window in windows:
        asked = _asked_in(window, windows[0], model)
        if asked not in results:
            results[asked] = reconstruct(
                volume,
                model,
                strategy=options.strategy,
                seed=options.seed,
                coverage=options.coverage,
                window=asked,
                batch_size=options.batch_size,
                device=options.device,
                cancelled=options.cancelled,
            )
        scorer = Scorer(volume.voxels, window, everything, grid, masked.body, masked.deep)
        scores = scorer.score(window.apply(results[asked].reconstruction.voxels))
        nested.append({name: scores[source] for name, source in _COVERAGE_SCORES.items()})
    return {"masks": len(results[windows[0]].masks), **_joined(nested)}
