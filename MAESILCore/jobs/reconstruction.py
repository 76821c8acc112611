"""The reconstruction job: its request and its folder. `reconstruct` does the work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import write_array
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.lattice import Mask, MaskStrategy
from MAESILCore.options import check_batch_size, check_coverage, check_device
from MAESILCore.wording import Sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

Matrix = tuple[tuple[float, ...], ...]

#: The kind of job in `job.json`, and its noun.
NAME = "reconstruction"

#: Input files in its folder; the mask is also a result.
VOXELS, MASK = "voxels.npy", "mask.npy"
#: Result files, and the folder of exported files.
METRICS, SUPERPATCHES, RESULT = "metrics.json", "superpatches.json", "result.json"
EXPORT = "export"

#: Prefix of the folder's name.
JOB_PREFIX = "maesil-job-"

_STRATEGY = tuple(one.name for one in fields(MaskStrategy))

#: Bytes per voxel: four float32 volumes (reconstruction, mosaic, error, uncertainty), and about two more for exports.
_RESULT_BYTES, _EXPORT_BYTES = 16, 8


@dataclass(frozen=True)
class ReconstructionRequest:
    """The request of one reconstruction, without the voxels.

    No pydantic: 3D Slicer makes requests before MAESIL's packages are installed.

    Attributes:
        folder: the job folder, with the scan in `voxels.npy` (k, j, i). Not written to `job.json`, so that a job can
            be moved.
        ijk_to_ras: (4, 4) geometry of the scan.
        name: name of the scan.
        notes: notes on the scan.
        model: checkpoint file, run folder or bundled name; None is the default bundled model.
        strategy: draws the masks.
        seed: seed of the masks.
        coverage: number of masks that together hide every patch; 0 for a single mask.
        has_mask: whether `mask.npy` holds the mask's stages (Dk, Dj, Di); else a mask is drawn.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches per pass; None is the device's default.
        overlap: least overlap of neighbouring superpatches in voxels; None is `usual_overlap`.
        window: HU in which the model predicts; None is the model's window, or that of its intensity.
        scores: whether the whole volume is scored, which takes time; superpatches always are.
        export: whether files for other programs and a report are written to the folder `export`.
        controls: names of the controls to score; for a single mask only.
    """

    folder: Path
    ijk_to_ras: Matrix
    name: str = ""
    notes: tuple[str, ...] = ()
    model: str | None = None
    strategy: MaskStrategy = field(default_factory=MaskStrategy)
    seed: int = 0
    coverage: int = 0
    has_mask: bool = False
    device: str = "auto"
    batch_size: int | None = None
    overlap: int | None = None
    window: tuple[float, float] | None = None
    scores: bool = True
    export: bool = False
    controls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check here, before the job, all that needs neither the model nor PyTorch.

        Raises:
            ConfigError: coverage, device, batch size or window is invalid, or controls are given with a coverage.
        """
        object.__setattr__(self, "coverage", check_coverage(self.coverage))
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        check_device(self.device)
        if self.window is not None:
            Window(*self.window)
        if self.controls and self.coverage:
            raise ConfigError("Fills without learning are compared on a single mask; choose no coverage.")

    @property
    def options(self) -> dict[str, Any]:
        """The mask options to store with the results."""
        drawn = {} if self.has_mask else self.strategy.options
        return {"seed": self.seed, "coverage": self.coverage, **drawn}

    @classmethod
    def read(cls, folder: Path) -> ReconstructionRequest:
        """Read the `job.json` of a folder.

        Raises:
            ConfigError: the file is missing, damaged, of another version, or of another kind of job.
        """
        kind, content = JobFolder(folder).description()
        if kind != NAME:
            raise ConfigError(f"The job in the folder is of the kind {kind}, not {NAME}.")
        return cls.of(folder, content)

    @classmethod
    def of(cls, folder: Path, content: Mapping[str, Any]) -> ReconstructionRequest:
        """The request in the content of a `job.json`.

        Raises:
            ConfigError: the content is damaged or of another version.
        """
        try:
            values = dict(content)
            values["ijk_to_ras"] = tuple(tuple(map(float, row)) for row in values["ijk_to_ras"])
            if values.get("window") is not None:
                low, high = map(float, values["window"])
                values["window"] = low, high
            values["notes"] = tuple(values.get("notes", ()))
            values["controls"] = tuple(values.get("controls", ()))
            # Earlier versions wrote the strategy's fields at the top level.
            flat = {name: values.pop(name) for name in _STRATEGY if name in values}
            values["strategy"] = MaskStrategy(**values.get("strategy", flat))
            unknown = set(values) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(folder=folder, **values)
        except (ValueError, TypeError, KeyError) as error:
            message = f"The job's description job.json cannot be read ({error}); start the job again."
            raise ConfigError(message) from error


def prepare_reconstruction(
    root: Path,
    volume: Volume,
    *,
    mask: Mask | None = None,
    **choices: Any,  # noqa: ANN401 - those of ReconstructionRequest
) -> ReconstructionRequest:
    """Create the folder of a reconstruction job with its scan and request.

    Args:
        root: parent folder, created if missing; only this user can read the job folder.
        volume: the scan.
        mask: a mask on the patch lattice of the model's grid; None draws one.
        choices: fields of `ReconstructionRequest`.

    Raises:
        ConfigError: a choice is invalid.
        VolumeError: the folder cannot be written, or the disk lacks space for the results. No files remain.
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
            write_array(folder / VOXELS, volume.voxels)
            if mask is not None:
                write_array(folder / MASK, mask.stages)
            content = asdict(request)
            del content["folder"]
            JobFolder(folder).describe(NAME, content)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise VolumeError(message_of_os_error(error)) from error
    return request


def _check_room(root: Path, volume: Volume, *, export: bool) -> None:
    """Check the free disk space for input and results before the work."""
    per_voxel = volume.voxels.dtype.itemsize + _RESULT_BYTES + (_EXPORT_BYTES if export else 0)
    needed = per_voxel * int(np.prod(volume.shape))
    free = shutil.disk_usage(root).free
    if free < needed:
        message = Sentence(
            "job.no-space",
            "This reconstruction needs {needed:.1f} GB on the disk of {folder}, which has {free:.1f} GB free; free "
            "some space, or move the folder for temporary files to another disk.",
            needed=needed / 1e9,
            folder=str(root),
            free=free / 1e9,
        )
        raise VolumeError(message)


def _run(
    folder: JobFolder, request: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    from MAESILCore.jobs.reconstruct import Work

    return Work(ReconstructionRequest.of(folder.path, request), progress, stopped).run()


KIND = Kind(NAME, _run)
