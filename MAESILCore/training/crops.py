"""Crops: their settings, the choice of a box in a scan, and its augmentation; shared by all sources of scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch.nn import functional as F

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.training.source import Sample

#: Voxels above this HU count as body when crops of mostly air are redrawn.
BODY_HU = -500.0
REDRAWS = 10

Voxels = Annotated[int, Field(ge=1)]


class CropConfig(BaseModel):
    """Settings for drawing crops.

    Attributes:
        size: voxels along k, j, i; multiples of the patch size. Thinner scans are stretched up to the lower end of
            `zoom`; scans thinner than that give a thinner crop of whole patches, stretched to one if necessary.
        minimum_body: least share of body, which lies above -500 HU (see `intensity.body_floor` for scans without HU);
            other crops are redrawn, up to ten draws.
        zoom_probability: share of crops that are stretched.
        zoom: range of the stretch, drawn per axis. Scans are not resampled, so this varies the spacings that the model
            sees.
        flip: whether each axis is mirrored with probability 1/2.
        swap_probability: share of crops with exchanged in-plane axes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: tuple[Voxels, Voxels, Voxels] = (128, 128, 128)
    minimum_body: float = Field(default=0.2, ge=0.0, le=1.0)
    zoom_probability: float = Field(default=0.5, ge=0.0, le=1.0)
    zoom: tuple[float, float] = (0.7, 1.4)
    flip: bool = True
    swap_probability: float = Field(default=0.3, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _zoom_rises(self) -> CropConfig:
        if not 0.0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError("zoom must be two numbers above 0, the lower one first")
        return self

    def check(self, patch_size: tuple[int, int, int], superpatch_size: tuple[int, int, int]) -> None:
        """Check the crops against the sizes of a method, all along k, j, i.

        Raises:
            ConfigError: a crop is not whole patches, or does not fit into a superpatch.
        """
        crop, patches, most = (dimensions_text(sizes) for sizes in (self.size, patch_size, superpatch_size))
        if any(size % patch for size, patch in zip(self.size, patch_size, strict=True)):
            message = (
                f"A crop of {crop} voxels is not made of patches of {patches}; give multiples in crop.size."
            )
            raise ConfigError(message)
        if not _fits(self.size, superpatch_size):
            message = (
                f"A crop of {crop} voxels is larger than the model's superpatch of {most}; "
                "choose a smaller crop.size or a larger model.superpatch_size."
            )
            raise ConfigError(message)
        swapped = self.size[0], self.size[2], self.size[1]
        swappable = _fits(swapped, superpatch_size) and patch_size[1] == patch_size[2]
        if self.swap_probability > 0.0 and not swappable:
            message = (
                f"A crop of {crop} voxels cannot have its in-plane axes exchanged in a superpatch of {most} "
                f"with patches of {patches}; set crop.swap_probability to 0."
            )
            raise ConfigError(message)


def _fits(sizes: Sequence[int], most: Sequence[int]) -> bool:
    return all(size <= largest for size, largest in zip(sizes, most, strict=True))


@dataclass(frozen=True)
class Drawing:
    """Settings for drawing samples from scans.

    Attributes:
        crop: settings of the crops.
        masks: returns the mask strategy of one sample; None hides nothing.
        intensity: gives each scan its window.
        patch_size: voxels along k, j, i.
        superpatch_size: voxels along k, j, i.
        more_windows: further windows in HU, for a share of the samples.
        more_windows_share: that share.
    """

    crop: CropConfig
    masks: Callable[[np.random.Generator], MaskStrategy] | None
    intensity: Intensity
    patch_size: tuple[int, int, int]
    superpatch_size: tuple[int, int, int]
    more_windows: tuple[Window, ...] = ()
    more_windows_share: float = 0.0

    def window_for(self, window: Window, generator: np.random.Generator) -> Window:
        """The window of one sample of a scan, given the scan's own window."""
        if self.more_windows and generator.random() < self.more_windows_share:
            return self.more_windows[int(generator.integers(len(self.more_windows)))]
        return window


@dataclass(frozen=True)
class Box:
    """A part of a scan and the crop that it becomes, along k, j, i.

    Attributes:
        start: first voxel.
        extents: voxels of the scan.
        size: voxels of the crop, whole patches.
    """

    start: tuple[int, ...]
    extents: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """Indices of the box in the scan."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.extents, strict=True))


def choose_box(
    shape: Sequence[int],
    crop: CropConfig,
    patch_size: tuple[int, int, int],
    generator: np.random.Generator,
    has_body: Callable[[Box], bool],
) -> Box:
    """Choose the part of a scan for a crop.

    Args:
        shape: (k, j, i) shape of the scan.
        crop: settings of the crop.
        patch_size: voxels along k, j, i.
        generator: the random generator.
        has_body: whether a box holds enough body; other boxes are redrawn, up to ten draws.
    """
    size = np.array(
        [
            wanted if extent >= wanted * crop.zoom[0] else max(patch, extent // patch * patch)
            for wanted, extent, patch in zip(crop.size, shape, patch_size, strict=True)
        ]
    )
    zoom = np.ones(3)
    if generator.random() < crop.zoom_probability:
        low, high = np.log(crop.zoom)
        zoom = np.exp(generator.uniform(low, high, 3))
    extents = tuple(np.clip(np.rint(size * zoom).astype(int), 1, shape).tolist())
    box = Box((), extents, tuple(size.tolist()))
    for _ in range(REDRAWS):
        start = (
            int(generator.integers(extent - length + 1))
            for extent, length in zip(shape, extents, strict=True)
        )
        box = Box(tuple(start), box.extents, box.size)
        if has_body(box):
            break
    return box


def make_crop(
    piece: np.ndarray,
    box: Box,
    crop: CropConfig,
    window: Window,
    generator: np.random.Generator,
    spacing: Sequence[float],
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The crop of a box: windowed, stretched and augmented.

    Args:
        piece: the box's voxels, (k, j, i).
        box: the box.
        crop: settings of the crop.
        window: maps the voxels to [0, 1].
        generator: the random generator that chose the box.
        spacing: spacing of the scan in mm along k, j, i.

    Returns:
        The crop, contiguous float32 in [0, 1], and its spacing in mm along k, j, i.
    """
    unit = _resize(window.apply(piece), box.size)
    k, j, i = (float(edge * n / m) for edge, n, m in zip(spacing, box.extents, box.size, strict=True))
    if crop.flip:
        unit = np.flip(unit, tuple(axis for axis in range(3) if generator.random() < 0.5))
    if generator.random() < crop.swap_probability:
        unit, j, i = unit.swapaxes(1, 2), i, j
    return np.ascontiguousarray(unit), (k, j, i)


def box_in(
    scan: np.ndarray,
    crop: CropConfig,
    patch_size: tuple[int, int, int],
    generator: np.random.Generator,
    floor: float = BODY_HU,
) -> Box:
    """Choose a part of a (k, j, i) scan whose body lies above `floor`; see `choose_box`."""

    def has_body(box: Box) -> bool:
        piece = scan[box.slices]
        return bool(np.count_nonzero(piece > floor) >= crop.minimum_body * piece.size)

    return choose_box(scan.shape, crop, patch_size, generator, has_body)


def draw_crop(
    scan: np.ndarray,
    crop: CropConfig,
    window: Window,
    patch_size: tuple[int, int, int],
    generator: np.random.Generator,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Draw a crop of whole patches from a (k, j, i) scan in HU; see `choose_box` and `make_crop`."""
    box = box_in(scan, crop, patch_size, generator)
    return make_crop(scan[box.slices], box, crop, window, generator, spacing)


def sample_of(
    voxels: np.ndarray,
    spacing: tuple[float, float, float],
    drawing: Drawing,
    generator: np.random.Generator,
    scan: str = "",
    corner: tuple[int, ...] = (),
) -> Sample:
    """A sample of a crop, with its mask and its place in a superpatch; `scan` and `corner` tell where it is from."""
    patches = [size // patch for size, patch in zip(voxels.shape, drawing.patch_size, strict=True)]
    k, j, i = patches
    stages = None
    if drawing.masks is not None:
        stages = np.array(drawing.masks(generator).sample((k, j, i), int(generator.integers(2**62))).stages)
    places = [size // patch for size, patch in zip(drawing.superpatch_size, drawing.patch_size, strict=True)]
    k, j, i = (
        int(generator.integers(place - extent + 1)) for place, extent in zip(places, patches, strict=True)
    )
    return Sample(voxels, stages, (k, j, i), spacing, scan, corner)


def cumulative_weights(shapes: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    """Cumulative shares of scans in the samples.

    Scans are weighted by the square root of their size, so that large ones do not crowd out small ones.
    """
    weights = np.sqrt([float(np.prod(shape)) for shape in shapes])
    return np.asarray(np.cumsum(weights / weights.sum()))


def choose_scan(cumulative: np.ndarray, generator: np.random.Generator) -> int:
    """The number of a random scan."""
    # The cumulative weights end at 1 only up to rounding.
    return min(int(np.searchsorted(cumulative, generator.random())), len(cumulative) - 1)


def _resize(unit: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Stretch a (k, j, i) crop to `size`, trilinear."""
    if tuple(size) == unit.shape:
        return unit
    tensor = torch.from_numpy(np.ascontiguousarray(unit))[None, None]
    return F.interpolate(tensor, size=list(size), mode="trilinear", align_corners=False)[0, 0].numpy()
