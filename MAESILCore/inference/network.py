"""Network passes in batches; the batch size is halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Protocol

import numpy as np
import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.window import Window
from MAESILCore.devices import computes_in_bf16, is_out_of_memory, pick_device
from MAESILCore.errors import CheckpointError, OutOfMemoryError
from MAESILCore.lattice import Triple
from MAESILCore.options import check_batch_size

#: Default batch sizes; 1 elsewhere, since a transformer gains nothing from more on a CPU.
_BATCH_SIZES = {"cuda": 4}


class Reconstructor(Protocol):
    """A model that can reconstruct volumes, such as `checkpoint.LoadedModel`."""

    @property
    def window(self) -> Window:
        """The mapping HU <-> [0, 1]."""

    @property
    def superpatch_size(self) -> Triple:
        """Largest input in voxels along k, j, i."""

    @property
    def patch_size(self) -> Triple:
        """Patch size in voxels along k, j, i."""

    def reconstruct(self, superpatches: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) in [0, 1], 0 where hidden, and (B, Dk, Dj, Di) bool -> (B, 1, K, J, I)."""


def expects_hu(model: object) -> bool:
    """Whether a model is for scans in HU, as users' own models without an `intensity` are."""
    intensity: Intensity | None = getattr(model, "intensity", None)
    return intensity is None or intensity.is_hu


def window_for(model: Reconstructor, voxels: np.ndarray) -> Window:
    """The window in which a model takes a scan: its own, or that of its `intensity` for scans without HU.

    Args:
        model: the model; users' own models need no `intensity`.
        voxels: (k, j, i), all voxels of the scan.

    Raises:
        VolumeError: almost all voxels of the scan have the same value.
    """
    intensity: Intensity | None = getattr(model, "intensity", None)
    return model.window if intensity is None else intensity.window_of(voxels)


class NetworkPasses:
    """Runs a function of superpatches on one device.

    Attributes:
        device: the device of the passes.
        batch_size: superpatches per pass; halved for good whenever memory runs out.
    """

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        model: object,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        """Move the model to the device, where it stays.

        Args:
            function: superpatches (B, 1, K, J, I) and the other inputs of `predict` -> (B, ...).
            model: the module that `function` uses, or an object that has it as `method`.
            device: auto, cpu, cuda, cuda:N or mps.
            batch_size: superpatches per pass; None is the device's default.

        Raises:
            ConfigError: the device is not there, or the batch size is not a positive integer.
        """
        batch_size = check_batch_size(batch_size)
        self._function = function
        self.device = pick_device(device)
        self.batch_size = batch_size or _BATCH_SIZES.get(self.device.type, 1)
        for part in (model, getattr(model, "method", None)):
            if isinstance(part, torch.nn.Module):
                part.to(self.device)

    def predict(self, *inputs: np.ndarray) -> np.ndarray:
        """Call the function in chunks of at most `batch_size`.

        Args:
            inputs: each (B, ...), the superpatches first.

        Returns:
            (B, ...) float32.

        Raises:
            CheckpointError: the function returns values that are not finite.
            OutOfMemoryError: not enough memory for one superpatch.
        """
        predictions: list[np.ndarray] = []
        start = 0
        while start < len(inputs[0]):
            chunk = slice(start, start + self.batch_size)
            # Retry outside the except clause: inside it, the traceback keeps the tensors of the failed pass alive.
            prediction = self._attempt(*(array[chunk] for array in inputs))
            if prediction is None:
                self._halve()
                continue
            if not np.isfinite(prediction).all():
                message = (
                    "The model predicts NaN or infinite values, as its training failed: use another model."
                )
                raise CheckpointError(message)
            predictions.append(prediction)
            start += len(prediction)
        return predictions[0] if len(predictions) == 1 else np.concatenate(predictions)

    def _attempt(self, *inputs: np.ndarray) -> np.ndarray | None:
        """The output of one pass; None if memory ran out."""
        try:
            with torch.inference_mode(), self._precision():
                predicted = self._function(*(torch.from_numpy(array).to(self.device) for array in inputs))
                return np.asarray(predicted.float().cpu().numpy())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _precision(self) -> torch.autocast | nullcontext[None]:
        if computes_in_bf16(self.device):
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _halve(self) -> None:
        if self.batch_size == 1:
            message = (
                f"The memory of {str(self.device)!r} is too small for a single superpatch: "
                "close other programs, or use another device or a smaller model."
            )
            raise OutOfMemoryError(message)
        self.batch_size //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
