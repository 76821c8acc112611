"""The training of a segmentation: cases in, a model in the run folder out; runs resume exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from MAESILCore.data.formats.checks import dimensions_text
from MAESILCore.devices import computes_in_bf16, pick_device
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.data import LabelledCrops, LabelledSample, crop_size_for
from MAESILCore.downstream.segmentation.inference import segment
from MAESILCore.downstream.segmentation.learner import Learner, Schedule
from MAESILCore.downstream.segmentation.losses import SegmentationLoss
from MAESILCore.downstream.segmentation.model import SegmentationModel, task_of
from MAESILCore.downstream.segmentation.network import Segmenter, placed
from MAESILCore.downstream.segmentation.opening import opened, read_all
from MAESILCore.downstream.segmentation.run import SegmentationRun
from MAESILCore.downstream.segmentation.scores import mean_dice
from MAESILCore.downstream.segmentation.start import Start
from MAESILCore.errors import Cancelled, ConfigError, error_of_stop
from MAESILCore.jobfolder import Event, EventCallback
from MAESILCore.lattice.box import Triple
from MAESILCore.methods.base import Losses
from MAESILCore.models.card import Card
from MAESILCore.models.catalogue import FINAL
from MAESILCore.models.checkpoint import load_tensors, save_checkpoint
from MAESILCore.models.weights import shortened
from MAESILCore.optional import require
from MAESILCore.training.environment import describe_environment
from MAESILCore.training.loader import Drawn, drawn_ahead
from MAESILCore.training.meter import Meter
from MAESILCore.training.source import SampleKey
from MAESILCore.training.split import check_same


def train_segmentation(
    run: SegmentationRun,
    config: SegmentationConfig,
    cases: Sequence[Case],
    *,
    device: str = "auto",
    progress: EventCallback | None = None,
    cancelled: Callable[[], int] | None = None,
    initial: SegmentationModel | None = None,
) -> Path:
    """Train until `config.steps`, or until validation no longer improves, and write the model into the run folder.

    A run with checkpoints resumes exactly from the newest readable one, as crops are functions of (seed, step, place
    in the batch). Each run ends with an event: `finished`, `failed` or `cancelled`. The file `cancel` in the run folder
    stops it like `cancelled`.

    Args:
        run: the run to write to.
        config: the recipe.
        cases: the labelled cases; those for validation choose the best weights and end the training early.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback for the events of the run.
        cancelled: called before each step, case and tile; 1 or True stops the training, 2 for a scheduler.
        initial: model of an earlier training to go on from; new structures are added.

    Returns:
        The model, `model.safetensors` in the run folder, in half precision: the best by validation, else the last.

    Raises:
        Cancelled: the training was stopped; a checkpoint of the last full step is written. `Preempted` for a scheduler.
        CheckpointError: no checkpoint of the run, or not the encoder, can be read.
        ConfigError: no case can be used, the recipe does not fit, or the training diverges.
        VolumeError: a scan or its labels cannot be read.
    """
    for package in ("monai", "yaml"):
        require(package, "A segmentation")

    def stopped() -> int:
        return max(int(run.is_cancelled), int(cancelled()) if cancelled is not None else 0)

    def emit(event: Event) -> None:
        run.write(event)
        if progress is not None:
            progress(event)

    with run.working(config):
        return _Trainer(run, config, cases, device, initial, emit, stopped).fit()


class _Trainer:
    """The state of one training; see `train_segmentation` for the arguments."""

    def __init__(
        self,
        run: SegmentationRun,
        config: SegmentationConfig,
        cases: Sequence[Case],
        device: str,
        initial: SegmentationModel | None,
        emit: EventCallback,
        stopped: Callable[[], int],
    ) -> None:
        self.run, self.config, self.emit, self.stopped = run, config, emit, stopped
        self.device = pick_device(device)
        read = read_all(cases, self._report)
        start = Start.of(config, all(one.volume.looks_like_hu for one in read), initial)
        self.cases = opened(
            read, start.intensity, config.only_labelled_slices, initial.classes if initial else None
        )
        self.start = start
        network = placed(start.network(config, self.cases.classes), self.device)
        self.crop_size = self._crop_size(network, [one.volume.shape for one in read], initial)
        self.learner = Learner(network, Schedule(config, start.is_pretrained))
        self.step = self._resume()
        self.loss = SegmentationLoss(config.balance)
        self.crops = LabelledCrops(
            self.cases.training, self.crop_size, config.structure_share, config.augment
        )
        self.meter = Meter(network.largest)
        self.saved_at = time.monotonic()

    def _crop_size(
        self, network: Segmenter, shapes: Sequence[Triple], initial: SegmentationModel | None
    ) -> Triple:
        """The size of crops, checked.

        Raises:
            ConfigError: the given size is not a multiple of patches, or too large for the encoder.
        """
        crop = self.config.crop_size
        if crop is None:
            return initial.crop_size if initial else crop_size_for(shapes, network.largest, network.unit)
        if any(
            size % unit or size > most
            for size, unit, most in zip(crop, network.unit, network.largest, strict=True)
        ):
            raise ConfigError(
                f"A crop of {dimensions_text(crop)} voxels does not fit: give multiples of the patch "
                f"({dimensions_text(network.unit)}), at most the superpatch ({dimensions_text(network.largest)})."
            )
        return crop

    def _resume(self) -> int:
        """Restore the newest checkpoint; returns its step, 0 for a new run."""
        saved = self.run.checkpoints.load_latest(self._report)
        self.run.checkpoints.complete(self.config.keep_checkpoints)
        if saved is None:
            return 0
        step, tensors = saved
        if self.config.steps < step:
            raise ConfigError(
                f"The run has already taken {step} steps, more than the {self.config.steps} requested. "
                "Give a larger number."
            )
        before = self.run.scans()
        if before is not None:
            check_same(
                before,
                LabelledCrops(self.cases.training, self.crop_size, 0.0, self.config.augment).describe(),
            )
        self.learner.restore(tensors)
        self.learner.best = self.run.checkpoints.best_score()
        return step

    def fit(self) -> Path:
        """Take the remaining steps and write the model."""
        self._begin()
        steps = range(self.step, self.config.steps)
        self.learner.network.train()
        if self.step and self._must_validate():
            self._end_step()  # the validation was interrupted
        with closing(drawn_ahead(self.crops, self._keys, steps)) as ahead:
            for drawn in ahead if not self._is_exhausted else ():
                if drawn.problem is not None:
                    raise drawn.problem
                started = time.perf_counter()
                losses, norm = self._take(drawn)
                self.step += 1
                self._report_step(losses, norm, drawn, drawn.waited + time.perf_counter() - started)
                self._end_step()
                if self._is_exhausted:
                    break
        return self._finish()

    def _begin(self) -> None:
        config, cases = self.config, self.cases
        self.run.begin(config, self.crops.describe())
        self.run.write_environment(self.step, describe_environment(self.device, self._precision, 1))
        for note in cases.notes:
            self.run.write(Event("log", note, self.step))
        facts = {
            "scans": len(cases.training),
            "held_out": len(cases.validation),
            "structures": list(cases.classes.names),
            "crop_size": list(self.crop_size),
            "device": str(self.device),
            "precision": self._precision,
            "encoder": self.start.name,
            "parameters": sum(weight.numel() for weight in self.learner.network.parameters()),
        }
        self.run.write(Event("started", step=self.step, total=config.steps, fields=facts))

    def _keys(self, number: int) -> list[SampleKey]:
        return [SampleKey(self.config.seed, number, index) for index in range(self.config.batch_size)]

    def _take(self, drawn: Drawn) -> tuple[Losses, float]:
        """One optimiser step; returns its losses and the norm of its gradients.

        Raises:
            ConfigError: loss or gradients are not finite.
        """
        samples = [cast(LabelledSample, one) for one in drawn.samples]
        voxels = torch.from_numpy(np.stack([one.voxels for one in samples])[:, None]).to(self.device)
        labels = torch.from_numpy(np.stack([one.labels for one in samples])).to(self.device)
        missing = torch.from_numpy(np.stack([one.missing for one in samples])).to(self.device)
        frozen = self.learner.schedule.encoder(self.step) == 0.0
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16-mixed"):
            logits = self.learner.network(voxels, frozen)
        losses = self.loss(logits, labels, missing)
        norm, finite = self.learner.step(losses.total, self.step)
        if not finite:
            names = ", ".join(dict.fromkeys(one.scan for one in samples))
            raise ConfigError(
                f"The loss or the gradients of step {self.step + 1} are not finite, with crops of {names}: start again "
                f"with a lower learning_rate (it is {self.config.learning_rate:g})."
            )
        parts = {name: float(torch.as_tensor(part).detach()) for name, part in losses.parts.items()}
        return Losses(losses.total.detach(), parts), norm

    def _report_step(self, losses: Losses, norm: float, drawn: Drawn, seconds: float) -> None:
        voxels = sum(sample.voxels.size for sample in drawn.samples)
        fields = {
            "loss": round(float(losses.total), 7),
            "learning_rate": self.learner.schedule.decoder(self.step - 1),
            "encoder_learning_rate": self.learner.schedule.encoder(self.step - 1),
            "gradient_norm": float(f"{norm:.6g}"),
            "superpatches_per_second": round(self.meter.tick(voxels), 3),
            "data_wait": round(drawn.waited / max(seconds, 1e-9), 5),
            "parts": {name: round(float(part), 7) for name, part in losses.parts.items()},
        }
        left = self.meter.seconds_left(self.config.steps - self.step)
        self.emit(Event("step", "", self.step, self.config.steps, left, fields))

    def _end_step(self) -> None:
        """Validate and save if the step has it.

        Raises:
            Cancelled: the training was stopped; the state is saved.
        """
        scores: dict[str, float] = {}
        is_last = self.step == self.config.steps
        stop = self.stopped() if self._must_validate() or not is_last else 0
        if not stop and self._must_validate():
            try:
                scores = self._validate()
                self.learner.validated = self.step
            except Cancelled:
                stop = max(1, self.stopped())
        best = bool(scores) and scores["dice"] > self.learner.best
        if best:
            self.learner.best, self.learner.best_step = scores["dice"], self.step
        is_late = time.monotonic() - self.saved_at > 600.0
        if best or stop or is_last or is_late or self.step % self.config.checkpoint_every == 0:
            self.saved_at = time.monotonic()
            tensors = {name: tensor.cpu() for name, tensor in self.learner.state().items()}
            self.run.checkpoints.save(
                self.step, tensors, self._card(scores), self.config.keep_checkpoints, best=best
            )
        if stop:
            raise error_of_stop(stop)(
                f"Stopped after step {self.step}; resume the run to continue from there."
            )

    def _must_validate(self) -> bool:
        """Whether this step has a validation that was not done yet."""
        is_due = self.step == self.config.steps or self.step % self.config.validate_every == 0
        return bool(self.cases.validation) and is_due and self.learner.validated != self.step

    def _validate(self) -> dict[str, float]:
        """Mean Dice over cases and structures, then that of each structure."""
        network = self.learner.network.eval()
        model = SegmentationModel(network, self.cases.classes, self.crop_size, self._card({}))
        found: dict[int, list[float]] = {}
        for case in self.cases.validation:
            result = segment(
                case.volume, model, device=str(self.device), cancelled=lambda: bool(self.stopped())
            )
            for index, score in mean_dice(result.segmentation.labels, case.labels).items():
                found.setdefault(index, []).append(score)
        network.train()
        means = {index: float(np.mean(scores)) for index, scores in sorted(found.items())}
        scores = {"dice": round(float(np.mean(list(means.values()))), 4) if means else 0.0}
        for one in self.cases.classes.structures:
            if one.value in means and len(means) > 1:
                scores[f"dice_{one.name}"] = round(means[one.value], 4)
        text = ", ".join(f"{name.removeprefix('dice_')} {value:.3f}" for name, value in scores.items())
        self.emit(Event("validation", text, self.step, self.config.steps, fields=scores))
        return scores

    @property
    def _is_exhausted(self) -> bool:
        """Whether validation has not improved for `patience` validations."""
        patience = self.config.patience
        if patience is None or not self.cases.validation or self.learner.best_step == 0:
            return False
        return self.step - self.learner.best_step >= patience * self.config.validate_every

    def _finish(self) -> Path:
        path, card = self.run.folder / FINAL, self._card({})
        weights = {name: tensor for name, tensor in self.learner.state().items() if name.startswith("model.")}
        best = self.run.checkpoints.best
        if self.cases.validation and best.is_file():
            weights = load_tensors(best, "model.")
            weights = {f"model.{name}": tensor for name, tensor in weights.items()}
        save_checkpoint(path, {name: one.cpu() for name, one in shortened(weights).items()}, card)
        self.run.finish(self.step)
        return path

    def _card(self, scores: dict[str, float]) -> Card:
        training: dict[str, Any] = {"scans": len(self.cases.training)}
        if self.cases.validation:
            training["best_step"] = self.learner.best_step
        if scores:
            training["validation"] = scores
        network = self.learner.network
        task = task_of(network, self.cases.classes, self.crop_size)
        return replace(self.start.card(self.config, network, training), step=self.step, task=task)

    @property
    def _precision(self) -> str:
        if self.config.precision != "auto":
            return self.config.precision
        return "bf16-mixed" if computes_in_bf16(self.device) else "32-true"

    def _report(self, message: str) -> None:
        """Report the work before the first step; here it can be stopped, too."""
        if stop := self.stopped():
            raise error_of_stop(stop)("Stopped before the first step; run the command again to start.")
        self.emit(Event("progress", message, 0, self.config.steps))
