"""`make soak`: kill trainings at random moments, resume each time, and compare the weights with an undisturbed run.

A parent imports everything once and forks each attempt, as importing PyTorch takes longer than an attempt. Half of the
kills come at any time, the other half while a file is being written. Exit code 1: a run ended in other weights.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import MaesilError
from MAESILCore.files import UNFINISHED
from MAESILCore.jobfolder import JobFolder, rows
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.optional import require
from MAESILCore.training import PretrainConfig, Run, pretrain
from Testing.Soak.labelled import segmentation_training

RECIPE = {
    "preset": "tiny",
    "model": {"superpatch_size": (16, 16, 16)},
    "crop": {"size": (16, 16, 16)},
    "hold_out": ("scan0*",),
    "steps": 12,
    "batch_size": 2,
    "warmup_steps": 2,
    "checkpoint_every": 2,
    "preview_every": 0,
    "validate_every": 3,
    "precision": "32-true",
}
#: An attempt that takes longer hangs, which is an error.
_LONGEST = 120.0
#: A file may be written in this many seconds, so that a kill within them after its appearance meets all of the writing.
_WRITING = 0.008


@dataclass
class Figures:
    """What happened so far.

    Attributes:
        kills: number of attempts that were killed.
        writing: number of those that left an unfinished file.
        runs: number of runs that were finished.
        damaged: number of checkpoints that were set aside.
        differing: sentences about runs that ended in another state.
    """

    kills: int = 0
    writing: int = 0
    runs: int = 0
    damaged: int = 0
    differing: list[str] = field(default_factory=list)


def make_scans(folder: Path) -> list[Path]:
    """Three small scans with tissue and air; the first one is held out."""
    paths = []
    for number, shape in enumerate([(20, 32, 32), (24, 30, 36), (18, 36, 28)]):
        generator = np.random.default_rng(number)
        voxels = generator.normal(40, 60, shape)
        voxels[..., shape[2] * 3 // 4 :] = -1000
        paths.append(folder / f"scan{number}.nii.gz")
        write_volume(Volume(voxels.astype(np.int16), np.diag([1.0, 1.0, 2.0, 1.0])), paths[-1])
    return paths


def make_source(kind: str, folder: Path) -> list[Path]:
    """What is trained on: three scans, or a store of them."""
    scans = make_scans(folder)
    if kind != "store":
        return scans
    # In a process of its own, as Zarr starts threads, and forking needs a parent without any.
    command = [
        sys.executable,
        "-m",
        "MAESILCore",
        "prepare",
        *map(str, scans),
        "--out",
        str(folder / "store"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return [folder / "store"]


#: Starts or resumes a training in a run folder.
Train = Callable[[Path], None]


def pretraining(scans: Sequence[Path]) -> Train:
    """The pre-training of scans or a store."""
    config = PretrainConfig.model_validate(RECIPE)

    def train(folder: Path) -> None:
        has_begun = (folder / "config.yaml").exists()
        pretrain(Run.open(folder) if has_begun else Run.create(folder), config, scans, device="cpu")

    return train


class Attempts:
    """Starts a training in forked processes.

    Args:
        run: the run folder.
        train: the training.
        processes: number of processes, connected by gloo.
    """

    def __init__(self, run: Path, train: Train, processes: int = 1) -> None:
        self.run, self.train, self.processes = run, train, processes
        self.children: list[int] = []

    def start(self) -> None:
        """Start or resume the training."""
        port = _free_port()
        self.children = [self._fork(rank, port) for rank in range(self.processes)]

    def kill(self) -> None:
        """Kill all processes that still run."""
        for child in self.children:
            os.kill(child, signal.SIGKILL)
        for child in self.children:
            os.waitpid(child, 0)
        self.children = []

    def is_over(self) -> bool:
        """Whether all processes have ended.

        Raises:
            RuntimeError: one has failed.
        """
        for child in list(self.children):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                self.children.remove(child)
                if status:
                    log = self.run.with_suffix(".log")
                    self.kill()
                    raise RuntimeError(
                        f"An attempt failed with status {status}; see {log}:\n{log.read_text()[-3000:]}"
                    )
        return not self.children

    def finish(self) -> None:
        """Run until the end."""
        self.start()
        deadline = time.monotonic() + _LONGEST
        while not self.is_over():
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"An attempt took more than {_LONGEST:.0f} s.")
            time.sleep(0.01)

    def _fork(self, rank: int, port: int) -> int:
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            with open(self.run.with_suffix(".log"), "ab", buffering=0) as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            if self.processes > 1:
                os.environ |= {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "GROUP_RANK": "0",
                    "WORLD_SIZE": str(self.processes),
                    "LOCAL_WORLD_SIZE": str(self.processes),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    "TORCHELASTIC_RUN_ID": "soak",
                }
            self.train(self.run)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def killed_run(
    attempts: Attempts, kills: int, chance: random.Random, figures: Figures, seconds: float
) -> None:
    """Kill and resume a run until it is finished, or `kills` times, and then let it finish.

    Args:
        attempts: a run that has not begun.
        kills: largest number of kills.
        chance: decides the moments.
        figures: is updated.
        seconds: duration of an undisturbed attempt.
    """
    for _ in range(kills):
        attempts.start()
        waits_for_writing = chance.random() < 0.5
        if waits_for_writing:
            # Pass a number of writings, then wait for a part of the next one.
            over = _wait(attempts, chance.uniform(0.0, 0.5 * seconds), lambda: False)
            over = over or _wait(attempts, _LONGEST, lambda: _is_writing(attempts.run))
            over = over or _wait(attempts, chance.uniform(0.0, _WRITING), lambda: False)
        else:
            over = _wait(attempts, chance.uniform(0.0, seconds), lambda: False)
        if over:
            return
        attempts.kill()
        figures.kills += 1
        figures.writing += _is_writing(attempts.run)
    attempts.finish()


def _wait(attempts: Attempts, seconds: float, until: Callable[[], bool]) -> bool:
    """Wait for a time, a condition or the end of the attempt; returns whether it has ended."""
    deadline = time.monotonic() + seconds
    while not attempts.is_over():
        if until() or time.monotonic() >= deadline:
            return False
        time.sleep(0.0002)
    return True


def _is_writing(run: Path) -> bool:
    return any(next(folder.glob(f"{UNFINISHED}*"), None) for folder in (run, run / "checkpoints"))


def differences(run: Path, whole: Path) -> list[str]:
    """Sentences on what differs between two finished runs: weights, average, optimiser, losses, scores, best state."""
    found = []
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    if sorted(path.name for path in (run / "checkpoints").glob("*.safetensors")) != names:
        found.append("other checkpoints are kept")
    for file in ("model.safetensors", *(f"checkpoints/{name}" for name in names)):
        try:
            mine, theirs = load_tensors(run / file, ""), load_tensors(whole / file, "")
        except MaesilError as error:
            found.append(str(error))
            continue
        if mine.keys() != theirs.keys() or not all(torch.equal(mine[name], theirs[name]) for name in theirs):
            found.append(f"{file} has other tensors")
    for name, keys in (("step", ("loss", "gradient_norm")), ("validation", ("psnr_hidden", "dice"))):
        curves = [
            [
                (row.step, *(row.fields.get(key) for key in keys))
                for row in rows(JobFolder(one).events(), name)
            ]
            for one in (run, whole)
        ]
        if curves[0] != curves[1]:
            found.append(f"the {name} rows differ")
    if JobFolder(run).state() != "finished":
        found.append(f"the run is {JobFolder(run).state()}")
    if _is_writing(run):
        found.append("unfinished files are left")
    return found


def soak(
    folder: Path,
    *,
    kills: int,
    per_run: int = 20,
    processes: int = 1,
    source: str = "scans",
    seed: int = 0,
    minutes: float = float("inf"),
    report: Callable[[str], None] = print,
) -> Figures:
    """Kill runs until `kills` attempts are killed, or the time is over.

    Args:
        folder: an empty folder.
        kills: number of kills.
        per_run: largest number of kills of one run.
        processes: number of processes of each run.
        source: scans or store for a pre-training, labels for a segmentation training.
        seed: seed of the moments.
        minutes: time limit; the last run is finished.
        report: receives a line per 50 kills.
    """
    torch.set_num_threads(1)
    require("lightning_fabric", "The soak test")
    scans = make_source(source, folder)
    train = segmentation_training(scans) if source == "labels" else pretraining(scans)
    whole = Attempts(folder / "whole", train, processes)
    started = time.monotonic()
    whole.finish()
    seconds = time.monotonic() - started
    report(f"An undisturbed run takes {seconds:.1f} s.")
    figures, chance = Figures(), random.Random(seed)
    said = 0
    while figures.kills < kills and time.monotonic() - started < 60.0 * minutes:
        run = folder / f"run{figures.runs}"
        attempts = Attempts(run, train, processes)
        try:
            killed_run(attempts, min(per_run, kills - figures.kills), chance, figures, seconds)
            different = differences(run, whole.run)
        except RuntimeError as error:
            different = [str(error)]
        figures.runs += 1
        figures.damaged += len(list((run / "checkpoints").glob("*.damaged")))
        if different:
            figures.differing.append(f"{run.name}: {'; '.join(different)}")
            report(figures.differing[-1])
        else:
            shutil.rmtree(run)
        if figures.kills // 50 > said:
            said = figures.kills // 50
            report(_summary(figures, time.monotonic() - started))
    report(_summary(figures, time.monotonic() - started))
    return figures


def _summary(figures: Figures, seconds: float) -> str:
    same = figures.runs - len(figures.differing)
    return (
        f"{figures.kills} kills, {figures.writing} while a file was written, {seconds / 60:.1f} min; "
        f"{same} of {figures.runs} runs ended in the same weights; {figures.damaged} checkpoints were damaged."
    )


def main() -> int:
    """Soak and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--per-run", type=int, default=20, help="largest number of kills of one run")
    parser.add_argument("--processes", type=int, default=1, help="processes of each run")
    parser.add_argument(
        "--source", choices=("scans", "store", "labels"), default="scans", help="what the runs train on"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(
            Path(folder),
            kills=options.kills,
            per_run=options.per_run,
            processes=options.processes,
            source=options.source,
            seed=options.seed,
            minutes=options.minutes,
            report=lambda line: print(line, flush=True),
        )
        return 1 if figures.differing or not figures.runs else 0


if __name__ == "__main__":
    sys.exit(main())
