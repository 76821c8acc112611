"""The work of a reconstruction job: reads the request, predicts, writes the results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore import __version__
from MAESILCore.errors import Cancelled, ConfigError, MissingPackageError
from MAESILCore.files import read_array, write_array, write_json
from MAESILCore.jobfolder import Event
from MAESILCore.jobfolder.failures import sentence
from MAESILCore.jobs.estimate import measure_seconds_per_megavoxel, stages_of, voxels_to_pass
from MAESILCore.jobs.reconstruction import EXPORT, MASK, METRICS, RESULT, SUPERPATCHES, VOXELS
from MAESILCore.wording import Sentence

if TYPE_CHECKING:
    import numpy as np

    from MAESILCore.data.volume import Volume
    from MAESILCore.inference import Reconstruction
    from MAESILCore.jobs.progress import Progress
    from MAESILCore.jobs.reconstruction import ReconstructionRequest
    from MAESILCore.models.checkpoint import LoadedModel

#: Least number of superpatches for which the speed is measured first; below, the first pass is soon over.
_WORTH_MEASURING = 20


class Work:
    """One reconstruction.

    Args:
        request: the request of the job.
        progress: receives the progress.
        stopped: called between the steps; True ends the work.
    """

    def __init__(
        self, request: ReconstructionRequest, progress: Progress, stopped: Callable[[], bool]
    ) -> None:
        self._request, self._progress, self._stopped = request, progress, stopped

    def run(self) -> str:
        """Run the reconstruction; returns the closing sentence.

        Raises:
            MaesilError: an error that a user can fix, or `Cancelled`.
            OSError: a file of the job cannot be read or written.
        """
        began = time.monotonic()
        self._progress.report(Sentence("job.loading", "Loading PyTorch and the model."))
        # Import PyTorch only here, so that a job without it fails with a clear message.
        from MAESILCore.devices import describe_device, pick_device
        from MAESILCore.models.checkpoint import load_checkpoint

        device = pick_device(self._request.device)
        volume, model = self._read_volume(), load_checkpoint(self._request.model)
        name = describe_device(device)
        result = self._reconstruct(volume, model, str(device), name)
        notes = self._score_and_write(result, model.name)
        seconds = round(time.monotonic() - began, 1)
        facts = {"model": model.name, "device": name, "device_id": str(device), "seconds": seconds}
        write_result(result, self._request, facts, notes)
        return Sentence("job.done", "Reconstructed with {model} on {device} in {seconds:.0f} s.", **facts)

    def _reconstruct(self, volume: Volume, model: LoadedModel, device: str, name: str) -> Reconstruction:
        from MAESILCore.data.window import Window
        from MAESILCore.inference import reconstruct
        from MAESILCore.lattice import Mask, SuperpatchGrid, usual_overlap

        request, progress = self._request, self._progress
        sizes = model.superpatch_size, model.patch_size
        usual = usual_overlap(*sizes, volume.spacing[::-1])
        overlap = usual if request.overlap is None else request.overlap
        grid = SuperpatchGrid(volume.shape, *sizes, overlap)
        mask = Mask(self._read(MASK)) if request.has_mask else None
        controls = len(request.controls)
        progress.plan(
            stages_of(volume.voxels.size, scores=request.scores, export=request.export, controls=controls)
        )
        left, voxels = None, voxels_to_pass(grid, request.coverage, mask)
        if voxels >= _WORTH_MEASURING * math.prod(model.superpatch_size):
            rate = measure_seconds_per_megavoxel(model, device, request.batch_size)
            left = progress.expect(rate * voxels / 1e6)
        message = Sentence("job.reconstructing", "Reconstructing on {device}.", device=name)
        progress.emit(Event("started", message, seconds_left=left, fields={"device": name}))
        progress.begin(Sentence("job.first-passes", "Reconstructing: the first passes."))
        return reconstruct(
            volume,
            model,
            strategy=request.strategy,
            seed=request.seed,
            coverage=request.coverage,
            mask=mask,
            batch_size=request.batch_size,
            device=device,
            overlap=overlap,
            window=None if request.window is None else Window(*request.window),
            progress=progress.passes,
            cancelled=self._stopped,
        )

    def _score_and_write(self, result: Reconstruction, model: str) -> tuple[str, ...]:
        """Write all results but `result.json`; returns notes for it."""
        from MAESILCore.scoring.reconstruction import describe_metrics, score_reconstruction
        from MAESILCore.scoring.superpatches import superpatch_scores

        request, metrics = self._request, None
        self._begin("writing", Sentence("job.writing", "Writing the volumes."))
        write_arrays(result, request.folder)
        if request.scores:
            self._begin("scoring", _scoring(request.controls))
            scores = score_reconstruction(result, request.controls, cancelled=self._stopped)
            metrics = describe_metrics(result, model, request.options, scores)
            write_json(request.folder / METRICS, metrics)
        self._begin("superpatches", Sentence("job.superpatches", "Scoring the superpatches."))
        write_json(request.folder / SUPERPATCHES, superpatch_scores(result))
        if not request.export:
            return ()
        self._begin(
            "exporting", Sentence("job.exporting", "Writing files for other programs and the report.")
        )
        return write_export(result, request.folder, model, metrics)

    def _begin(self, stage: str, message: str) -> None:
        if self._stopped():
            raise Cancelled(sentence("job.cancelled"))
        self._progress.stage(stage, message)

    def _read_volume(self) -> Volume:
        import numpy as np

        from MAESILCore.data.volume import Volume

        request = self._request
        return Volume(self._read(VOXELS), np.array(request.ijk_to_ras), request.name, request.notes)

    def _read(self, name: str) -> np.ndarray:
        try:
            return read_array(self._request.folder / name)
        except ValueError as error:
            message = Sentence(
                "job.damaged", "The job's file {name} is damaged; start the job again.", name=name
            )
            raise ConfigError(message) from error


def _scoring(controls: Sequence[str]) -> Sentence:
    if not controls:
        return Sentence("job.scoring", "Scoring the reconstruction.")
    return Sentence(
        "job.scoring-fills",
        "Scoring the reconstruction and, for comparison, these fills: {fills}.",
        fills=", ".join(controls),
    )


def write_arrays(result: Reconstruction, folder: Path) -> None:
    """Write the volumes, (k, j, i) float32, and the mask's stages, (Dk, Dj, Di) uint8."""
    write_array(folder / MASK, result.mask.stages)
    for name, volume in _volumes(result).items():
        write_array(folder / f"{name}.npy", volume.voxels)


