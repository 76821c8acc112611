"""A run: the folder of one pre-training, the only place where its state lives."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch

from MAESILCore.checkpoint import SUFFIX, Card, load_tensors, read_card, save_checkpoint
from MAESILCore.errors import ConfigError
from MAESILCore.pretrain.config import PretrainConfig, dump_config, load_config

CONFIG = "config.yaml"
EVENTS = "events.jsonl"


class Run:
    """A run folder: `config.yaml`, `events.jsonl` (one JSON object a line, only ever appended to), `checkpoints/`.

    Nothing in it names a patient: scans appear by file name only. Of several processes that share a run (torchrun)
    only the first one writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writes = os.environ.get("RANK", "0") == "0"

    @classmethod
    def create(cls, folder: str | Path, config: PretrainConfig) -> Run:
        """Start a new run in a folder that is empty or not there.

        Raises:
            ConfigError: the folder already holds something, or cannot be written.
        """
        folder = Path(folder)
        run = cls(folder)
        if not run.writes:
            return run
        if (folder / CONFIG).exists():
            message = (
                f"{folder} already holds a run; add --resume to go on with it, or choose another folder."
            )
            raise ConfigError(message)
        if folder.exists() and any(folder.iterdir()):
            message = f"{folder} is not empty; choose another folder for the run."
            raise ConfigError(message)
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            run.write_config(config)
        except OSError as error:
            message = f"The run folder {folder} cannot be written: {error.strerror}."
            raise ConfigError(message) from error
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run.

        Raises:
            ConfigError: there is none.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file():
            message = (
                f"{folder} holds no run to resume ({CONFIG} is missing); leave out --resume to start one."
            )
            raise ConfigError(message)
        return cls(folder)

    def discard_unless_used(self) -> None:
        """Remove what `create` made when no checkpoint was ever written; other files in the folder stay."""
        if not self.writes:
            return
        if self._checkpoints():
            return
        for name in (CONFIG, EVENTS):
            (self.folder / name).unlink(missing_ok=True)
        for folder in (self.folder / "checkpoints", self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def config(self) -> PretrainConfig:
        """The recipe of the run."""
        return load_config(self.folder / CONFIG)

    def write_config(self, config: PretrainConfig) -> None:
        """Replace the recipe, all of it or nothing."""
        if not self.writes:
            return
        temporary = self.folder / f".{CONFIG}.tmp"
        temporary.write_text(dump_config(config), encoding="utf-8")
        os.replace(temporary, self.folder / CONFIG)

    def event(self, kind: str, **fields: object) -> None:
        """Append one event with the time of day in seconds since 1970."""
        if not self.writes:
            return
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **fields})
        with open(self.folder / EVENTS, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def save(self, step: int, tensors: dict[str, torch.Tensor], card: Card, keep: int) -> None:
        """Write the checkpoint of a step and drop all but the newest `keep`."""
        if not self.writes:
            return
        path = self.folder / "checkpoints" / f"step-{step:08d}{SUFFIX}"
        save_checkpoint(path, tensors, card)
        self.event("checkpoint", step=step, file=path.name)
        for old in self._checkpoints()[:-keep]:
            old.unlink(missing_ok=True)

    def load_latest(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """Step and tensors of the newest checkpoint; None for a run without one."""
        found = self._checkpoints()
        if not found:
            return None
        return read_card(found[-1]).step, load_tensors(found[-1], "")

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step-*" + SUFFIX))
