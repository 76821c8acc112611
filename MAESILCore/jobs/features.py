"""The features job: the feature vectors of a volume and their colours. Needs no PyTorch here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore import __version__
from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.files import write_array, write_json
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.reconstruction import RESULT, Matrix
from MAESILCore.jobs.scanjob import matrix_of, new_scan_job, scan_of_job
from MAESILCore.jobs.wording import sentence
from MAESILCore.lattice import pca_colours
from MAESILCore.options import check_batch_size, check_device

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

#: The kind of job in `job.json`, and its noun.
NAME = "features"

#: Result files: (C, Dk, Dj, Di) float32, (3, Dk, Dj, Di) uint8, (Dk, Dj, Di) bool. `RESULT` is written last.
VECTORS, COLOURS, BODY = "vectors.npy", "colours.npy", "body.npy"


@dataclass(frozen=True)
class FeaturesRequest:
    """The request of the features of one scan, without the voxels, which are (k, j, i) in `voxels.npy`.

    Attributes:
        ijk_to_ras: (4, 4) geometry of the scan.
        name: name of the scan.
        notes: notes on the scan.
        model: checkpoint file, run folder or bundled name; None is the default bundled model.
        level: index of the model's feature level; negative ones count from the deepest.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches per pass; None is the device's default.
        window: HU in which the model takes the scan; None is the model's window, or that of its intensity.
    """

    ijk_to_ras: Matrix
    name: str = ""
    notes: tuple[str, ...] = ()
    model: str | None = None
    level: int = -1
    device: str = "auto"
    batch_size: int | None = None
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check all that needs neither the model nor PyTorch.

        Raises:
            ConfigError: device, batch size or window is invalid.
        """
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        check_device(self.device)
        if self.window is not None:
            Window(*self.window)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> FeaturesRequest:
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
            if values.get("window") is not None:
                low, high = map(float, values["window"])
                values["window"] = low, high
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(sentence("features.request", reason=str(error))) from error


def prepare_features(root: Path, volume: Volume, **choices: Any) -> Path:  # noqa: ANN401 - of FeaturesRequest
    """Create the folder of a features job with its scan and request.

    Args:
        root: parent folder, created if missing; only this user can read the job folder.
        volume: the scan.
        choices: fields of `FeaturesRequest`.

    Returns:
        The folder, for `JobProcess`.

    Raises:
        ConfigError: a choice is invalid.
        VolumeError: the folder cannot be written. No files remain.
    """
    request = FeaturesRequest(ijk_to_ras=matrix_of(volume), name=volume.name, notes=volume.notes, **choices)
    return new_scan_job(root, volume, NAME, asdict(request))


def _run(
    folder: JobFolder, content: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    began = time.monotonic()
    request = FeaturesRequest.of(content)
    progress.report(sentence("features.loading"))
    # Import PyTorch only here, so that a job without it fails with a clear message.
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.inference import encode
    from MAESILCore.models.catalogue import hash_of_model, resolve
    from MAESILCore.models.checkpoint import load_checkpoint

    device = pick_device(request.device)
    name = describe_device(device)
    volume = scan_of_job(folder.path, request.ijk_to_ras, request.name, request.notes)
    model = load_checkpoint(request.model)
    progress.plan({"writing": 1.0})
    computing = sentence("features.computing", device=name)
    progress.emit(Event("started", computing, fields={"device": name}))
    progress.begin(computing)
    features = encode(
        volume,
        model,
        request.level,
        batch_size=request.batch_size,
        device=str(device),
        window=None if request.window is None else Window(*request.window),
        progress=lambda done, total: progress.passes(
            done, total, sentence("features.passes", done=done, total=total)
        ),
        cancelled=stopped,
    )
    progress.stage("writing", sentence("features.writing"))
    write_array(folder.path / VECTORS, features.vectors)
    write_array(folder.path / COLOURS, np.moveaxis(pca_colours(features), -1, 0))
    write_array(folder.path / BODY, features.body)
    seconds = round(time.monotonic() - began, 1)
    facts = {"model": model.name, "device": name, "seconds": seconds}
    result = {
        "name": volume.name,
        **facts,
        # Features of one encoder can be compared with each other.
        "encoder": f"{hash_of_model(resolve(request.model))} {request.level % len(model.abilities.levels)}",
        "lattice_to_ras": features.lattice_to_ras.tolist(),
        "stride_kji": list(features.stride),
        "notes": [*volume.notes, *model.notes],
        "maesil": __version__,
    }
    write_json(folder.path / RESULT, result)
    return sentence("features.done", **facts)


KIND = Kind("computation of features", _run)
