"""The record: hashes and plain values in `golden.json`, arrays beside it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from Testing.Golden.shell import Said, without_times


class Record:
    """A record that is being made.

    Args:
        folder: where to; made if need be.

    Raises:
        FileExistsError: the folder already holds something.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()):
            message = f"{folder} is not empty; choose another folder for the record."
            raise FileExistsError(message)
        (folder / "arrays").mkdir(parents=True)
        self._folder = folder
        self._cases: dict[str, Case] = {}

    def case(self, name: str) -> Case:
        """Begin a case of its own name."""
        if name in self._cases:
            message = f"There already is a case {name!r}."
            raise ValueError(message)
        self._cases[name] = Case(name)
        return self._cases[name]

    def write(self) -> None:
        """Write all cases."""
        content = {}
        for name, case in self._cases.items():
            file = f"arrays/{re.sub('[^A-Za-z0-9]+', '-', name)}.npz"
            if case.arrays:
                np.savez_compressed(self._folder / file, **case.arrays)
            content[name] = {"file": file if case.arrays else None, "items": case.items}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (self._folder / "golden.json").write_text(text + "\n", encoding="utf-8")


class Case:
    """The results of one command or call.

    Attributes:
        items: name -> plain JSON, or `{"sha256": ..., "dtype": ..., "shape": ...}` for an array.
        arrays: the arrays that are kept whole, by the name of their item.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, name: str, content: object) -> Case:
        """Add plain JSON."""
        self.items[name] = content
        return self

    def add_array(self, name: str, array: np.ndarray, keep: bool = True) -> Case:
        """Add the hash of an array and, with `keep`, the array."""
        self.items[name] = {"sha256": hash_of(array), "dtype": str(array.dtype), "shape": list(array.shape)}
        if keep:
            self.arrays[name] = array
        return self

    def add_shell(self, said: Said) -> Case:
        """Add what a command wrote."""
        return self.add("stdout", said.out).add("stderr", said.err).add("exit code", said.code)

    def add_volumes(self, folder: Path) -> Case:
        """Add voxels and geometry of every NIfTI file of a folder, and the names of all its files."""
        from MAESILCore import read_volume

        self.add("files", sorted(path.name for path in folder.iterdir()))
        for path in sorted(folder.glob("*.nii.gz")):
            volume = read_volume(path)
            name = path.name.removesuffix(".nii.gz")
            self.add_array(name, volume.voxels).add_array(f"{name} ijk_to_ras", volume.ijk_to_ras)
        return self

    def add_picture(self, name: str, path: Path) -> Case:
        """Add the hash of the pixels of a PNG file."""
        from matplotlib.image import imread

        return self.add_array(name, imread(path), keep=False)

    def add_run(self, folder: Path) -> Case:
        """Add a run folder: names, texts, events without times, weights of the model and of every checkpoint."""
        self.add(
            "files",
            sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        )
        for name in ("config.yaml", "scans.json"):
            self.add(name, (folder / name).read_text(encoding="utf-8"))
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        self.add("events", [without_times(json.loads(line)) for line in lines])
        for path in sorted(folder.rglob("*.safetensors")):
            self._add_weights(path.relative_to(folder).as_posix(), path)
        return self

    def _add_weights(self, name: str, path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="np") as file:
            self.add(f"{name} card", file.metadata())
            for key in sorted(file.keys()):
                self.add_array(f"{name} {key}", file.get_tensor(key))


def hash_of(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and values, little-endian."""
    values = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    header = f"{array.dtype.name} {array.shape} ".encode()
    return hashlib.sha256(header + values.tobytes()).hexdigest()
