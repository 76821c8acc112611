"""The small interface that every self-supervised method speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn


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


class TransformerSize(BaseModel):
    """Width, depth and heads of one transformer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=6)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSize:
        if self.width % self.heads:
            message = f"a width of {self.width} cannot be split over {self.heads} heads"
            raise ValueError(message)
        return self


class Method(nn.Module, ABC):
    """A self-supervised learner.

    Superpatches are (B, 1, K, J, I) float tensors, windowed to [0, 1], with sides that are multiples of the patch
    size and at most the superpatch size. A mask is `hidden`, (B, Dk, Dj, Di) bool on the patch lattice; samples of a
    batch may hide different numbers of patches, also none or all.
    """

    name: ClassVar[str]
    config: MethodConfig

    @abstractmethod
    def losses(
        self,
        superpatches: torch.Tensor,
        hidden: torch.Tensor,
        generator: torch.Generator | None = None,
        start: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Training losses; the entry `loss` is the one to minimise.

        Args:
            superpatches: (B, 1, K, J, I).
            hidden: (B, Dk, Dj, Di) bool.
            generator: source of whatever the method draws itself.
            start: (B, 3) place of the first patch inside a superpatch, for crops that are smaller than one.
        """

    @abstractmethod
    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Predict all voxels from the visible ones: (B, 1, K, J, I) -> (B, 1, K, J, I), not clipped."""

    @abstractmethod
    def encode(self, superpatches: torch.Tensor) -> torch.Tensor:
        """Features of unmasked superpatches: (B, 1, K, J, I) -> (B, N, D), tokens in row-major (k, j, i) order."""
