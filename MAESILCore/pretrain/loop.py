"""The pre-training loop: a folder of scans in, a run folder out, resumable to the very step."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from MAESILCore.checkpoint import Card, LoadedModel, save_checkpoint
from MAESILCore.devices import pick_device, pick_precision
from MAESILCore.errors import Cancelled, ConfigError, MaesilError
from MAESILCore.methods import Method, create
from MAESILCore.optional import require
from MAESILCore.pretrain.batches import by_shape, stack
from MAESILCore.pretrain.config import PretrainConfig
from MAESILCore.pretrain.corpus import Corpus, Sample
from MAESILCore.pretrain.optimisation import learning_rate, make_optimizer
from MAESILCore.pretrain.run import Run
from MAESILCore.pretrain.validation import Validation
from MAESILCore.window import Window


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after every step.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: of this step.
        superpatches_per_second: crops a second since the start, in units of whole superpatches.
        seconds_left: estimate.
        message: a sentence when something else happened (validation, checkpoint), else empty.
    """

    step: int
    steps: int
    loss: float
    superpatches_per_second: float
    seconds_left: float
    message: str = ""


def pretrain(
    run: Run,
    config: PretrainConfig,
    scans: list[Path],
    *,
    device: str = "auto",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    initial: LoadedModel | None = None,
) -> Path:
    """Train until `config.steps` and write the final model into the run folder.

    A run that holds checkpoints goes on from the newest one and takes the very steps it would have taken: samples
    are functions of (seed, step), and optimiser, average and random state are in the checkpoint. The learning rate
    follows the configuration at hand, so a run may be prolonged by resuming it with more steps.

    Under torchrun every process draws `config.batch_size` crops of its own a step and gradients are averaged; the
    first process alone writes.

    Args:
        run: where everything is written.
        config: the recipe.
        scans: scan files and DICOM folders.
        device: as in `reconstruct`.
        progress: called after every step.
        cancelled: asked after every step.
        initial: weights to start from instead of random ones; of the same method and sizes.

    Returns:
        The final model, `model.safetensors` in the run folder, in half precision.

    Raises:
        Cancelled: after a checkpoint of the last full step was written.
        ConfigError: no scan can be used, or the recipe does not fit.
    """
    require("lightning_fabric", "Pre-training")
    tell, stopped = progress or (lambda _: None), cancelled or (lambda: False)

    def before_scan(number: int) -> None:
        if stopped():
            raise Cancelled("Stopped before the first step.")
        tell(Progress(0, config.steps, math.nan, 0.0, math.nan, f"reading scan {number + 1} of {len(scans)}"))

    try:
        trainer = Trainer(run, config, scans, device, initial, before_scan)
    except MaesilError:
        run.discard_unless_used()
        raise
    return trainer.fit(tell, stopped)


