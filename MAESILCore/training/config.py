"""What a pre-training is told: one YAML file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from MAESILCore import methods
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import find
from MAESILCore.optional import require
from MAESILCore.training.corpus import CropConfig

Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


class MaskConfig(BaseModel):
    """Masks of a training.

    Attributes:
        mode: as in `masking.MaskStrategy`.
        ratio: hidden share of the one-stage modes.
        plane_ratio: hidden share of the first stage of a two-stage mode.
        axis_ratio: hidden share of its second stage.
        block_size: patches of a block's edge in mode `block`.
        plane_axis: the axis along which planes are stacked, and columns run: k, j or i.
        vary_probability: share of samples whose ratios are drawn anew, so that the model also serves other ratios.
        vary: range of each ratio in those samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mode: Literal["random", "block", "nested", "product", "plane", "axis"] = "nested"
    ratio: float = Field(default=0.75, gt=0.0, lt=1.0)
    plane_ratio: float = Field(default=0.5, ge=0.0, lt=1.0)
    axis_ratio: float = Field(default=0.5, ge=0.0, lt=1.0)
    block_size: int = Field(default=2, ge=1)
    plane_axis: Literal["k", "j", "i"] = "k"
    vary_probability: float = Field(default=0.0, ge=0.0, le=1.0)
    vary: tuple[float, float] = (0.3, 0.7)

    @field_validator("vary")
    @classmethod
    def _range_can_be_drawn(cls, vary: tuple[float, float]) -> tuple[float, float]:
        if vary[0] > vary[1]:
            raise ValueError("the lower number must come first")
        for share in vary:
            with _as_value_error():
                MaskStrategy(ratio=share, plane_ratio=share, axis_ratio=share)
        return vary

    @model_validator(mode="after")
    def _mask_can_be_drawn(self) -> MaskConfig:
        with _as_value_error():
            self.strategy()
        return self

    def strategy(self, generator: np.random.Generator | None = None) -> MaskStrategy:
        """The strategy of one sample; without a generator the fixed one."""
        ratio, plane_ratio, axis_ratio = self.ratio, self.plane_ratio, self.axis_ratio
        if generator is not None and generator.random() < self.vary_probability:
            ratio, plane_ratio, axis_ratio = generator.uniform(*self.vary, 3).tolist()
        return MaskStrategy(self.mode, ratio, plane_ratio, axis_ratio, self.block_size, self.plane_axis)


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Let pydantic say where in the recipe the mistake is."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from error


class PretrainConfig(BaseModel):
    """Recipe of a pre-training.

    Attributes:
        name: name of the model that comes out.
        data: what it is trained on, with licences; goes into the checkpoint's card.
        method: as in `methods.METHODS`.
        preset: named sizes of the method.
        model: fields of the method's configuration; they win over the preset's.
        window: HU that the model sees as 0 and as 1.
        crop: how crops are drawn.
        mask: how they are masked; null for methods that see everything.
        hold_out: glob patterns of scans that are kept for validation and never trained on. They match the path below
            the folder or the end of it (see `formats.found.FoundScan.fits`), and each must match a scan.
        steps: optimiser steps.
        batch_size: crops a step.
        learning_rate: peak, for `batch_size` crops a step.
        warmup_steps: linear rise at the start.
        cooldown: last share of the steps over which the rate falls by a cosine; 1 is the usual cosine schedule. Below
            1 the rate stays at its peak before that, so a run can be prolonged.
        final_learning_rate: share of the peak at which it ends.
        weight_decay: of matrices; biases, norms and tokens are not decayed.
        betas: of AdamW.
        clip_norm: largest gradient norm.
        average_decay: of the exponential moving average of the weights, which is what the checkpoint is used with.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations.
        keep_checkpoints: how many of the newest stay on disk.
        seed: of weights, crops and masks.
        precision: `auto` is bf16 where the hardware computes in it, else fp32. There is no fp16: it needs its gradients
            scaled, which clipping them before a fused optimiser step does not go with, and which a checkpoint would
            have to keep.
        cache_gib: memory for scans.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = "maesil"
    data: str = ""
    method: str = "maesil"
    preset: str | None = "small"
    model: dict[str, Any] = {}
    window: tuple[float, float] = (-1000.0, 1000.0)
    crop: CropConfig = CropConfig()
    mask: MaskConfig | None = MaskConfig()
    hold_out: tuple[str, ...] = ()
    steps: int = Field(default=10_000, ge=1)
    batch_size: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    warmup_steps: int = Field(default=100, ge=0)
    cooldown: float = Field(default=1.0, ge=0.0, le=1.0)
    final_learning_rate: float = Field(default=0.02, ge=0.0, le=1.0)
    weight_decay: float = Field(default=0.05, ge=0.0)
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    clip_norm: float = Field(default=1.0, gt=0.0)
    average_decay: float = Field(default=0.995, ge=0.0, lt=1.0)
    checkpoint_every: int = Field(default=500, ge=1)
    validate_every: int = Field(default=250, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    cache_gib: float = Field(default=4.0, gt=0.0)

    @model_validator(mode="after")
    def _window_rises(self) -> PretrainConfig:
        if not self.window[0] < self.window[1]:
            raise ValueError("the window's lower end must be below its upper end")
        return self


#: Recipes that come with MAESIL; they can be named without a path and ending.
RECIPES = Path(methods.__file__).parent / "recipes"


def load_config(path: str | Path | None, overrides: dict[str, Any] | None = None) -> PretrainConfig:
    """Read a recipe, over the default recipe of its method, and lay single values over both.

    Args:
        path: YAML file, or the name of a recipe in `RECIPES`; None is the method's default recipe alone.
        overrides: top-level fields that win over the file's.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or does not fit.
    """
    fields = _read_recipe(_resolved(path)) if path is not None else {}
    fields |= overrides or {}
    method = fields.get("method", "maesil")
    try:
        return PretrainConfig.model_validate(_over(_read_recipe(find(str(method)).default_recipe), fields))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'recipe'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        )
        message = f"The recipe does not fit: {problems}."
        raise ConfigError(message) from error


def _resolved(path: str | Path) -> Path:
    """The file of a recipe that is given by path, or by the name of one that comes with MAESIL."""
    path = Path(path)
    named = RECIPES / f"{path.name}.yaml"
    return named if path.parent == Path() and not path.exists() and named.is_file() else path


def _over(base: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields over those of a base; where both have fields of their own, these are merged alike."""
    merged = {**base, **fields}
    for name, value in fields.items():
        below = base.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[name] = _over(below, value)
    return merged


def _read_recipe(path: Path) -> dict[str, Any]:
    yaml = require("yaml", "Reading a recipe")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        message = f"The recipe {path} cannot be read: {error.strerror or error}."
        raise ConfigError(message) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"The recipe {path} cannot be read as YAML: {str(error).splitlines()[0]}."
        raise ConfigError(message) from error
    if not isinstance(fields, dict):
        message = (
            f"The recipe {path} must be a list of 'name: value' lines, but it is a {type(fields).__name__}."
        )
        raise ConfigError(message)
    return fields


def dump_config(config: PretrainConfig) -> str:
    """The recipe as YAML text that `load_config` reads back to the same.

    Raises:
        MissingPackageError: pyyaml is not installed.
    """
    yaml = require("yaml", "Writing a recipe")
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
