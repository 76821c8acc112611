"""Which device and which precision work runs in."""

from __future__ import annotations

from typing import Literal

import torch

from MAESILCore.errors import ConfigError


def pick_device(name: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ConfigError: the name is not a device, or this machine or this PyTorch build does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        message = f"There is no device {name!r}; use auto, cpu, cuda, cuda:N or mps."
        raise ConfigError(message) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            message = (
                f"The device {name!r} is not there: PyTorch {torch.__version__} sees {count} CUDA devices. "
                "Use the device cpu, or install a CUDA build of PyTorch that fits the driver."
            )
            raise ConfigError(message)
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        message = "The device 'mps' is not there: it needs a Mac with Apple silicon. Use the device cpu."
        raise ConfigError(message)
    if device.type not in ("cpu", "mps"):
        message = f"The device {name!r} is not supported; use auto, cpu, cuda, cuda:N or mps."
        raise ConfigError(message)
    return device


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 matrices itself; emulation would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # Not public, and not in every PyTorch: where it is missing, float32 is the safe answer.
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False


def pick_precision(device: torch.device) -> Literal["bf16-mixed", "32-true"]:
    """Fabric's name of the fastest safe precision: bf16 where the hardware has it, else float32."""
    return "bf16-mixed" if computes_in_bf16(device) else "32-true"
