"""Pre-trains the encoders, trains and scores the cells of a comparison by few labels; what is done is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from MAESILCore.compare.cells import SCORES, seconds_of_step
from MAESILCore.compare.fewlabels.cells import (
    PRETRAINING,
    ShotCell,
    chosen_cases,
    shot_cells,
    split_cases,
)
from MAESILCore.compare.fewlabels.config import FewLabelsConfig
from MAESILCore.compare.fewlabels.place import PlaceControl
from MAESILCore.compare.run import Progress, claim
from MAESILCore.compare.sharing import held, rest
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.downstream.segmentation.classes import Classes
from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.evaluate import evaluate_segmentation, score_cases
from MAESILCore.downstream.segmentation.losses import SegmentationLoss
from MAESILCore.downstream.segmentation.model import load_segmentation_model
from MAESILCore.downstream.segmentation.opening import ReadCase, read_case
from MAESILCore.downstream.segmentation.run import SegmentationRun
from MAESILCore.downstream.segmentation.start import Start
from MAESILCore.downstream.segmentation.trainer import train_segmentation
from MAESILCore.errors import Cancelled
from MAESILCore.files import write_json
from MAESILCore.jobfolder import JobFolder
from MAESILCore.models.catalogue import FINAL
from MAESILCore.training.run import Run
from MAESILCore.training.scans import data_at
from MAESILCore.training.trainer import pretrain

#: File with the operations of a training step by row, and the steps that they give.
BUDGET = "budget.json"


def compare_few_labels(
    config: FewLabelsConfig,
    cases: Sequence[Case],
    out: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda done, total, message: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[ShotCell]:
    """Pre-train, train and score all cells; a further call goes on where this one was stopped.

    Several processes may be called with the same folder at a time: each takes the next training that no other one
    holds, and all return when the last one is done.

    Args:
        config: the comparison.
        cases: all labelled cases, the test cases included.
        out: the folder of the comparison.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback with trainings done, trainings in all, and a sentence.
        cancelled: called often; True stops, and what was trained is kept.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the folder holds another comparison, or the cases do not fit.
        VolumeError: a scan or its labels cannot be read.
    """
    pool, tests = split_cases(config, cases)
    claim(config, out)
    work = _Work(config, list(shot_cells(config, out)), pool, tests, out, device, progress, cancelled)
    while left := [cell for cell in work.cells if not cell.is_done]:
        if not any(work.finish(cell) for cell in left):
            work.say(left[0].name, "another process works on it")
            rest(cancelled)
    progress(len(work.cells), len(work.cells), "Compared.")
    return work.cells


@dataclass(frozen=True)
class _Work:
    """What a process does for a comparison; see `compare_few_labels` for the attributes."""

    config: FewLabelsConfig
    cells: list[ShotCell]
    pool: list[Case]
    tests: list[Case]
    out: Path
    device: str
    progress: Progress
    cancelled: Callable[[], bool]

    def say(self, name: str, message: str) -> None:
        """Report what is done for a training."""
        done = sum(one.is_done for one in self.cells)
        self.progress(done, len(self.cells), f"{name}: {message}")

    def finish(self, cell: ShotCell) -> bool:
        """Train and score a cell, with its pre-training; False if this must wait for other processes."""
        if cell.is_done:
            return True
        if self.config.is_control(cell.row):
            return held(cell.folder, partial(self._place, cell))
        method = self.config.rows[cell.row].get("pretrained")
        encoder = None if method is None else self.out / PRETRAINING / str(method)
        if encoder is not None and not (encoder / FINAL).is_file():
            return held(encoder, partial(self._pretrain, str(method)))
        return held(cell.folder, partial(self._learn, cell, encoder))

    def _pretrain(self, name: str, job: JobFolder) -> None:
        if (job.path / FINAL).is_file():
            return
        pretrain(
            Run.prepared(job, None, {}),
            self.config.pretraining.recipe(name),
            data_at([Path(case.scan) for case in self.pool]),
            device=self.device,
            progress=lambda event: self.say(
                f"pre-training {name}", event.message or f"step {event.step} of {event.total}"
            ),
            cancelled=self.cancelled,
        )

    def _place(self, cell: ShotCell, job: JobFolder) -> None:
        if cell.is_done:
            return
        chosen = chosen_cases(self.pool, cell.seed, cell.shots)
        control = PlaceControl.of([read_case(case) for case in chosen])

        def predict(read: ReadCase) -> np.ndarray:
            if self.cancelled():
                raise Cancelled("Stopped.")
            return control.predict(read)

        metrics = score_cases(
            predict,
            control.classes,
            self.tests,
            tolerance=self.config.tolerance,
            progress=partial(self._say_test, cell),
        )
        facts = {
            "steps": 0,
            "labelled": [case.name for case in chosen],
            "parameters": 0,
            "seconds_per_step": None,
        }
        write_json(job.path / SCORES, {"facts": facts, **metrics})

    def _say_test(self, cell: ShotCell, done: int, total: int, name: str) -> None:
        self.say(cell.name, f"test scan {done + 1} of {total}, {name}")

    def _learn(self, cell: ShotCell, encoder: Path | None, job: JobFolder) -> None:
        if cell.is_done:
            return
        recipe = self.config.recipe(cell.row, cell.seed, None if encoder is None else str(encoder))
        chosen = chosen_cases(self.pool, cell.seed, cell.shots)
        recipe = recipe.model_copy(update={"steps": self._steps(cell.row, recipe)})
        if not (cell.folder / FINAL).is_file():
            train_segmentation(
                SegmentationRun.prepared(job, None, {}),
                recipe,
                chosen,
                device=self.device,
                progress=lambda event: self.say(
                    cell.name, event.message or f"step {event.step} of {event.total}"
                ),
                cancelled=self.cancelled,
            )
        model = load_segmentation_model(cell.folder)
        metrics = evaluate_segmentation(
            model,
            self.tests,
            device=self.device,
            tolerance=self.config.tolerance,
            progress=partial(self._say_test, cell),
            cancelled=self.cancelled,
        )
        facts = {
            "steps": model.card.step,
            "labelled": [case.name for case in chosen],
            "parameters": sum(weight.numel() for weight in model.network.parameters()),
            "seconds_per_step": seconds_of_step(cell.folder),
        }
        write_json(cell.folder / SCORES, {"facts": facts, **metrics})

    def _steps(self, row: str, recipe: SegmentationConfig) -> int:
        """The steps of a row; with `equal: flops` those that cost the operations of the reference."""
        if "equal" not in self.config.rows[row]:
            return recipe.steps
        known = _known(self.out / BUDGET)
        for name in (self.config.reference, row):
            if name not in known:
                known[name] = self._operations(name)
        write_json(self.out / BUDGET, known)
        budget = known[self.config.reference] * self.config.recipe(self.config.reference, 0).steps
        return max(1, round(budget / known[row]))

    def _operations(self, row: str) -> float:
        """Floating-point operations of a training step of a row, of its whole network."""
        fields = dict(self.config.rows[row])
        if "pretrained" in fields:  # an untrained encoder costs as much
            fields["untrained"] = fields.pop("pretrained")
        rows = {**self.config.rows, row: fields}
        recipe = self.config.model_copy(update={"rows": rows}).recipe(row, 0)
        read = read_case(self.pool[0])
        classes = Classes.of([read.segmentation])
        network = Start.of(recipe, read.volume.looks_like_hu).network(recipe, classes)
        assert recipe.crop_size is not None
        voxels = torch.zeros(recipe.batch_size, 1, *recipe.crop_size)
        labels = torch.zeros(recipe.batch_size, *recipe.crop_size, dtype=torch.long)
        missing = torch.zeros(recipe.batch_size, len(classes), dtype=torch.bool)
        counter = FlopCounterMode(display=False)
        with counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            SegmentationLoss(recipe.balance)(network(voxels), labels, missing).total.backward()  # type: ignore[no-untyped-call]
        return float(counter.get_total_flops())


def _known(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found