class Trainer:
    """The state of one pre-training."""

    def __init__(
        self,
        run: Run,
        config: PretrainConfig,
        scans: list[Path],
        device: str,
        initial: LoadedModel | None,
        before_scan: Callable[[int], None],
    ) -> None:
        from lightning_fabric import Fabric

        self.run, self.config, self.window = run, config, Window(*config.window)
        training = [scan for scan in scans if not _matches(scan, config.hold_out)]
        held_out = [scan for scan in scans if _matches(scan, config.hold_out)]
        self.corpus = Corpus(training, int(config.cache_gib * 2**30), before_scan)
        for path, reason in self.corpus.left_out:
            run.event("left_out", scan=path.name, reason=reason)
        torch.manual_seed(config.seed)
        method = create(config.method, config.model, config.preset)
        if initial is not None:
            _take_over(method, initial)
        place = pick_device(device)
        precision: Any = pick_precision(place) if config.precision == "auto" else config.precision
        self.fabric = Fabric(
            accelerator=place.type,
            **_topology(place),
            precision=precision,
        )
        self.fabric.launch()
        self.raw_method = method
        self.average = copy.deepcopy(method).requires_grad_(False).eval()
        self.method, self.optimizer = self.fabric.setup(method, make_optimizer(method, config))
        self.method.mark_forward_method("losses")
        self.average.to(self.fabric.device)
        self.generator = torch.Generator(device=self.fabric.device)
        self.step = 0
        self.validation = Validation.build(held_out, config, method.config)
        self._resume()
        run.event(
            "started",
            step=self.step,
            steps=config.steps,
            scans=len(self.corpus.paths),
            held_out=len(self.validation),
            device=str(self.fabric.device),
            precision=precision,
            parameters=sum(weight.numel() for weight in method.parameters()),
        )

    def fit(self, progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Path:
        """See `pretrain`."""
        config = self.config
        full = math.prod(self.raw_method.config.superpatch_size)
        started, first, voxels = time.monotonic(), self.step, 0
        for samples in self._batches():
            loss, stop = self._train_step(samples, cancelled)
            self.step += 1
            voxels += sum(sample.voxels.size for sample in samples) * self.fabric.world_size
            message = self._after_step(loss)
            elapsed = time.monotonic() - started
            left = elapsed / (self.step - first) * (config.steps - self.step)
            progress(Progress(self.step, config.steps, loss, voxels / full / elapsed, left, message))
            if self.step < config.steps and stop:
                self._save()
                self.run.event("stopped", step=self.step)
                message = f"Stopped after step {self.step}; the same command goes on from there."
                raise Cancelled(message)
        self._save()
        path = self.run.folder / "model.safetensors"
        weights = {f"average.{name}": tensor.half() for name, tensor in self.average.state_dict().items()}
        if self.run.writes:
            save_checkpoint(path, weights, self._card())
        self.run.event("finished", step=self.step, model=path.name)
        return path

    def _batches(self) -> Iterator[list[Sample]]:
        """The batches from the present step on, each made by a thread while the step before it runs."""
        with ThreadPoolExecutor(max_workers=1) as worker:
            pending = worker.submit(self._draw, self.step)
            for step in range(self.step, self.config.steps):
                samples = pending.result()
                if step + 1 < self.config.steps:
                    pending = worker.submit(self._draw, step + 1)
                yield samples

    def _draw(self, step: int) -> list[Sample]:
        config, sizes = self.config, self.raw_method.config
        return [
            self.corpus.sample(
                config.crop,
                config.mask.strategy,
                self.window,
                sizes.patch_size,
                sizes.superpatch_size,
                (config.seed, step, self.fabric.global_rank * config.batch_size + place),
            )
            for place in range(config.batch_size)
        ]

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
        self.fabric.clip_gradients(self.method, self.optimizer, max_norm=self.config.clip_norm)
        self.optimizer.step()
        # A young average would remember the random start for long.
        decay = min(self.config.average_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.raw_method.parameters(), strict=True):
                mean.lerp_(weight.detach(), 1.0 - decay)
        # One message for both: if processes stopped at different steps, the later ones would wait for ever.
        report = self.fabric.all_reduce(torch.stack([total, torch.full_like(total, float(cancelled()))]))
        return float(report[0]), bool(report[1] > 0)

    def _after_step(self, loss: float) -> str:
        step, config = self.step, self.config
        self.run.event("step", step=step, loss=round(loss, 7), learning_rate=learning_rate(config, step - 1))
        message = ""
        if (
            self.run.writes
            and len(self.validation)
            and (step % config.validate_every == 0 or step == config.steps)
        ):
            scores = self.validation.score(self.average, self.fabric.device)
            self.run.event("validation", step=step, **scores)
            message = f"hidden PSNR {scores['psnr_hidden']:.2f} dB (smooth fill {scores['psnr_hidden_fill']:.2f} dB)"
        if step % config.checkpoint_every == 0 and step < config.steps:
            self._save()
        return message

    def _save(self) -> None:
        if not self.run.writes:
            return
        tensors = {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= {f"model.{name}": tensor for name, tensor in self.raw_method.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors["random.torch"] = torch.get_rng_state()
        self.run.save(self.step, tensors, self._card(), self.config.keep_checkpoints)

    def _resume(self) -> None:
        saved = self.run.load_latest()
        if saved is None:
            return
        self.step, tensors = saved
        self.raw_method.load_state_dict(_part(tensors, "model."))
        self.average.load_state_dict(_part(tensors, "average."))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in _part(tensors, "optimizer.").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        torch.set_rng_state(tensors["random.torch"])

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
    try:
        method.load_state_dict(initial.method.state_dict())
    except RuntimeError as error:
        message = f"The recipe describes a model of other sizes than {initial.name}: it cannot start from its weights."
        raise ConfigError(message) from error


def _matches(scan: Path, patterns: tuple[str, ...]) -> bool:
    return any(scan.match(pattern) for pattern in patterns)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
