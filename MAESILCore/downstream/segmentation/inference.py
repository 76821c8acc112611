"""Segmentation of a whole volume with a trained model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume
from MAESILCore.devices import pick_device
from MAESILCore.downstream.segmentation.model import SegmentationModel
from MAESILCore.errors import OutOfMemoryError, VolumeError
from MAESILCore.inference.air import holds_more_than_air
from MAESILCore.inference.network import NetworkPasses
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import Assembler, LatticeBox, SuperpatchGrid, Triple, usual_overlap
from MAESILCore.optional import require

#: Logit of the background in tiles of air, which no pass sees.
_SURE = 20.0
#: Tiles of at most so many voxels go through a CPU in pairs: PyTorch convolves a single small one by a slow path
#: (`make bench BENCH_ARGS="--only tiles"`).
_SMALL = 64**3
#: Rows of voxels along k whose classes are decided at once, to bound temporary memory.
_ROWS = 8


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """The segmentation of a volume.

    Attributes:
        volume: the segmented scan.
        segmentation: the label map on its grid, with the names, colours and terminology of the model.
        uncertainty: (k, j, i) float32, the entropy of the class probabilities over its largest value, 0 to 1.
        model: name of the model.
    """

    volume: Volume
    segmentation: Segmentation
    uncertainty: np.ndarray
    model: str

    @property
    def millilitres(self) -> dict[str, float]:
        """Volume of each structure, in ml."""
        millilitre = abs(float(np.linalg.det(self.volume.ijk_to_ras[:3, :3]))) / 1000.0
        counts = np.bincount(
            self.segmentation.labels.reshape(-1), minlength=1 + len(self.segmentation.segments)
        )
        return {one.name: float(counts[one.value]) * millilitre for one in self.segmentation.segments}


def segment(
    volume: Volume,
    model: SegmentationModel,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    overlap: int | Triple | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SegmentationResult:
    """Segment a volume, in tiles of the size of the training crops whose logits are blended where they overlap.

    Tiles that hold only air are background and pass no network. Memory is bounded by the volume, one float32 volume
    per class and one batch.

    Args:
        volume: the scan.
        model: a model of `train_segmentation`; it stays on the device.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: tiles per pass; None is the device's default, or 2 for small tiles on a CPU. Halved when memory runs
            out.
        overlap: least overlap of neighbouring tiles in voxels, along all axes or (k, j, i); None is `usual_overlap`.
        progress: callback with passes done and passes in all.
        cancelled: called before each batch; True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the model returns values that are not finite.
        OutOfMemoryError: not enough memory for one tile, or for the volumes of all classes.
        VolumeError: the volume holds values that are not finite, or too few different ones.
    """
    if not np.isfinite(volume.value_range).all():
        raise VolumeError("The scan has NaN or infinite voxels: replace them, for example by air.")
    _check_memory(volume, len(model.classes))
    window = model.intensity.window_of(volume.voxels)
    unit = model.network.unit
    crop = _tile_size(volume.shape, model.crop_size, unit)
    if overlap is None:
        overlap = usual_overlap(crop, unit, volume.spacing[::-1])
    grid = SuperpatchGrid(volume.shape, crop, unit, overlap)
    body = holds_more_than_air(volume.voxels, window, grid)
    tiling = grid.tiles()
    if batch_size is None and math.prod(crop) <= _SMALL and pick_device(device).type == "cpu":
        batch_size = 2
    passes = NetworkPasses(model.network, model.network, device, batch_size)
    assembler = Assembler(tiling, volume.shape, len(model.classes), unit)
    air = np.zeros((len(model.classes), 1, 1, 1), dtype=np.float32)
    air[0] = _SURE
    steps = []
    for box in tiling:
        if body[box.slices].any():
            steps.append(Step(box))
        else:
            assembler.add(box, np.broadcast_to(air, (len(air), *_voxels(box, unit))))
    for step, logits in walk(
        volume.voxels, grid, steps, passes, prepare=window.apply, progress=progress, cancelled=cancelled
    ):
        assembler.add(step.box, logits)
    labels, uncertainty = _decided(assembler.result())
    segmentation = Segmentation(labels, volume.ijk_to_ras, model.classes.structures)
    return SegmentationResult(volume, segmentation, uncertainty, model.name)


def _check_memory(volume: Volume, classes: int) -> None:
    """Check that the volumes of all classes fit into the memory: the system may end a process that exceeds it.

    Raises:
        OutOfMemoryError: they do not.
    """
    psutil: Any = require("psutil", "A segmentation")
    needed, free = 4 * classes * math.prod(volume.shape), int(psutil.virtual_memory().available)
    if needed > free:
        raise OutOfMemoryError(
            f"The {classes} classes of a scan of {dimensions_text(volume.shape[::-1])} voxels need "
            f"{needed / 2**30:.0f} GiB of memory, and {free / 2**30:.0f} GiB are free: crop the scan, or close other "
            "programs."
        )


def _tile_size(shape: Triple, crop: Triple, unit: Triple) -> Triple:
    """The crop, which a thinner volume does not fill."""
    k, j, i = (
        min(size, -(-extent // step) * step) for extent, size, step in zip(shape, crop, unit, strict=True)
    )
    return k, j, i


def _voxels(box: LatticeBox, unit: Triple) -> Triple:
    k, j, i = (count * step for count, step in zip(box.shape, unit, strict=True))
    return k, j, i


def _decided(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class (k, j, i) uint8, and the entropy (k, j, i) float32 from 0 to 1, of logits (C, k, j, i)."""
    labels = np.empty(logits.shape[1:], dtype=np.uint8)
    entropy = np.empty(logits.shape[1:], dtype=np.float32)
    for start in range(0, len(labels), _ROWS):
        rows = slice(start, start + _ROWS)
        part = logits[:, rows]
        labels[rows] = part.argmax(axis=0)
        logs = part - logsumexp(part, axis=0, keepdims=True)
        entropy[rows] = -(np.exp(logs) * logs).sum(axis=0) / math.log(len(logits))
    return labels, np.clip(entropy, 0.0, 1.0, out=entropy)
