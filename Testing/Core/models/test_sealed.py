"""The checksum of a checkpoint: it detects every changed bit, and other programs read the file none the less."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from MAESILCore.errors import CheckpointError
from MAESILCore.models.card import CARD_KEY, Card, read_card
from MAESILCore.models.checkpoint import load_tensors, save_checkpoint
from MAESILCore.models.sealed import check_seal, write_sealed

SIZES = {"superpatch_size": [16, 16, 16], "patch_size": [8, 8, 8], "encoder": {"width": 48, "depth": 2}}
#: A name that looks like a checksum, which a person may choose.
NAME = '"sha256": "' + "0" * 64 + '"'
CARD = Card(name=NAME, method="maesil", config=SIZES, window=(-1000.0, 1000.0), mask={}, step=7)


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    kinds = (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int16,
        torch.uint8,
    )
    tensors = {str(kind): (torch.rand(3, 5, generator=generator) * 100).to(kind) for kind in kinds}
    yes, none = torch.tensor([True, False, True]), torch.zeros(0, 4)
    return {**tensors, "bool": yes, "scalar": torch.tensor(2.5), "none": none, "view": torch.rand(4, 6).T[1:]}


def test_safetensors_reads_all_that_was_written(tmp_path: Path) -> None:
    path, tensors = tmp_path / "a.safetensors", some_tensors()
    save_checkpoint(path, tensors, CARD)
    assert check_seal(path)
    assert read_card(path) == CARD
    with safe_open(path, "pt") as handle:
        assert set(handle.keys()) == set(tensors)
        for name, tensor in tensors.items():
            read = handle.get_tensor(name)
            assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(read, tensor)


def test_every_flipped_bit_and_every_length_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_sealed(path, {"b": torch.arange(6.0), "a": torch.arange(3)}, {CARD_KEY: "{}"})
    whole = path.read_bytes()

    def is_noticed(content: bytes) -> bool:
        path.write_bytes(content)
        try:
            load_tensors(path, "")
        except CheckpointError:
            return True
        return False

    assert not is_noticed(whole)
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        assert is_noticed(bytes(changed)), f"bit {bit % 8} of byte {bit // 8}"
    assert all(is_noticed(whole[:length]) for length in range(len(whole)))
    assert is_noticed(whole + b"\0")


def test_a_file_without_a_checksum_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"model.x": torch.ones(2)}, path, metadata={CARD_KEY: CARD.to_json()})
    assert not check_seal(path)
    assert read_card(path).step == 7
    assert torch.equal(load_tensors(path, "model.")["x"], torch.ones(2))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.zeros(9)}, CARD)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(CheckpointError, match=r"^a\.safetensors is damaged: its checksum does not match"):
        load_tensors(path, "")
