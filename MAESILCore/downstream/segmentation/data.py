"""Labelled cases in memory, and the training crops that are drawn from them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.downstream.segmentation.classes import IGNORED, CaseLabels
from MAESILCore.downstream.segmentation.config import AugmentConfig
from MAESILCore.errors import VolumeError
from MAESILCore.lattice.box import Triple, per_axis
from MAESILCore.optional import require
from MAESILCore.training.source import Sample, SampleKey
from MAESILCore.training.split import inventory

#: Largest number of voxels of a structure that are remembered as centres of crops.
_CENTRES = 20_000


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A case in memory.

    Attributes:
        name: name of the case.
        volume: the scan.
        labels: its labels as indices of classes.
        window: the window of the scan.
    """

    name: str
    volume: Volume
    labels: CaseLabels
    window: Window

    @classmethod
    def of(cls, name: str, volume: Volume, labels: CaseLabels, intensity: Intensity) -> LabelledScan:
        """A case, checked.

        Raises:
            VolumeError: the shapes differ, or the scan gives no window.
        """
        if labels.indices.shape != volume.shape:
            raise VolumeError(
                f"{name}: the labels have the shape {labels.indices.shape}, the scan {volume.shape}."
            )
        try:
            return cls(name, volume, labels, intensity.window_of(volume.voxels))
        except VolumeError as error:
            raise VolumeError(f"{name}: {error}") from error


@dataclass(frozen=True)
class LabelledSample(Sample):
    """A training crop with its labels.

    Attributes:
        labels: (K, J, I) uint8, indices of classes or `IGNORED`.
        missing: (classes,) bool, see `CaseLabels.missing`.
    """

    labels: np.ndarray = field(kw_only=True)
    missing: np.ndarray = field(kw_only=True)


class LabelledCrops:
    """Draws augmented crops from labelled scans; a sample is a function of its key.

    Args:
        scans: the cases, each as likely.
        crop_size: voxels along k, j, i, whole patches.
        structure_share: see `SegmentationConfig`.
        augment: random changes.
    """

    def __init__(
        self, scans: Sequence[LabelledScan], crop_size: Triple, structure_share: float, augment: AugmentConfig
    ) -> None:
        require("monai", "A segmentation")
        self._scans, self._size, self._share, self._augment = scans, crop_size, structure_share, augment
        self._centres = [_centres(scan.labels.indices) for scan in scans]

    def __len__(self) -> int:
        return len(self._scans)

    def describe(self) -> str:
        """See `training.source.SampleSource.describe`."""
        return inventory([scan.name for scan in self._scans], [scan.volume.shape for scan in self._scans])

    def draw(self, key: SampleKey) -> LabelledSample:
        """The crop of a key."""
        random = np.random.default_rng((key.seed, key.step, key.index))
        number = int(random.integers(len(self._scans)))
        scan, structures = self._scans[number], self._centres[number]
        start = self._start(scan.volume.shape, structures, random)
        box = tuple(slice(max(0, low), low + size) for low, size in zip(start, self._size, strict=True))
        voxels = scan.window.apply(scan.volume.voxels[box])
        labels = scan.labels.indices[box]
        before = [max(0, -low) for low in start]
        widths = [
            (low, size - low - have) for low, size, have in zip(before, self._size, voxels.shape, strict=True)
        ]
        # Voxels beyond the scan repeat its border, as in an application, and no loss counts them.
        voxels = np.pad(voxels, widths, mode="edge")
        labels = np.pad(labels, widths, constant_values=IGNORED)
        k, j, i = scan.volume.spacing[::-1]
        voxels, labels = augmented(voxels, labels, self._augment, key.number % 2**32, (k, j, i))
        return LabelledSample(
            voxels=voxels,
            stages=None,
            start=(0, 0, 0),
            spacing=(k, j, i),
            scan=scan.name,
            corner=start,
            labels=labels,
            missing=scan.labels.missing,
        )

    def _start(self, shape: Triple, structures: Sequence[np.ndarray], random: np.random.Generator) -> Triple:
        """The first voxel of a crop, which lies in the scan as far as it fits; a smaller scan lies at its start."""
        room = [max(0, extent - size) for extent, size in zip(shape, self._size, strict=True)]
        if structures and random.random() < self._share:
            places = structures[int(random.integers(len(structures)))]
            centre = np.unravel_index(int(places[int(random.integers(len(places)))]), shape)
            # The centre may lie anywhere in the crop's middle half, so that the network does not learn its place.
            wanted = (
                int(place) - int(size * random.uniform(0.25, 0.75))
                for place, size in zip(centre, self._size, strict=True)
            )
        else:
            wanted = (int(random.integers(most + 1)) for most in room)
        return per_axis(min(max(0, low), most) for low, most in zip(wanted, room, strict=True))


