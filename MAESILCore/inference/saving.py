"""Saves the files of a reconstruction together: all or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.formats.voxeltypes import fits_int16, rounded
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import VolumeError
from MAESILCore.files import write_together
from MAESILCore.inference.result import Reconstruction

#: All files of a reconstruction. Saving removes those of an earlier result that the new one lacks.
FILES = (
    "reconstruction.nii.gz",
    "mosaic.nii.gz",
    "error.nii.gz",
    "uncertainty.nii.gz",
    "mask.nii.gz",
    "mask_lattice.nii.gz",
    "metrics.json",
    "report.png",
)

#: Limit in bytes for rounded copies in memory at a time; one copy may exceed it.
_MEMORY_FOR_COPIES = 300 * 2**20


def save_reconstruction(
    result: Reconstruction,
    folder: str | Path,
    *,
    metrics: Mapping[str, Any] | None = None,
    draw_report: Callable[[Path], object] | None = None,
) -> list[Path]:
    """Write a reconstruction to a folder, which is created if missing; an earlier result is replaced.

    Volumes are rounded to int16 HU if the input holds such values; else they are float32. The mask is written as uint8
    stages twice: in the volume's geometry, and on the patch lattice.

    Args:
        result: the result of `reconstruct`.
        folder: the target folder.
        metrics: written as `metrics.json`.
        draw_report: callback that writes `report.png` to the given path.

    Returns:
        The files, in the order of `FILES`.

    Raises:
        VolumeError: the folder cannot be written.
    """
    # Compression takes nearly all of the time: it runs in parallel, and during the drawing.
    with _published(Path(folder)) as unfinished, ThreadPoolExecutor(_writers(result.volume)) as pool:
        written = [pool.submit(write, unfinished / name) for name, write in _volume_writers(result).items()]
        if metrics is not None:
            text = json.dumps(metrics, indent=2, allow_nan=False)
            (unfinished / "metrics.json").write_text(text + "\n", encoding="utf-8")
        if draw_report is not None:
            draw_report(unfinished / "report.png")
        for file in written:
            file.result()
    return [Path(folder) / name for name in FILES if (Path(folder) / name).exists()]


def _writers(volume: Volume) -> int:
    """Number of files written at a time; each may need a rounded copy of the volume."""
    return int(np.clip(_MEMORY_FOR_COPIES // (2 * volume.voxels.size), 1, 4))


def _volume_writers(result: Reconstruction) -> dict[str, Callable[[Path], None]]:
    """Write functions by file name."""
    is_whole = fits_int16(result.volume.voxels.dtype, *result.volume.value_range)
    write = _write_rounded if is_whole else write_volume
    in_hu = [result.reconstruction, result.mosaic, result.error, result.uncertainty]
    writers: dict[str, Callable[[Path], None]]
    writers = {name: partial(write, v) for name, v in zip(FILES, in_hu, strict=False) if v is not None}
    mask = result.volume.with_voxels(result.grid.expand(result.mask.stages))
    lattice = Volume(result.mask.stages, result.grid.lattice_to_ras(result.volume.ijk_to_ras))
    writers["mask.nii.gz"] = partial(write_volume, mask)
    writers["mask_lattice.nii.gz"] = partial(write_volume, lattice)
    return writers


def _write_rounded(volume: Volume, path: Path) -> None:
    write_volume(volume.with_voxels(rounded(volume.voxels)), path)


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A temporary folder; its files move to `folder` once all are written."""
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with write_together(folder) as unfinished:
                yield unfinished
                made = {file.name for file in unfinished.iterdir()}
            for name in set(FILES) - made:
                (folder / name).unlink(missing_ok=True)
        except BaseException:
            if is_new:
                with suppress(OSError):  # another program has written to it
                    folder.rmdir()
            raise
    except OSError as error:
        message = (
            f"The results cannot be written to {folder}: {error.strerror or error}. Choose another folder."
        )
        raise VolumeError(message) from error
