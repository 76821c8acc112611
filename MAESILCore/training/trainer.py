"""The pre-training loop: a folder of scans in, a run folder out, resumable to the very step."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.devices import pick_device, pick_precision
from MAESILCore.errors import Cancelled, ConfigError
from MAESILCore.jobfolder import Event, ProgressCallback
from MAESILCore.methods import Method, MethodConfig, create
from MAESILCore.models.checkpoint import Card, LoadedModel, save_checkpoint
from MAESILCore.models.weights import misfit
from MAESILCore.optional import require
from MAESILCore.training.batches import by_shape, draw_batch, drawn_ahead, stack
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, Sample
from MAESILCore.training.run import MODEL, Run
from MAESILCore.training.schedule import learning_rate, make_optimizer
from MAESILCore.training.split import check_same, inventory, left_out_sentence, split, unreadable_sentence
from MAESILCore.training.state import pack, unpack
from MAESILCore.training.validation import Validation


def pretrain(
    run: Run,
    config: PretrainConfig,
    scans: Discovery | Sequence[Path],
    *,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
    initial: LoadedModel | None = None,
) -> Path:
    """Train until `config.steps` and write the final model into the run folder.

    A run that holds checkpoints goes on from the newest whole one and takes the very steps it would have taken:
    samples are functions of (seed, step), optimiser, average and random state are in the checkpoint, and other scans
    than the run began with are refused. The learning rate follows the configuration at hand, so a run may be
    prolonged by resuming it with more steps; one that has taken them all is left as it is. Every end leaves an event:
    `finished`, `failed` or `cancelled`. The file `cancel` in the run folder stops it like `cancelled`.

    Under torchrun every process draws `config.batch_size` crops of its own a step and gradients are averaged; the
    first process alone writes.

    Args:
        run: where everything is written.
        config: the recipe.
        scans: what `discover_scans` found, or scan files and DICOM folders.
        device: as in `reconstruct`.
        progress: given the events of the run as they are written: `progress` before every scan that is read, `step` and
            `validation` after a step.
        cancelled: asked at the same places.
        initial: weights to start from instead of random ones; of the same method and sizes. The run keeps them in a
            checkpoint before its first step.

    Returns:
        The final model, `model.safetensors` in the run folder, in half precision.

    Raises:
        Cancelled: after a checkpoint of the last full step was written.
        CheckpointError: none of the run's checkpoints can be read.
        ConfigError: no scan can be used, the recipe does not fit, a pattern of its `hold_out` matches no scan, or the
            gradients are no longer finite.
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
    with run.working(config):
        return Trainer(run, config, scans, device, initial, note).fit(tell, stopped)


