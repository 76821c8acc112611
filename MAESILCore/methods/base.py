"""The contract between a self-supervised method and its surroundings: no trainer, walk, job or face asks for more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from MAESILCore.methods.abilities import Abilities, Triple
from MAESILCore.methods.scores import feature_scores, hidden_psnr, whole_psnr


class MethodConfig(BaseModel):
    """What all methods have in common; each method adds its own fields."""

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


# Named tuples, not dataclasses: Fabric and DistributedDataParallel hand tuples on, and refuse frozen dataclasses.
class Batch(NamedTuple):
    """Training examples of equal extents.

    Attributes:
        superpatches: (B, 1, K, J, I) float in [0, 1], whole patches.
        stages: (B, Dk, Dj, Di) uint8 on the patch lattice: 0 visible, else the stage that hid the patch (1 or 2);
            samples may hide different numbers of patches, also none or all. None for methods that hide nothing.
        start: (B, 3) place of the first patch inside a superpatch, for crops that are smaller than one; None is 0.
        spacing: (B, 3) mm along k, j, i; None where nobody knows it.
        views: further views of the same examples, each like `superpatches`, for methods that compare some.
    """

    superpatches: torch.Tensor
    stages: torch.Tensor | None = None
    start: torch.Tensor | None = None
    spacing: torch.Tensor | None = None
    views: tuple[torch.Tensor, ...] = ()

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
    """Where a training is.

    Attributes:
        number: of the optimiser step, from 0.
        of: optimiser steps in all.
        generator: source of whatever the method draws itself; it depends on seed, step and process alone.
    """

    number: int
    of: int
    generator: torch.Generator | None = None


class Losses(NamedTuple):
    """What training minimises.

    Attributes:
        total: scalar, the mean over the samples.
        parts: named terms for the log and the plots, unweighted scalars.
    """

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor | float] = {}


class Features(NamedTuple):
    """Features of one depth.

    Attributes:
        map: (B, C, k, j, i).
        stride: voxels along k, j, i that one vector stands for.
        summary: (B, D), one vector for the whole superpatch; None where the method has none.
    """

    map: torch.Tensor
    stride: Triple
    summary: torch.Tensor | None = None


class Method(nn.Module, ABC):
    """A self-supervised learner.

    Superpatches are (B, 1, K, J, I) float tensors, windowed to [0, 1], with sides that are multiples of the patch
    size and at most the superpatch size.

    Attributes:
        name: key of `METHODS`.
        config_type: its configuration.
        presets: named sizes, each some fields of the configuration.
        default_recipe: YAML file that a recipe with `method: <name>` starts from: sizes, masks, intensity and losses.
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
        """What this model can do; it may depend on the configuration."""

    @abstractmethod
    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """What one optimiser step minimises."""

    def after_step(self, step: Step) -> None:
        """Called once after every optimiser step: move a teacher, a codebook, a schedule."""

    @abstractmethod
    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """Features of whole superpatches.

        Args:
            superpatches: (B, 1, K, J, I).
            levels: places in `abilities.levels`; negative ones count from the deepest.
        """

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Predict all voxels from the visible ones, for methods whose abilities say that they reconstruct.

        Args:
            superpatches: (B, 1, K, J, I).
            hidden: (B, Dk, Dj, Di) bool; whoever hides patches has blanked their voxels.

        Returns:
            (B, 1, K, J, I), not clipped.
        """
        raise NotImplementedError(self.abilities.why_no_voxels(self.name))

    def validate(self, batch: Batch) -> dict[str, float]:
        """How well the model does on held-out examples; the trainer averages over batches.

        Returns:
            `psnr_hidden` beside `psnr_hidden_fill`, that of a smooth fill, where patches are hidden; `psnr_full` for
            a model that sees everything; `feature_spread` and `feature_rank` where there are no voxels. In dB, except
            the last two.
        """
        if not self.abilities.reconstructs:
            return feature_scores(self.features(batch.superpatches)[0].map)
        if self.abilities.hides:
            predicted = self.reconstruct(batch.superpatches, batch.hidden)
            return hidden_psnr(predicted, batch.superpatches, batch.hidden, self.config.patch_size)
        nothing = self._nothing_hidden(batch.superpatches)
        return whole_psnr(self.reconstruct(batch.superpatches, nothing), batch.superpatches)

    def _nothing_hidden(self, superpatches: torch.Tensor) -> torch.Tensor:
        """(B, Dk, Dj, Di) bool, all False."""
        return superpatches.new_zeros((superpatches.shape[0], *self._lattice(superpatches)), dtype=torch.bool)

    def _lattice(self, superpatches: torch.Tensor) -> Triple:
        """Patches along k, j, i."""
        sizes = zip(superpatches.shape[2:], self.config.patch_size, strict=True)
        k, j, i = (size // patch for size, patch in sizes)
        return k, j, i