def _centres(indices: np.ndarray) -> list[np.ndarray]:
    """Flat indices of voxels of each structure that the case holds, evenly thinned."""
    flat = indices.reshape(-1)
    found = (np.flatnonzero(flat == value) for value in np.unique(flat).tolist() if value not in (0, IGNORED))
    return [places[:: -(-len(places) // _CENTRES)] for places in found]


def augmented(
    voxels: np.ndarray,
    labels: np.ndarray,
    augment: AugmentConfig,
    seed: int,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """A crop and its labels after MONAI's random transforms.

    Args:
        voxels: (K, J, I) float32 in [0, 1].
        labels: (K, J, I) uint8.
        augment: their settings.
        seed: of all draws.
        spacing: mm along k, j, i. Nothing is rotated between axes of which one is twice as coarse as the other.
    """
    transforms = _transforms(augment, spacing)
    if not transforms.transforms:
        return voxels, labels
    transforms.set_random_state(seed)
    data = {"voxels": torch.from_numpy(voxels)[None], "labels": torch.from_numpy(labels)[None]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of its own tensors
        data = transforms(data)
    changed = np.asarray(data["voxels"][0], dtype=np.float32).clip(0.0, 1.0)
    return np.ascontiguousarray(changed), np.ascontiguousarray(np.asarray(data["labels"][0], dtype=np.uint8))


def _transforms(augment: AugmentConfig, spacing: tuple[float, float, float]) -> Any:  # noqa: ANN401 - MONAI's
    monai: Any = require("monai.transforms", "A segmentation")
    both, steps = ["voxels", "labels"], list[Any]()
    if augment.warp_probability and (augment.rotate or augment.scale):
        angle = np.deg2rad(augment.rotate)
        steps.append(
            monai.RandAffined(
                keys=both,
                prob=augment.warp_probability,
                rotate_range=[angle * _is_even(spacing, axis) for axis in range(3)],
                scale_range=[augment.scale] * 3,
                mode=["bilinear", "nearest"],
                padding_mode="border",
            )
        )
    for axis in augment.flip:
        steps.append(monai.RandFlipd(keys=both, prob=0.5, spatial_axis="kji".index(axis)))
    if augment.intensity_probability and augment.contrast:
        shares = {"prob": augment.intensity_probability}
        steps.append(monai.RandScaleIntensityd(keys="voxels", factors=augment.contrast, **shares))
        # HU are absolute, and a shift by a tenth of a wide window would turn lung into air.
        steps.append(monai.RandShiftIntensityd(keys="voxels", offsets=augment.contrast / 10, **shares))
    if augment.intensity_probability and augment.noise:
        steps.append(
            monai.RandGaussianNoised(keys="voxels", prob=augment.intensity_probability, std=augment.noise)
        )
    return monai.Compose(steps)


def _is_even(spacing: tuple[float, float, float], axis: int) -> bool:
    """Whether the two axes that a rotation about this one turns into each other are about equally fine."""
    first, second = (mm for other, mm in enumerate(spacing) if other != axis)
    return max(first, second) < 2.0 * min(first, second)


def crop_size_for(shapes: Sequence[Triple], largest: Triple, unit: Triple, most: int = 64) -> Triple:
    """The default size of crops: whole units around the largest case, at most the network's input and `most` voxels.

    Args:
        shapes: (k, j, i) of the cases.
        largest: largest input of the network.
        unit: voxels along each axis of which an input must be a multiple.
        most: largest extent in voxels.
    """

    def size(axis: int) -> int:
        step = unit[axis]
        limit = max(step, min(largest[axis], most) // step * step)
        return min(limit, -(-max(shape[axis] for shape in shapes) // step) * step)

    return size(0), size(1), size(2)
