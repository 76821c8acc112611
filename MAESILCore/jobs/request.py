"""What a job is asked to do, as the file `job.json` in the job's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.errors import ConfigError
from MAESILCore.jobs.files import JOB, write_json
from MAESILCore.options import check_batch_size, check_coverage, check_device

if TYPE_CHECKING:
    from MAESILCore.lattice import MaskStrategy

Matrix = tuple[tuple[float, ...], ...]


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
        mode: how masks are drawn, with the five below as in `masking.MaskStrategy`.
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
    mode: str = "nested"
    ratio: float = 0.75
    plane_ratio: float = 0.5
    axis_ratio: float = 0.5
    block_size: int = 2
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
    def strategy(self) -> MaskStrategy:
        """How masks are drawn.

        Raises:
            ConfigError: the mode or a ratio does not fit.
        """
        from MAESILCore.lattice import MaskStrategy

        return MaskStrategy(self.mode, self.ratio, self.plane_ratio, self.axis_ratio, self.block_size)

    @property
    def options(self) -> dict[str, Any]:
        """What belongs beside the results: how the masks came about.

        Raises:
            ConfigError: the mode or a ratio does not fit.
        """
        drawn = {} if self.has_mask else self.strategy.options
        return {"seed": self.seed, "coverage": self.coverage, **drawn}

    def write(self) -> None:
        """Write `job.json` into the folder.

        Raises:
            OSError: it cannot be written.
        """
        content = asdict(self)
        del content["folder"]
        write_json(self.folder / JOB, content)

    @classmethod
    def read(cls, path: Path) -> ReconstructionRequest:
        """Read a `job.json`.

        Raises:
            ConfigError: it is missing, damaged or written by another version.
        """
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            content["ijk_to_ras"] = tuple(tuple(map(float, row)) for row in content["ijk_to_ras"])
            content["notes"] = tuple(content.get("notes", ()))
            content["controls"] = tuple(content.get("controls", ()))
            unknown = set(content) - {field.name for field in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(folder=path.parent, **content)
        except FileNotFoundError as error:
            message = "The job's folder is gone or holds no job.json; start the reconstruction again."
            raise ConfigError(message) from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            message = (
                f"The job's description job.json cannot be read ({error}); start the reconstruction again."
            )
            raise ConfigError(message) from error
