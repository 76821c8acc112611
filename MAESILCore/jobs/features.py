"""The features job: the feature vectors of a volume and their colours. Needs no PyTorch here."""

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
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import read_array, write_array, write_json
from MAESILCore.jobfolder import Event, JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.reconstruction import JOB_PREFIX, RESULT, VOXELS, Matrix
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
    matrix = tuple(tuple(row) for row in volume.ijk_to_ras.tolist())
    request = FeaturesRequest(ijk_to_ras=matrix, name=volume.name, notes=volume.notes, **choices)
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
    request = FeaturesRequest.of(content)
    progress.report(sentence("features.loading"))
    # Import PyTorch only here, so that a job without it fails with a clear message.
    from MAESILCore.devices import describe_device, pick_device
    from MAESILCore.inference import encode
    from MAESILCore.models.catalogue import hash_of_model, resolve
    from MAESILCore.models.checkpoint import load_checkpoint

    device = pick_device(request.device)
    name = describe_device(device)
    volume, model = _volume(folder.path, request), load_checkpoint(request.model)
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


def _volume(folder: Path, request: FeaturesRequest) -> Volume:
    try:
        voxels = read_array(folder / VOXELS)
    except ValueError as error:
        raise ConfigError(sentence("features.damaged", name=VOXELS)) from error
    return Volume(voxels, np.array(request.ijk_to_ras), request.name, request.notes)


KIND = Kind("computation of features", _run)
