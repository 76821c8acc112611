"""The work of a job, from its folder to the files in it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobs.events import JobEvent
from MAESILCore.jobs.files import MASK, METRICS, SUPERPATCHES, VOXELS, read_array, write_json
from MAESILCore.jobs.outcome import write_arrays, write_export, write_result
from MAESILCore.jobs.progress import Progress, Stage
from MAESILCore.jobs.scores import superpatch_scores
from MAESILCore.jobs.speed import measure_seconds_per_megavoxel, voxels_to_pass

if TYPE_CHECKING:
    import numpy as np

    from MAESILCore.data.volume import Volume
    from MAESILCore.inference import Reconstruction
    from MAESILCore.jobs.request import ReconstructionRequest
    from MAESILCore.models.checkpoint import LoadedModel

#: So many superpatches are worth one more to measure the speed; of fewer the first one tells soon enough.
_WORTH_MEASURING = 20


class Work:
    """One reconstruction.

    Args:
        request: what is asked for.
        tell: takes events.
        stopped: asked between the steps; True ends the work.
    """

    def __init__(
        self, request: ReconstructionRequest, tell: Callable[[JobEvent], None], stopped: Callable[[], bool]
    ) -> None:
        self._request, self._tell, self._stopped = request, tell, stopped
        self._progress = Progress(tell)

    def tick(self) -> None:
        """Tell how things stand; from any thread."""
        self._progress.tick()

    def run(self) -> str:
        """Do all of it and return a closing sentence.

        Raises:
            MaesilError: whatever a user can do something about, `Cancelled` among them.
            OSError: a file of the job cannot be read or written.
        """
        began = time.monotonic()
        self._progress.tick()
        # The first import of PyTorch; where it is missing, nothing before needed it.
        from MAESILCore.devices import pick_device
        from MAESILCore.jobs.hardware import describe_device
        from MAESILCore.models.checkpoint import load_checkpoint

        device = pick_device(self._request.device)
        volume, model = self._read_volume(), load_checkpoint(self._request.model)
        name = describe_device(device)
        result = self._reconstruct(volume, model, str(device), name)
        notes = self._score_and_write(result, model.name)
        seconds = round(time.monotonic() - began, 1)
        facts = {"model": model.name, "device": name, "device_id": str(device), "seconds": seconds}
        write_result(result, self._request, facts, notes)
        return f"Reconstructed with {model.name} on {name} in {seconds:.0f} s."

    def _reconstruct(self, volume: Volume, model: LoadedModel, device: str, name: str) -> Reconstruction:
        from MAESILCore.inference import reconstruct
        from MAESILCore.lattice import Mask, SuperpatchGrid, usual_overlap

        request, progress = self._request, self._progress
        sizes = model.superpatch_size, model.patch_size
        overlap = usual_overlap(*sizes) if request.overlap is None else request.overlap
        grid = SuperpatchGrid(volume.shape, *sizes, overlap)
        mask = Mask(self._read(MASK)) if request.has_mask else None
        progress.plan(volume.voxels.size, self._stages(), controls=len(request.controls))
        left = self._estimate(model, device, voxels_to_pass(grid, request.coverage, mask))
        told = f"Reconstructing on {name}."
        self._tell(JobEvent("started", told, seconds_left=left, device=name))
        progress.begin()
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
            progress=progress.passes,
            cancelled=self._stopped,
        )

    def _estimate(self, model: LoadedModel, device: str, voxels: int) -> float | None:
        """Seconds that everything will take from now on, if finding out pays; `voxels` go through the network."""
        if voxels < _WORTH_MEASURING * math.prod(model.superpatch_size):
            return None
        rate = measure_seconds_per_megavoxel(model, device, self._request.batch_size)
        return self._progress.expect(rate * voxels / 1e6)

    def _score_and_write(self, result: Reconstruction, model: str) -> tuple[str, ...]:
        """Write everything that `result.json` vouches for; notes on it."""
        from MAESILCore.scoring.reconstruction import describe_metrics, score_reconstruction

        folder, metrics = self._request.folder, None
        notes: tuple[str, ...] = ()
        self._begin("writing", "Writing the volumes.")
        write_arrays(result, folder)
        if self._request.scores:
            controls = self._request.controls
            compared = f" and, to compare, the {' and '.join(controls)} fill" if controls else ""
            self._begin("scoring", f"Scoring the reconstruction{compared}.")
            scores = score_reconstruction(result, controls, cancelled=self._stopped)
            metrics = describe_metrics(result, model, self._request.options, scores)
            write_json(folder / METRICS, metrics)
        self._begin("superpatches", "Scoring its superpatches.")
        write_json(folder / SUPERPATCHES, superpatch_scores(result))
        if self._request.export:
            self._begin("exporting", "Writing files for other programs and the report.")
            notes = write_export(result, folder, model, metrics)
        return notes

    def _stages(self) -> list[Stage]:
        chosen: dict[Stage, bool] = {
            "writing": True,
            "scoring": self._request.scores,
            "superpatches": True,
            "exporting": self._request.export,
        }
        return [stage for stage, is_wanted in chosen.items() if is_wanted]

    def _begin(self, stage: Stage, message: str) -> None:
        if self._stopped():
            raise Cancelled("The reconstruction was stopped; nothing was kept.")
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
            message = f"The job's file {name} is damaged; start the reconstruction again."
            raise ConfigError(message) from error
