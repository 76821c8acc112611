"""Reconstruction of a whole volume: superpatches are predicted and joined in the input's geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.inference.network import NetworkPasses, Reconstructor, expects_hu, window_for
from MAESILCore.inference.result import Reconstruction
from MAESILCore.inference.shifts import ShiftedMask, shifted_coverage
from MAESILCore.inference.statistics import RunningStatistics
from MAESILCore.inference.turn import Passes, ProgressCallback, Turn
from MAESILCore.lattice import (
    Mask,
    MaskStrategy,
    SuperpatchGrid,
    usual_overlap,
)
from MAESILCore.methods.abilities import abilities_of, check_reconstructs
from MAESILCore.options import check_coverage


def reconstruct(
    volume: Volume,
    model: Reconstructor,
    *,
    strategy: MaskStrategy | None = None,
    seed: int = 0,
    coverage: int = 0,
    mask: Mask | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    overlap: int | tuple[int, int, int] | None = None,
    window: Window | None = None,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Reconstruction:
    """Hide a part of a volume and predict it with a model.

    Tiles without a hidden patch need no pass, unless the mask hides nothing: then all tiles pass (docs/methods.md, The
    unmasked pass). Tiles that hold only air (`Content`, judged by visible voxels) need none either: the prediction is
    the mean of the visible air. Each mask of a coverage has its own walk, so a hidden voxel never contributes to its
    own prediction, and its own lattice (`shifts`), so that the borders of patches average out. The model never sees
    hidden voxels: they are 0. If its abilities declare that it hides nothing, mask and coverage are ignored and it sees
    the whole volume. Memory is bounded by input, outputs and one batch, for a coverage also a copy of the input.

    Args:
        volume: the scan in HU.
        model: a loaded checkpoint; it stays on the device.
        strategy: draws the masks; default: the nested 75 % mask.
        seed: seed of the masks.
        coverage: least number of masks that together hide every voxel; 0 for a single mask. Four masks of the
            default strategy hide each voxel at least twice.
        mask: a mask on the volume's patch lattice; None draws one.
        batch_size: superpatches per pass; None is the device's default. Halved when memory runs out.
        device: auto, cpu, cuda, cuda:N or mps.
        overlap: least overlap of neighbouring tiles in voxels, along all axes or (k, j, i); overlaps are blended to
            hide seams. None is `usual_overlap`; 0 needs the fewest passes.
        window: the window in which the model takes and predicts the scan, such as one of `LoadedModel.windows`; None is
            the model's own, or that of its intensity for scans without HU.
        progress: callback with passes done, passes in all, and a sentence.
        cancelled: called before each batch; True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the model returns values that are not finite.
        ConfigError: options do not fit each other, the model or the machine; the model predicts no voxels.
        OutOfMemoryError: not enough memory for one superpatch.
        VolumeError: the volume holds values that are not finite, or nothing but one value.

    >>> from MAESILCore import load_checkpoint, make_phantom
    >>> scan = make_phantom((16, 32, 32)).volume
    >>> result = reconstruct(scan, load_checkpoint(), strategy=MaskStrategy("random", ratio=0.5), device="cpu")
    >>> result.reconstruction.shape, round(result.masks[0].hidden_fraction, 3)
    ((16, 32, 32), 0.5)
    """
    check_reconstructs(model)
    if not np.isfinite(volume.value_range).all():
        message = "The scan has NaN or infinite voxels: replace them, for example by air."
        raise VolumeError(message)
    if overlap is None:
        overlap = usual_overlap(model.superpatch_size, model.patch_size, volume.spacing[::-1])
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size, overlap)
    masks = _masks(grid, strategy or MaskStrategy(), seed, coverage, mask)
    abilities = abilities_of(model)
    if not abilities.hides:
        coverage, masks = 0, [ShiftedMask.of(Mask(np.zeros(grid.lattice_shape, dtype=np.uint8)), grid)]
    passes = NetworkPasses(
        lambda voxels, hidden: model.reconstruct(voxels, hidden).clamp(0.0, 1.0), model, device, batch_size
    )
    # A scan without HU has a window of its own.
    known = window is None or not expects_hu(model) or window in getattr(model, "windows", (window,))
    window = window or window_for(model, volume.voxels)
    turns = [Turn.of(volume, window, each) for each in masks]
    report = Passes(sum(len(turn.passed) for turn in turns), progress)
    deviation, times = None, None
    if coverage:
        statistics = RunningStatistics(volume.shape)
        for turn in turns:
            statistics.add(turn.predict(passes, report, cancelled), turn.masked.hidden_voxels())
        reconstruction, deviation, times = statistics.mean, statistics.deviation(), statistics.times
    else:
        reconstruction = turns[0].predict(passes, report, cancelled)
    # A coverage hides everything at least once.
    scored = masks[0].mask.hidden | bool(coverage) | (not abilities.hides)
    mosaic, error = _compare(volume, window, grid, masks[0].mask.hidden, scored, reconstruction)
    # Users' own models may have no notes.
    notes = (*_notes(turns, times), *getattr(model, "notes", ()))
    if expects_hu(model) and not volume.looks_like_hu:
        notes = (*notes, "The model expects HU, which these values are not: its predictions may be poor.")
    if not known:
        notes = (
            *notes,
            f"The model was not trained in the window {window}: its predictions may be poor there.",
        )
    return Reconstruction(
        volume=volume,
        reconstruction=volume.with_voxels(reconstruction, f"{volume.name} reconstruction"),
        mosaic=volume.with_voxels(mosaic, f"{volume.name} mosaic"),
        error=volume.with_voxels(error, f"{volume.name} error"),
        uncertainty=None
        if deviation is None
        else volume.with_voxels(deviation, f"{volume.name} uncertainty"),
        mask=masks[0].mask,
        masks=[each.mask for each in masks],
        shifts=tuple(each.shift for each in masks),
        grid=grid,
        window=window,
        notes=notes,
        sees_all=not abilities.hides,
    )


def _masks(
    grid: SuperpatchGrid, strategy: MaskStrategy, seed: int, coverage: int, mask: Mask | None
) -> list[ShiftedMask]:
    coverage = check_coverage(coverage)
    if mask is None:
        if coverage:
            return shifted_coverage(strategy, grid, coverage, seed)
        return [ShiftedMask.of(strategy.sample_grid(grid, seed), grid)]
    if coverage:
        message = "A coverage draws its own masks: give either a mask (or a region) or a coverage, not both."
        raise ConfigError(message)
    if mask.shape != grid.lattice_shape:
        message = f"The mask has {mask.shape} patches, but the volume has {grid.lattice_shape}."
        raise ConfigError(message)
    return [ShiftedMask.of(mask, grid)]


def _compare(
    volume: Volume,
    window: Window,
    grid: SuperpatchGrid,
    hidden: np.ndarray,
    scored: np.ndarray,
    reconstruction: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mosaic and signed error in HU, one row of patches at a time to keep the temporaries small.

    Args:
        volume: the scan.
        window: the model's window.
        grid: the grid of the reconstruction.
        hidden: (Dk, Dj, Di) bool, the patches that the mosaic takes from the reconstruction.
        scored: (Dk, Dj, Di) bool, the patches with an error.
        reconstruction: (k, j, i) HU.
    """
    voxels = volume.voxels
    mosaic = voxels.astype(np.float32)
    error = np.zeros(voxels.shape, dtype=np.float32)
    for box, slab in grid.rows():
        np.copyto(mosaic[slab], reconstruction[slab], where=grid.expand(hidden[box.slices], box))
        seen = np.clip(voxels[slab], window.low, window.high, dtype=np.float32, casting="unsafe")
        where = grid.expand(scored[box.slices], box)
        np.subtract(reconstruction[slab], seen, out=error[slab], where=where)
    return mosaic, error