class Trainer:
    """The state of one pre-training."""

    def __init__(
        self,
        run: Run,
        config: PretrainConfig,
        scans: Discovery | Sequence[Path],
        device: str,
        initial: LoadedModel | None,
        note: Callable[[str, int], None],
    ) -> None:
        from lightning_fabric import Fabric

        self.run, self.config = run, config
        found = scans if isinstance(scans, Discovery) else Discovery.of(scans)
        self.names = {scan.path: scan.file for scan in found.scans}
        torch.manual_seed(config.seed)
        method = create(config.method, config.model, config.preset)
        config.crop.check(method.config.patch_size, method.config.superpatch_size)
        if initial is not None:
            _take_over(method, initial)
        place = pick_device(device)
        precision: Any = pick_precision(place) if config.precision == "auto" else config.precision
        saved = run.load_latest(lambda message: note(message, 0))
        self.step = saved[0] if saved else 0
        if config.steps < self.step:
            message = f"The run has already taken {self.step} steps, and {config.steps} were asked for; ask for more."
            raise ConfigError(message)
        self._read(found, method.config, lambda message: note(message, self.step))
        self.fabric = Fabric(accelerator=place.type, **_topology(place), precision=precision)
        self.fabric.launch()
        self.raw_method = method.to(self.fabric.device)
        self.average = copy.deepcopy(method).requires_grad_(False).eval()
        self.method, self.optimizer = self.fabric.setup(method, make_optimizer(method, config))
        self.method.mark_forward_method("losses")
        self.generator = torch.Generator(device=self.fabric.device)
        if saved:
            unpack(saved[1], method, self.average, self.optimizer)
        elif initial is not None:
            # A run that is killed before its first checkpoint must still know where it began.
            self._save()
        run.begin(config, inventory(self.corpus.paths, self.corpus.shapes, self.names))
        for path, reason in (*self.corpus.left_out, *self.validation.left_out):
            run.event("left_out", scan=self.names[path], reason=reason)
        for other in found.left_out:
            run.event("left_out", entry=other.name, reason=other.reason)
        run.event(
            "started",
            step=self.step,
            total=config.steps,
            scans=len(self.corpus.paths),
            held_out=len(self.validation),
            device=str(self.fabric.device),
            precision=precision,
            parameters=sum(weight.numel() for weight in method.parameters()),
        )

    def _read(self, found: Discovery, sizes: MethodConfig, note: Callable[[str], None]) -> None:
        """Read all scans once: corpus and validation."""
        before = self.run.scans() if self.step else None
        scans, memory = found.scans, int(self.config.cache_gib * 2**30)
        training, held_out = split(scans, self.config.hold_out, before)

        def tell_number(number: int) -> None:
            note(f"reading scan {number + 1} of {len(scans)}")

        if found.left_out:
            note(unreadable_sentence(found.left_out))
        self.corpus = Corpus(training, memory, tell_number, names=self.names)
        if before is not None:
            check_same(before, inventory(self.corpus.paths, self.corpus.shapes, self.names))
        # The corpus fills its memory only as crops are drawn: until then the validation may have it all.
        self.validation = Validation.build(
            held_out, self.config, sizes, lambda number: tell_number(len(training) + number), self.names
        )
        left_out = [*self.corpus.left_out, *self.validation.left_out]
        if left_out:
            note(left_out_sentence(left_out, len(scans), self.names))
        if held_out and not len(self.validation):
            note(
                "no validation: nothing can be hidden in the held-out scans, which are not larger than a patch"
            )

    def fit(self, tell: ProgressCallback, cancelled: Callable[[], bool]) -> Path:
        """See `pretrain`."""
        config = self.config
        full = math.prod(self.raw_method.config.superpatch_size)
        started, first, voxels = time.monotonic(), self.step, 0
        draw = partial(draw_batch, self.corpus, config, self.raw_method.config, self.fabric.global_rank)
        for samples in drawn_ahead(draw, range(self.step, config.steps)):
            loss, stop = self._train_step(samples, cancelled)
            self.step += 1
            voxels += sum(sample.voxels.size for sample in samples) * self.fabric.world_size
            elapsed = time.monotonic() - started
            left = elapsed / (self.step - first) * (config.steps - self.step)
            fields = {
                "loss": round(loss, 7),
                "learning_rate": learning_rate(config, self.step - 1),
                "superpatches_per_second": round(voxels / full / elapsed, 3),
            }
            tell(Event("step", "", self.step, config.steps, left, fields=fields))
            self._after_step(tell)
            if self.step < config.steps and stop:
                self._save()
                message = f"Stopped after step {self.step}; the same command goes on from there."
                raise Cancelled(message)
        self._save()
        path = self.run.folder / MODEL
        weights = {f"average.{name}": tensor.half() for name, tensor in self.average.state_dict().items()}
        if self.run.writes:
            save_checkpoint(path, weights, self._card())
        self.run.event("finished", step=self.step, model=path.name)
        return path

    def _train_step(self, samples: list[Sample], cancelled: Callable[[], bool]) -> tuple[float, bool]:
        """One optimiser step: the loss, and whether any process was asked to stop.

        Crops of equal extents share a pass, and every crop weighs the same.
        """
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.config, self.step)
        # Whatever the method draws itself depends on the step alone, so a resumed run draws the same.
        self.generator.manual_seed(
            (self.config.seed * 1_000_003 + self.step) * 1_009 + self.fabric.global_rank
        )
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.fabric.device)
        groups = by_shape(samples)
        for number, group in enumerate(groups, start=1):
            voxels, hidden, start = (tensor.to(self.fabric.device) for tensor in stack(group))
            # Processes may have different numbers of groups: all exchange gradients once, with their last.
            with self.fabric.no_backward_sync(self.method, enabled=number < len(groups)):
                # With one process Fabric hands `losses` on as it is, past the precision that it sets up in `forward`.
                with self.fabric.autocast():
                    losses = self.method.losses(voxels, hidden, generator=self.generator, start=start)
                share = losses["loss"] * (len(group) / len(samples))
                self.fabric.backward(share)
            total += share.detach()
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
        # A young average would remember the random start for long.
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.raw_method.parameters(), strict=True):
                mean.lerp_(weight.detach(), 1.0 - decay)
        # One message for both: if processes stopped at different steps, the later ones would wait for ever.
        report = self.fabric.all_reduce(torch.stack([total, torch.full_like(total, float(cancelled()))]))
        return float(report[0]), bool(report[1] > 0)

    def _after_step(self, tell: ProgressCallback) -> None:
        step, config = self.step, self.config
        if (
            self.run.writes
            and len(self.validation)
            and (step % config.validate_every == 0 or step == config.steps)
        ):
            scores = self.validation.score(self.average, self.fabric.device)
            message = f"hidden PSNR {scores['psnr_hidden']:.2f} dB (smooth fill {scores['psnr_hidden_fill']:.2f} dB)"
            tell(Event("validation", message, step, config.steps, fields=scores))
        if step % config.checkpoint_every == 0 and step < config.steps:
            self._save()

    def _save(self) -> None:
        if self.run.writes:
            tensors = pack(self.raw_method, self.average, self.optimizer)
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
            mask=config.mask.model_dump(mode="json"),
            step=self.step,
            data=config.data,
            training={**training, "scans": len(self.corpus.paths)},
        )


def _topology(place: torch.device) -> dict[str, Any]:
    """Fabric's arguments: one process, or those that torchrun started."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return {"devices": 1 if place.index is None else [place.index]}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return {"devices": local, "num_nodes": world // local, "strategy": "ddp"}


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
