"""Evaluates one scan: model and controls predict the same hidden patches and get the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.errors import Cancelled
from MAESILCore.inference import Reconstruction, Reconstructor, hidden_shares, reconstruct
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, usual_overlap
from MAESILCore.methods.abilities import abilities_of
from MAESILCore.scoring.controls import fill
from MAESILCore.scoring.metrics import Scorer, body_mask

#: Scores of a coverage, with their single-mask names; for a coverage all voxels count as hidden.
_COVERAGE_SCORES = {
    "psnr": "psnr_hidden",
    "ssim": "ssim_hidden",
    "psnr_body": "psnr_hidden_body",
    "ssim_body": "ssim_hidden_body",
    "psnr_pooled": "psnr_hidden_pooled",
    "mae_hu_body": "mae_hu_hidden_body",
    "bias_hu_body": "bias_hu_hidden_body",
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
    body, body_note = body_mask(volume, model.window)
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size)
    mask = Mask(np.zeros(grid.lattice_shape, dtype=np.uint8))
    if options.strategy is not None:
        mask = options.strategy.sample_grid(grid, options.seed)
    scorers = [Scorer(volume.voxels, window, mask, grid, body) for window in (model.window, SOFT_TISSUE)]
    case: dict[str, Any] = {
        "name": volume.name,
        "shape_kji": list(volume.shape),
        "spacing_mm_ijk": [round(edge, 4) for edge in volume.spacing],
        "overlap_kji": list(usual_overlap(model.superpatch_size, model.patch_size, volume.spacing[::-1])),
        **hidden_shares(mask, grid),
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
        case["coverage"] = _score_coverage(volume, model, body, grid, options)
        part_done()
    return case


@contextmanager
def _stoppable(options: CaseOptions) -> Iterator[None]:
    if options.cancelled():
        message = "The evaluation was stopped; nothing was written."
        raise Cancelled(message)
    yield


def _score_model(
    volume: Volume, model: Reconstructor, mask: Mask, scorers: list[Scorer], options: CaseOptions
) -> dict[str, Any]:
    def reconstructed(mask: Mask) -> Reconstruction:
        return reconstruct(
            volume,
            model,
            mask=mask,
            batch_size=options.batch_size,
            device=options.device,
            cancelled=options.cancelled,
        )

    unmasked = None
    if not abilities_of(model).keeps_visible:  # its output would be a copy, and the score meaningless
        unmasked = reconstructed(Mask(np.zeros(mask.shape, dtype=np.uint8))).reconstruction.voxels
    filled = unmasked
    if filled is None or mask.stages.any():
        filled = reconstructed(mask).mosaic.voxels
    nested = [
        scorer.score(scorer.window.apply(filled), None if unmasked is None else scorer.window.apply(unmasked))
        for scorer in scorers
    ]
    return {**nested[0], "soft_tissue": nested[1]}


def _score_control(name: str, scorers: list[Scorer]) -> dict[str, Any]:
    """Fill per window: the fill of a clipped volume is a stronger control than the clipped fill."""
    nested = [scorer.score(fill(name, scorer.original, scorer.hidden, scorer.grid)) for scorer in scorers]
    return {**nested[0], "soft_tissue": nested[1]}


def _score_coverage(
    volume: Volume, model: Reconstructor, body: np.ndarray, grid: SuperpatchGrid, options: CaseOptions
) -> dict[str, Any]:
    result = reconstruct(
        volume,
        model,
        strategy=options.strategy,
        seed=options.seed,
        coverage=options.coverage,
        batch_size=options.batch_size,
        device=options.device,
        cancelled=options.cancelled,
    )
    everything = Mask(np.ones(grid.lattice_shape, dtype=np.uint8))
    nested = []
    for window in (model.window, SOFT_TISSUE):
        scorer = Scorer(volume.voxels, window, everything, grid, body)
        scores = scorer.score(window.apply(result.reconstruction.voxels))
        nested.append({name: scores[source] for name, source in _COVERAGE_SCORES.items()})
    return {"masks": len(result.masks), **nested[0], "soft_tissue": nested[1]}
