"""Makes an index of a folder of scans; may be killed at any point and started again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.search import arrays
from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.layout import (
    LOCK,
    SCANS,
    IndexedScan,
    ScanFile,
    matrix_of,
    write_scan,
)
from MAESILCore.downstream.search.reading import read_all
from MAESILCore.downstream.search.settings import refuse_foreign, settings_of
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import UNFINISHED, why_unwritable, write_whole
from MAESILCore.inference import encode
from MAESILCore.inference.network import expects_hu
from MAESILCore.jobfolder.lock import Lock
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.store.sources import find, state_of

#: Called with the bytes that are done, all bytes, and a message.
ProgressCallback = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Summary:
    """The index after `build_index`.

    Attributes:
        scans: number of scans.
        added: number of those that this call read.
        rows: number of boxes.
        left_out: (file, reason) of the scans that cannot be used.
    """

    scans: int
    added: int
    rows: int
    left_out: tuple[tuple[str, str], ...]


def build_index(
    folder: Path,
    index: Path,
    *,
    model: str | None = None,
    level: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    progress: ProgressCallback = lambda done, total, message: None,
    cancelled: Callable[[], bool] | None = None,
) -> Summary:
    """Index the features of every scan at and below a folder.

    Features are pooled to boxes of about 16 voxels per edge, of which those that hold more than air are stored. Scans
    that are in the index and have the same size and time are not read again; those that are gone are removed.

    Args:
        folder: the folder of the scans.
        index: folder of the index, created if missing.
        model: checkpoint file, run folder or bundled name; None keeps that of the index, or takes the default one.
        level: index of the feature level, negative ones from the deepest; None keeps that of the index, or takes the
            deepest.
        batch_size: superpatches per pass; None is the device's default.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: called after each pass.
        cancelled: called before each pass; True stops the work. What was read stays for the next call.

    Raises:
        Cancelled: `cancelled` returned True.
        CheckpointError: the model is missing or damaged.
        ConfigError: the index has another model, level or folder, is in use by another process, or cannot be written.
        VolumeError: there is no scan, or none can be used.
    """
    refuse_foreign(index)
    root = folder if folder.is_dir() else folder.parent
    found = find([folder], index)
    with _sentences_for_disks(index):
        (index / SCANS).mkdir(parents=True, exist_ok=True)
        with Lock(index / LOCK):
            loaded, description = settings_of(index, root, model, level)
            left_out = [(entry.name, entry.reason) for entry in found.left_out]
            building = _Building(index, root, loaded, description.level, batch_size, device, cancelled)
            building.run(found.scans, progress)
            left_out += building.left_out
            description = replace(description, left_out=tuple(left_out))
            if not building.kept:
                raise VolumeError(
                    f"No scan of {folder} can be indexed: {'; '.join(with_name(*one) for one in left_out[:3])}"
                )
            description = arrays.join(
                index,
                description,
                building.kept,
                cancelled,
                lambda done, total: progress(done, total, "joining"),
            )
    rows = sum(scan.rows for scan in description.scans)
    return Summary(len(description.scans), building.added, rows, description.left_out)


@contextmanager
def _sentences_for_disks(index: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = why_unwritable(index, error)
        raise ConfigError(f"The index {index} cannot be written: {reason}; run again to go on.") from error


class _Building:
    """An index while scans are added.

    Attributes:
        kept: the scans of the index, in the order of the folder.
        left_out: (file, reason).
        added: number of scans that were read.
    """

    def __init__(
        self,
        index: Path,
        root: Path,
        model: LoadedModel,
        level: int,
        batch_size: int | None,
        device: str,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._folder, self._root = index / SCANS, Path(os.path.abspath(root))
        self._model, self._level = model, level
        self._batch_size, self._device, self._cancelled = batch_size, device, cancelled
        self.kept: list[ScanFile] = []
        self.left_out: list[tuple[str, str]] = []
        self.added = 0
        for left in [*index.glob(f"{UNFINISHED}*"), *self._folder.glob(f"{UNFINISHED}*")]:
            shutil.rmtree(left, ignore_errors=True)

    def run(self, scans: tuple[FoundScan, ...], progress: ProgressCallback) -> None:
        """Read the scans that are new or have changed; remove those that are gone."""
        states = [state_of(scan.path) for scan in scans]
        known = [self._known(scan, state) for scan, state in zip(scans, states, strict=True)]
        done, total = 0, sum(size for (size, _), files in zip(states, known, strict=True) if not files)
        for number, (scan, state, files) in enumerate(zip(scans, states, known, strict=True), start=1):
            if files:
                self.kept += files
                continue
            message = f"{number} of {len(scans)} scans"
            progress(done, total, message)

            def passed(share: float, before: int = done, size: int = state[0], text: str = message) -> None:
                progress(before + int(share * size), total, text)

            self._add(scan, state, passed)
            done += state[0]
            progress(done, total, message)
        names = {file.path.name for file in self.kept}
        for path in self._folder.iterdir():
            if path.name not in names:
                path.unlink()

    def _known(self, scan: FoundScan, state: tuple[int, int]) -> list[ScanFile]:
        """The files of a scan that has not changed, one per series; none if it must be read."""
        files: list[ScanFile] = []
        while True:
            file = ScanFile.read(self._file(scan, len(files)))
            if file is None or (file.scan.size, file.scan.modified) != state:
                return files
            files.append(file)

    def _file(self, scan: FoundScan, part: int) -> Path:
        key = hashlib.blake2b(os.fsencode(self._path(scan)), digest_size=16).hexdigest()
        return self._folder / f"{key}-{part}.npz"

    def _path(self, scan: FoundScan) -> str:
        return os.path.relpath(os.path.abspath(scan.path), self._root)

    def _add(self, scan: FoundScan, state: tuple[int, int], passed: Callable[[float], None]) -> None:
        """Read a scan, or all series of a folder, and write their boxes."""
        usable: list[tuple[IndexedScan, PooledBoxes]] = []
        for place, read in enumerate(read_all(scan, expects_hu(self._model))):
            boxes: PooledBoxes | str = read.reason
            if read.volume is not None:
                boxes = self._boxes(read.volume, partial(_passed, passed, place, read.count))
            if isinstance(boxes, str) or read.volume is None:
                self.left_out.append((read.name, str(boxes)))
                continue
            entry = IndexedScan(
                file=scan.file,
                path=self._path(scan),
                series=read.series,
                size=state[0],
                modified=state[1],
                shape=read.volume.shape,
                ijk_to_ras=matrix_of(read.volume.ijk_to_ras),
                lattice_shape=boxes.shape,
                lattice_to_ras=matrix_of(boxes.lattice_to_ras),
                rows=len(boxes.numbers),
            )
            usable.append((entry, boxes))
        self._write(scan, usable)

    def _boxes(self, volume: Volume, progress: Callable[[int, int], None]) -> PooledBoxes | str:
        """The boxes of a scan, or why it has none."""
        try:
            features = encode(
                volume,
                self._model,
                self._level,
                batch_size=self._batch_size,
                device=self._device,
                progress=progress,
                cancelled=self._cancelled,
            )
        except VolumeError as error:
            return str(error)
        boxes = PooledBoxes.of(features)
        return boxes if len(boxes.numbers) else "it holds only air"

    def _write(self, scan: FoundScan, usable: list[tuple[IndexedScan, PooledBoxes]]) -> None:
        """Write the files of a scan, the first one last: it tells that the scan is known."""
        for part in range(len(usable) - 1, -1, -1):
            entry, boxes = usable[part]
            with write_whole(self._file(scan, part)) as unfinished:
                write_scan(unfinished, entry, boxes.vectors, boxes.numbers)
        with suppress(FileNotFoundError):  # series that the folder had before
            self._file(scan, len(usable)).unlink()
        self.kept += self._known(scan, (usable[0][0].size, usable[0][0].modified)) if usable else []
        self.added += len(usable)


def _passed(passed: Callable[[float], None], place: int, count: int, done: int, total: int) -> None:
    passed((place + done / total) / count)
