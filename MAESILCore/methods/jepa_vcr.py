"""JEPA-VCR: features of hidden patches are predicted, not voxels (arXiv:2606.13315; docs/methods.md, JEPA-VCR)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional as F

from MAESILCore.losses.variance_covariance import variance_covariance
from MAESILCore.methods.abilities import Abilities, FeatureLevel
from MAESILCore.methods.base import Batch, Features, Losses, Method, Step
from MAESILCore.methods.encoder import EncoderConfig, PatchEncoder, TransformerSize
from MAESILCore.methods.presets import PRESETS
from MAESILCore.nn.predictor import Predictor
from MAESILCore.nn.tokens import TokenSplit, put_back
from MAESILCore.nn.transformer import initialise


class JepaVcrConfig(EncoderConfig):
    """Sizes and weights of `JepaVcr`.

    Attributes:
        predictor: transformer over all tokens, with mask tokens at hidden places.
        exponent: p of the loss of the prediction.
        gamma: weight of the regularisation; 0 is plain JEPA, which needs no statistics of the batch.
        alpha: weight of the variance in the regularisation.
        beta: weight of the covariance in it.
        regularise: the features that are regularised: the student's of visible patches (`context`), the predicted ones
            of hidden patches (`predictor`), or `both`. The teacher's stand at the other places.
        variance_over: `tokens` takes the variance over all tokens of the batch, `batch` over the samples at each
            place, as in the paper; this needs a large batch.
        momentum: the share of the teacher that a step keeps, at the start and at the end of the training.
    """

    predictor: TransformerSize = TransformerSize(width=192, depth=3, heads=3)
    exponent: float = Field(default=1.0, ge=1.0)
    gamma: float = Field(default=0.25, ge=0.0)
    alpha: float = Field(default=1.0, ge=0.0)
    beta: float = Field(default=0.1, ge=0.0)
    regularise: Literal["context", "predictor", "both"] = "context"
    variance_over: Literal["tokens", "batch"] = "tokens"
    momentum: tuple[float, float] = (0.998, 1.0)

    @model_validator(mode="after")
    def _momentum_is_a_share(self) -> JepaVcrConfig:
        if not all(0.0 <= share <= 1.0 for share in self.momentum):
            raise ValueError("the momentum must be two numbers from 0 to 1")
        return self


class JepaVcr(Method):
    """A student of the visible patches predicts what its slow copy, the teacher, finds at the hidden ones.

    The teacher sees everything. Its features are the method's features, as in the evaluations of I-JEPA and V-JEPA
    (Assran et al. 2023, Bardes et al. 2024): an average of weights is steadier than the weights. Checkpoints hold
    student, predictor and teacher; the recipe's `average_decay` has no effect.

    We differ from the released code: each sample has a mask of its own; the variance is taken over tokens unless
    `variance_over` is `batch`; statistics are those of all processes; the teacher moves once per optimiser step; a
    summary token runs along, which no loss reads. The summary of a superpatch is the mean of its features.
    """

    name = "jepa-vcr"
    config_type = JepaVcrConfig
    presets = PRESETS["jepa-vcr"]
    default_recipe = Path(__file__).parent / "recipes" / "jepa-vcr.yaml"
    config: JepaVcrConfig

    def __init__(self, config: JepaVcrConfig) -> None:
        super().__init__()
        self.config = config
        size = config.predictor
        self.student = PatchEncoder(config)
        self.predictor = Predictor(config.encoder.width, size.width, size.depth, size.heads)
        self.apply(initialise)
        nn.init.normal_(self.student.summary_token, std=0.02)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    @property
    def abilities(self) -> Abilities:
        """Features of every block; the batch must stay whole if it is regularised."""
        level = FeatureLevel(self.config.patch_size, self.config.encoder.width)
        return Abilities(
            hides=True,
            reconstructs=False,
            levels=(level,) * self.config.encoder.depth,
            needs_whole_batch=self.config.gamma > 0.0,
            gathers_statistics=True,
            keeps_teacher=True,
        )

    def training_losses(self, batch: Batch, step: Step) -> Losses:
        """L = 1/|M| sum over hidden i in M of 1/E |z_i - h_i|^p, plus gamma (alpha V + beta C).

        V and C are those of `variance_covariance`, z is the prediction and h the teacher's token after a LayerNorm
        without weights. The mean over hidden patches is taken for each superpatch first.
        """
        split = TokenSplit.of(batch.hidden)
        hidden = batch.hidden.flatten(1)  # (B, N)
        # fmt: off
        target = self._targets(batch)                                               # (B, N, E)
        latent = self.student.encode(batch.superpatches, split, batch.start)        # (B, 1 + V, E)
        lattice = self._lattice(batch.superpatches)
        predicted = self.predictor(latent, split, lattice, batch.start).float()     # (B, N, E)
        error = (predicted - target).abs().pow(self.config.exponent).mean(dim=-1)   # (B, N)
        # fmt: on
        prediction = ((error * hidden).sum(dim=1) / hidden.sum(dim=1).clamp_min(1)).mean()
        if self.config.gamma == 0.0:
            return Losses(prediction, {"prediction": prediction})
        regularised = target
        if self.config.regularise != "context":
            regularised = torch.where(hidden[..., None], predicted, regularised)
        if self.config.regularise != "predictor":
            regularised = put_back(latent[:, 1:], split, regularised)
        variance, covariance = variance_covariance(regularised, self.config.variance_over)
        penalty = self.config.alpha * variance + self.config.beta * covariance
        parts = {"prediction": prediction, "variance": variance, "covariance": covariance}
        return Losses(prediction + self.config.gamma * penalty, parts)

    def after_step(self, step: Step) -> None:
        """Move the teacher towards the student."""
        first, last = self.config.momentum
        momentum = first + (last - first) * step.number / step.of
        with torch.no_grad():
            pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
            for mean, weight in pairs:
                mean.lerp_(weight, 1.0 - momentum)

    def features(self, superpatches: torch.Tensor, levels: Sequence[int] = (-1,)) -> list[Features]:
        """The teacher's tokens on the patch lattice; see `Method.features`."""
        found = self.teacher.features(superpatches, levels)
        return [one._replace(summary=one.map.flatten(2).mean(dim=2)) for one in found]

    @torch.no_grad()
    def _targets(self, batch: Batch) -> torch.Tensor:
        """The teacher's tokens of all patches, (B, N, E) float32, standardised."""
        nothing = TokenSplit.of(torch.zeros_like(batch.hidden))
        tokens = self.teacher.encode(batch.superpatches, nothing, batch.start)[:, 1:].float()
        return F.layer_norm(tokens, tokens.shape[-1:])
