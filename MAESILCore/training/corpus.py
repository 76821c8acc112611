"""Training crops from scan files: inspects scans and draws crops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch.nn import functional as F

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.scans import try_reading
from MAESILCore.data.volume import Volume, looks_like_label, read_volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.training.source import Sample, SampleKey
from MAESILCore.training.split import inventory

#: Voxels above this HU count as body when crops of mostly air are redrawn.
BODY_HU = -500.0
REDRAWS = 10

Voxels = Annotated[int, Field(ge=1)]


class CropConfig(BaseModel):
    """Settings for drawing crops.

    Attributes:
        size: voxels along k, j, i; multiples of the patch size. Thinner scans are stretched up to the lower end of
            `zoom`; scans thinner than that give a thinner crop of whole patches, stretched to one if necessary.
        minimum_body: least share of voxels above -500 HU; other crops are redrawn, up to ten draws.
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


class ScanCache:
    """An LRU cache of scans with a memory budget."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._scans: OrderedDict[Path, Volume] = OrderedDict()

    def scan(self, path: Path) -> Volume:
        """A scan from the cache; read on a miss."""
        if path in self._scans:
            self._scans.move_to_end(path)
            return self._scans[path]
        scan = self._scans[path] = read_volume(path)
        while len(self._scans) > 1 and self._bytes() > self.budget_bytes:
            self._scans.popitem(last=False)
        return scan

    def _bytes(self) -> int:
        return sum(scan.voxels.nbytes for scan in self._scans.values())


@dataclass(frozen=True)
class Inspected:
    """The result of `inspect`.

    Attributes:
        scans: the usable scans.
        shapes: their (k, j, i) shapes.
        left_out: (name, reason) of the others.
    """

    scans: tuple[FoundScan, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


def inspect(
    scans: Sequence[FoundScan],
    before_scan: Callable[[int], None] = lambda _: None,
    purpose: str = "training",
) -> Inspected:
    """Read all scans once, so that bad ones are reported before the training.

    Args:
        scans: the candidates; label maps, scans that are not in HU and unreadable ones are left out.
        before_scan: callback with the number of scans read so far; may raise to stop.
        purpose: purpose of the scans, for the error message.

    Raises:
        ConfigError: no scan can be used.
    """
    used: dict[FoundScan, tuple[int, ...]] = {}
    left_out: list[tuple[str, str]] = []
    for number, scan in enumerate(scans):
        before_scan(number)
        volume = try_reading(scan.path, scan.file)
        if isinstance(volume, str):
            left_out.append((scan.file, volume))
        elif looks_like_label(volume):
            left_out.append((scan.file, "a label map, not a scan"))
        elif not volume.looks_like_hu:
            left_out.append((scan.file, "its values do not look like HU"))
        else:
            used[scan] = volume.voxels.shape
    if not used:
        reasons = "; ".join(with_name(*one) for one in left_out[:3])
        message = f"None of the {len(scans)} scans can be used for {purpose} ({reasons})."
        raise ConfigError(message)
    return Inspected(tuple(used), tuple(used.values()), tuple(left_out))


@dataclass(frozen=True)
class Drawing:
    """Settings for drawing samples from scans.

    Attributes:
        crop: settings of the crops.
        masks: returns the mask strategy of one sample; None hides nothing.
        window: HU <-> [0, 1].
        patch_size: voxels along k, j, i.
        superpatch_size: voxels along k, j, i.
    """

    crop: CropConfig
    masks: Callable[[np.random.Generator], MaskStrategy] | None
    window: Window
    patch_size: tuple[int, int, int]
    superpatch_size: tuple[int, int, int]


class Corpus:
    """A `SampleSource` of scans in files.

    Args:
        scans: the result of `inspect`.
        drawing: settings of the samples.
        cache_bytes: memory limit of the scan cache.
    """

    def __init__(self, scans: Inspected, drawing: Drawing, cache_bytes: int = 4 << 30) -> None:
        self.scans, self.drawing = scans, drawing
        self.cache = ScanCache(cache_bytes)
        # Weight scans by the square root of their size, so that large ones do not crowd out small ones.
        weights = np.sqrt([float(np.prod(shape)) for shape in scans.shapes])
        self._cumulative = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return len(self.scans.scans)

    def describe(self) -> str:
        """See `SampleSource.describe`."""
        return inventory([scan.file for scan in self.scans.scans], self.scans.shapes)

    def draw(self, key: SampleKey) -> Sample:
        """Draw a crop and its mask; see `SampleSource.draw`."""
        sizes = self.drawing
        generator = np.random.Generator(np.random.PCG64((key.seed, key.step, key.index)))
        # The cumulative weights end at 1 only up to rounding.
        number = min(int(np.searchsorted(self._cumulative, generator.random())), len(self) - 1)
        volume = self.cache.scan(self.scans.scans[number].path)
        voxels, spacing = draw_crop(
            volume.voxels, sizes.crop, sizes.window, sizes.patch_size, generator, volume.spacing[::-1]
        )
        k, j, i = (size // patch for size, patch in zip(voxels.shape, sizes.patch_size, strict=True))
        stages = None
        if sizes.masks is not None:
            stages = np.array(sizes.masks(generator).sample((k, j, i), int(generator.integers(2**62))).stages)
        places = (size // patch for size, patch in zip(sizes.superpatch_size, sizes.patch_size, strict=True))
        k, j, i = (
            int(generator.integers(place - extent + 1))
            for place, extent in zip(places, (k, j, i), strict=True)
        )
        return Sample(voxels, stages, (k, j, i), spacing)


def draw_crop(
    scan: np.ndarray,
    crop: CropConfig,
    window: Window,
    patch_size: tuple[int, int, int],
    generator: np.random.Generator,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Draw a crop of whole patches from a (k, j, i) scan in HU.

    Args:
        scan: (k, j, i) in HU.
        crop: settings of the crop.
        window: HU <-> [0, 1].
        patch_size: voxels along k, j, i.
        generator: the random generator.
        spacing: spacing of the scan in mm along k, j, i.

    Returns:
        The crop, contiguous float32 in [0, 1], and its spacing in mm along k, j, i.
    """
    size = np.array(
        [
            wanted if extent >= wanted * crop.zoom[0] else max(patch, extent // patch * patch)
            for wanted, extent, patch in zip(crop.size, scan.shape, patch_size, strict=True)
        ]
    )
    zoom = np.ones(3)
    if generator.random() < crop.zoom_probability:
        low, high = np.log(crop.zoom)
        zoom = np.exp(generator.uniform(low, high, 3))
    taken = np.clip(np.rint(size * zoom).astype(int), 1, scan.shape)
    piece = scan[:0]
    for _ in range(REDRAWS):
        start = [
            int(generator.integers(extent - length + 1))
            for extent, length in zip(scan.shape, taken, strict=True)
        ]
        piece = scan[tuple(slice(a, a + length) for a, length in zip(start, taken, strict=True))]
        if np.count_nonzero(piece > BODY_HU) >= crop.minimum_body * piece.size:
            break
    unit = _resize(window.apply(piece), size)
    k, j, i = (float(edge * n / m) for edge, n, m in zip(spacing, taken, size, strict=True))
    if crop.flip:
        unit = np.flip(unit, tuple(axis for axis in range(3) if generator.random() < 0.5))
    if generator.random() < crop.swap_probability:
        unit, j, i = unit.swapaxes(1, 2), i, j
    return np.ascontiguousarray(unit), (k, j, i)


def _resize(unit: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Stretch a (k, j, i) crop to `size`, trilinear."""
    if tuple(size) == unit.shape:
        return unit
    tensor = torch.from_numpy(np.ascontiguousarray(unit))[None, None]
    extents = [int(extent) for extent in size]
    return F.interpolate(tensor, size=extents, mode="trilinear", align_corners=False)[0, 0].numpy()
