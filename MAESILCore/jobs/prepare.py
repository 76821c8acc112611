"""Makes the folder of a job."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.errors import VolumeError
from MAESILCore.jobs.failures import sentence_of_os_error
from MAESILCore.jobs.files import MASK, VOXELS, write_array
from MAESILCore.jobs.request import ReconstructionRequest
from MAESILCore.lattice import Mask

#: Every job's folder begins with this.
JOB_PREFIX = "maesil-job-"

#: Results are float32: reconstruction, mosaic, error and uncertainty; other files take about as much as two more.
_RESULT_BYTES, _EXPORT_BYTES = 16, 8


def prepare_job(
    root: Path,
    volume: Volume,
    *,
    mask: Mask | None = None,
    **choices: Any,  # noqa: ANN401 - those of ReconstructionRequest
) -> ReconstructionRequest:
    """Make a job's folder and write the scan and the request into it.

    Args:
        root: where the folder is made, itself made if need be; only this user can look into the folder.
        volume: the scan.
        mask: the very mask to use, on the patch lattice of the model's grid; None has one drawn.
        choices: fields of `ReconstructionRequest`.

    Raises:
        ConfigError: a choice does not fit.
        VolumeError: the folder cannot be written, or the disk has no room for the results. Nothing is left.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        _check_room(root, volume, export=bool(choices.get("export")))
        folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=root))
        try:
            request = ReconstructionRequest(
                folder=folder,
                ijk_to_ras=tuple(tuple(row) for row in volume.ijk_to_ras.tolist()),
                name=volume.name,
                notes=volume.notes,
                has_mask=mask is not None,
                **choices,
            )
            _ = request.strategy
            write_array(folder / VOXELS, volume.voxels)
            if mask is not None:
                write_array(folder / MASK, mask.stages)
            request.write()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise VolumeError(sentence_of_os_error(error)) from error
    return request


def _check_room(root: Path, volume: Volume, *, export: bool) -> None:
    """See that input and results fit on the disk, before minutes of work rather than after."""
    per_voxel = volume.voxels.dtype.itemsize + _RESULT_BYTES + (_EXPORT_BYTES if export else 0)
    needed = per_voxel * int(np.prod(volume.shape))
    free = shutil.disk_usage(root).free
    if free < needed:
        message = (
            f"This reconstruction needs {needed / 1e9:.1f} GB on the disk of {root}, which has {free / 1e9:.1f} GB "
            "free; free some space, or let temporary files go to another disk."
        )
        raise VolumeError(message)