def _volumes(result: Reconstruction) -> dict[str, Volume]:
    volumes = {"reconstruction": result.reconstruction, "mosaic": result.mosaic, "error": result.error}
    return volumes if result.uncertainty is None else {**volumes, "uncertainty": result.uncertainty}


def write_export(
    result: Reconstruction, folder: Path, model: str, metrics: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Write the files of `maesil reconstruct` to the folder `export`; returns notes on missing files."""
    from MAESILCore.inference import save_reconstruction
    from MAESILCore.optional import require
    from MAESILCore.report.figure import write_report_png

    notes: tuple[str, ...] = ()
    draw = None
    try:
        require("matplotlib", "The picture report.png")
        draw = partial(write_report_png, result, result.volume, metrics, model=model)
    except MissingPackageError as error:
        notes = (f"{error}. Everything else was written.",)
    save_reconstruction(result, folder / EXPORT, metrics=metrics, draw_report=draw)
    return notes


def write_result(
    result: Reconstruction, request: ReconstructionRequest, facts: Mapping[str, Any], notes: tuple[str, ...]
) -> None:
    """Write `result.json`; its presence means that all other files are complete.

    Args:
        result: the reconstruction.
        request: the request of the job.
        facts: facts about the job, such as model and device.
        notes: notes in addition to those of scan and result.
    """
    content = {
        "name": result.volume.name,
        **facts,
        **result.window_facts,
        "arrays": {"mask": MASK, **{name: f"{name}.npy" for name in _volumes(result)}},
        "is_coverage": result.is_coverage,
        "masks": len(result.masks),
        "sees_all": result.sees_all,
        **result.hidden_shares,
        **({} if result.sees_all else request.options),
        "superpatch_size_kji": list(result.grid.superpatch_size),
        "patch_size_kji": list(result.grid.patch_size),
        "overlap_kji": list(result.grid.overlap),
        "notes": [*result.volume.notes, *result.notes, *notes],
        "maesil": __version__,
    }
    write_json(request.folder / RESULT, content)
