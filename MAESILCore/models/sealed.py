"""Safetensors files that carry a checksum of themselves.

The metadata of such a file holds `sha256`: the SHA-256 of the whole file with 64 zeros in the place of the digest.
Other programs read the file as any safetensors file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from MAESILCore.errors import CheckpointError

SEAL = "sha256"

_KINDS = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
_ZEROS = "0" * 64
#: The digest in a header. Other metadata cannot look like it, as their quotes are escaped.
_SEALED = re.compile(rb'"sha256": "([0-9a-f]{64})"')
#: What is left of a seal whose key or value was damaged.
_BROKEN = re.compile(rb'"sha256"|: "[0-9a-f]{64}"')
_CHUNK = 1 << 20
_LONGEST_HEADER = 100 << 20


def write_sealed(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata with a checksum, and wait until the disk has them.

    Unlike `safetensors.torch.save_file`, it makes no second copy of the tensors, and other threads run meanwhile.

    Raises:
        OSError: the file cannot be written; a partial file is left.
        KeyError: a tensor has a dtype that the format does not know.
    """
    # The widest dtypes first, so that each tensor is aligned.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {**metadata, SEAL: _ZEROS}}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _KINDS[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode("ascii")
    text += b" " * (-len(text) % 8)
    beginning = struct.pack("<Q", len(text)) + text
    digest = hashlib.sha256(beginning)
    with open(path, "wb") as file:
        file.write(beginning)
        for name in order:
            for chunk in _chunks(tensors[name]):
                digest.update(chunk)
                file.write(chunk)
        file.seek(beginning.index(f'"{SEAL}": "{_ZEROS}"'.encode("ascii")) + len(SEAL) + 5)
        file.write(digest.hexdigest().encode("ascii"))
        file.flush()
        os.fsync(file.fileno())


def check_seal(path: Path) -> bool:
    """Whether a file has a checksum, which is compared with its content; False for files of other programs.

    Raises:
        CheckpointError: the content differs from what was written.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        header = file.read(min(length, _LONGEST_HEADER))
        found = _SEALED.search(header)
        if found is None:
            if _BROKEN.search(header):
                raise _damaged(path)
            return False
        blank = header[: found.start(1)] + _ZEROS.encode("ascii") + header[found.end(1) :]
        digest = hashlib.sha256(start + blank)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest().encode("ascii") != found[1]:
        raise _damaged(path)
    return True


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path.name} is damaged: its checksum does not match its content. "
        f"A program that rewrites it must leave out the metadata {SEAL!r}."
    )


def _chunks(tensor: torch.Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor in pieces, each of which is in the processor's cache when it is written."""
    if not tensor.numel():
        return
    whole = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    for start in range(0, len(whole), _CHUNK):
        yield whole[start : start + _CHUNK]