def _notes(turns: list[Turn], times: np.ndarray | None) -> Iterator[str]:
    """Notes on a reconstruction; `times` says how often a coverage hid each voxel."""
    masks = [turn.masked.mask for turn in turns]
    nothing_hidden = not any(mask.hidden.any() for mask in masks)
    if nothing_hidden:
        yield "Nothing was hidden: the reconstruction is the model's output for what it saw."
    elif times is None:
        grid, (mask,) = turns[0].masked.grid, masks
        spared = sum(not mask.hidden[grid.box(n).slices].any() for n in range(len(grid)))
        if spared:
            yield (
                f"{spared} of {len(grid)} superpatches had nothing hidden; "
                "where no pass was needed, the reconstruction shows the scan itself."
            )
    air = np.mean([1.0 - turn.content.present.mean() for turn in turns])
    if air and nothing_hidden:
        yield f"{air:.1%} of the patches hold only air: where no pass was needed, they show its mean."
    elif air:
        yield (
            f"{air:.1%} of the patches hold only air, as far as the visible patches tell: "
            "where no pass was needed, hidden ones show the mean of the visible air around them."
        )
    if any(not (~mask.hidden).any() for mask in masks):
        yield "Nothing was visible: what is shown there is what the model expects of any scan."
    if times is not None:
        once = float(np.mean(times == 1))
        if once:
            yield f"{once:.1%} of the voxels were hidden only once: their uncertainty is 0; use more masks."
