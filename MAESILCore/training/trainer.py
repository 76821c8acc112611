"""The pre-training loop: trains on a folder of scans into a run folder; runs resume exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import Event, EventCallback
from MAESILCore.methods import create
from MAESILCore.methods.base import Losses, Method, MethodConfig, Step
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel, save_checkpoint
from MAESILCore.models.weights import shortened
from MAESILCore.optional import require
from MAESILCore.training.average import make_average
from MAESILCore.training.batches import batches_of
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.processes import launch
from MAESILCore.training.run import MODEL, Run
from MAESILCore.training.scans import open_scans
from MAESILCore.training.schedule import learning_rate, make_optimizer
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData, drawn_ahead
from MAESILCore.training.split import check_same
from MAESILCore.training.state import card_of, pack, take_over, unpack
from MAESILCore.training.validation import describe, score

#: Opens the data of a training; patch and superpatch sizes come from the method's configuration.
DataOpener = Callable[[PretrainConfig, MethodConfig, Opening], TrainingData]


def pretrain(
    run: Run,
    config: PretrainConfig,
    scans: Discovery | Sequence[Path] | DataOpener,
    *,
    device: str = "auto",
    progress: EventCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
    initial: LoadedModel | None = None,
) -> Path:
    """Train until `config.steps` and write the final model into the run folder.

    A run with checkpoints resumes exactly from the newest readable one: samples and random states are functions of
    (seed, step, process); weights, average and optimiser state are in the checkpoint; other scans are refused. The
    learning rate follows `config`, so a run can be extended with more steps; a run that has taken all steps is not
    changed. Each run ends with an event: `finished`, `failed` or `cancelled`. The file `cancel` in the run folder
    stops it like `cancelled`.

    Under torchrun each process draws `config.batch_size` crops per step, gradients are averaged, and only the first
    process writes.

    Args:
        run: the run to write to.
        config: the recipe.
        scans: the result of `discover_scans`, scan files and DICOM folders, or an opener of another source of samples.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback for the events of the run: `progress` before each scan is read, `step` and `validation`
            after a step.
        cancelled: called at the same places; True stops the training.
        initial: model of the same method and sizes whose weights replace the random ones. The run saves them as a
            checkpoint before its first step.

    Returns:
        The final model, `model.safetensors` in the run folder, in half precision.

    Raises:
        Cancelled: the training was stopped; a checkpoint of the last full step is written.
        CheckpointError: none of the run's checkpoints can be read.
        ConfigError: no scan can be used, the recipe is invalid, a pattern of `hold_out` matches no scan, or the
            gradients are not finite.
    """
    require("lightning_fabric", "Pre-training")

    def stopped() -> bool:
        return run.is_cancelled or (cancelled is not None and cancelled())

    def emit(event: Event) -> None:
        run.write(event)
        if progress is not None:
            progress(event)

    finished = run.model_after(config.steps)
    if finished is not None:
        message = f"The run has already taken all {config.steps} steps; to extend it, give more with --steps."
        if progress is not None:
            progress(Event("progress", message, config.steps, config.steps))
        return finished
    if callable(scans):
        opener: DataOpener = scans
    else:
        opener = partial(open_scans, scans if isinstance(scans, Discovery) else Discovery.of(scans))
    with run.working(config):
        return Trainer(run, config, opener, device, initial, emit, stopped).fit()


class Trainer:
    """The state of one pre-training; see `pretrain` for the arguments."""

    def __init__(
        self,
        run: Run,
        config: PretrainConfig,
        opener: DataOpener,
        device: str,
        initial: LoadedModel | None,
        emit: EventCallback,
        stopped: Callable[[], bool],
    ) -> None:
        self.run, self.config, self.emit, self.stopped = run, config, emit, stopped
        torch.manual_seed(config.seed)
        self.method = create(config.method, config.model, config.preset)
        config.check(self.method.config, self.method.abilities)
        if initial is not None:
            take_over(self.method, initial)
        self.step = 0
        saved = run.load_latest(self._report)
        if saved is not None:
            self.step = saved[0]
        if config.steps < self.step:
            message = f"The run has already taken {self.step} steps, more than the {config.steps} requested."
            raise ConfigError(f"{message} Give a larger number.")
        self.fabric, precision = launch(device, config.precision)
        self.data = self._open(opener)
        self.method.to(self.fabric.device)
        self.average = None
        if not self.method.abilities.keeps_teacher:
            self.average = make_average(self.method, config.average_decay)
        self.wrapped, self.optimizer = self.fabric.setup(self.method, make_optimizer(self.method, config))
        self.wrapped.mark_forward_method("training_losses")
        self.generator = torch.Generator(device=self.fabric.device)
        if saved is not None:
            unpack(saved[1], self.method, self._averaged(), self.optimizer)
            if self.average is not None:
                self.average.n_averaged.fill_(1 + self.step)
        elif initial is not None:
            # A run that is killed before its first checkpoint must resume from these weights.
            self._save()
        self._begin(precision)

    def _open(self, opener: DataOpener) -> TrainingData:
        """Open the data; a resumed run needs the scans that it began with."""
        before = self.run.scans() if self.step else None
        opening = Opening(before, self._report, self.fabric.global_rank, self.fabric.broadcast)
        data = opener(self.config, self.method.config, opening)
        if before is not None:
            check_same(before, data.training.describe())
        return data

    def _begin(self, precision: str) -> None:
        """Write the first events."""
        self.run.begin(self.config, self.data.training.describe())
        for fields in self.data.left_out:
            self.run.write(Event("left_out", fields=fields))
        facts = {
            "scans": len(self.data.training),
            "held_out": len(self.data.validation),
            "device": str(self.fabric.device),
            "precision": precision,
            "parameters": sum(weight.numel() for weight in self.method.parameters()),
        }
        self.run.write(Event("started", step=self.step, total=self.config.steps, fields=facts))

    def fit(self) -> Path:
        """Take the remaining steps and write the final model; see `pretrain`."""
        started, first, voxels = time.monotonic(), self.step, 0
        for samples in drawn_ahead(self._draw, range(self.step, self.config.steps)):
            losses, must_stop = self._train_step(samples)
            self.step += 1
            voxels += sum(sample.voxels.size for sample in samples) * self.fabric.world_size
            elapsed = time.monotonic() - started
            self._report_step(losses, voxels / elapsed, elapsed / (self.step - first))
            is_last = self.step == self.config.steps
            if is_last or self.step % self.config.validate_every == 0:
                self._validate()
            if not is_last and (must_stop or self.step % self.config.checkpoint_every == 0):
                self._save()
            if not is_last and must_stop:
                raise Cancelled(f"Stopped after step {self.step}; resume the run to continue from there.")
        self._save()
        return self._finish()

    def _draw(self, step: int) -> list[Sample]:
        """The samples of one step for this process, which draws its own range of the step's indices."""
        config, rank = self.config, self.fabric.global_rank
        indices = range(rank * config.batch_size, (rank + 1) * config.batch_size)
        return [self.data.training.draw(SampleKey(config.seed, step, rank, index)) for index in indices]

    def _train_step(self, samples: list[Sample]) -> tuple[Losses, bool]:
        """Take one optimiser step; returns the losses, and whether any process must stop."""
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.config, self.step)
        # Random draws depend on seed, step and process alone, so that a resumed run repeats them.
        seed = (self.config.seed * 1_000_003 + self.step) * 1_009 + self.fabric.global_rank
        torch.manual_seed(seed)
        step = Step(self.step, self.config.steps, self.generator.manual_seed(seed))
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._backward(samples, step)
        self._clip_gradients()
        self.optimizer.step()
        self.method.after_step(step)
        if self.average is not None:
            self.average.update_parameters(self.method)
        return self._reduced(losses)

    def _backward(self, samples: list[Sample], step: Step) -> Losses:
        """Add the gradients of all samples, with equal weights; returns their mean losses."""
        total, parts = torch.zeros((), device=self.fabric.device), dict[str, torch.Tensor]()
        whole = self.method.abilities.needs_whole_batch
        batches = batches_of(samples, whole=whole, device=self.fabric.device)
        for number, batch in enumerate(batches, start=1):
            weight = len(batch.superpatches) / len(samples)
            # Processes may have different numbers of batches, so each synchronizes gradients only with its last.
            with self.fabric.no_backward_sync(self.wrapped, enabled=number < len(batches)):
                # With one process Fabric calls the method directly, without the autocast of `forward`.
                with self.fabric.autocast():
                    losses = self.wrapped.training_losses(batch, step)
                share = losses.total * weight
                self.fabric.backward(share)
            total += share.detach()
            for name, part in losses.parts.items():
                value = torch.as_tensor(part, device=total.device).detach().float() * weight
                parts[name] = parts[name] + value if name in parts else value
        return Losses(total, parts)

    def _clip_gradients(self) -> None:
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        if norm is not None and not torch.isfinite(norm):
            message = (
                f"The gradients of step {self.step + 1} are not finite: the training has diverged. Start it again with "
                f"a lower learning_rate (it is {self.config.learning_rate:g}) or more warmup_steps."
            )
            raise ConfigError(message)

    def _reduced(self, losses: Losses) -> tuple[Losses, bool]:
        """The mean losses over all processes, and whether any must stop: all must, or the others would wait forever."""
        stop = torch.full_like(losses.total, float(self.stopped()))
        values = torch.stack([losses.total, stop, *map(torch.as_tensor, losses.parts.values())])
        total, stop, *parts = cast(torch.Tensor, self.fabric.all_reduce(values)).unbind()
        return Losses(total, dict(zip(losses.parts, parts, strict=True))), bool(stop > 0)

    def _report(self, message: str) -> None:
        """Report the work before the first step; here it can be stopped, too."""
        if self.stopped():
            raise Cancelled("Stopped before the first step.")
        self.emit(Event("progress", message, self.step, self.config.steps))

    def _report_step(self, losses: Losses, voxels_per_second: float, seconds_per_step: float) -> None:
        config, superpatch = self.config, math.prod(self.method.config.superpatch_size)
        fields: dict[str, Any] = {
            "loss": round(float(losses.total), 7),
            "learning_rate": learning_rate(config, self.step - 1),
            "superpatches_per_second": round(voxels_per_second / superpatch, 3),
        }
        if losses.parts:
            fields["parts"] = {name: round(float(part), 7) for name, part in losses.parts.items()}
        left = seconds_per_step * (config.steps - self.step)
        self.emit(Event("step", "", self.step, config.steps, left, fields=fields))

    def _validate(self) -> None:
        if not (self.run.writes and self.data.validation):
            return
        scores = score(self._averaged() or self.method.eval(), self.data.validation, self.fabric.device)
        self.method.train()
        self.emit(Event("validation", describe(scores), self.step, self.config.steps, fields=scores))

    def _averaged(self) -> Method | None:
        """The average as a method; None if the method keeps a teacher."""
        return None if self.average is None else cast(Method, self.average.module)

    def _save(self) -> None:
        if self.run.writes:
            tensors = pack(self.method, self._averaged(), self.optimizer)
            self.run.save(self.step, tensors, self._card(), self.config.keep_checkpoints)

    def _card(self) -> Card:
        return card_of(self.config, self.method, self.step, len(self.data.training))

    def _finish(self) -> Path:
        """Write the final model, which holds the average if there is one."""
        path, averaged = self.run.folder / MODEL, self._averaged()
        prefix, module = ("model.", self.method) if averaged is None else ("average.", averaged)
        weights = {prefix + name: tensor for name, tensor in shortened(module.state_dict()).items()}
        if self.run.writes:
            save_checkpoint(path, weights, self._card())
        self.run.write(Event("finished", step=self.step, fields={"model": path.name}))
        return path
