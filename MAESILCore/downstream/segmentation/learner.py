"""What the steps of a segmentation training change: network and optimiser, with their learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from MAESILCore.downstream.segmentation.config import SegmentationConfig
from MAESILCore.downstream.segmentation.network import Segmenter
from MAESILCore.errors import CheckpointError
from MAESILCore.models.weights import misfit
from MAESILCore.nn.sharded import part_like

_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Schedule:
    """The learning rates of decoder and encoder.

    A frozen start, then the whole network with a warm-up of the encoder, is what keeps pre-trained transformers from
    forgetting (docs/downstream.md, Segmentation).

    Attributes:
        config: the recipe.
        is_pretrained: whether the encoder is, which decides the defaults.
    """

    config: SegmentationConfig
    is_pretrained: bool

    @property
    def frozen_steps(self) -> int:
        """First steps without the encoder."""
        if self.encoder_rate == 0.0:
            return self.config.steps
        given = self.config.frozen_steps
        return given if given is not None else self.config.steps // 10 if self.is_pretrained else 0

    @property
    def encoder_rate(self) -> float:
        """Peak learning rate of the encoder as a share of the decoder's."""
        given = self.config.encoder_rate
        return given if given is not None else 0.5 if self.is_pretrained else 1.0

    def decoder(self, step: int) -> float:
        """The learning rate of the decoder at a step, from 0: linear warm-up, then a cosine to the final rate."""
        return self.config.learning_rate * self._rise(step) * self._fall(step)

    def encoder(self, step: int) -> float:
        """The learning rate of the encoder at a step; 0 while it is frozen."""
        since = step - self.frozen_steps
        if since < 0:
            return 0.0
        return self.config.learning_rate * self.encoder_rate * self._rise(since) * self._fall(step)

    def _rise(self, step: int) -> float:
        return min(1.0, (step + 1) / max(1, self.config.warmup_steps))

    def _fall(self, step: int) -> float:
        last = self.config.final_learning_rate
        return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * step / self.config.steps))


class Learner:
    """Network and optimiser.

    Args:
        network: on its device.
        schedule: the learning rates.

    Attributes:
        best: highest score of validation so far; minus infinity before.
        best_step: the step of it.
        validated: the last step that was validated.
    """

    def __init__(self, network: Segmenter, schedule: Schedule) -> None:
        self.network, self.schedule = network, schedule
        self.best, self.best_step, self.validated = -math.inf, 0, 0
        decay = schedule.config.weight_decay
        groups = [
            {"params": part, "weight_decay": decay if decays else 0.0, "is_encoder": is_encoder}
            for weights, is_encoder in ((network.decoder_weights, False), (network.encoder_weights, True))
            for decays in (True, False)
            if (part := [weight for weight in weights if _decays(weight) is decays])
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=schedule.config.learning_rate, betas=_BETAS)

    def step(self, loss: torch.Tensor, number: int) -> tuple[float, bool]:
        """Take an optimiser step; one whose loss or gradients are not finite changes nothing.

        Returns:
            Norm of the gradients before clipping, and whether they are finite.
        """
        for group in self.optimizer.param_groups:
            rate = self.schedule.encoder if group["is_encoder"] else self.schedule.decoder
            group["lr"] = rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.config.clip_norm))
        finite = math.isfinite(norm) and math.isfinite(float(loss.detach()))
        if finite:
            self.optimizer.step()
        return norm, finite

    def state(self) -> dict[str, torch.Tensor]:
        """The state as named tensors for `restore`; they share the memory of the network."""
        tensors = {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        counts = {"best_step": self.best_step, "validated": self.validated}
        return tensors | {f"count.{name}": torch.tensor(count) for name, count in counts.items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restore the result of `state`.

        Raises:
            CheckpointError: the tensors belong to another network.
        """
        weights = _part(tensors, "model.")
        difference = misfit(weights, self.network.state_dict())
        if difference is not None:
            raise CheckpointError(
                f"The run's checkpoint does not fit its recipe or its cases: {difference}. Start a new run."
            )
        self.network.load_state_dict(weights)
        places = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in _part(tensors, "optimizer.").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = part_like(tensor, places[int(index)])
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        self.best_step, self.validated = (
            int(tensors[f"count.{name}"]) for name in ("best_step", "validated")
        )


def _decays(weight: nn.Parameter) -> bool:
    """Whether weight decay fits: matrices and convolutions, not biases, norms and tokens."""
    return weight.ndim > 1 and min(weight.shape[:2]) > 1


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
