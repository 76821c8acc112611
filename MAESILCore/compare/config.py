"""The description of a comparison: one YAML file, checked before the start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import problems_in
from MAESILCore.training.config import MaskConfig, PretrainConfig, load_config, read_recipe

#: Fields of a recipe that a comparison sets itself.
_OWN = ("steps", "seed", "name")

#: Bundled comparisons; `load_comparison` accepts their names without folder and suffix.
COMPARISONS = Path(__file__).parent / "comparisons"

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Evaluation(BaseModel):
    """The scores of a comparison.

    Attributes:
        masks: the masks by name; every model that hides patches is scored under each.
        seed: seed of the masks.
        controls: fills without learning, scored once per mask.
        exclude: glob patterns of test scans to leave out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    masks: dict[str, MaskConfig] = {"nested": MaskConfig()}
    seed: Seed = 0
    controls: tuple[str, ...] = ("biharmonic",)
    exclude: tuple[str, ...] = ()

    def strategies(self) -> dict[str, MaskStrategy]:
        """The mask strategies by name."""
        return {name: mask.strategy() for name, mask in self.masks.items()}


class CompareConfig(BaseModel):
    """A comparison of methods.

    Attributes:
        title: headline of the results.
        methods: fields of the recipe by the name of a row; `method` defaults to that name.
        common: fields of all recipes, such as crops and batch size, so that all methods see the same crops.
        seeds: seeds of the trainings; each gives a run of every method.
        views: `steps` trains all methods for `steps` steps; `time` trains each for as long as `reference` needs for
            them.
        steps: optimiser steps of the view `steps`.
        reference: the row whose duration is the budget of the view `time`.
        baseline: the row from which the differences of the hidden scores are given, seed by seed; "" gives none.
        evaluation: the scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "Comparison"
    methods: dict[str, dict[str, Any]] = Field(min_length=1)
    common: dict[str, Any] = {}
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    views: tuple[Literal["steps", "time"], ...] = Field(default=("steps",), min_length=1)
    steps: int = Field(default=1000, ge=1)
    reference: str = ""
    baseline: str = ""
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _rows_fit(self) -> CompareConfig:
        for name, fields in {"common": self.common, **self.methods}.items():
            taken = [field for field in _OWN if field in fields]
            if taken:
                raise ValueError(f"{name}: {taken[0]} is set by the comparison, leave it out")
        for field, row in (("reference", self.reference), ("baseline", self.baseline)):
            if row and row not in self.methods:
                raise ValueError(f"{field}: there is no row {row!r} among the methods")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: each must be given once")
        if "time" in self.views and "steps" not in self.views:
            raise ValueError("views: time needs the view steps, whose runs give the duration of a step")
        return self

    @property
    def budget_row(self) -> str:
        """The row whose duration is the budget of the view `time`."""
        return self.reference or next(iter(self.methods))

    def recipe(self, row: str, seed: int, steps: int) -> PretrainConfig:
        """The recipe of one run.

        Args:
            row: a key of `methods`.
            seed: seed of the run.
            steps: its optimiser steps.

        Raises:
            ConfigError: a field is unknown or does not fit the method.
        """
        own = self.methods[row]
        method = str(own.get("method", row))
        fields: dict[str, Any] = {**self.common, **own}
        for name, value in self.common.items():
            if isinstance(value, dict) and isinstance(own.get(name), dict):
                fields[name] = {**value, **own[name]}
        fields |= {"method": method, "name": row, "seed": seed, "steps": steps, "preview_every": 0}
        try:
            if "mask" not in own and load_config(None, {"method": method}).mask is None:
                fields["mask"] = None  # that of `common` is for the methods that hide
            return load_config(None, fields)
        except ConfigError as error:
            raise ConfigError(f"The row {row} of the comparison: {error}") from error


def load_comparison(
    path: str | Path,
    *,
    steps: int | None = None,
    seeds: Sequence[int] = (),
    hold_out: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> CompareConfig:
    """Read the description of a comparison.

    Args:
        path: YAML file, or the name of a bundled comparison, such as `ct`.
        steps: replaces `steps`; None keeps them.
        seeds: replace `seeds`; none keeps them.
        hold_out: replaces that of `common`: patterns of training scans for validation only.
        exclude: replaces that of the evaluation: patterns of test scans to leave out.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or does not fit.
    """
    path = found_comparison(path)
    try:
        fields = read_recipe(path)
        for name, value in (("steps", steps), ("seeds", list(seeds) or None)):
            if value is not None:
                fields[name] = value
        for group, name, patterns in (("common", "hold_out", hold_out), ("evaluation", "exclude", exclude)):
            # A group that is no mapping is refused below.
            if patterns and isinstance(fields.setdefault(group, {}), dict):
                fields[group] = {**fields[group], name: list(patterns)}
        config = CompareConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"The comparison {path} does not fit: {problems_in(error)}.") from error
    for row in config.methods:
        config.recipe(row, config.seeds[0], config.steps)
    return config


def found_comparison(path: str | Path) -> Path:
    """The file of a comparison, given by its path or by the name of a bundled one.

    Raises:
        ConfigError: there is none.
    """
    bundled = COMPARISONS / f"{Path(path).name}.yaml"
    if Path(path).parent == Path() and not Path(path).exists() and bundled.is_file():
        return bundled
    if not Path(path).exists():
        known = ", ".join(sorted(one.stem for one in COMPARISONS.glob("*.yaml")))
        raise ConfigError(f"There is no comparison {path}: give a YAML file, or a bundled name ({known}).")
    return Path(path)
