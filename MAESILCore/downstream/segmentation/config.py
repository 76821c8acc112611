"""The recipe of a segmentation training, checked before the start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.methods import problems_in
from MAESILCore.training.config import read_recipe

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class AugmentConfig(BaseModel):
    """Random changes of the training crops, made by MONAI.

    Attributes:
        rotate: largest rotation about each axis, degrees.
        scale: largest change of size along each axis, as a share.
        warp_probability: share of crops that are rotated and scaled.
        flip: axes (k, j, i) that are mirrored with probability 1/2; none where a structure is told by its side.
        contrast: largest change of contrast, as a share. Brightness changes by at most a tenth of it, as a share of the
            window.
        noise: largest standard deviation of Gaussian noise, as a share of the window.
        intensity_probability: share of crops with changed contrast and brightness, and share with noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rotate: float = Field(default=15.0, ge=0.0, le=180.0)
    scale: float = Field(default=0.15, ge=0.0, lt=1.0)
    warp_probability: Share = 0.5
    flip: tuple[Literal["k", "j", "i"], ...] = ()
    contrast: float = Field(default=0.15, ge=0.0, lt=1.0)
    noise: float = Field(default=0.03, ge=0.0, le=1.0)
    intensity_probability: Share = 0.3


class SegmentationConfig(BaseModel):
    """The recipe of a segmentation training.

    Attributes:
        name: name of the resulting model.
        data: description of the training data with licences, for the card.
        encoder: checkpoint, run folder or bundled name of the pre-trained encoder; None trains one from scratch.
        network: `encoder` is an encoder of ours with a decoder; `monai-unet` and `monai-dynunet` are there to compare
            with, see `baselines`.
        method: method of an encoder from scratch.
        preset: named sizes of that method.
        model: fields of its configuration; they override the preset's.
        intensity: how values map to [0, 1], for an encoder from scratch; a pre-trained one has its own. `auto` is the
            window for scans in HU, else percentiles.
        window: HU that map to 0 and 1, for the intensity `window`.
        levels: indices of the encoder's feature levels that the decoder sees, the deepest last; None spreads as many
            as the decoder has resolutions.
        width: channels of the decoder at the full resolution; they double with each halving.
        norm: norm of the decoder. `batch` keeps absolute values, as HU are; `instance` forgets them, crop by crop.
            `auto` is `batch` for scans in HU, else `instance`.
        crop_size: voxels of a training crop along k, j, i; also the tiles of an application. None is the superpatch,
            or whole patches around the largest case if that is smaller, at most 64 voxels.
        batch_size: crops per step.
        steps: most optimiser steps.
        frozen_steps: first steps in which only the decoder learns; None is a tenth of the steps for a pre-trained
            encoder, else 0.
        warmup_steps: steps of linear warm-up, of the decoder at the start and of the encoder once it learns.
        learning_rate: peak learning rate of the decoder.
        encoder_rate: peak learning rate of the encoder, as a share of the decoder's; None is 0.5 for a pre-trained
            encoder, else 1. 0 keeps the encoder frozen.
        final_learning_rate: final learning rate as a share of the peak.
        weight_decay: weight decay of matrices.
        clip_norm: largest gradient norm.
        structure_share: share of the crops whose centre lies in a structure, each structure as often; the others lie
            anywhere.
        balance: how much voxels of small structures weigh in the cross-entropy; see `losses.SegmentationLoss`.
        only_labelled_slices: whether voxels count only in slices along k that hold a label, for scans outlined in some
            slices.
        augment: random changes of the crops.
        hold_out: glob patterns of cases for validation; see `cases.held_out`.
        validate_every: steps between validations.
        patience: validations without a better score after which the training ends; None never ends it.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: number of newest checkpoints to keep, beside the best one by validation.
        seed: seed of weights, crops and augmentation.
        precision: `auto` is bf16 if the hardware supports it, else fp32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = "segmentation"
    data: str = ""
    encoder: str | None = None
    network: Literal["encoder", "monai-unet", "monai-dynunet"] = "encoder"
    method: str = "mae"
    preset: str | None = "small"
    model: dict[str, Any] = {}
    intensity: Literal["auto", "window", "percentiles", "z-score"] = "auto"
    window: tuple[float, float] = (-1000.0, 1000.0)
    levels: tuple[int, ...] | None = None
    width: int = Field(default=8, ge=1)
    norm: Literal["auto", "batch", "instance"] = "auto"
    crop_size: tuple[int, int, int] | None = None
    batch_size: int = Field(default=2, ge=1, le=4096)
    steps: int = Field(default=500, ge=1, le=10**8)
    frozen_steps: int | None = Field(default=None, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    encoder_rate: float | None = Field(default=None, ge=0.0)
    final_learning_rate: Share = 0.02
    weight_decay: float = Field(default=1e-2, ge=0.0)
    clip_norm: float = Field(default=1.0, gt=0.0)
    structure_share: Share = 0.5
    balance: Share = 0.5
    only_labelled_slices: bool = False
    augment: AugmentConfig = AugmentConfig()
    hold_out: tuple[str, ...] = ()
    validate_every: int = Field(default=50, ge=1)
    patience: int | None = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"

    @model_validator(mode="after")
    def _window_rises(self) -> SegmentationConfig:
        if self.window[0] >= self.window[1]:
            raise ValueError("the window's lower end must be below its upper end")
        if self.network != "encoder" and self.encoder is not None:
            raise ValueError(f"{self.network} takes no encoder: leave it out")
        if self.crop_size is not None and min(self.crop_size) < 1:
            raise ValueError("crop_size must be three numbers of voxels, at least 1")
        return self

    def intensity_of(self, is_hu: bool) -> Intensity:
        """The intensity of an encoder from scratch; `is_hu` decides `auto`."""
        rule = ("window" if is_hu else "percentiles") if self.intensity == "auto" else self.intensity
        return Intensity(rule, Window(*self.window))


def load_segmentation_config(
    path: str | Path | None, overrides: Mapping[str, Any] | None = None
) -> SegmentationConfig:
    """Read a recipe; missing fields have the defaults of `SegmentationConfig`.

    Args:
        path: YAML file; None is an empty one.
        overrides: top-level fields that replace those of the file.

    Raises:
        ConfigError: the file cannot be read, or a field is unknown or invalid.
    """
    fields = {**(read_recipe(path) if path is not None else {}), **(overrides or {})}
    try:
        return SegmentationConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"The recipe does not fit: {problems_in(error)}.") from error
