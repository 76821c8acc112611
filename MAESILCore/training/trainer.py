"""The pre-training loop: trains on a folder of scans into a run folder; runs resume exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import torch

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import ConfigError, MaesilError, PeerError, error_of_stop
from MAESILCore.jobfolder import Event, EventCallback
from MAESILCore.jobfolder.folder import CONFIG
from MAESILCore.methods import create
from MAESILCore.methods.scores import deciding_score
from MAESILCore.models.card import Card
from MAESILCore.models.catalogue import FINAL
from MAESILCore.models.checkpoint import LoadedModel, save_checkpoint
from MAESILCore.optional import require
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.learner import Learner
from MAESILCore.training.loader import Drawn, drawn_ahead
from MAESILCore.training.observer import Observer
from MAESILCore.training.passes import Trial, adapt
from MAESILCore.training.processes import launch, lost_processes, share_of
from MAESILCore.training.run import Run
from MAESILCore.training.saver import Saver
from MAESILCore.training.scans import DataOpener, opener_of
from MAESILCore.training.sharding import gathered
from MAESILCore.training.source import Opening, TrainingData
from MAESILCore.training.split import check_same
from MAESILCore.training.state import card_of, take_over
from MAESILCore.training.step import Stepper, Taken

#: The number of steps in a row that are not finite which ends a run with `on_nan: skip`.
MOST_SKIPPED = 10


def pretrain(
    run: Run,
    config: PretrainConfig,
    scans: Discovery | Sequence[Path] | DataOpener,
    *,
    device: str = "auto",
    progress: EventCallback | None = None,
    cancelled: Callable[[], int] | None = None,
    initial: LoadedModel | None = None,
) -> Path:
    """Train until `config.steps` and write the final model into the run folder.

    A run with checkpoints resumes exactly from the newest readable one: samples and random states are functions of
    (seed, step, place in the batch); weights, average and optimiser state are in the checkpoint; other scans are
    refused. The learning rate follows `config`, so a run can be extended with more steps; a run that has taken all
    steps is not changed. Each run ends with an event: `finished`, `failed` or `cancelled`. The file `cancel` in the run
    folder stops it like `cancelled`.

    Under torchrun the processes share the `config.batch_size` crops of each step, gradients are averaged, and only the
    first process writes. The number of processes may change whenever a run is resumed.

    Args:
        run: the run to write to.
        config: the recipe.
        scans: the result of `discover_scans`, scan files and DICOM folders, one store, or an opener of
            another source of samples.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback for the events of the run: `progress` before each scan is read, `step` and `validation`
            after a step.
        cancelled: called at the same places; True or 1 stops the training, 2 stops it for a scheduler.
        initial: model of the same method and sizes whose weights replace the random ones. The run saves them as a
            checkpoint before its first step.

    Returns:
        The final model, `model.safetensors` in the run folder, in half precision.

    Raises:
        Cancelled: the training was stopped; a checkpoint of the last full step is written. `Preempted` for a scheduler.
        CheckpointError: none of the run's checkpoints can be read.
        ConfigError: no scan can be used, the recipe is invalid, a pattern of `hold_out` matches no scan, the number of
            processes does not fit, or the gradients are not finite.
        PeerError: another process has failed or ended.
    """
    require("lightning_fabric", "Pre-training")

    def stopped() -> int:
        return max(int(run.is_cancelled), 0 if cancelled is None else int(cancelled()))

    def emit(event: Event) -> None:
        run.write(event)
        if progress is not None:
            progress(event)

    finished = run.model_after(config.steps)
    if finished is not None:
        message = f"The run has already taken all {config.steps} steps; to extend it, give more with --steps."
        if progress is not None:
            progress(Event("progress", message, config.steps, config.steps))
        run.conclude(config)
        return finished
    opener = scans if callable(scans) else opener_of(scans)
    with run.working(config), lost_processes():
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
        stopped: Callable[[], int],
    ) -> None:
        self.run, self.config, self.emit, self.stopped = run, config, emit, stopped
        torch.manual_seed(config.seed)
        self.method = create(config.method, config.model, config.preset)
        config.check(self.method.config, self.method.abilities)
        if initial is not None:
            take_over(self.method, initial)
        self.saver = Saver(self._write)
        self.step = 0
        saved = run.checkpoints.load_latest(self._report)
        run.checkpoints.complete(config.keep_checkpoints)
        if saved is not None:
            self.step = saved[0]
        if config.steps < self.step:
            message = f"The run has already taken {self.step} steps, more than the {config.steps} requested."
            raise ConfigError(f"{message} Give a larger number.")
        self.processes = launch(config, self.method, device)
        self.fabric = self.processes.fabric
        self.data = self._open(opener)
        self.best = cast(float, self.processes.share(run.checkpoints.best_score()))
        self.method.to(self.fabric.device)
        tensors = None if saved is None else saved[1]
        self.learner = Learner(self.method, config, self.processes, tensors, self.step)
        self.counts = self.learner.counts
        adapt(self.method, config)
        crops = self._crops_per_pass()
        self.learner.distribute()
        self.stepper = Stepper(self.processes, config, self.learner, crops)
        self.observer = Observer(run, config, self.data, self.processes, self.method, emit)
        self.saved_at = time.monotonic()
        if saved is None and initial is not None:
            # A run that is killed before its first checkpoint must resume from these weights.
            self._save({}, best=False)
            self.saver.wait()
        self._note_new_batches()
        self.observer.begin(self.method, self.step)

    def _open(self, opener: DataOpener) -> TrainingData:
        """Open the data; a resumed run needs the scans that it began with."""
        before = self.run.scans() if self.step else None
        opening = Opening(before, self._report, self.processes.rank, self.processes.share)
        data: TrainingData | None = None
        problem: MaesilError | None = None
        try:
            self._check_shared_folder()
            data = opener(self.config, self.method.config, opening)
            if before is not None:
                check_same(before, data.training.describe())
        except MaesilError as error:
            problem = error
        self.processes.agree(problem)
        assert data is not None
        return data

    def _check_shared_folder(self) -> None:
        """All processes must have read the same checkpoint."""
        first = self.processes.share(self.step)
        if first != self.step:
            message = (
                f"Process {self.processes.rank} finds the run after step {self.step}, but the first process after step "
                f"{first}: put the run folder on a disk that all machines share."
            )
            raise ConfigError(message)

    def _crops_per_pass(self) -> int | None:
        """The largest number of crops in a pass; `auto` finds it before the first step, and a resumed run keeps it."""
        trial, wanted = Trial(self.fabric, self.config, self.method), self.config.crops_per_pass
        if self.config.compile:
            trial.check_compiler()
        if wanted != "auto":
            return wanted
        found = self.run.crops_per_pass() if self.step else None
        if found is None:
            share = share_of(self.config.batch_size, self.processes.rank, self.processes.count)
            found = min(self.processes.gather(trial.crops_that_fit(len(share))))
            message = f"A pass computes {found} crops at once, by a trial of the memory."
            self.run.write(Event("log", message, self.step, fields={"crops_per_pass": found}))
        return found

    def _note_new_batches(self) -> None:
        if self.step and "crops_per_pass" not in (self.run.folder / CONFIG).read_text(encoding="utf-8"):
            message = (
                "This run was begun by an earlier version of MAESIL. From here on batch_size counts the crops of all "
                "processes, and its random draws and loss weights differ slightly."
            )
            self.emit(Event("log", message, self.step))

    def fit(self) -> Path:
        """Take the remaining steps and write the final model; see `pretrain`."""
        with self.processes.connected():
            with self.saver, closing(self.observer):
                if self.step and self._must_validate():
                    self._end_step(stop=0)  # the validation was interrupted
                self._train()
            return self._finish()

    def _train(self) -> None:
        first, steps = self.step, range(self.step, self.config.steps)
        source, keys, workers = self.data.training, self.stepper.keys, self.config.workers
        with closing(drawn_ahead(source, keys, steps, workers)) as ahead:
            for drawn in ahead:
                started = time.perf_counter()
                try:
                    taken = self.stepper.take(drawn, self.step, self.stopped())
                except BaseException as error:
                    if self.step > first and self._can_save_after(error, drawn):
                        self._rescue(error)
                    raise
                self.counts.skipped = 0 if taken.finite else self.counts.skipped + 1
                self.step += 1
                seconds = drawn.waited + time.perf_counter() - started
                self._check_finite(taken, self.observer.report_step(taken, drawn, seconds, self.step))
                self.saver.check()
                if self.step == first + 1 and self.run.writes:
                    self.saver.prepare(self.learner.state())
                self._end_step(taken.stop)

    def _can_save_after(self, error: BaseException, drawn: Drawn) -> bool:
        """Whether the state is exactly that after the last full step, and can be read."""
        if error is drawn.problem or isinstance(error, PeerError):  # all processes raise one of them here
            return True
        # Batch norms change in the forward pass. After a lost process, CUDA may wait for it for ever. Sharded weights
        # need all processes.
        changes_early = self.method.abilities.needs_whole_batch
        hangs = self.processes.count > 1 and self.fabric.device.type == "cuda"
        return self.stepper.is_whole and not (changes_early or hangs or self.processes.mesh is not None)

    def _rescue(self, error: BaseException) -> None:
        """Save the state after the last full step; a failure is added to the error."""
        try:
            self._save({}, best=False)
        except Exception as second:
            error.add_note(f"The state after step {self.step} could not be saved: {second}")

    def _check_finite(self, taken: Taken, message: str) -> None:
        if taken.finite or (self.config.on_nan == "skip" and self.counts.skipped < MOST_SKIPPED):
            return
        if self.config.on_nan == "skip":
            message += f" These were {MOST_SKIPPED} such steps in a row."
        raise ConfigError(
            f"{message} The training has diverged, or a scan is damaged: start again with a lower learning_rate (it is "
            f"{self.config.learning_rate:g}), more warmup_steps or without the scan, or resume with `on_nan: skip` in "
            "the run's config.yaml."
        )

    def _end_step(self, stop: int) -> None:
        """Validate, save and preview if the step has it.

        Raises:
            Cancelled: `stop` says so, or a stop came during the validation.
        """
        scores: dict[str, float] = {}
        if self._must_validate():
            found = self.observer.validate(self.learner.shown, self.step, self.stopped)
            stop = max(stop, self.processes.agree(stop=self.stopped() if found is None else 0))
            # All processes go on like the first one, which alone has scores.
            found = self.processes.gather(found)[0]
            if found is not None:
                scores, self.counts.validated = found, self.step
        is_over = self.step == self.config.steps and not self._must_validate()
        best = self._is_best(scores)
        if is_over or best or stop or self._must_save():
            self._save(scores, best)
        if stop and not is_over:
            raise error_of_stop(stop)(
                f"Stopped after step {self.step}; resume the run to continue from there."
            )
        self.observer.preview(self.learner.shown, self._card({}))

    def _must_validate(self) -> bool:
        """Whether this step has a validation that was not done yet."""
        is_due = self.step == self.config.steps or self.step % self.config.validate_every == 0
        return is_due and self.counts.validated != self.step

    def _must_save(self) -> bool:
        """Whether a checkpoint is due, by steps or by time; checkpoints do not change what is trained."""
        is_late = (time.monotonic() - self.saved_at) / 60 >= self.config.checkpoint_minutes
        if self.processes.mesh is not None:  # their clocks differ, and all must save
            is_late = bool(self.processes.agree(stop=is_late))
        return self.step % self.config.checkpoint_every == 0 or is_late

    def _report(self, message: str) -> None:
        """Report the work before the first step; here it can be stopped, too."""
        if stop := self.stopped():
            raise error_of_stop(stop)("Stopped before the first step; run the command again to start.")
        self.emit(Event("progress", message, self.step, self.config.steps))

    def _is_best(self, scores: dict[str, float]) -> bool:
        """Whether the deciding score is the highest of the run so far."""
        first = deciding_score(scores)
        is_best, self.best = first > self.best, max(first, self.best)
        return is_best

    def _save(self, scores: dict[str, float], best: bool) -> None:
        self.saved_at = time.monotonic()
        state = self.learner.state()
        if self.run.writes:
            self.saver.save(state, self._card(scores), best=best)
            self.observer.flush()
        else:
            gathered(state, keep=False)

    def _write(self, tensors: dict[str, torch.Tensor], card: Card, *, best: bool, seconds: float) -> None:
        self.run.checkpoints.save(
            card.step, tensors, card, self.config.keep_checkpoints, best=best, seconds=seconds
        )

    def _card(self, scores: dict[str, float]) -> Card:
        return card_of(self.config, self.method, self.step, len(self.data.training), scores)

    def _finish(self) -> Path:
        """Write the final model, which holds the average if there is one."""
        path, weights = self.run.folder / FINAL, self.learner.final()
        if self.run.writes:
            save_checkpoint(path, weights, self._card({}))
        self.run.finish(self.step)
        return path
