"""The folder of an export: the framework's own files, `encoder.json` and a README, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from MAESILCore.errors import CheckpointError
from MAESILCore.files import why_unwritable, write_json, write_together
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.export.parts import Export, times
from MAESILCore.models.sealed import write_sealed
from MAESILCore.wording import displayable

WEIGHTS, FACTS, README = "encoder.safetensors", "encoder.json", "README.md"

_README = """\
# {name}, for {target}

The encoder of a MAESIL model, to be loaded without MAESIL. For research only; not a medical device.

- Method: {method}, {step} steps.
- Data: {data}
- Input: {size} voxels (k x j x i: slices, rows, columns), the order of arrays from SimpleITK; arrays from nibabel and
  MONAI's readers are i, j, k and must be transposed. The positions of the patches are those of this size.
- Intensity: {intensity}. Values beyond are clipped.

## Loading

{guide}"""


def origin(card: Card) -> dict[str, str]:
    """Where an encoder comes from, as texts for the metadata of a file."""
    return {
        "name": card.name,
        "method": card.method,
        "step": str(card.step),
        "data": card.data or "not stated",
        "intensity": json.dumps(card.rule.to_json()),
    }


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write a safetensors file with the origin of its weights.

    Raises:
        OSError: the file cannot be written.
    """
    write_sealed(path, tensors, origin(card))


def write_export(folder: Path, model: LoadedModel, target: str, export: Export) -> None:
    """Write the folder; files of an earlier export are replaced.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    card = model.card
    facts: dict[str, Any] = {
        "target": target,
        "model": {"name": card.name, "method": card.method, "step": card.step, "data": card.data},
        "input": {
            "axes": "kji",
            "size": list(export.size),
            "intensity": model.intensity.to_json(),
            "windows": [[window.low, window.high] for window in model.windows],
        },
        **export.facts,
    }
    readme = _README.format(
        name=displayable(card.name),
        target=target,
        method=card.method,
        step=card.step,
        data=card.data or "not stated.",
        size=times(export.size),
        intensity=_intensity(model),
        guide=export.guide,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with write_together(folder, last=README) as unfinished:
            export.write(unfinished)
            write_json(unfinished / FACTS, facts)
            (unfinished / README).write_text(readme, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"The export {folder} could not be written: {why_unwritable(folder, error)}."
        ) from error


def _intensity(model: LoadedModel) -> str:
    if not model.intensity.is_hu:
        return f"{model.intensity} become 0 and 1"
    windows = " or ".join(f"[{window.low:g}, {window.high:g}] HU" for window in model.windows)
    return f"{windows} become [0, 1]"
