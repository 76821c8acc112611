"""Which scans are evaluated, and why the others are not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.volume import Volume, find_scans, looks_like_label, read_volume


@dataclass
class Selection:
    """Reads scans one by one and keeps account of those that are no test of a CT model.

    Attributes:
        paths: of all scans found.
        exclude: globs; a scan whose file or folder name fits one is left out.
        include_not_hu: also take scans whose values do not look like HU.
        left_out: name and reason of every scan left out so far.
    """

    paths: list[Path]
    exclude: tuple[str, ...] = ()
    include_not_hu: bool = False
    left_out: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Iterable[str | Path], exclude: Iterable[str], include_not_hu: bool) -> Selection:
        """Find the scans at and below the paths.

        Raises:
            VolumeError: a path does not exist, or there is no scan at all.
        """
        return cls(find_scans(paths), tuple(exclude), include_not_hu)

    def read(self) -> Iterator[tuple[int, Volume]]:
        """The place in `paths` and the volume of every scan that is evaluated."""
        seen: dict[str, str] = {}
        for place, path in enumerate(self.paths):
            pattern = next((glob for glob in self.exclude if fnmatch(path.name, glob)), None)
            if pattern is not None:
                self._leave_out(path, f"Excluded by {pattern}.")
                continue
            try:
                volume = read_volume(path)
            except VolumeError as error:
                self._leave_out(path, str(error))
                continue
            reason = self._objection(volume) or _repetition(volume, path.name, seen)
            if reason is None:
                yield place, volume
            else:
                self._leave_out(path, reason)

    def _leave_out(self, path: Path, reason: str) -> None:
        self.left_out.append({"name": path.name, "reason": reason})

    def _objection(self, volume: Volume) -> str | None:
        if looks_like_label(volume):
            return "A label map, not a scan."
        if not volume.looks_like_hu and not self.include_not_hu:
            low, high = volume.value_range
            return f"The values from {low:g} to {high:g} are not HU."
        return None


def _repetition(volume: Volume, name: str, seen: dict[str, str]) -> str | None:
    """Note a scan; a reason if the same one, perhaps turned or in another format, was noted before."""
    fingerprint = _fingerprint(volume)
    if fingerprint in seen:
        return f"The same scan as {seen[fingerprint]}."
    seen[fingerprint] = name
    return None


def _fingerprint(volume: Volume) -> str:
    """Equal for equal scans, however their axes are turned: extents and histogram."""
    values, counts = np.unique(np.rint(volume.voxels).astype(np.int64), return_counts=True)
    digest = hashlib.sha256(repr(sorted(volume.shape)).encode())
    digest.update(values.tobytes())
    digest.update(counts.astype(np.int64).tobytes())
    return digest.hexdigest()
