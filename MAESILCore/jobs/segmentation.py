"""The segmentation job: a trained model outlines its structures in one scan. Needs no PyTorch here."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import read_array, write_array, write_json
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.reconstruction import JOB_PREFIX, RESULT, VOXELS, Matrix
from MAESILCore.jobs.wording import sentence
from MAESILCore.options import check_batch_size, check_device

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

#: The kind of job in `job.json`.
NAME = "segmentation"

#: Result files: (k, j, i) uint8 and (k, j, i) float32 from 0 to 1. `RESULT` is written last.
LABELS, UNCERTAINTY = "labels.npy", "uncertainty.npy"


@dataclass(frozen=True)
class SegmentationRequest:
    """The request of the segmentation of one scan, without the voxels, which are (k, j, i) in `voxels.npy`.

    Attributes:
        ijk_to_ras: (4, 4) geometry of the scan.
        model: run folder or checkpoint of a segmentation training.
        name: name of the scan.
        notes: notes on the scan.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: tiles per pass; None is the device's default.
    """

    ijk_to_ras: Matrix
    model: str
    name: str = ""
    notes: tuple[str, ...] = ()
    device: str = "auto"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Check all that needs neither the model nor PyTorch.

        Raises:
            ConfigError: device or batch size is invalid.
        """
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        check_device(self.device)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> SegmentationRequest:
        """The request in the content of a `job.json`.

        Raises:
            ConfigError: the content is damaged or of another version.
        """
        try:
            values = dict(content)
            unknown = set(values) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            values["ijk_to_ras"] = tuple(tuple(map(float, row)) for row in values["ijk_to_ras"])
            values["notes"] = tuple(values.get("notes", ()))
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(sentence("features.request", reason=str(error))) from error


def prepare_segmentation(root: Path, volume: Volume, model: str | Path, **choices: Any) -> Path:  # noqa: ANN401
    """Create the folder of a segmentation job with its scan and request.

    Args:
        root: parent folder, created if missing; only this user can read the job folder.
        volume: the scan.
        model: run folder or checkpoint of a segmentation training.
        choices: further fields of `SegmentationRequest`.

    Returns:
        The folder, for `JobProcess`.

    Raises:
        ConfigError: a choice is invalid.
        VolumeError: the folder cannot be written. No files remain.
    """
    matrix = tuple(tuple(row) for row in volume.ijk_to_ras.tolist())
    request = SegmentationRequest(matrix, str(model), name=volume.name, notes=volume.notes, **choices)
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX, dir=root))
        try:
            write_array(folder / VOXELS, volume.voxels)
            JobFolder(folder).describe(NAME, asdict(request))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise VolumeError(message_of_os_error(error)) from error
    return folder


def _run(
    folder: JobFolder, content: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    began = time.monotonic()
    request = SegmentationRequest.of(content)
    progress.report(sentence("segmentation.loading"))
    # Import PyTorch only here, so that a job without it fails with a clear message.
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.downstream.segmentation.inference import segment
    from MAESILCore.downstream.segmentation.model import load_segmentation_model

    device = pick_device(request.device)
    name = describe_device(device)
    volume, model = _volume(folder.path, request), load_segmentation_model(request.model)
    progress.plan({"writing": 1.0})
    computing = sentence("segmentation.computing", device=name)
    progress.emit(Event("started", computing, fields={"device": name}))
    progress.begin(computing)
    result = segment(
        volume,
        model,
        batch_size=request.batch_size,
        device=str(device),
        progress=lambda done, total: progress.passes(
            done, total, sentence("segmentation.passes", done=done, total=total)
        ),
        cancelled=stopped,
    )
    progress.stage("writing", sentence("segmentation.writing"))
    write_array(folder.path / LABELS, result.segmentation.labels)
    write_array(folder.path / UNCERTAINTY, result.uncertainty)
    facts = {"model": model.name, "device": name, "seconds": round(time.monotonic() - began, 1)}
    content = {
        "name": volume.name,
        **facts,
        "structures": [
            {"value": one.value, "name": one.name, "color": one.color, "terminology": one.terminology}
            for one in result.segmentation.segments
        ],
        "millilitres": result.millilitres,
        "notes": list(volume.notes),
        "maesil": __version__,
    }
    write_json(folder.path / RESULT, content)
    found = any(result.millilitres.values())
    return sentence("segmentation.done" if found else "segmentation.nothing", **facts)


def _volume(folder: Path, request: SegmentationRequest) -> Volume:
    try:
        voxels = read_array(folder / VOXELS)
    except ValueError as error:
        raise ConfigError(sentence("features.damaged", name=VOXELS)) from error
    return Volume(voxels, np.array(request.ijk_to_ras), request.name, request.notes)


KIND = Kind("segmentation", _run)
