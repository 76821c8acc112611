"""Reconstruction of a whole volume: its superpatches through the network, joined on the input's grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.inference.network import NetworkPasses, Reconstructor
from MAESILCore.inference.result import Reconstruction
from MAESILCore.inference.statistics import RunningStatistics
from MAESILCore.lattice import LatticeBox, Mask, MaskStrategy, SuperpatchGrid, usual_overlap
from MAESILCore.options import check_coverage

ProgressCallback = Callable[[int, int, str], None]


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
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Reconstruction:
    """Hide part of a volume and let a model fill it in.

    Superpatches without a hidden patch are spared the network, unless the mask hides nothing at all: then
    every one goes through it (docs/methods.md, The unmasked pass). Memory stays at input, outputs and one
    batch.

    Args:
        volume: in HU.
        model: a loaded checkpoint; it stays on the device.
        strategy: how masks are drawn; the nested 75 % mask by default.
        seed: of the masks.
        coverage: 0 for a single mask, else how many masks, at least, hide every patch together (4 masks of
            the default strategy hide each at least twice).
        mask: a given mask on the volume's patch lattice instead of a drawn one.
        batch_size: superpatches a pass; None leaves it to the device. Halved when memory runs out.
        device: auto, cpu, cuda, cuda:N or mps.
        overlap: voxels that neighbouring superpatches share, along all axes or (k, j, i); they are blended, which
            takes the seams away. None is a quarter of a superpatch, 0 the plain partition, with fewer passes.
        progress: called with passes done, passes in all, and a sentence.
        cancelled: asked before every batch; True stops the work.

    Raises:
        Cancelled: `cancelled` said so.
        CheckpointError: the model gives values that are not finite.
        ConfigError: options that do not fit each other, the model or the machine.
        OutOfMemoryError: not enough memory for one superpatch.
        VolumeError: the volume holds values that are not finite.

    >>> from MAESILCore import load_checkpoint, make_phantom
    >>> scan = make_phantom((16, 32, 32)).volume
    >>> result = reconstruct(scan, load_checkpoint(), strategy=MaskStrategy("random", ratio=0.5), device="cpu")
    >>> result.reconstruction.shape, round(result.masks[0].hidden_fraction, 3)
    ((16, 32, 32), 0.5)
    """
    if not np.isfinite(volume.value_range).all():
        message = (
            "The scan holds values that are no numbers (NaN or infinite): replace them, by air for example."
        )
        raise VolumeError(message)
    if overlap is None:
        overlap = usual_overlap(model.superpatch_size, model.patch_size)
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size, overlap)
    masks = _masks(grid, strategy or MaskStrategy(), seed, coverage, mask)
    network = NetworkPasses(model, device, batch_size)
    work = _Work(volume, grid, masks, model.window, is_coverage=coverage > 0)
    total = len(work.jobs)
    done = 0
    while done < total:
        if cancelled is not None and cancelled():
            message = "The reconstruction was stopped; nothing was kept."
            raise Cancelled(message)
        batch = work.batch(done, network.batch_size)
        voxels, hidden = work.inputs(batch)
        work.take(batch, network.predict(voxels, hidden))
        done += len(batch)
        if progress is not None:
            progress(done, total, f"Reconstructed {done} of {total} passes.")
    result = work.result()
    # A model of a user's own need not have notes.
    return replace(result, notes=(*result.notes, *getattr(model, "notes", ())))


def _masks(
    grid: SuperpatchGrid, strategy: MaskStrategy, seed: int, coverage: int, mask: Mask | None
) -> list[Mask]:
    coverage = check_coverage(coverage)
    if mask is None:
        return strategy.coverage(grid, coverage, seed) if coverage else [strategy.sample_grid(grid, seed)]
    if coverage:
        message = "A coverage draws its own masks: give either a mask (or a region) or a coverage, not both."
        raise ConfigError(message)
    if mask.shape != grid.lattice_shape:
        message = f"The mask has {mask.shape} patches, but the volume has {grid.lattice_shape}."
        raise ConfigError(message)
    return [mask]


@dataclass(frozen=True)
class _Job:
    """One pass of one superpatch under one mask."""

    index: int
    box: LatticeBox
    context: LatticeBox
    mask: Mask


class _Work:
    """What is to be passed through the network, and what has come of it so far."""

    def __init__(
        self, volume: Volume, grid: SuperpatchGrid, masks: list[Mask], window: Window, *, is_coverage: bool
    ) -> None:
        self.volume, self.grid, self.masks, self.window = volume, grid, masks, window
        self.is_coverage = is_coverage
        self.everywhere = not any(mask.stages.any() for mask in masks)
        # Equal extents come together, so that they can share a batch; the order is otherwise kept.
        self.jobs = sorted(self._jobs(), key=lambda job: job.context.shape)
        self._left = Counter(job.index for job in self.jobs)
        self._open: dict[int, RunningStatistics] = {}
        self._reconstruction = grid.assembler(np.float32)
        self._uncertainty = grid.assembler(np.float32) if is_coverage else None
        self._spared = [index for index in range(len(grid)) if index not in self._left]
        for index in self._spared:
            box = grid.box(index)
            self._reconstruction.add(box, grid.cut_box(volume.voxels, box).astype(np.float32))

    def _jobs(self) -> Iterator[_Job]:
        # A thin superpatch at the border gives the network little to go by: it borrows from its neighbours.
        least = tuple((size + 1) // 2 for size in self.grid.superpatch_lattice)
        for index in range(len(self.grid)):
            box = self.grid.box(index)
            for mask in self.masks:
                if self.everywhere or mask.stages[box.slices].any():
                    yield _Job(index, box, self.grid.context_box(index, least), mask)

    def batch(self, start: int, size: int) -> list[_Job]:
        """At most `size` jobs of equal extents, from `start` on."""
        shape = self.jobs[start].context.shape
        return [job for job in self.jobs[start : start + size] if job.context.shape == shape]

    def inputs(self, batch: list[_Job]) -> tuple[np.ndarray, np.ndarray]:
        """Windowed superpatches (B, K, J, I) float32 and what is hidden of them, (B, Dk, Dj, Di) bool."""
        voxels = [self.window.apply(self.grid.cut_box(self.volume.voxels, job.context)) for job in batch]
        return np.stack(voxels), np.stack([job.mask.hidden[job.context.slices] for job in batch])

    def take(self, batch: list[_Job], predictions: np.ndarray) -> None:
        """Keep what belongs to each superpatch itself; finish those that all masks have been through."""
        for job, prediction in zip(batch, predictions, strict=True):
            own = prediction[job.box.inside(job.context, self.grid.patch_size)]
            self._left[job.index] -= 1
            if not self.is_coverage:
                self._reconstruction.add(job.box, self.window.invert(own))
                continue
            if job.index not in self._open:
                self._open[job.index] = RunningStatistics(job.box.shape, self.grid.patch_size)
            self._open[job.index].add(own, job.mask.hidden[job.box.slices])
            if not self._left[job.index]:
                self._close(job)

    def _close(self, job: _Job) -> None:
        statistics = self._open.pop(job.index)
        self._reconstruction.add(job.box, self.window.invert(statistics.mean))
        if self._uncertainty is not None:
            self._uncertainty.add(job.box, statistics.deviation * np.float32(self.window.width))

    def result(self) -> Reconstruction:
        """Everything joined."""
        volume, name = self.volume, self.volume.name
        reconstruction = self._reconstruction.result()
        mosaic, error = self._compare(reconstruction)
        uncertainty = None
        if self._uncertainty is not None:
            uncertainty = volume.with_voxels(self._uncertainty.result(), f"{name} uncertainty")
        return Reconstruction(
            volume=volume,
            reconstruction=volume.with_voxels(reconstruction, f"{name} reconstruction"),
            mosaic=volume.with_voxels(mosaic, f"{name} mosaic"),
            error=volume.with_voxels(error, f"{name} error"),
            uncertainty=uncertainty,
            mask=self.masks[0],
            masks=self.masks,
            grid=self.grid,
            window=self.window,
            notes=tuple(self._notes()),
        )

    def _compare(self, reconstruction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mosaic and signed error in HU, one row of patches at a time to keep the temporaries small."""
        voxels = self.volume.voxels
        mosaic = voxels.astype(np.float32)
        error = np.zeros(voxels.shape, dtype=np.float32)
        ever_hidden = np.logical_or.reduce([mask.hidden for mask in self.masks])
        rows, columns, layers = self.grid.lattice_shape
        for row in range(rows):
            box = LatticeBox((row, 0, 0), (row + 1, columns, layers))
            slab = box.voxel_slices(self.grid.patch_size, self.grid.shape)
            hidden = self.grid.expand(self.masks[0].hidden[box.slices], box)
            np.copyto(mosaic[slab], reconstruction[slab], where=hidden)
            seen = np.clip(
                voxels[slab], self.window.low, self.window.high, dtype=np.float32, casting="unsafe"
            )
            hidden = self.grid.expand(ever_hidden[box.slices], box)
            np.subtract(reconstruction[slab], seen, out=error[slab], where=hidden)
        return mosaic, error

    def _notes(self) -> Iterator[str]:
        if self.everywhere:
            yield "Nothing was hidden: the reconstruction is the model's output for what it saw."
        elif self._spared:
            yield (
                f"{len(self._spared)} of {len(self.grid)} superpatches had nothing hidden; "
                "there the reconstruction shows the scan itself."
            )
        if any(not (~mask.hidden).any() for mask in self.masks):
            yield "Nothing was visible: what is shown there is what the model expects of any scan."
        if not self.is_coverage:
            return
        times = np.sum([mask.hidden for mask in self.masks], axis=0)
        once = float(np.mean(times == 1))
        if once:
            yield f"{once:.1%} of the patches were hidden only once: their uncertainty is 0; use more masks."
