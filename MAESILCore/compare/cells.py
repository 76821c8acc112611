"""The cells of a comparison: each is a run and its scores; what is done already is kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from MAESILCore.compare.config import CompareConfig
from MAESILCore.errors import ConfigError
from MAESILCore.files import write_json, write_whole
from MAESILCore.jobfolder.folder import EVENTS
from MAESILCore.lattice import MaskStrategy
from MAESILCore.models.catalogue import FINAL
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.scoring.evaluate import evaluate
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.run import Run
from MAESILCore.training.scans import data_at
from MAESILCore.training.trainer import pretrain

#: Files of a comparison's folder.
SCORES, BUDGET, DESCRIPTION = "scores.json", "budget.json", "comparison.json"

#: Callback with cells done, cells in all, and a sentence.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Cell:
    """One training of a comparison.

    Attributes:
        view: `steps` or `time`.
        row: a key of `CompareConfig.methods`.
        seed: seed of the training.
        folder: the folder of the run; its scores lie beside the run's files.
    """

    view: str
    row: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.row}, seed {self.seed}, equal {self.view}"

    def scores(self) -> dict[str, Any] | None:
        """The result of the evaluation; None if there is none yet."""
        try:
            found: dict[str, Any] = json.loads((self.folder / SCORES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found


def cells_of(config: CompareConfig, out: Path) -> Iterator[Cell]:
    """All cells, those of equal steps first and seed by seed, so that a stopped comparison has whole tables."""
    for view in sorted(config.views):
        for seed in config.seeds:
            for row in config.methods:
                yield Cell(view, row, seed, out / view / f"{row}-seed{seed}")


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
        ConfigError: the folder holds another comparison, or a recipe does not fit.
    """
    _claim(config, out)
    cells = list(cells_of(config, out))
    for number, cell in enumerate(cells):

        def say(message: str, number: int = number, cell: Cell = cell) -> None:
            progress(number, len(cells), f"{cell.name}: {message}")

        if cell.scores() is not None:
            continue
        steps = config.steps if cell.view == "steps" else _steps_in_time(config, cell.row, out)
        model = _trained(cell, config.recipe(cell.row, cell.seed, steps), scans, device, say, cancelled)
        known = any("controls" in (other.scores() or {}) for other in cells)
        write_json(
            cell.folder / SCORES, _scored(config, cell, model, tests, device, not known, say, cancelled)
        )
    progress(len(cells), len(cells), "Compared.")
    return cells


def _claim(config: CompareConfig, out: Path) -> None:
    """Write the comparison into its folder, or check that the folder holds this one."""
    out.mkdir(parents=True, exist_ok=True)
    text, place = json.dumps(config.model_dump(mode="json"), indent=2) + "\n", out / DESCRIPTION
    if not place.exists():
        with write_whole(place) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    elif place.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{out} holds another comparison: choose another folder, or use its own description."
        )


def _trained(
    cell: Cell,
    recipe: PretrainConfig,
    scans: Sequence[Path],
    device: str,
    say: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> LoadedModel:
    """The model of a cell; its run is resumed if it was begun."""
    if not (cell.folder / FINAL).is_file():
        begun = (cell.folder / "config.yaml").is_file()
        run = Run.open(cell.folder) if begun else Run.create(cell.folder)
        pretrain(
            run,
            recipe,
            data_at(scans),
            device=device,
            progress=lambda event: say(event.message or f"step {event.step} of {event.total}"),
            cancelled=cancelled,
        )
    return load_checkpoint(cell.folder)


def _steps_in_time(config: CompareConfig, row: str, out: Path) -> int:
    """The steps that a row can take while the reference takes `config.steps`; written once, as times vary."""
    path = out / BUDGET
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not known:
        first = {each: _usual_seconds(config, each, out) for each in config.methods}
        if None in first.values():
            raise ConfigError("A single step does not tell how long a step takes: give more `steps`.")
        seconds = {each: cast(float, one) for each, one in first.items()}
        budget = config.steps * seconds[config.budget_row]
        steps = {each: max(1, round(budget / one)) for each, one in seconds.items()}
        known = {"seconds": budget, "seconds_per_step": seconds, "steps": steps}
        write_json(path, known)
    return int(known["steps"][row])


def _usual_seconds(config: CompareConfig, row: str, out: Path) -> float | None:
    """The median duration of a row's steps over its seeds, as a machine can be busy for a while."""
    cells = [Cell("steps", row, seed, out / "steps" / f"{row}-seed{seed}") for seed in config.seeds]
    known = [found for cell in cells if (found := seconds_per_step(cell)) is not None]
    return statistics.median(known) if known else None


def seconds_per_step(cell: Cell) -> float | None:
    """The median duration of a step, without validation and checkpoints; None for a run of one step."""
    steps = [event for event in _events(cell) if event["event"] in ("step", "validation", "checkpoint")]
    times = [
        after["time"] - before["time"]
        for before, after in pairwise(steps)
        if before["event"] == after["event"] == "step"
    ]
    return statistics.median(times) if times else None


def _events(cell: Cell) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cell.folder / EVENTS).read_text(encoding="ascii").splitlines()]


def _validation(cell: Cell) -> dict[str, float]:
    """The scores of the last validation; {} without held-out scans."""
    found = [event for event in _events(cell) if event["event"] == "validation"]
    known = ("event", "time", "step", "total", "message")
    return {name: value for name, value in (found[-1] if found else {}).items() if name not in known}


def _scored(
    config: CompareConfig,
    cell: Cell,
    model: LoadedModel,
    tests: Sequence[Path],
    device: str,
    controls: bool,
    say: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    """The scores of a cell by mask; `none` is the name for models that hide nothing."""
    abilities, rule = model.abilities, config.evaluation
    found: dict[str, Any] = {"facts": _facts(cell, model), "masks": {}}
    if not abilities.reconstructs:
        return found
    strategies: dict[str, MaskStrategy | None] = (
        dict(rule.strategies()) if abilities.hides else {"none": None}
    )
    for name, strategy in strategies.items():
        results = evaluate(
            tests,
            model,
            strategy=strategy,
            seed=rule.seed,
            controls=rule.controls if controls and strategy is not None else (),
            exclude=rule.exclude,
            device=device,
            progress=_with_masks(name, say),
            cancelled=cancelled,
        )
        found["masks"][name] = results["summary"]["model"]
        found["setup"], found["left_out"] = results["setup"], results["left_out"]
        found["cases"] = [case["name"] for case in results["cases"]]
        if results["summary"]["controls"]:
            found.setdefault("controls", {})[name] = results["summary"]["controls"]
    return found


def _with_masks(name: str, say: Callable[[str], None]) -> Progress:
    return lambda _done, _total, message: say(f"masks {name}: {message}")


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
