"""Trains and scores the cells of a comparison; what is done already is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from MAESILCore.compare.cells import SCORES, Cell, cells_of, seconds_per_step
from MAESILCore.compare.config import CompareConfig
from MAESILCore.compare.inputs import training_data
from MAESILCore.compare.sharing import held, rest
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import ConfigError
from MAESILCore.files import write_json
from MAESILCore.jobfolder import JobFolder
from MAESILCore.lattice import MaskStrategy
from MAESILCore.models.catalogue import FINAL
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.scoring.evaluate import evaluate
from MAESILCore.training.run import Run
from MAESILCore.training.trainer import pretrain

#: Files of a comparison's folder.
BUDGET, DESCRIPTION = "budget.json", "comparison.json"

#: Callback with cells done, cells in all, and a sentence.
Progress = Callable[[int, int, str], None]


def compare(
    config: CompareConfig,
    scans: Sequence[Path],
    tests: Sequence[Path],
    out: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda done, total, message: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Cell]:
    """Train and score all cells; a further call goes on where this one was stopped.

    Several processes may be called with the same folder at a time: each takes the next cell that no other one holds,
    and all return when the last cell is done.

    Args:
        config: the comparison.
        scans: scans or a store for training.
        tests: scans for the scores, which must be of other subjects.
        out: the folder of the comparison.
        device: auto, cpu, cuda, cuda:N or mps.
        progress: callback with cells done, cells in all, and a sentence.
        cancelled: called often; True stops, and what was trained is kept.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the folder holds another comparison, a recipe does not fit, a pattern matches no scan, or a test
            scan is trained on.
        VolumeError: a path is not there, or there is no scan.
    """
    data = training_data(config, scans, tests)
    claim(config, out)
    work = _Work(config, list(cells_of(config, out)), data, tests, out, device, progress, cancelled)
    while left := [cell for cell in work.cells if not cell.is_done]:
        if not any(work.finish(cell) for cell in left):
            work.say(left[0], "another process works on it")
            rest(cancelled)
    progress(len(work.cells), len(work.cells), "Compared.")
    return work.cells


def claim(config: BaseModel, out: Path) -> None:
    """Write the comparison into its folder, or check that the folder holds this one.

    Raises:
        ConfigError: the folder holds another comparison.
    """
    out.mkdir(parents=True, exist_ok=True)
    place, mine = out / DESCRIPTION, config.model_dump(mode="json")
    if not place.exists():
        write_json(place, mine)
        return
    try:
        theirs: dict[str, Any] = dict(json.loads(place.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfigError(f"{place} is damaged: choose another folder.") from error
    different = [name for name in mine if mine[name] != theirs.get(name)]
    if different:
        raise ConfigError(
            f"{out} holds another comparison, with other {' and '.join(different)}: choose another folder, or the "
            "options that it was begun with."
        )


@dataclass(frozen=True)
class _Work:
    """What a process does for a comparison; see `compare` and `training_data` for the attributes."""

    config: CompareConfig
    cells: list[Cell]
    data: Discovery | Sequence[Path]
    tests: Sequence[Path]
    out: Path
    device: str
    progress: Progress
    cancelled: Callable[[], bool]

    def say(self, cell: Cell, message: str) -> None:
        """Report what is done for a cell."""
        done = sum(one.is_done for one in self.cells)
        self.progress(done, len(self.cells), f"{cell.name}: {message}")

    def _say_of_masks(self, cell: Cell, masks: str, _done: int, _total: int, message: str) -> None:
        self.say(cell, f"masks {masks}: {message}")

    def finish(self, cell: Cell) -> bool:
        """Train and score a cell, if it has no scores; False if this must wait for other processes."""
        if cell.is_done:
            return True
        if cell.view == "time" and not all(one.is_done for one in self.cells if one.view == "steps"):
            return False
        return held(cell.folder, partial(self._finish, cell))

    def _finish(self, cell: Cell, job: JobFolder) -> None:
        if not cell.is_done:
            write_json(cell.folder / SCORES, self._scores(cell, self._trained(cell, job)))

    def _trained(self, cell: Cell, job: JobFolder) -> LoadedModel:
        """The model of a cell; its run is resumed if it was begun."""
        if not (cell.folder / FINAL).is_file():
            steps = self.config.steps
            if cell.view == "time":
                steps = _steps_in_time(self.config, cell.row, self.out)
            pretrain(
                Run.prepared(job, None, {}),
                self.config.recipe(cell.row, cell.seed, steps),
                self.data,
                device=self.device,
                progress=lambda event: self.say(cell, event.message or f"step {event.step} of {event.total}"),
                cancelled=self.cancelled,
            )
        return load_checkpoint(cell.folder)

    def _scores(self, cell: Cell, model: LoadedModel) -> dict[str, Any]:
        """The scores of a cell by mask; `none` is the name for models that hide nothing."""
        abilities, rule = model.abilities, self.config.evaluation
        found: dict[str, Any] = {"facts": _facts(cell, model), "masks": {}}
        if not abilities.reconstructs:
            return found
        strategies: dict[str, MaskStrategy | None] = (
            dict(rule.strategies()) if abilities.hides else {"none": None}
        )
        known = any("controls" in (other.scores() or {}) for other in self.cells)
        for name, strategy in strategies.items():
            results = evaluate(
                self.tests,
                model,
                strategy=strategy,
                seed=rule.seed,
                controls=() if known or strategy is None else rule.controls,
                exclude=rule.exclude,
                device=self.device,
                progress=partial(self._say_of_masks, cell, name),
                cancelled=self.cancelled,
            )
            found["masks"][name] = results["summary"]["model"]
            found["setup"], found["left_out"] = results["setup"], results["left_out"]
            found["cases"] = [case["name"] for case in results["cases"]]
            if results["summary"]["controls"]:
                found.setdefault("controls", {})[name] = results["summary"]["controls"]
        return found


def _steps_in_time(config: CompareConfig, row: str, out: Path) -> int:
    """The steps that a row can take while the reference takes `config.steps`; written once, as times vary."""
    path = out / BUDGET
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not known:
        first = {each: _seconds(config, each, out) for each in config.methods}
        if None in first.values():
            raise ConfigError("A single step does not tell how long a step takes: give more `steps`.")
        seconds = {each: cast(float, one) for each, one in first.items()}
        budget = config.steps * seconds[config.budget_row]
        steps = {each: max(1, round(budget / one)) for each, one in seconds.items()}
        known = {"seconds": budget, "seconds_per_step": seconds, "steps": steps}
        write_json(path, known)
    return int(known["steps"][row])


def _seconds(config: CompareConfig, row: str, out: Path) -> float | None:
    """The duration of a row's steps, of the seed with the shortest ones: a busy machine only makes them longer."""
    cells = [Cell("steps", row, seed, out / "steps" / f"{row}-seed{seed}") for seed in config.seeds]
    return min((found for cell in cells if (found := seconds_per_step(cell)) is not None), default=None)


def _validation(cell: Cell) -> dict[str, float]:
    """The scores of the last validation; {} without held-out scans."""
    found = [event for event in cell.events() if event["event"] == "validation"]
    known = ("event", "time", "step", "total", "message")
    return {name: value for name, value in (found[-1] if found else {}).items() if name not in known}


def _facts(cell: Cell, model: LoadedModel) -> dict[str, Any]:
    """What a table says of a model beside its scores."""
    training = model.card.training
    return {
        "method": model.card.method,
        "parameters": sum(weight.numel() for weight in model.method.parameters() if weight.requires_grad),
        "latent_per_voxel": model.abilities.latent_per_voxel,
        "latent_bits_per_voxel": model.abilities.latent_bits_per_voxel,
        "hides": model.abilities.hides,
        "steps": model.card.step,
        "batch_size": training.get("batch_size"),
        "scans": training.get("scans"),
        "seconds_per_step": seconds_per_step(cell),
        "validation": _validation(cell),
    }
