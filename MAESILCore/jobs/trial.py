"""The trial job: measures in a process of its own what a training would cost. Needs no PyTorch here."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.errors import ConfigError
from MAESILCore.files import write_json
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.estimate import estimate_text
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.reconstruction import JOB_PREFIX
from MAESILCore.jobs.wording import sentence
from MAESILCore.wording import Sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

#: The kind of job in `job.json`, and its result file.
NAME, RESULT = "trial", "result.json"


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training costs, as measured; see `MAESILCore.training.trial.TrainingCost`.

    Attributes:
        seconds_per_step: time of one optimiser step.
        bytes: largest memory, of the device for a GPU, else of the process.
        device: name of the device.
    """

    seconds_per_step: float
    bytes: int
    device: str

    def text(self, steps: int) -> Sentence:
        """The cost of a training of this many steps, in one sentence."""
        return sentence(
            "trial.cost",
            step=f"{self.seconds_per_step:.2g}",
            device=self.device,
            steps=steps,
            duration=estimate_text(self.seconds_per_step * steps),
            memory=f"{self.bytes / 2**30:.1f}",
        )


class Trial:
    """A measurement in the background. It starts at once; call `poll` a few times per second until it is over.

    Args:
        method: name of the method; None is the default.
        preset: named size of the method; None is the default.
        device: auto, cpu, cuda, cuda:N or mps.
        overrides: further fields of the recipe.
        python: the interpreter.

    Attributes:
        result: the estimate, once it is measured.
        problem: one sentence why there is none; "" if there is, or while it is measured.

    Raises:
        ConfigError: a choice is invalid, or the temporary folder cannot be written.
        MissingPackageError: psutil is not installed.
    """

    def __init__(
        self,
        method: str | None = None,
        preset: str | None = None,
        device: str = "auto",
        overrides: Mapping[str, Any] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.result: TrainingEstimate | None = None
        self.problem = ""
        request = PretrainingRequest(method=method, preset=preset, device=device, config=overrides or {})
        try:
            folder = Path(tempfile.mkdtemp(prefix=JOB_PREFIX))
            JobFolder(folder).describe(NAME, request.content)
        except OSError as error:
            raise ConfigError(message_of_os_error(error)) from error
        self._job = JobProcess(folder, python)
        self._job.start()

    @property
    def is_over(self) -> bool:
        """Whether the measurement has ended."""
        return self._job.is_over

    def poll(self) -> bool:
        """Look for the end; returns `is_over`."""
        was_over = self._job.is_over
        self._job.poll()
        if self._job.is_over and not was_over:
            try:
                text = (self._job.folder.path / RESULT).read_text(encoding="utf-8")
                self.result = TrainingEstimate(**json.loads(text))
            except (OSError, ValueError, TypeError):
                self.problem = self._job.message
            self._job.close()
        return self._job.is_over

    def close(self) -> None:
        """End the measurement; its folder is removed."""
        self._job.close()


def _run(
    folder: JobFolder, request: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    from MAESILCore.optional import require

    for package in ("yaml", "lightning_fabric"):
        require(package, "Pre-training")
    from MAESILCore.training.config import load_config
    from MAESILCore.training.trial import estimate_training

    asked = PretrainingRequest.of(request)
    cost = estimate_training(load_config(None, asked.recipe), asked.device, stopped)
    estimate = TrainingEstimate(*cost)
    write_json(folder.path / RESULT, asdict(estimate))
    return sentence("trial.done", seconds=f"{estimate.seconds_per_step:.2g}")


KIND = Kind("measurement", _run)
