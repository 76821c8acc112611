"""The segmentation job: a trained model outlines its structures in one scan. Needs no PyTorch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore import __version__
from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError
from MAESILCore.files import write_array, write_json
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.reconstruction import RESULT, Matrix
from MAESILCore.jobs.scanjob import matrix_of, new_scan_job, scan_of_job
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
    request = SegmentationRequest(
        matrix_of(volume), str(model), name=volume.name, notes=volume.notes, **choices
    )
    return new_scan_job(root, volume, NAME, asdict(request))


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
    volume, model = (
        scan_of_job(folder.path, request.ijk_to_ras, request.name, request.notes),
        load_segmentation_model(request.model),
    )
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


KIND = Kind("segmentation", _run)
