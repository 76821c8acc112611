"""What a checkpoint says about itself, read without PyTorch so that a model can be looked at before it is installed."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MAESILCore.errors import CheckpointError
from MAESILCore.models.bundled import models_folder

#: Name of the model that comes with MAESIL.
BUNDLED = "maesil-small-ct"
SUFFIX = ".safetensors"

#: A safetensors file starts with the length of its header; a longer one than this is not ours.
LONGEST_HEADER_BYTES = 10_000_000


@dataclass(frozen=True)
class ModelInfo:
    """The card of a checkpoint, as far as the scene and the people in front of it need it.

    Attributes:
        name: short name.
        path: the file.
        megabytes: its size.
        method: name of the method.
        superpatchSize: voxels along k, j, i.
        patchSize: voxels along k, j, i.
        windowHu: HU that the model sees as 0 and as 1.
        steps: optimiser steps that it was trained for.
        data: what it was trained on.
    """

    name: str
    path: Path
    megabytes: float
    method: str
    superpatchSize: tuple[int, int, int]
    patchSize: tuple[int, int, int]
    windowHu: tuple[float, float]
    steps: int
    data: str

    @property
    def text(self) -> str:
        """The card in a few lines for people."""
        low, high = self.windowHu
        return "\n".join(
            (
                f"{self.name} ({self.method}), {self.megabytes:.0f} MB",
                f"Superpatch {_product(self.superpatchSize)}, patch {_product(self.patchSize)} voxels, "
                f"window {low:g} to {high:g} HU, {self.steps} training steps",
                f"Trained on {self.data}" if self.data else "Its card does not say what it was trained on.",
            )
        )


def readModelInfo(model: str | Path | None = None) -> ModelInfo:
    """Read the card of a checkpoint file, of a bundled model's name, or (None or "") of the default one.

    Raises:
        CheckpointError: missing, damaged, or not a MAESIL checkpoint.
    """
    path = _resolved(model)
    header = _header(path)
    text = header.get("__metadata__", {}).get("maesil")
    if text is None:
        message = (
            f"{path.name} holds weights but no MAESIL card that says what they are: use a MAESIL checkpoint."
        )
        raise CheckpointError(message)
    try:
        card = json.loads(text)
        sizes = card["config"]
        return ModelInfo(
            name=str(card["name"]),
            path=path,
            megabytes=path.stat().st_size / 1e6,
            method=str(card["method"]),
            superpatchSize=_triple(sizes["superpatch_size"]),
            patchSize=_triple(sizes["patch_size"]),
            windowHu=(float(card["window"][0]), float(card["window"][1])),
            steps=int(card["step"]),
            data=str(card.get("data", "")),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        message = f"The card of {path.name} cannot be understood: the file is damaged or was edited."
        raise CheckpointError(message) from error


def _resolved(model: str | Path | None) -> Path:
    path = Path(model) if model else Path(BUNDLED)
    if not path.suffix and path.parent == Path():
        path = models_folder() / (path.name + SUFFIX)
    if not path.is_file():
        message = f"There is no checkpoint {model or BUNDLED}; choose a .safetensors file made by MAESIL."
        raise CheckpointError(message)
    return path


def _header(path: Path) -> dict[str, Any]:
    damaged = f"{path.name} is not a readable safetensors file: it is damaged, cut short or of another kind."
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if not 2 <= length <= LONGEST_HEADER_BYTES:
                raise CheckpointError(damaged)
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, struct.error, ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(damaged) from error
    if path.stat().st_size != 8 + length + max(ends, default=0):
        raise CheckpointError(damaged)
    return header


def _triple(sizes: list[int]) -> tuple[int, int, int]:
    k, j, i = (int(size) for size in sizes)
    return k, j, i


def _product(sizesKji: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in reversed(sizesKji))
