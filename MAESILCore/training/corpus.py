"""Training crops from scan files: inspects scans and draws crops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.intensity import Intensity, body_floor
from MAESILCore.data.scans import try_reading
from MAESILCore.data.volume import Volume, looks_like_label, read_volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.training.crops import (
    BODY_HU,
    Drawing,
    box_in,
    choose_scan,
    cumulative_weights,
    make_crop,
    sample_of,
)
from MAESILCore.training.source import Sample, SampleKey
from MAESILCore.training.split import inventory

_NOT_HU = "its values do not look like HU"


class ScanCache:
    """An LRU cache of scans with a memory budget.

    Args:
        budget_bytes: limit of all voxels.
        intensity: gives each scan its window.
    """

    def __init__(self, budget_bytes: int, intensity: Intensity) -> None:
        self.budget_bytes, self._intensity = budget_bytes, intensity
        self._scans: OrderedDict[Path, Volume] = OrderedDict()
        self._scales: dict[Path, tuple[Window, float]] = {}

    def scan(self, path: Path) -> Volume:
        """A scan from the cache; read on a miss."""
        if path in self._scans:
            self._scans.move_to_end(path)
            return self._scans[path]
        scan = self._scans[path] = read_volume(path)
        while len(self._scans) > 1 and self._bytes() > self.budget_bytes:
            self._scans.popitem(last=False)
        return scan

    def scale(self, path: Path) -> tuple[Window, float]:
        """The window of a scan, and the value above which its body lies; found once."""
        if path not in self._scales:
            voxels = self.scan(path).voxels
            window = self._intensity.window_of(voxels)
            self._scales[path] = window, BODY_HU if self._intensity.is_hu else body_floor(voxels, window)
        return self._scales[path]

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
    intensity: Intensity | None = None,
) -> Inspected:
    """Read all scans once, so that bad ones are reported before the training.

    Args:
        scans: the candidates; label maps, unreadable scans and those without the intensity are left out.
        before_scan: callback with the number of scans read so far; may raise to stop.
        purpose: purpose of the scans, for the error message.
        intensity: the intensity of the training; None is a window in HU.

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
        elif objection := _no_intensity(volume, intensity or Intensity()):
            left_out.append((scan.file, objection))
        else:
            used[scan] = volume.voxels.shape
    if not used:
        reasons = "; ".join(with_name(*one) for one in left_out[:3])
        none = "The only scan cannot" if len(scans) == 1 else f"None of the {len(scans)} scans can"
        message = f"{none} be used for {purpose} ({reasons})."
        if any(reason == _NOT_HU for _, reason in left_out):
            message += " For MRI and other scans without HU, set `intensity: percentiles` in the recipe."
        raise ConfigError(message)
    return Inspected(tuple(used), tuple(used.values()), tuple(left_out))


def _no_intensity(volume: Volume, intensity: Intensity) -> str:
    """Why the values of a scan do not fit an intensity; "" if they do."""
    if intensity.is_hu and not volume.looks_like_hu:
        return _NOT_HU
    try:
        intensity.window_of(volume.voxels)
    except VolumeError as error:
        return str(error).rstrip(".")
    return ""


class Corpus:
    """A `SampleSource` of scans in files.

    Args:
        scans: the result of `inspect`.
        drawing: settings of the samples.
        cache_bytes: memory limit of the scan cache.
    """

    def __init__(self, scans: Inspected, drawing: Drawing, cache_bytes: int = 4 << 30) -> None:
        self.scans, self.drawing = scans, drawing
        self.cache = ScanCache(cache_bytes, drawing.intensity)
        self._cumulative = cumulative_weights(scans.shapes)

    def __len__(self) -> int:
        return len(self.scans.scans)

    def describe(self) -> str:
        """See `SampleSource.describe`."""
        return inventory([scan.file for scan in self.scans.scans], self.scans.shapes)

    def draw(self, key: SampleKey) -> Sample:
        """Draw a crop and its mask; see `SampleSource.draw`.

        Raises:
            VolumeError: the scan has vanished or is damaged.
        """
        drawing = self.drawing
        generator = np.random.Generator(np.random.PCG64((key.seed, key.step, key.index)))
        scan = self.scans.scans[choose_scan(self._cumulative, generator)]
        try:
            volume, (window, floor) = self.cache.scan(scan.path), self.cache.scale(scan.path)
        except VolumeError as error:
            raise VolumeError(
                f"The scan {scan.file} can no longer be read. Restore it, then resume the run. ({error})"
            ) from error
        box = box_in(volume.voxels, drawing.crop, drawing.patch_size, generator, floor)
        window, spacing = drawing.window_for(window, generator), volume.spacing[::-1]
        crop = make_crop(volume.voxels[box.slices], box, drawing.crop, window, generator, spacing)
        return sample_of(*crop, drawing, generator, scan.file, box.start)
