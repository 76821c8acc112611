"""The recipe of a pre-training: one YAML file, checked before the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from MAESILCore import methods
from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import find, problems_in
from MAESILCore.methods.abilities import Abilities
from MAESILCore.optional import require
from MAESILCore.training.crops import CropConfig

if TYPE_CHECKING:
    from MAESILCore.methods.base import MethodConfig

Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


class MaskConfig(BaseModel):
    """The masks of a training.

    Attributes:
        mode: a mode of `lattice.MaskStrategy`.
        ratio: hidden share of the one-stage modes.
        plane_ratio: hidden share of the first stage of two-stage modes.
        axis_ratio: hidden share of the second stage.
        block_size: edge of a block in patches, for mode `block`.
        plane_axis: the axis along which planes are stacked: k, j or i.
        vary_probability: share of samples with random ratios, so that the model supports other ratios, too.
        vary: range of each random ratio.
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
        """The strategy of one sample; without a generator, ratios are not varied."""
        ratio, plane_ratio, axis_ratio = self.ratio, self.plane_ratio, self.axis_ratio
        if generator is not None and generator.random() < self.vary_probability:
            ratio, plane_ratio, axis_ratio = generator.uniform(*self.vary, 3).tolist()
        return MaskStrategy(self.mode, ratio, plane_ratio, axis_ratio, self.block_size, self.plane_axis)


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Convert ConfigError to ValueError, so that pydantic adds the field's name."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from error


