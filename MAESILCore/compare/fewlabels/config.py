"""The description of a comparison by few labels: one YAML file, checked before the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MAESILCore.compare.config import Seed, found_comparison
from MAESILCore.downstream.segmentation.config import SegmentationConfig, load_segmentation_config
from MAESILCore.errors import ConfigError
from MAESILCore.methods import problems_in
from MAESILCore.training.config import PretrainConfig, load_config, read_recipe

#: Fields of a row that are no fields of a segmentation recipe.
_OWN = ("pretrained", "untrained", "equal")
#: The control without a network: where the structures lie in the labelled scans.
PLACE = "place"

Shots = Annotated[int, Field(ge=1)]


class Pretraining(BaseModel):
    """The pre-trainings, one per method.

    Attributes:
        steps: optimiser steps of each.
        seed: seed of each.
        common: fields of all recipes.
        methods: fields of the recipe by name; `method` defaults to that name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=1000, ge=1)
    seed: Seed = 0
    common: dict[str, Any] = {}
    methods: dict[str, dict[str, Any]] = {}

    def recipe(self, name: str) -> PretrainConfig:
        """The recipe of one pre-training.

        Raises:
            ConfigError: a field is unknown or does not fit the method.
        """
        own = self.methods[name]
        method = str(own.get("method", name))
        fields: dict[str, Any] = {**self.common, **own}
        for field, value in self.common.items():
            if isinstance(value, dict) and isinstance(own.get(field), dict):
                fields[field] = {**value, **own[field]}
        fields |= {"method": method, "name": name, "seed": self.seed, "steps": self.steps, "preview_every": 0}
        try:
            return load_config(None, fields)
        except ConfigError as error:
            raise ConfigError(f"The pre-training {name} of the comparison: {error}") from error


class FewLabelsConfig(BaseModel):
    """A comparison of encoders by few-label segmentation.

    Attributes:
        task: what is learned.
        title: headline of the results.
        data: description of the scans with licences, for cards and results.
        tests: glob patterns of the cases that are kept for the scores; all others are the pool.
        shots: numbers of labelled cases that are learned from.
        seeds: seeds of the trainings; a seed also chooses which cases of the pool are labelled, the same for all rows.
        pretraining: the pre-trainings on all scans of the pool, without their labels.
        training: fields of all segmentation recipes; `crop_size` must be among them.
        rows: fields of the segmentation recipe by the name of a row. `pretrained: NAME` takes the encoder of that
            pre-training, `untrained: NAME` the same encoder with fresh weights, and `encoder` another checkpoint, such
            as a bundled one. `equal: flops` gives the row as many steps as cost the operations of `reference`.
            `control: place` stands alone: it trains nothing and takes the mean label map of the labelled cases.
        reference: the row whose operations are the budget.
        baseline: the row from which the differences are given, case by case.
        tolerance: of the surface Dice, in mm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["segmentation"]
    title: str = "Few labels"
    data: str = ""
    tests: tuple[str, ...] = Field(min_length=1)
    shots: tuple[Shots, ...] = Field(default=(1, 3, 5), min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    pretraining: Pretraining = Pretraining()
    training: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = Field(min_length=1)
    reference: str = ""
    baseline: str = ""
    tolerance: float = Field(default=2.0, gt=0.0)

    @model_validator(mode="after")
    def _rows_fit(self) -> FewLabelsConfig:
        for row, fields in self.rows.items():
            for field in ("pretrained", "untrained"):
                if field in fields and fields[field] not in self.pretraining.methods:
                    raise ValueError(
                        f"rows: {row} names {fields[field]!r}, which is not among the pre-trainings"
                    )
            if fields.get("equal", "flops") != "flops":
                raise ValueError(f"rows: {row}: equal must be flops")
            if "control" in fields and fields != {"control": PLACE}:
                raise ValueError(f"rows: {row}: a control must be {PLACE} and has no other field")
        for field, row in (("reference", self.reference), ("baseline", self.baseline)):
            if row and row not in self.rows:
                raise ValueError(f"{field}: there is no row {row!r}")
        if any("equal" in fields for fields in self.rows.values()) and not self.reference:
            raise ValueError("reference: equal needs the row whose operations are the budget")
        if self.is_control(self.reference):
            raise ValueError("reference: a control has no operations")
        for field, values in (("seeds", self.seeds), ("shots", self.shots)):
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: each must be given once")
        return self

    def is_control(self, row: str) -> bool:
        """Whether a row trains nothing."""
        return "control" in self.rows.get(row, {})

    def recipe(self, row: str, seed: int, encoder: str | None = None) -> SegmentationConfig:
        """The recipe of one training, without the steps that `equal` gives.

        Args:
            row: a key of `rows` that is no control.
            seed: seed of the training.
            encoder: run folder of the pre-training of the row; None for fresh weights.

        Raises:
            ConfigError: a field is unknown or does not fit.
        """
        own = self.rows[row]
        fields: dict[str, Any] = {**self.training, **{name: own[name] for name in own if name not in _OWN}}
        fields |= {"name": row, "seed": seed, "data": self.data, "encoder": encoder or own.get("encoder")}
        if "untrained" in own:
            before = self.pretraining.recipe(str(own["untrained"]))
            fields |= {"method": before.method, "preset": before.preset, "model": before.model}
            fields |= {"intensity": before.intensity, "window": before.window}
        try:
            config = load_segmentation_config(None, fields)
        except ConfigError as error:
            raise ConfigError(f"The row {row} of the comparison: {error}") from error
        if config.crop_size is None:
            raise ConfigError(
                "A comparison by few labels needs `crop_size` in `training`, so that all rows see alike."
            )
        return config


def load_few_labels(
    path: str | Path, *, steps: int | None = None, seeds: Sequence[int] = ()
) -> FewLabelsConfig:
    """Read the description of a comparison by few labels.

    Args:
        path: YAML file, or the name of a bundled comparison, such as `hippocampus`.
        steps: replaces the steps of `training`; None keeps them.
        seeds: replace `seeds`; none keeps them.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or does not fit.
    """
    fields = dict(read_recipe(found_comparison(path)))
    if seeds:
        fields["seeds"] = list(seeds)
    if steps is not None and isinstance(fields.setdefault("training", {}), dict):
        fields["training"] = {**fields["training"], "steps": steps}
    try:
        config = FewLabelsConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"The comparison {path} does not fit: {problems_in(error)}.") from error
    for name in config.pretraining.methods:
        config.pretraining.recipe(name)
    for row in config.rows:
        if not config.is_control(row):
            config.recipe(row, config.seeds[0])
    return config


def is_few_labels(path: str | Path) -> bool:
    """Whether a comparison is one by few labels: its file names a task.

    Raises:
        ConfigError: the file cannot be read.
    """
    content: Mapping[str, Any] = read_recipe(found_comparison(path))
    return "task" in content
