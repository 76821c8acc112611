"""A classifier on disk: one safetensors file with the head and its description. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MAESILCore.downstream.classification.attentive import AttentiveHead
from MAESILCore.downstream.classification.encoder import Encoder, Identity
from MAESILCore.downstream.classification.finetune import FinetunedHead
from MAESILCore.downstream.classification.linear import LinearHead
from MAESILCore.errors import CheckpointError, ConfigError, VolumeError
from MAESILCore.files import why_unwritable, write_whole
from MAESILCore.methods import create
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.header import read_metadata
from MAESILCore.models.sealed import write_sealed
from MAESILCore.models.weightfiles import opened

#: Key of the metadata, version of its content, and file name in the output folder of a training.
KEY, FORMAT, FILE = "maesil-classifier", 1, "classifier.safetensors"
#: Tasks: a class of the scan, or the presence of each structure in each superpatch.
SCAN, SUPERPATCH = "scan", "superpatch"
_LINEAR = ("mean", "scale", "weights", "offsets")

Head = LinearHead | AttentiveHead | FinetunedHead
#: Prefix of the weights of a fine-tuned encoder, and key of its card in the facts.
_ENCODER, _CARD = "encoder.", "card"


@dataclass(frozen=True, eq=False)
class Description:
    """What a classifier is.

    Attributes:
        head: logistic, attentive or finetune.
        task: `scan` for one class per scan, `superpatch` for the presence of each structure in each superpatch.
        classes: names of the classes or structures.
        level: index of the encoder's feature level, from 0; each structure has its own, and this is then -1.
        encoder: `Identity.to_json` of the encoder.
        superpatch: largest edge of a superpatch in voxels, for the task `superpatch`; 0 is that of the model.
        learned_from: hashes of the scans that it learned from.
        facts: more for readers, such as seed and version.
    """

    head: str
    task: str
    classes: tuple[str, ...]
    level: int
    encoder: Mapping[str, str]
    superpatch: int = 0
    learned_from: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text in the metadata of the file."""
        content = {
            "format": FORMAT,
            "head": self.head,
            "task": self.task,
            "classes": list(self.classes),
            "level": self.level,
            "encoder": dict(self.encoder),
            "superpatch": self.superpatch,
            "learned_from": list(self.learned_from),
            "facts": dict(self.facts),
        }
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read the result of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it is invalid or of another version.
        """
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError("another version")
        return cls(
            head=str(content["head"]),
            task=str(content["task"]),
            classes=tuple(map(str, content["classes"])),
            level=int(content["level"]),
            encoder={name: str(content["encoder"][name]) for name in ("name", "sha256", "place")},
            superpatch=int(content["superpatch"]),
            learned_from=tuple(map(str, content["learned_from"])),
            facts=dict(content["facts"]),
        )


def save_heads(path: Path, description: Description, heads: list[Head]) -> None:
    """Write a classifier with one head, or one for each structure.

    Raises:
        VolumeError: the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    for number, head in enumerate(heads):
        if isinstance(head, LinearHead):
            parts = {name: torch.from_numpy(np.ascontiguousarray(getattr(head, name))) for name in _LINEAR}
            parts["level"] = torch.tensor(head.level)
        elif isinstance(head, FinetunedHead):
            parts = head.head.state_dict()
            weights = head.encoder.model.method.state_dict()
            tensors |= {f"{_ENCODER}{name}": tensor for name, tensor in weights.items()}
            card = head.encoder.model.card.to_json()
            description = replace(description, facts={**description.facts, _CARD: card})
        else:
            parts = head.state_dict()
        tensors |= {f"{number}.{name}": tensor for name, tensor in parts.items()}
    try:
        with write_whole(path) as unfinished:
            write_sealed(unfinished, tensors, {KEY: description.to_json()})
    except OSError as error:
        raise VolumeError(f"The classifier cannot be written: {why_unwritable(path, error)}.") from error


def load_heads(path: Path) -> tuple[Description, list[Head]]:
    """Read a classifier; a folder stands for the classifier in it.

    Raises:
        CheckpointError: the file is missing or damaged, or no classifier of this version.
    """
    if path.is_dir():
        path = path / FILE
    text = read_metadata(path).get(KEY)
    if text is None:
        raise CheckpointError(f"{path.name} is no classifier: give one made by `maesil classify train`.")
    try:
        description = Description.from_json(text)
        with opened(path) as handle:
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - no mapping
        count = len(description.classes) if description.task == SUPERPATCH else 1
        heads = [_head(description, _part(tensors, f"{number}.")) for number in range(count)]
        if description.head == "finetune":
            heads = [_finetuned(description, heads[0], _part(tensors, _ENCODER))]
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise CheckpointError(
            f"The classifier {path.name} is damaged or of another version of MAESIL: train it again."
        ) from error
    return description, heads


def _part(tensors: Mapping[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(start): one for name, one in tensors.items() if name.startswith(start)}


def _head(description: Description, tensors: Mapping[str, torch.Tensor]) -> Head:
    if description.head in ("attentive", "finetune"):
        head = AttentiveHead(len(tensors["mean"]), len(description.classes))
        head.load_state_dict(dict(tensors))
        return head.eval()
    if description.head != "logistic":
        raise ValueError("unknown head")
    return LinearHead(int(tensors["level"]), 0.0, *(tensors[name].numpy() for name in _LINEAR))


def _finetuned(description: Description, head: Head, weights: dict[str, torch.Tensor]) -> FinetunedHead:
    if not isinstance(head, AttentiveHead):
        raise TypeError("a fine-tuned encoder has an attentive head")
    card = Card.from_json(str(description.facts[_CARD]))
    method = create(card.method, card.config)
    method.load_state_dict(weights)
    encoder = Encoder(LoadedModel(method.eval(), card), Identity(**description.encoder))
    return FinetunedHead(encoder, head, description.level)