class PretrainConfig(BaseModel):
    """The recipe of a pre-training.

    Attributes:
        name: name of the resulting model.
        data: description of the training data with licences, for the checkpoint's card.
        method: a method of `methods.METHODS`.
        preset: named sizes of the method.
        model: fields of the method's configuration; they override the preset's.
        intensity: how the values of a scan map to [0, 1]; see `data.intensity.Intensity`. `window` is for CT;
            `percentiles` and `z-score` take statistics of each scan, for MRI and other scans without HU.
        window: HU that map to 0 and 1, for the intensity `window`.
        percentiles: percentiles of a scan that map to 0 and 1, for the intensity `percentiles`.
        deviations: standard deviations on each side of a scan's mean, for the intensity `z-score`.
        more_windows: further windows in HU, each trained on for an equal part of `more_windows_share` of the samples.
            The model can then be used in each of these windows.
        more_windows_share: share of the samples in one of `more_windows`.
        crop: settings of the crops.
        mask: settings of the masks; null for methods that see all voxels.
        hold_out: glob patterns of scans for validation, which are never trained on. A pattern matches the
            path below the folder or its end (see `formats.found.FoundScan.fits`) and must match a scan.
        steps: number of optimiser steps.
        batch_size: crops per optimiser step, over all processes.
        crops_per_pass: most crops that a process computes at once; fewer need less memory and more time. Null computes
            its whole share at once, `auto` what fits into the memory by trial.
        activation_checkpointing: compute the activations of transformer blocks again in the backward pass, for less
            memory and more time. The gradients are the same.
        compile: compile the transformer blocks with torch.compile. Resumed runs are then equal only up to rounding.
        strategy: how several processes hold the model. `ddp`: each holds all of it. `fsdp`: each holds a part of its
            weights, gradients and optimiser state, for less memory and more messages. `auto` is `fsdp` from the size
            of the preset `paper` on, else `ddp`. The result is the same up to rounding, and a run may change it.
        learning_rate: peak learning rate.
        warmup_steps: steps of linear warm-up.
        cooldown: share of the steps, at the end, for the cosine fall of the learning rate; 1 is the usual cosine
            schedule. Below 1, the rate first stays at its peak, so that the run can be extended.
        final_learning_rate: final learning rate as a share of the peak.
        weight_decay: weight decay of matrices; biases, norms and tokens are not decayed.
        betas: betas of AdamW.
        clip_norm: largest gradient norm.
        average_decay: decay of the exponential moving average of the weights; the final model holds this average.
        checkpoint_every: steps between checkpoints.
        checkpoint_minutes: most minutes between checkpoints, for runs with slow steps.
        validate_every: steps between validations.
        keep_checkpoints: number of newest checkpoints to keep, beside the best one by validation.
        preview_every: steps between previews; 0 for none, null for `validate_every`.
        preview_scan: glob pattern of the scan for previews, matched as in `hold_out`; null is the first held-out scan,
            or the first training scan.
        keep_previews: number of newest previews to keep.
        on_nan: what happens if the loss or the gradients of a step are not finite. `stop` ends the run; `skip` leaves
            out the update, and ends the run at the tenth such step in a row.
        log: further logs: `tensorboard` writes event files for TensorBoard.
        seed: seed of weights, crops and masks.
        precision: `auto` is bf16 if the hardware supports it, else fp32. fp16 is not supported: its gradient scaling
            is incompatible with clipping before a fused optimiser step, and would add state to checkpoints.
        cache_gib: memory limit of the cache of scans in files, in GiB; workers share it.
        workers: worker processes that draw samples, per process of the training. 0 draws in a thread, which is enough
            for a store. The samples are the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = "maesil"
    data: str = ""
    method: str = "maesil"
    preset: str | None = "small"
    model: dict[str, Any] = {}
    intensity: Literal["window", "percentiles", "z-score"] = "window"
    window: tuple[float, float] = (-1000.0, 1000.0)
    percentiles: tuple[float, float] = (0.5, 99.5)
    deviations: float = Field(default=3.0, gt=0.0)
    more_windows: tuple[tuple[float, float], ...] = ()
    more_windows_share: float = Field(default=0.5, ge=0.0, le=1.0)
    crop: CropConfig = CropConfig()
    mask: MaskConfig | None = MaskConfig()
    hold_out: tuple[str, ...] = ()
    steps: int = Field(default=10_000, ge=1, le=10**9)
    batch_size: int = Field(default=2, ge=1, le=65_536)
    crops_per_pass: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    learning_rate: float = Field(default=1e-3, gt=0.0)
    warmup_steps: int = Field(default=100, ge=0, le=10**9)
    cooldown: float = Field(default=1.0, ge=0.0, le=1.0)
    final_learning_rate: float = Field(default=0.02, ge=0.0, le=1.0)
    weight_decay: float = Field(default=0.05, ge=0.0)
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    clip_norm: float = Field(default=1.0, gt=0.0)
    average_decay: float = Field(default=0.995, ge=0.0, lt=1.0)
    checkpoint_every: int = Field(default=500, ge=1)
    checkpoint_minutes: float = Field(default=10.0, gt=0.0)
    validate_every: int = Field(default=250, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    preview_every: Annotated[int, Field(ge=0)] | None = None
    preview_scan: str | None = None
    keep_previews: int = Field(default=50, ge=1)
    on_nan: Literal["stop", "skip"] = "stop"
    log: tuple[Literal["tensorboard"], ...] = ()
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    cache_gib: float = Field(default=4.0, gt=0.0)
    workers: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _intensities_fit(self) -> PretrainConfig:
        if any(low >= high for low, high in (self.window, *self.more_windows)):
            raise ValueError("the window's lower end must be below its upper end")
        with _as_value_error():
            self.intensity_rule()
        if self.more_windows and self.intensity != "window":
            raise ValueError("more_windows are in HU and need `intensity: window`")
        return self

    def intensity_rule(self) -> Intensity:
        """The intensity as an object."""
        return Intensity(self.intensity, Window(*self.window), self.percentiles, self.deviations)

    def check(self, sizes: MethodConfig, abilities: Abilities) -> None:
        """Check crops and masks against the sizes and abilities of the method.

        Raises:
            ConfigError: they do not fit.
        """
        self.crop.check(sizes.patch_size, sizes.superpatch_size)
        if abilities.hides and self.mask is None:
            message = (
                f"The method {self.method} learns by filling in hidden patches: give `mask` in the recipe."
            )
            raise ConfigError(message)
        if not abilities.hides and self.mask is not None:
            message = f"The method {self.method} sees every voxel: set `mask: null` in the recipe."
            raise ConfigError(message)
        is_whole = self.crops_per_pass is None or (
            self.crops_per_pass != "auto" and self.crops_per_pass >= self.batch_size
        )
        if abilities.needs_whole_batch and not is_whole:
            message = (
                f"The loss of the method {self.method} needs the whole batch at once: leave out crops_per_pass, or "
                f"set it to at least the batch_size of {self.batch_size}."
            )
            raise ConfigError(message)


#: Bundled recipes; `load_config` accepts their names without folder and suffix.
RECIPES = Path(methods.__file__).parent / "recipes"


def load_config(path: str | Path | None, overrides: dict[str, Any] | None = None) -> PretrainConfig:
    """Read a recipe; missing fields come from the default recipe of its method.

    Args:
        path: YAML file, or the name of a bundled recipe; None is the method's default recipe.
        overrides: top-level fields that replace those of the file.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or invalid.
    """
    fields = read_recipe(path) if path is not None else {}
    fields |= overrides or {}
    method = fields.get("method", "maesil")
    try:
        return PretrainConfig.model_validate(_over(_read_recipe(find(str(method)).default_recipe), fields))
    except ValidationError as error:
        raise ConfigError(f"The recipe does not fit: {problems_in(error)}.") from error


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The fields of a recipe as given, not checked.

    Args:
        path: YAML file, or the name of a bundled recipe.

    Raises:
        ConfigError: the file cannot be read.
    """
    return _read_recipe(_resolved(path))


def _resolved(path: str | Path) -> Path:
    """The file of a recipe given by path or by the name of a bundled recipe."""
    path = Path(path)
    named = RECIPES / f"{path.name}.yaml"
    return named if path.parent == Path() and not path.exists() and named.is_file() else path


def _over(base: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `base` replaced by `fields`; nested mappings are merged recursively."""
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
        kind = type(fields).__name__
        raise ConfigError(
            f"The recipe {path} must hold lines of the form 'name: value', but it holds a {kind}."
        )
    return fields


def dump_config(config: BaseModel) -> str:
    """A recipe as YAML text for `load_config`, or for the recipes of another kind of run.

    Raises:
        MissingPackageError: pyyaml is not installed.
    """
    yaml = require("yaml", "Writing a recipe")
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
