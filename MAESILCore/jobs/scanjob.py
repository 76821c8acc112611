"""The folder of a job on one scan: the voxels beside the request."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import read_array, write_array
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.reconstruction import JOB_PREFIX, VOXELS, Matrix
from MAESILCore.jobs.wording import sentence


def new_scan_job(root: Path, volume: Volume, kind: str, content: Mapping[str, Any]) -> Path:
    """Create the folder of a job with its scan and request.

    Args:
        root: parent folder, created if missing; only this user can read the job folder.
        volume: the scan.
        kind: the kind of job in `job.json`.
        content: the request for `job.json`.

    Raises:
        VolumeError: the folder cannot be written. No files remain.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=root))
        try:
            write_array(folder / VOXELS, volume.voxels)
            JobFolder(folder).describe(kind, content)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise VolumeError(message_of_os_error(error)) from error
    return folder


def matrix_of(volume: Volume) -> Matrix:
    """The IJK-to-RAS matrix of a scan, as a request holds it."""
    return tuple(tuple(row) for row in volume.ijk_to_ras.tolist())


def scan_of_job(folder: Path, ijk_to_ras: Matrix, name: str, notes: tuple[str, ...]) -> Volume:
    """The scan in the folder of a job.

    Raises:
        ConfigError: the voxels are damaged.
    """
    try:
        voxels = read_array(folder / VOXELS)
    except ValueError as error:
        raise ConfigError(sentence("features.damaged", name=VOXELS)) from error
    return Volume(voxels, np.array(ijk_to_ras), name, notes)
