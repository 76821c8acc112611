"""Features of the scans of a table, computed once and kept beside the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.classification.cases import Case
from MAESILCore.downstream.classification.encoder import Encoder
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import VolumeError
from MAESILCore.files import read_array, why_unwritable, write_array

#: Name of the folder beside the results.
FOLDER = "features"


class Arrays(Sequence[np.ndarray]):
    """Memory-mapped arrays that are opened one at a time, as a process may not have thousands of open files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, place: slice) -> Arrays: ...
    def __getitem__(self, place: int | slice) -> np.ndarray | Arrays:
        """An array, read-only, or some of them."""
        if isinstance(place, slice):
            return Arrays(self._paths[place])
        return read_array(self._paths[place])

    def chosen(self, places: np.ndarray) -> Arrays:
        """Those at some places (M,) int64."""
        return Arrays([self._paths[place] for place in places.tolist()])


class Features:
    """Features by the content of scans and the weights of the encoder, memory-mapped from a folder.

    Attributes:
        folder: where the arrays are; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def superpatches(
        self,
        encoder: Encoder,
        case: Case,
        content: str,
        cancelled: Callable[[], bool],
        size: int | None = None,
    ) -> SuperpatchVectors:
        """Pooled features of a scan; see `Encoder.superpatches`.

        Raises:
            Cancelled: `cancelled` returned True.
            VolumeError: the scan cannot be read, or the folder cannot be written.
        """
        path = self._kept(
            self.folder / encoder.key / f"{content}-pooled{f'-{size}' if size else ''}.npy",
            case,
            lambda volume: encoder.superpatches(volume, cancelled, size).packed(),
        )
        return encoder.unpack(np.array(read_array(path)))

    def tokens(
        self, encoder: Encoder, case: Case, content: str, level: int, cancelled: Callable[[], bool]
    ) -> Path:
        """The file of the token vectors of a scan, (N, C) float16; see `Encoder.tokens`.

        Raises:
            Cancelled: `cancelled` returned True.
            VolumeError: the scan cannot be read, or the folder cannot be written.
        """
        return self._kept(
            self.folder / encoder.key / f"{content}-level{level}.npy",
            case,
            lambda volume: encoder.tokens(volume, level, cancelled),
        )

    def scan(self, encoder: Encoder, case: Case, content: str) -> Path:
        """The file of a scan as the encoder sees it, (k, j, i) float16; see `Encoder.prepared`.

        Raises:
            VolumeError: the scan cannot be read, or the folder cannot be written.
        """
        return self._kept(self.folder / encoder.key / f"{content}-scan.npy", case, encoder.prepared)

    def _kept(self, path: Path, case: Case, compute: Callable[[Volume], np.ndarray]) -> Path:
        if path.exists():
            try:
                read_array(path)
            except ValueError:
                path.unlink()  # a damaged array is computed anew
            else:
                return path
        found = compute(read_scan(case.path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_array(path, found)
        except OSError as error:
            raise VolumeError(
                f"The features cannot be kept: {why_unwritable(path.parent, error)}."
            ) from error
        return path
