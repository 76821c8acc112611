"""The pre-training loop: trains on a folder of scans into a run folder; runs resume exactly."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.devices import pick_device, pick_precision
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import Event, ProgressCallback
from MAESILCore.methods import create
from MAESILCore.methods.base import Method, MethodConfig, Step
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel, save_checkpoint
from MAESILCore.models.weights import misfit, shortened
from MAESILCore.optional import require
from MAESILCore.training.ahead import drawn_ahead
from MAESILCore.training.average import make_average
from MAESILCore.training.batches import batches_of
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.run import MODEL, Run
from MAESILCore.training.scans import open_scans
from MAESILCore.training.schedule import learning_rate, make_optimizer
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData
from MAESILCore.training.split import check_same
from MAESILCore.training.state import pack, unpack
from MAESILCore.training.validation import describe, score

#: Opens the data of a training; patch and superpatch sizes come from the method's configuration.
DataOpener = Callable[[PretrainConfig, MethodConfig, Opening], TrainingData]


def pretrain(
    run: Run,
    config: PretrainConfig,
    scans: Discovery | Sequence[Path] | DataOpener,
    *,
    device: str = "auto",
    progress: ProgressCallback | None = None,
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

    def tell(event: Event) -> None:
        run.write(event)
        if progress is not None:
            progress(event)

    def note(message: str, step: int) -> None:
        if stopped():
            raise Cancelled("Stopped before the first step.")
        tell(Event("progress", message, step, config.steps))

    finished = run.model_after(config.steps)
    if finished is not None:
        message = f"all {config.steps} steps are taken already; to go on, give a larger number with --steps"
        if progress is not None:
            progress(Event("progress", message, config.steps, config.steps))
        return finished
    if callable(scans):
        opener: DataOpener = scans
    else:
        opener = partial(open_scans, scans if isinstance(scans, Discovery) else Discovery.of(scans))
    with run.working(config):
        return Trainer(run, config, opener, device, initial, note).fit(tell, stopped)


class Trainer:
    """The state of one pre-training."""

    def __init__(
        self,
        run: Run,
        config: PretrainConfig,
        opener: DataOpener,
        device: str,
        initial: LoadedModel | None,
        note: Callable[[str, int], None],
    ) -> None:
        from lightning_fabric import Fabric

        self.run, self.config = run, config
        torch.manual_seed(config.seed)
        method = create(config.method, config.model, config.preset)
        _check_fit(config, method)
        if initial is not None:
            _take_over(method, initial)
        place = pick_device(device)
        precision: Any = pick_precision(place) if config.precision == "auto" else config.precision
        saved = run.load_latest(lambda message: note(message, 0))
        self.step = saved[0] if saved else 0
        if config.steps < self.step:
            message = f"The run has already taken {self.step} steps, and {config.steps} were asked for; ask for more."
            raise ConfigError(message)
        self.fabric = Fabric(accelerator=place.type, **_topology(place), precision=precision)
        self.fabric.launch()
        before = run.scans() if self.step else None
        opening = Opening(
            before, lambda message: note(message, self.step), self.fabric.global_rank, self.fabric.broadcast
        )
        self.data = opener(config, method.config, opening)
        if before is not None:
            check_same(before, self.data.training.describe())
        self.raw_method = method.to(self.fabric.device)
        self.average = None if method.abilities.keeps_teacher else make_average(method, config.average_decay)
        self.method, self.optimizer = self.fabric.setup(method, make_optimizer(method, config))
        self.method.mark_forward_method("training_losses")
        self.generator = torch.Generator(device=self.fabric.device)
        if saved:
            unpack(saved[1], method, self._averaged(), self.optimizer)
            if self.average is not None:
                self.average.n_averaged.fill_(1 + self.step)
        elif initial is not None:
            # A run that is killed before its first checkpoint must resume from these weights.
            self._save()
        run.begin(config, self.data.training.describe())
        for fields in self.data.left_out:
            run.write(Event("left_out", fields=fields))
        run.event(
            "started",
            step=self.step,
            total=config.steps,
            scans=len(self.data.training),
            held_out=len(self.data.validation),
            device=str(self.fabric.device),
            precision=precision,
            parameters=sum(weight.numel() for weight in method.parameters()),
        )

    def _averaged(self) -> Method | None:
        """The average as a method; None if the method keeps a teacher."""
        return None if self.average is None else cast(Method, self.average.module)

    def fit(self, tell: ProgressCallback, cancelled: Callable[[], bool]) -> Path:
        """See `pretrain`."""
        config = self.config
        full = math.prod(self.raw_method.config.superpatch_size)
        started, first, voxels = time.monotonic(), self.step, 0
        for samples in drawn_ahead(self._draw, range(self.step, config.steps)):
            loss, parts, stop = self._train_step(samples, cancelled)
            self.step += 1
            voxels += sum(sample.voxels.size for sample in samples) * self.fabric.world_size
            elapsed = time.monotonic() - started
            left = elapsed / (self.step - first) * (config.steps - self.step)
            fields: dict[str, Any] = {
                "loss": round(loss, 7),
                "learning_rate": learning_rate(config, self.step - 1),
                "superpatches_per_second": round(voxels / full / elapsed, 3),
            }
            if parts:
                fields["parts"] = {name: round(part, 7) for name, part in parts.items()}
            tell(Event("step", "", self.step, config.steps, left, fields=fields))
            self._after_step(tell)
            if self.step < config.steps and stop:
                self._save()
                message = f"Stopped after step {self.step}; the same command goes on from there."
                raise Cancelled(message)
        self._save()
        path = self.run.folder / MODEL
        averaged = self._averaged()
        prefix, module = ("model.", self.raw_method) if averaged is None else ("average.", averaged)
        weights = {prefix + name: tensor for name, tensor in shortened(module.state_dict()).items()}
        if self.run.writes:
            save_checkpoint(path, weights, self._card())
        self.run.event("finished", step=self.step, model=path.name)
        return path

    def _draw(self, step: int) -> list[Sample]:
        """The samples of one step for this process, which draws its own range of the step's indices."""
        config, rank = self.config, self.fabric.global_rank
        keys = (
            SampleKey(config.seed, step, rank, rank * config.batch_size + place)
            for place in range(config.batch_size)
        )
        return [self.data.training.draw(key) for key in keys]

    def _train_step(
        self, samples: list[Sample], cancelled: Callable[[], bool]
    ) -> tuple[float, dict[str, float], bool]:
        """Take one optimiser step; returns the loss, its parts, and whether any process must stop.

        Crops of equal extents share a pass; all crops have the same weight.
        """
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.config, self.step)
        # Random draws depend on seed, step and process alone, so that a resumed run repeats them.
        seed = (self.config.seed * 1_000_003 + self.step) * 1_009 + self.fabric.global_rank
        torch.manual_seed(seed)
        step = Step(self.step, self.config.steps, self.generator.manual_seed(seed))
        self.optimizer.zero_grad(set_to_none=True)
        total, parts = torch.zeros((), device=self.fabric.device), dict[str, torch.Tensor]()
        whole = self.raw_method.abilities.needs_whole_batch
        batches = batches_of(samples, whole=whole, device=self.fabric.device)
        for number, batch in enumerate(batches, start=1):
            weight = len(batch.superpatches) / len(samples)
            # Processes may have different numbers of batches, so each synchronizes gradients only with its last.
            with self.fabric.no_backward_sync(self.method, enabled=number < len(batches)):
                # With one process Fabric calls the method directly, without the autocast of `forward`.
                with self.fabric.autocast():
                    losses = self.method.training_losses(batch, step)
                share = losses.total * weight
                self.fabric.backward(share)
            total += share.detach()
            for name, part in losses.parts.items():
                value = torch.as_tensor(part, device=total.device).detach().float() * weight
                parts[name] = parts[name] + value if name in parts else value
        norm = self.fabric.clip_gradients(
            self.method, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        if norm is not None and not torch.isfinite(norm):
            message = (
                f"The gradients of step {self.step + 1} are not finite: the training has diverged. Start it again with "
                f"a lower learning_rate (it is {self.config.learning_rate:g}) or more warmup_steps."
            )
            raise ConfigError(message)
        self.optimizer.step()
        self.raw_method.after_step(step)
        if self.average is not None:
            self.average.update_parameters(self.raw_method)
        # All processes must stop at the same step; otherwise the others would wait forever.
        report = torch.stack([total, torch.full_like(total, float(cancelled())), *parts.values()])
        loss, stop, *others = self.fabric.all_reduce(report).tolist()  # type: ignore[union-attr]
        return loss, dict(zip(parts, others, strict=True)), stop > 0

    def _after_step(self, tell: ProgressCallback) -> None:
        step, config = self.step, self.config
        if (
            self.run.writes
            and self.data.validation
            and (step % config.validate_every == 0 or step == config.steps)
        ):
            method = self._averaged() or self.raw_method.eval()
            scores = score(method, self.data.validation, self.fabric.device)
            self.raw_method.train()
            message = describe(scores)
            tell(Event("validation", message, step, config.steps, fields=scores))
        if step % config.checkpoint_every == 0 and step < config.steps:
            self._save()

    def _save(self) -> None:
        if self.run.writes:
            tensors = pack(self.raw_method, self._averaged(), self.optimizer)
            self.run.save(self.step, tensors, self._card(), self.config.keep_checkpoints)

    def _card(self) -> Card:
        config = self.config
        training = config.model_dump(
            mode="json", exclude={"name", "data", "method", "model", "window", "preset"}
        )
        return Card(
            name=config.name,
            method=config.method,
            config=self.raw_method.config.model_dump(mode="json"),
            window=config.window,
            mask=config.mask.model_dump(mode="json") if config.mask else {},
            step=self.step,
            data=config.data,
            training={**training, "scans": len(self.data.training)},
            abilities=self.raw_method.abilities,
        )


def _topology(place: torch.device) -> dict[str, Any]:
    """Fabric's arguments for one process, or for those of torchrun."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return {"devices": 1 if place.index is None else [place.index]}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    from lightning_fabric.strategies.ddp import DDPStrategy

    # The other processes wait while the first one reads all scans.
    strategy = DDPStrategy(timeout=timedelta(hours=12))
    return {"devices": local, "num_nodes": world // local, "strategy": strategy}


def _check_fit(config: PretrainConfig, method: Method) -> None:
    """Check crops and masks of a recipe against its method.

    Raises:
        ConfigError: they do not fit.
    """
    config.crop.check(method.config.patch_size, method.config.superpatch_size)
    if method.abilities.hides and config.mask is None:
        message = (
            f"The method {config.method} learns by filling in hidden patches: give `mask` in the recipe."
        )
        raise ConfigError(message)
    if not method.abilities.hides and config.mask is not None:
        message = f"The method {config.method} sees every voxel: set `mask: null` in the recipe."
        raise ConfigError(message)


def _take_over(method: Method, initial: LoadedModel) -> None:
    weights = initial.method.state_dict()
    difference = misfit(weights, method.state_dict())
    if difference is not None:
        message = (
            f"The recipe describes a model of other sizes than {initial.name}, whose weights do not fit: {difference}. "
            "Take over the preset and the fields of `model` of the recipe that made it."
        )
        raise ConfigError(message)
    method.load_state_dict(weights)
