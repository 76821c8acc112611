"""Selects the scans of an evaluation, with reasons for those left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.discovery import LeftOut, discover_scans
from MAESILCore.data.formats.found import FoundScan, check_patterns
from MAESILCore.data.scans import try_reading
from MAESILCore.data.volume import Volume, looks_like_label
from MAESILCore.wording import displayable


@dataclass
class Selection:
    """Reads scans one by one and records those that are left out.

    Attributes:
        scans: all scans found.
        exclude: glob patterns of scans to leave out, see `FoundScan.fits`.
        include_not_hu: whether to include scans whose values do not look like HU.
        unreadable: entries that are not readable scans.
        left_out: name and reason of each entry left out so far; `read` adds `unreadable` at its end.
    """

    scans: tuple[FoundScan, ...]
    exclude: tuple[str, ...] = ()
    include_not_hu: bool = False
    unreadable: tuple[LeftOut, ...] = ()
    left_out: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Iterable[str | Path], exclude: Iterable[str], include_not_hu: bool) -> Selection:
        """Find the scans at and below the paths.

        Raises:
            ConfigError: a pattern in `exclude` matches no scan.
            VolumeError: a path does not exist, or there are no scans.
        """
        found, patterns = discover_scans(paths), tuple(exclude)
        check_patterns(found.scans, patterns, "exclude")
        return cls(found.scans, patterns, include_not_hu, found.left_out)

    def read(self) -> Iterator[tuple[int, FoundScan, Volume]]:
        """The position in `scans`, the scan and the volume, for each scan to evaluate."""
        seen: dict[str, str] = {}
        for place, scan in enumerate(self.scans):
            pattern = self.excluded_by(scan)
            if pattern is not None:
                self.leave_out(scan.file, f"Excluded by {displayable(pattern)}.")
                continue
            volume = try_reading(scan.path, scan.file)
            if isinstance(volume, str):
                self.leave_out(scan.file, volume)
                continue
            reason = self._objection(volume) or _repetition(volume, scan.file, seen)
            if reason is None:
                yield place, scan, replace(volume, name=scan.name)
            else:
                self.leave_out(scan.file, reason)
        for other in self.unreadable:
            self.leave_out(other.name, f"{other.reason[:1].upper()}{other.reason[1:]}.")

    def excluded_by(self, scan: FoundScan) -> str | None:
        """The pattern that leaves a scan out; None if there is none."""
        return next((glob for glob in self.exclude if scan.fits(glob)), None)

    def leave_out(self, name: str, reason: str) -> None:
        """Record an entry that is not evaluated."""
        self.left_out.append({"name": name, "reason": reason})

    def _objection(self, volume: Volume) -> str | None:
        if looks_like_label(volume):
            return "A label map, not a scan."
        if not volume.looks_like_hu and not self.include_not_hu:
            low, high = volume.value_range
            return f"The values from {low:g} to {high:g} are not HU."
        return None


def _repetition(volume: Volume, name: str, seen: dict[str, str]) -> str | None:
    """Record a scan; returns a reason if it repeats an earlier one, perhaps with turned axes or in another format."""
    fingerprint = _fingerprint(volume)
    if fingerprint in seen:
        return f"The same scan as {seen[fingerprint]}."
    seen[fingerprint] = name
    return None


def _fingerprint(volume: Volume) -> str:
    """A hash of extents and histogram, independent of the orientation of the axes."""
    values, counts = np.unique(np.rint(volume.voxels).astype(np.int64), return_counts=True)
    digest = hashlib.sha256(repr(sorted(volume.shape)).encode())
    digest.update(values.tobytes())
    digest.update(counts.astype(np.int64).tobytes())
    return digest.hexdigest()
