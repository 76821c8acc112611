"""The job of a reconstruction: what is asked for, and how its folder is made. `reconstruct` does the work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.files import write_array
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.lattice import Mask, MaskStrategy
from MAESILCore.options import check_batch_size, check_coverage, check_device

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

Matrix = tuple[tuple[float, ...], ...]

NAME, NOUN = "reconstruction", "reconstruction"

#: The files of its folder: what is asked for, the mask also being part of what comes of it.
VOXELS, MASK = "voxels.npy", "mask.npy"
#: What comes of it.
METRICS, SUPERPATCHES, RESULT = "metrics.json", "superpatches.json", "result.json"
EXPORT = "export"

#: The name of the folder begins with this.
JOB_PREFIX = "maesil-job-"

_STRATEGY = tuple(one.name for one in fields(MaskStrategy))

#: Results are float32: reconstruction, mosaic, error and uncertainty; other files take about as much as two more.
_RESULT_BYTES, _EXPORT_BYTES = 16, 8


@dataclass(frozen=True)
class ReconstructionRequest:
    """One reconstruction, all of it but the voxels.

    No pydantic: the program that asks (3D Slicer) need not have any of MAESIL's packages yet.

    Attributes:
        folder: the job's own, with the scan in `voxels.npy` (k, j, i). Not written to `job.json`, so that a job can
            be moved.
        ijk_to_ras: (4, 4), of the scan.
        name: of the scan.
        notes: sentences that belong to the scan.
        model: checkpoint file, run folder or bundled name; None is the default bundled model.
        strategy: how masks are drawn.
        seed: of the masks.
        coverage: masks that together hide every patch; 0 for a single one.
        has_mask: the stages of the mask's patches (Dk, Dj, Di) are given in `mask.npy`, so none is drawn.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches a pass; None leaves it to the device.
        overlap: voxels that superpatches share; None is a quarter of one.
        scores: whether the volume as a whole is scored, which takes time; its superpatches always are.
        export: whether files for other programs and a report are written to the folder `export` as well.
        controls: names of the fills without learning that are scored as well; for a single mask only.
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
    scores: bool = True
    export: bool = False
    controls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See what needs neither the model nor PyTorch at once, and not in the job.

        Raises:
            ConfigError: coverage, device or batch size cannot be, or controls go with a coverage.
        """
        object.__setattr__(self, "coverage", check_coverage(self.coverage))
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        check_device(self.device)
        if self.controls and self.coverage:
            raise ConfigError("Fills without learning are compared on a single mask: choose no coverage.")

    @property
    def options(self) -> dict[str, Any]:
        """What belongs beside the results: how the masks came about."""
        drawn = {} if self.has_mask else self.strategy.options
        return {"seed": self.seed, "coverage": self.coverage, **drawn}

    def write(self) -> None:
        """Write `job.json` into the folder.

        Raises:
            OSError: it cannot be written.
        """
        content = asdict(self)
        del content["folder"]
        JobFolder(self.folder).describe(NAME, content)

    @classmethod
    def read(cls, folder: Path) -> ReconstructionRequest:
        """Read the `job.json` of a folder.

        Raises:
            ConfigError: it is missing, damaged, written by another version, or that of another kind of job.
        """
        kind, content = JobFolder(folder).description()
        if kind != NAME:
            raise ConfigError(f"The job in the folder is of the kind {kind}; it is no {NOUN}.")
        return cls.of(folder, content)

    @classmethod
    def of(cls, folder: Path, content: Mapping[str, Any]) -> ReconstructionRequest:
        """The request that a `job.json` holds.

        Raises:
            ConfigError: it is damaged or written by another version.
        """
        try:
            values = dict(content)
            values["ijk_to_ras"] = tuple(tuple(map(float, row)) for row in values["ijk_to_ras"])
            values["notes"] = tuple(values.get("notes", ()))
            values["controls"] = tuple(values.get("controls", ()))
            # Earlier versions wrote the strategy's fields without the strategy.
            flat = {name: values.pop(name) for name in _STRATEGY if name in values}
            values["strategy"] = MaskStrategy(**values.get("strategy", flat))
            unknown = set(values) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(folder=folder, **values)
        except (ValueError, TypeError, KeyError) as error:
            message = f"The job's description job.json cannot be read ({error}); start the {NOUN} again."
            raise ConfigError(message) from error


def prepare_reconstruction(
    root: Path,
    volume: Volume,
    *,
    mask: Mask | None = None,
    **choices: Any,  # noqa: ANN401 - those of ReconstructionRequest
) -> ReconstructionRequest:
    """Make the folder of a reconstruction and write the scan and the request into it.

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
            write_array(folder / VOXELS, volume.voxels)
            if mask is not None:
                write_array(folder / MASK, mask.stages)
            request.write()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise VolumeError(message_of_os_error(error, NOUN).text) from error
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


def _run(
    folder: JobFolder, request: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    from MAESILCore.jobs.reconstruct import Work

    return Work(ReconstructionRequest.of(folder.path, request), progress, stopped).run()


KIND = Kind(NOUN, _run)
