"""What a training tells about itself: rows of numbers, scores, previews and its environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from MAESILCore.jobfolder import Event, EventCallback
from MAESILCore.methods.base import Method
from MAESILCore.models.card import Card
from MAESILCore.optional import require
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.environment import describe_environment
from MAESILCore.training.loader import Drawn
from MAESILCore.training.meter import Meter
from MAESILCore.training.previews import Previews
from MAESILCore.training.processes import Processes
from MAESILCore.training.run import Run
from MAESILCore.training.schedule import learning_rate
from MAESILCore.training.source import TrainingData
from MAESILCore.training.step import Taken
from MAESILCore.training.tensorboard import TensorBoardLog
from MAESILCore.training.validation import Validation, describe


@contextmanager
def evaluating(method: Method) -> Iterator[None]:
    """Put a method into evaluation mode for the block."""
    was_training = method.training
    method.eval()
    try:
        yield
    finally:
        method.train(was_training)


class Observer:
    """Watches a training and writes its events. Only the first process writes, scores and draws.

    Args:
        run: the run folder.
        config: the recipe.
        data: the samples.
        processes: the connected processes.
        method: the method on its device.
        emit: callback for events.

    Raises:
        MissingPackageError: the recipe wants a log whose package is not installed.
    """

    def __init__(
        self,
        run: Run,
        config: PretrainConfig,
        data: TrainingData,
        processes: Processes,
        method: Method,
        emit: EventCallback,
    ) -> None:
        self._run, self._config, self._data, self._emit = run, config, data, emit
        self._processes, self._device = processes, processes.fabric.device
        self._validation = Validation(data.validation, self._device)
        self._has_validation = bool(processes.share(bool(self._validation)))
        self._meter = Meter(method.config.superpatch_size)
        self._reconstructs = method.abilities.reconstructs
        self._previews: Previews | None = None
        self._tensorboard: TensorBoardLog | None = None
        if self._logs_for_tensorboard:
            require("tensorboardX", "Logging for TensorBoard")

    def begin(self, method: Method, step: int) -> None:
        """Write the recipe, the inventory and the first events."""
        run, data, device, precision = self._run, self._data, self._device, self._processes.precision
        run.begin(self._config, data.training.describe())
        if self._logs_for_tensorboard:
            self._tensorboard = TensorBoardLog(run.folder, step)
        run.write_environment(step, describe_environment(device, precision, self._processes.count))
        for fields in data.left_out:
            run.write(Event("left_out", fields=fields))
        facts = {
            "scans": len(data.training),
            "held_out": len(data.validation),
            "device": str(device),
            "precision": precision,
            "sharded": self._processes.mesh is not None,
            "parameters": sum(weight.numel() for weight in method.parameters()),
        }
        run.write(Event("started", step=step, total=self._config.steps, fields=facts))
        if self._preview_every > 0 and data.preview and not self._reconstructs:
            message = f"This run has no previews, as {method.name} gives features, not voxels."
            self._emit(Event("log", message, step, self._config.steps))

    def report_step(self, taken: Taken, drawn: Drawn, seconds: float, step: int) -> str:
        """Write the row of a step; returns a sentence on a step that is not finite, which all processes must report.

        Args:
            taken: what happened in it.
            drawn: the samples of this process.
            seconds: its duration, with the wait for the samples.
            step: steps taken, this one included.
        """
        config = self._config
        voxels = sum(sample.voxels.size for sample in drawn.samples) * config.batch_size // len(drawn.samples)
        per_second, left = self._meter.tick(voxels), self._meter.seconds_left(config.steps - step)
        if not taken.finite:
            return self._report_skipped(taken, drawn, step, left)
        fields: dict[str, Any] = {
            "loss": round(float(taken.losses.total), 7),
            "learning_rate": learning_rate(config, step - 1),
            "gradient_norm": float(f"{taken.gradient_norm:.6g}"),
            "superpatches_per_second": round(per_second, 3),
            "data_wait": round(drawn.waited / max(seconds, 1e-9), 5),
        }
        if taken.losses.parts:
            fields["parts"] = {name: round(float(part), 7) for name, part in taken.losses.parts.items()}
        self._write(Event("step", "", step, config.steps, left, fields))
        return ""

    def _report_skipped(self, taken: Taken, drawn: Drawn, step: int, left: float) -> str:
        mine = [{"scan": sample.scan, "corner": list(sample.corner)} for sample in drawn.samples]
        crops = [crop for crops in self._processes.gather(mine) for crop in crops]
        names = ", ".join(dict.fromkeys(str(crop["scan"]) for crop in crops if crop["scan"]))
        message = f"The loss or the gradients of step {step} are not finite"
        message += f", with crops of {names}." if names else "."
        fields = {"loss": float(taken.losses.total), "gradient_norm": taken.gradient_norm, "crops": crops}
        self._write(Event("skipped", message, step, self._config.steps, left, fields))
        return message

    def validate(
        self, shown: Callable[[], Method], step: int, stopped: Callable[[], int]
    ) -> dict[str, float] | None:
        """Score a method; no scores without held-out scans and in other processes, None if stopped meanwhile.

        Args:
            shown: returns the method; all processes call it (see `Learner.shown`).
            step: steps taken.
            stopped: called before each sample.
        """
        if not self._has_validation:
            return {}
        method = shown()
        if not self._run.writes:
            return {}
        with evaluating(method):
            scores = self._validation.score(method, lambda: bool(stopped()))
        if not scores:
            return None
        self._write(Event("validation", describe(scores), step, self._config.steps, fields=scores))
        return scores

    def preview(self, shown: Callable[[], Method], card: Card) -> None:
        """Write the preview of a step, if it has one and the method reconstructs; for `shown` see `validate`."""
        config, every = self._config, self._preview_every
        is_due = every > 0 and (card.step % every == 0 or card.step == config.steps)
        if not (is_due and self._data.preview and self._reconstructs):
            return
        method = shown()
        if not self._run.writes:
            return
        if self._previews is None:
            self._previews = Previews(
                self._run.folder,
                self._data.preview(),
                config.mask.strategy() if config.mask else None,
                config.keep_previews,
                lambda message: self._emit(Event("log", message, card.step, config.steps)),
            )
        with evaluating(method):
            files = self._previews.make(method, card, self._device)
        if files:
            self._emit(Event("preview", "", card.step, config.steps, fields={"files": files}))

    def flush(self) -> None:
        """Bring all rows so far to the disk; call it with each checkpoint."""
        if self._tensorboard is not None:
            self._tensorboard.flush()

    def close(self) -> None:
        """Close all files."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _write(self, event: Event) -> None:
        self._emit(event)
        if self._tensorboard is not None:
            self._tensorboard.write(event)

    @property
    def _preview_every(self) -> int:
        every = self._config.preview_every
        return self._config.validate_every if every is None else every

    @property
    def _logs_for_tensorboard(self) -> bool:
        return self._run.writes and "tensorboard" in self._config.log
