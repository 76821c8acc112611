"""Two small methods that are as unlike MAESIL as a method can be; no product file knows them.

`toy-codebook` sees everything, gives voxels, and has a codebook in buffers, batch statistics and a step hook.
`toy-teacher` gives features without voxels, and averages a teacher itself.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from MAESILCore.methods.abilities import Abilities, FeatureLevel
from MAESILCore.methods.base import Batch, Features, Losses, Method, MethodConfig, Step
from MAESILCore.nn.draws import draw_words
from MAESILCore.nn.tokens import expand_patches, patchify, unpatchify

HERE = Path(__file__).parent


class ToyConfig(MethodConfig):
    """Width of the features."""

    width: int = 6


class _Toy(Method):
    config_type = ToyConfig
    presets = {"tiny": {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}}  # noqa: RUF012
    config: ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(math.prod(config.patch_size), config.width)

    def _tokens(self, superpatches: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) -> (B, N, C)."""
        return self.embed(patchify(superpatches, self.config.patch_size))

    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """One depth, on the patch lattice."""
        tokens, lattice = self._tokens(superpatches), self._lattice(superpatches)
        found = tokens.mT.reshape(*tokens.mT.shape[:2], *lattice)
        return [Features(found, self.config.patch_size, tokens.mean(dim=1)) for _ in levels]


class ToyCodebook(_Toy):
    """A normalised embedding, the nearest of four codes, and a linear way back."""

    name = "toy-codebook"
    default_recipe = HERE / "toy-codebook.yaml"

    codes: torch.Tensor
    counts: torch.Tensor
    steps: torch.Tensor

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.norm = nn.BatchNorm1d(config.width)
        self.back = nn.Linear(config.width, math.prod(config.patch_size))
        self.register_buffer("codes", torch.randn(4, config.width))
        # More than half precision can hold, as the counts of a long training are.
        self.register_buffer("counts", torch.full((4,), 100_000.0))
        self.register_buffer("steps", torch.tensor(2**40))
        self.seen: torch.Tensor | None = None

    @property
    def abilities(self) -> Abilities:
        """It sees all voxels, and its BatchNorm needs all samples."""
        level = FeatureLevel(self.config.patch_size, self.config.width)
        return Abilities(hides=False, reconstructs=True, levels=(level,), needs_whole_batch=True)

    def _tokens(self, superpatches: torch.Tensor) -> torch.Tensor:
        return self.norm(super()._tokens(superpatches).mT).mT

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """Squared error and commitment, of embeddings with noise from the device's own generator."""
        assert batch.stages is None
        tokens = self._tokens(batch.superpatches)
        tokens = tokens + 0.01 * torch.randn_like(tokens)
        self.seen = tokens.detach().flatten(0, 1)
        chosen = self._nearest(tokens)
        predicted = self.back(tokens + (chosen - tokens).detach())
        error = (predicted - patchify(batch.superpatches, self.config.patch_size)).square().mean()
        commitment = (tokens - chosen).square().mean()
        return Losses(error + 0.25 * commitment, {"error": error, "commitment": commitment})

    def after_step(self, step: Step) -> None:
        """Move every code towards the mean of its embeddings."""
        assert self.seen is not None
        assert int(self.steps) == 2**40 + step.number, "called once a step, and resumed"
        nearest = torch.cdist(self.seen, self.codes).argmin(dim=1)
        for code in range(4):
            mine = self.seen[nearest == code]
            if len(mine):
                self.codes[code].lerp_(mine.mean(dim=0), 0.1)
                self.counts[code] += len(mine)
        self.steps += 1

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """All voxels from all voxels."""
        assert not hidden.any()
        patches = self.back(self._nearest(self._tokens(superpatches)))
        return unpatchify(patches, self._lattice(superpatches), self.config.patch_size)

    def _nearest(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.codes[torch.cdist(tokens.flatten(0, 1), self.codes).argmin(dim=1)].view_as(tokens)


class ToyTeacher(_Toy):
    """A student of the visible voxels predicts what its teacher says of all."""

    name = "toy-teacher"
    default_recipe = HERE / "toy-teacher.yaml"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.teacher = copy.deepcopy(self.embed).requires_grad_(False)

    @property
    def abilities(self) -> Abilities:
        """Features alone."""
        level = FeatureLevel(self.config.patch_size, self.config.width)
        return Abilities(hides=True, reconstructs=False, levels=(level,), keeps_teacher=True)

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """The second stage of a mask weighs twice."""
        assert batch.stages is not None
        inside = expand_patches(batch.hidden[:, None], self.config.patch_size)
        student = self._tokens(batch.superpatches.masked_fill(inside, 0.0))
        target = self.teacher(patchify(batch.superpatches, self.config.patch_size))
        weight = batch.stages.flatten(1)[..., None].float()
        assert batch.seeds is not None
        noise = draw_words(batch.seeds, student[0].numel()).view(student.shape) / 2**32
        error = ((student + 0.01 * noise - target).square() * weight).mean()
        return Losses(error, {"error": error, "first_stage": float((batch.stages == 1).float().mean())})

    def after_step(self, step: Step) -> None:
        """Move the teacher, ever more slowly."""
        momentum = 0.9 + 0.1 * step.number / step.of
        with torch.no_grad():
            for mean, weight in zip(self.teacher.parameters(), self.embed.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - momentum)
