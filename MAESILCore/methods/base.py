"""The interface of a self-supervised method: trainer, walk, jobs and faces use nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from MAESILCore.methods.abilities import Abilities, Triple
from MAESILCore.methods.scores import feature_scores, hidden_psnr, psnr
from MAESILCore.nn.tokens import lattice_of


class MethodConfig(BaseModel):
    """Fields that all methods share; each method adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    superpatch_size: tuple[int, int, int] = (128, 128, 128)
    patch_size: tuple[int, int, int] = (8, 8, 8)

    @model_validator(mode="after")
    def _sizes_divide(self) -> MethodConfig:
        for size, patch in zip(self.superpatch_size, self.patch_size, strict=True):
            if patch < 1 or size < patch or size % patch:
                message = f"a superpatch of {size} voxels cannot be cut into patches of {patch} voxels"
                raise ValueError(message)
        return self


# Named tuples: Fabric and DistributedDataParallel reject frozen dataclasses.
class Batch(NamedTuple):
    """Training samples of equal shape.

    Attributes:
        superpatches: (B, 1, K, J, I) float in [0, 1], whole patches.
        stages: (B, Dk, Dj, Di) uint8 on the patch lattice: 0 is visible, 1 or 2 the stage that hid the patch.
            The number of hidden patches may differ between samples. None for methods that hide nothing.
        start: (B, 3) index of a crop's first patch inside a superpatch; None is 0.
        spacing: (B, 3) mm along k, j, i; None if unknown.
        views: more views of the same samples, each like `superpatches`, for methods that compare views.
        seeds: (B,) int64, one random seed per sample and step, for `nn.draws`. A draw from it does not depend on how
            the samples are shared among processes and passes, unlike a draw from PyTorch's global generator, which the
            trainer seeds before each pass. None outside trainings.
        counts: False in a pass that only keeps sharded processes in step. Its samples were passed before and its loss
            weighs nothing, so statistics that a method gathers over passes must leave it out.
    """

    superpatches: torch.Tensor
    stages: torch.Tensor | None = None
    start: torch.Tensor | None = None
    spacing: torch.Tensor | None = None
    views: tuple[torch.Tensor, ...] = ()
    seeds: torch.Tensor | None = None
    counts: bool = True

    @property
    def hidden(self) -> torch.Tensor:
        """(B, Dk, Dj, Di) bool.

        Raises:
            ValueError: the batch has no masks.
        """
        if self.stages is None:
            raise ValueError("this batch has no masks: its recipe says `mask: null`")
        return self.stages != 0


class Step(NamedTuple):
    """The position in a training.

    Attributes:
        number: index of the optimiser step, from 0.
        of: total number of optimiser steps.
    """

    number: int
    of: int


class Losses(NamedTuple):
    """The losses of a step.

    Attributes:
        total: scalar to minimise, the mean over the samples.
        parts: unweighted scalar terms by name, for the log and the plots.
    """

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor | float] = {}


class Features(NamedTuple):
    """Features of one depth.

    Attributes:
        map: (B, C, k, j, i).
        stride: voxels per vector along k, j, i.
        summary: (B, D), one vector per superpatch; None if the method has none.
    """

    map: torch.Tensor
    stride: Triple
    summary: torch.Tensor | None = None


class Method(nn.Module, ABC):
    """A self-supervised learner.

    Superpatches are (B, 1, K, J, I) float tensors in [0, 1]. Their sides are multiples of the patch size and at most
    the superpatch size.

    Attributes:
        name: key of `METHODS`.
        config_type: class of the configuration.
        presets: fields of the configuration by preset name.
        default_recipe: YAML file with the defaults of a recipe with `method: <name>`.
        config: the configuration of this model.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[MethodConfig]]
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    default_recipe: ClassVar[Path]
    config: MethodConfig

    @property
    @abstractmethod
    def abilities(self) -> Abilities:
        """What this model can do with its configuration."""

    @abstractmethod
    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """The losses of a batch: the mean over its samples, so that an optimiser step can be made of several."""

    def begin_step(self, step: Step) -> None:
        """Callback before the passes of an optimiser step, for example to forget statistics of an unfinished step."""

    def after_step(self, step: Step) -> None:
        """Callback after every optimiser step, for example to update a teacher or a codebook.

        It is not called for steps that are skipped, as their loss or gradients are not finite.

        With `strategy: fsdp` the weights are DTensors here; element-wise operations among them need no care.
        """

    @abstractmethod
    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """Features of whole superpatches.

        Args:
            superpatches: (B, 1, K, J, I).
            levels: indices into `abilities.levels`; negative ones count from the deepest.
        """

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Predict all voxels from the visible ones, if `abilities.reconstructs`.

        Args:
            superpatches: (B, 1, K, J, I).
            hidden: (B, Dk, Dj, Di) bool; callers must blank the voxels of hidden patches.

        Returns:
            (B, 1, K, J, I), not clipped.
        """
        raise NotImplementedError(self.abilities.why_no_voxels(self.name))

    def validate(self, batch: Batch) -> dict[str, float]:
        """Scores on held-out samples; the trainer averages them over batches.

        Returns:
            Methods that hide: `psnr_hidden` and `psnr_hidden_fill` (the smooth fill), in dB. Other methods that
            reconstruct: `psnr_full` in dB. Methods without voxels: those of `feature_scores`.
            More of the first score must be better, as it decides which checkpoint of a run is the best; see
            `scores.deciding_score`.
        """
        if not self.abilities.reconstructs:
            return feature_scores(self.features(batch.superpatches)[0].map)
        if self.abilities.hides:
            predicted = self.reconstruct(batch.superpatches, batch.hidden)
            return hidden_psnr(predicted, batch.superpatches, batch.hidden, self.config.patch_size)
        nothing = self._nothing_hidden(batch.superpatches)
        return {"psnr_full": psnr(self.reconstruct(batch.superpatches, nothing), batch.superpatches)}

    def _nothing_hidden(self, superpatches: torch.Tensor) -> torch.Tensor:
        """(B, Dk, Dj, Di) bool, all False."""
        return superpatches.new_zeros((superpatches.shape[0], *self._lattice(superpatches)), dtype=torch.bool)

    def _lattice(self, superpatches: torch.Tensor) -> Triple:
        """Patches along k, j, i."""
        return lattice_of(superpatches, self.config.patch_size)
