"""Choice of device and precision."""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

import torch
from torch.nn import functional as F

from MAESILCore.errors import ConfigError
from MAESILCore.options import check_device

_log = logging.getLogger(__name__)


def pick_device(name: str = "auto") -> torch.device:
    """The PyTorch device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        ConfigError: the name is invalid, or this machine or PyTorch build does not have the device.
    """
    if check_device(name) == "auto":
        return _pick_best()
    kind, _, number = name.partition(":")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        # PyTorch stores the index in eight bits, so cuda:256 would become cuda:0.
        index = int(number or 0)
        if index >= count:
            raise ConfigError(
                f"The device {name!r} is not available: PyTorch {torch.__version__} sees {count} CUDA devices. "
                "Use the device cpu, or install a CUDA build of PyTorch that fits the driver."
            )
        return torch.device("cuda", index)
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError(
                "The device 'mps' is not available: it needs a Mac with Apple silicon. Use the device cpu."
            )
        obstacle = mps_obstacle()
        if obstacle is not None:
            raise ConfigError(f"{obstacle} Use the device cpu, or a newer PyTorch.")
    return torch.device(kind)


def _pick_best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if not torch.backends.mps.is_available():
        return torch.device("cpu")
    obstacle = mps_obstacle()
    if obstacle is not None:
        _log.warning("%s The CPU is used instead.", obstacle)
        return torch.device("cpu")
    return torch.device("mps")


@cache
def mps_obstacle() -> str | None:
    """A sentence on why this PyTorch cannot use the GPU of this Mac; None if it can.

    PyTorch 2.2 to 2.4 each lack different operations that a reconstruction needs on MPS.
    """
    try:
        _try_out(torch.device("mps"))
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        return f"PyTorch {torch.__version__} cannot use the GPU of this Mac ({reason})."
    return None


def _try_out(device: torch.device) -> None:
    """Run the operations of smooth fill, transformer and convolutional head once.

    Raises:
        RuntimeError: the device lacks an operation.
    """
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        voxels = torch.ones(1, 1, 4, 4, 4, device=device)
        coarse = F.avg_pool3d(voxels, 2, ceil_mode=True, count_include_pad=False)
        fine = F.interpolate(coarse, size=(4, 4, 4), mode="trilinear", align_corners=False)
        mixed = F.conv3d(torch.lerp(fine, voxels, fine), voxels[..., :3, :3, :3], padding=1)
        rows = F.gelu(mixed).reshape(1, 1, 16, 4)
        rows = F.scaled_dot_product_attention(rows, rows, rows, attn_mask=rows[..., 0, None].mT > 0)
        order = (rows[0, 0, :, 0] > 0).to(torch.uint8).argsort(stable=True)
        torch.linalg.vecdot(rows, rows).flatten().take_along_dim(order, 0).cpu()


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware supports bfloat16 matrix products; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # This function is private and not in every PyTorch; float32 is the safe default.
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False


def pick_precision(device: torch.device) -> Literal["bf16-mixed", "32-true"]:
    """Fabric's name of the fastest safe precision: bf16 if the hardware supports it, else float32."""
    return "bf16-mixed" if computes_in_bf16(device) else "32-true"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of PyTorch means that memory ran out; its type and text differ by device."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        word in str(error).lower() for word in words
    )


def describe_device(device: torch.device) -> str:
    """The product name of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "GPU of the Mac"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"
