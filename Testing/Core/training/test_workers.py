"""Worker processes draw the same samples, and none outlives its training."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from MAESILCore.errors import Cancelled, ConfigError, MaesilError, VolumeError
from MAESILCore.jobfolder import Event
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import PretrainConfig, Run, pretrain
from MAESILCore.training.config import dump_config
from MAESILCore.training.loader import drawn_ahead
from MAESILCore.training.source import Sample, SampleKey
from MAESILCore.training.workers import WorkerError

pytestmark = pytest.mark.process


def drawing() -> list[Any]:
    """The workers; joblib keeps those of earlier tests."""
    return [child for child in multiprocessing.active_children() if "Loky" not in child.name]


def kept(run: Run) -> dict[str, torch.Tensor]:
    return load_tensors(run.checkpoints.paths()[-1], "")


def test_workers_change_no_weight_also_after_a_stop_and_the_death_of_one(
    small_scans: list[Path], small_recipe: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    config = small_recipe(steps=14, checkpoint_every=100, validate_every=100)

    def train(name: str, workers: int, progress: Callable[[Event], None], **options: Any) -> Run:  # noqa: ANN401
        run = Run(tmp_path / name, new=not (tmp_path / name).exists())
        chosen = config.model_copy(update={"workers": workers})
        pretrain(run, chosen, small_scans, device="cpu", progress=progress, **options)
        return run

    seen = []

    def kill_one(event: Event) -> None:
        if event.event == "step" and event.step == 5:
            worker = drawing()[0]
            os.kill(worker.pid or 0, signal.SIGKILL)

    def last_step(event: Event) -> None:
        if event.event == "step":
            seen.append((event.step, len(drawing())))

    whole = train("whole", 0, last_step)
    with pytest.raises(Cancelled):
        train("run", 2, last_step, cancelled=lambda: seen[-1:] == [(2, 2)])
    assert not drawing()
    with pytest.raises(WorkerError, match="has ended, perhaps for lack of memory: resume the run"):
        train("run", 2, kill_one)
    assert not drawing()
    run = train("run", 2, last_step)
    assert [
        event.event for event in run.job.events() if event.event in ("cancelled", "failed", "finished")
    ] == [
        "cancelled",
        "failed",
        "finished",
    ]
    ours, theirs = kept(run), kept(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


class Failing:
    """A source whose third sample fails in a way of its own."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def describe(self) -> str:
        return ""

    def draw(self, key: SampleKey) -> Sample:
        if key.step == 1:
            raise self.error()
        return Sample(
            np.full((2, 2, 2), key.index, np.float32), None, (0, 0, 0), (1.0, 1.0, 1.0), "a", (1, 2, 3)
        )


class Stubborn(MaesilError):
    """Cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}.")


def vanished() -> Exception:
    return VolumeError("The scan a is gone.")


def stubborn() -> Exception:
    return Stubborn("Two", "words")


def bug() -> Exception:
    return KeyError("a bug")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (vanished, VolumeError, "The scan a is gone."),
        (stubborn, MaesilError, "Two words."),
        (bug, KeyError, "'a bug'"),
    ],
)
def test_a_problem_in_a_worker_is_that_of_the_loop(
    error: Callable[[], Exception], kind: type[Exception], text: str
) -> None:
    def keys(step: int) -> list[SampleKey]:
        return [SampleKey(0, step, index) for index in range(3)]

    with closing(drawn_ahead(Failing(error), keys, range(5), workers=1)) as ahead:
        first, second = ahead
    assert [sample.voxels[0, 0, 0] for sample in first.samples] == [0, 1, 2]
    assert (first.samples[0].scan, first.samples[0].corner, first.problem) == ("a", (1, 2, 3), None)
    assert type(second.problem) is kind
    assert str(second.problem) == text
    assert ("Traceback" in str(getattr(second.problem, "__notes__", ""))) == (kind is KeyError)
    with (
        closing(drawn_ahead(Failing(lambda: vanished()), keys, range(5), workers=1)) as ahead,
        pytest.raises(ConfigError, match=r"cannot be sent to worker processes .* set workers to 0"),
    ):
        next(ahead)


class Slow(Failing):
    """A source whose second step takes an hour."""

    def draw(self, key: SampleKey) -> Sample:
        if key.step == 1:
            time.sleep(3600)
        return super().draw(key)


def test_a_stop_does_not_wait_for_a_worker_that_is_drawing() -> None:
    ahead = drawn_ahead(Slow(bug), lambda step: [SampleKey(0, step, 0)], range(5), workers=1)
    next(ahead)
    ahead.close()
    assert not drawing()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no SIGKILL")
def test_no_worker_outlives_a_killed_training(
    small_scans: list[Path], small_recipe: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump_config(small_recipe(steps=100_000, workers=2)))
    command = [
        sys.executable,
        "-m",
        "MAESILCore",
        "pretrain",
        *map(str, small_scans),
        "--out",
        str(tmp_path / "run"),
    ]
    with subprocess.Popen(
        [*command, "--recipe", str(recipe), "--device", "cpu"], stdout=subprocess.PIPE
    ) as training:
        assert training.stdout is not None
        events = tmp_path / "run" / "events.jsonl"
        while not (events.is_file() and '"step": 3,' in events.read_text()):
            assert training.poll() is None
            time.sleep(0.2)
        below = psutil.Process(training.pid).children(recursive=True)
        training.kill()
    assert len(below) >= 2
    assert not psutil.wait_procs(below, timeout=60)[1]
