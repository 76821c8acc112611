"""Runs in the background: they outlive their parent, stop with a checkpoint, go on exactly, and are found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from MAESILCore import Volume, write_volume
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import JobFolder, jobs_in
from MAESILCore.jobs import JobProcess
from MAESILCore.jobs.pretraining import PretrainingRequest, prepare_pretraining, safe_name
from MAESILCore.jobs.process import end_trees
from MAESILCore.jobs.runs import delete, duplicate, find_run, model_of_run, resume, stop, summary_of
from MAESILCore.models.checkpoint import load_tensors
from MAESILCore.training import Run, load_config, pretrain

REPOSITORY = Path(__file__).resolve().parents[3]

TINY: dict[str, Any] = {
    "model": {"superpatch_size": [16, 16, 16], "patch_size": [8, 8, 8], "residual_fill": False},
    "crop": {"size": [16, 16, 16]},
    "warmup_steps": 1,
    "batch_size": 1,
    "checkpoint_every": 5,
    "preview_every": 0,
    "precision": "32-true",
}

#: Seconds in which a process must have done what it is asked to; the machine of a test may be busy.
PATIENCE = 120.0

Preparer = Callable[..., Path]


@pytest.fixture(scope="module")
def some_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scäns")
    for number in range(2):
        voxels = np.random.default_rng(number).normal(0, 300, (20, 24, 28)).astype(np.int16)
        write_volume(Volume(voxels, np.eye(4)), folder / f"scan{number}.nii.gz")
    return folder


@pytest.fixture
def prepare(some_scans: Path, tmp_path: Path) -> Preparer:
    def prepare(steps: int = 6, name: str = "Lung: 1/2", **choices: Any) -> Path:  # noqa: ANN401
        overrides = {**TINY, **choices.pop("overrides", {})}
        return prepare_pretraining(
            tmp_path / "runs",
            [some_scans],
            name=name,
            preset="tiny",
            steps=steps,
            device="cpu",
            overrides=overrides,
            **choices,
        )

    return prepare


@pytest.fixture(autouse=True)
def no_process_is_left(tmp_path: Path) -> Iterator[None]:
    """A test that fails ends what it started."""
    yield
    for job in jobs_in(tmp_path / "runs"):
        holder = job.lock.holder()
        if holder is not None:
            end_trees([holder.pid], at_once=True)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def step_of(folder: Path) -> int:
    summary = summary_of(folder)
    return 0 if summary is None else summary.step


def ends_of(folder: Path) -> list[str]:
    return [e.event for e in JobFolder(folder).events() if e.event in ("finished", "failed", "cancelled")]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "model.safetensors", "")


def test_initial_weights_may_be_those_of_a_bundled_model(prepare: Preparer, repository: Path) -> None:
    request = PretrainingRequest.read(prepare(initial="maesil-small-ct"))
    assert request.initial == str(repository / "Resources" / "Models" / "maesil-small-ct.safetensors")
    with pytest.raises(ConfigError, match="maesil-nowhere"):
        prepare(initial="maesil-nowhere")


def test_a_started_run_outlives_its_parent_and_resumes_exactly(
    prepare: Preparer, some_scans: Path, tmp_path: Path
) -> None:
    """Started by a process that ends at once; found, stopped, resumed; the weights are those of an unbroken run."""
    folder = prepare(steps=60)
    program = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from MAESILCore.jobs.runs import resume
job = resume({str(folder)!r})
job.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    until(lambda: step_of(folder) >= 2)
    running = summary_of(folder)
    assert running is not None
    assert running.state == "running"
    assert (running.name, running.preset, running.total) == ("Lung: 1/2", "tiny", 60)
    with pytest.raises(ConfigError, match="already running"):
        resume(folder)
    with pytest.raises(ConfigError, match="stop it before"):
        delete(folder)

    assert stop(folder)
    until(lambda: JobFolder(folder).lock.holder() is None)
    stopped = summary_of(folder)
    assert stopped is not None
    assert stopped.state == "cancelled"
    assert 0 < stopped.step < 60
    assert list((folder / "checkpoints").glob(f"step-{stopped.step:08d}*"))
    assert not stop(folder)

    assert JobProcess.find(folder).state == "cancelled"
    job = resume(folder)
    assert job.wait(PATIENCE) == "finished", job.log
    job.close()
    assert ends_of(folder) == ["cancelled", "finished"]
    assert PretrainingRequest.read(folder).scans == (str(some_scans),)

    whole = Run.create(tmp_path / "whole")
    config = load_config(None, {**PretrainingRequest.read(folder).recipe})
    pretrain(whole, config, [some_scans / f"scan{n}.nii.gz" for n in range(2)], device="cpu")
    expected, weights = weights_of(whole.folder), weights_of(folder)
    assert expected.keys() == weights.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)

    with pytest.raises(ConfigError, match="all 60 steps"):
        resume(folder)
    job = resume(folder, steps=61)
    assert job.wait(PATIENCE) == "finished"
    job.close()
    assert step_of(folder) == 61


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_run_is_dead_and_can_be_resumed_and_a_terminated_one_saves_its_state(
    prepare: Preparer,
) -> None:
    folder = prepare(steps=100_000)
    job = resume(folder)
    until(lambda: step_of(folder) >= 6)
    holder = JobFolder(folder).lock.holder()
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(holder.pid) or JobFolder(folder).lock.holder() is None)
    dead = summary_of(folder)
    assert dead is not None
    assert dead.state == "dead"
    assert "interrupted" in dead.message
    # Whoever started it knows that it was killed.
    assert job.wait(PATIENCE) == "failed"
    job.close()

    job = resume(folder)
    until(lambda: JobFolder(folder).lock.holder() is not None and step_of(folder) > dead.step)
    holder = JobFolder(folder).lock.holder()
    assert holder is not None
    os.kill(holder.pid, signal.SIGTERM)
    assert job.wait(PATIENCE) == "cancelled"
    job.close()
    assert list((folder / "checkpoints").glob(f"step-{step_of(folder):08d}*"))


def test_a_mistake_in_the_recipe_ends_the_run_with_a_sentence_and_one_event(prepare: Preparer) -> None:
    folder = prepare(overrides={"learning_rate": -1.0})
    job = resume(folder)
    assert job.wait(PATIENCE) == "failed"
    job.close()
    failed = summary_of(folder)
    assert failed is not None
    assert failed.state == "failed"
    assert "learning_rate" in failed.message
    assert ends_of(folder) == ["failed"]


def test_a_run_can_be_stopped_before_its_first_step_and_started_again(prepare: Preparer) -> None:
    folder = prepare(steps=1)
    JobFolder(folder).cancel()
    job = JobProcess(folder, detached=True)
    job._tail.read()
    with pytest.MonkeyPatch.context() as patch:
        # As if the request came after the start, before the worker looks.
        patch.setattr(JobFolder, "withdraw", lambda self: None)
        job.start()
    assert job.wait(PATIENCE) == "cancelled"
    job.close()
    assert step_of(folder) == 0
    job = resume(folder)
    assert job.wait(PATIENCE) == "finished"
    job.close()
    assert model_of_run(folder) == folder / "model.safetensors"


def test_what_has_not_started_has_nothing_to_lose_and_ends_at_once(
    toy_packages: Path, tmp_path: Path
) -> None:
    """As a run that still looks for its scans in a large tree on a slow disk."""
    folder = JobFolder(tmp_path / "runs" / "toy")
    folder.path.mkdir(parents=True)
    folder.describe("toy", {"do": "dawdle"})
    job = JobProcess(folder.path, detached=True)
    job.start()
    until(lambda: (folder.path / "pid").is_file())
    job.cancel()
    # Far below the two minutes of a job that has started.
    assert job.wait(30) == "cancelled"
    assert "before it reached a point" in job.message
    job.close()


def test_a_missing_package_is_named(
    prepare: Preparer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in 3D Slicer before its packages are installed: the worker starts and says what it lacks."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("torch", "lightning_fabric"):
        error = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (packages / f"{name}.py").write_text(error)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    folder = prepare()
    job = resume(folder)
    assert job.wait(PATIENCE) == "failed"
    job.close()
    summary = summary_of(folder)
    assert summary is not None
    assert "PyTorch is not installed" in summary.message
    assert ends_of(folder) == ["failed"]


def test_a_prepared_folder_has_a_name_that_every_file_system_takes(prepare: Preparer, tmp_path: Path) -> None:
    folder, other = prepare(), prepare()
    assert [folder.name, other.name] == ["Lung- 1-2", "Lung- 1-2-2"]
    assert [safe_name(name) for name in ("con", "LPT1.txt", " ..", "a" * 99, "Größe?")] == [
        "run-con",
        "run-LPT1.txt",
        "run",
        "a" * 60,
        "Größe",
    ]
    request = json.loads((folder / "job.json").read_text(encoding="utf-8"))["request"]
    assert request["name"] == "Lung: 1/2"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"method": "magic"}, "no method magic"),
        ({"device": "tpu"}, "no device"),
        ({"scans": ["/nowhere/at/all"]}, "does not exist"),
        ({"scans": []}, "Choose a folder"),
    ],
)
def test_a_choice_that_does_not_fit_leaves_no_folder(
    some_scans: Path, tmp_path: Path, choices: dict[str, Any], message: str
) -> None:
    given = {"scans": [some_scans], **choices}
    with pytest.raises(ConfigError, match=message):
        prepare_pretraining(tmp_path / "runs", **given)
    assert not (tmp_path / "runs").exists()


def test_a_copy_of_the_choices_makes_an_equal_run(prepare: Preparer, tmp_path: Path) -> None:
    folder = prepare(steps=7)
    again = prepare_pretraining(tmp_path / "runs", **duplicate(folder))
    assert again != folder
    # The copy names the method, which was left to the default.
    assert PretrainingRequest.read(again) == replace(PretrainingRequest.read(folder), method="maesil")


def test_a_run_is_deleted_whole_and_nothing_else_is(prepare: Preparer, tmp_path: Path) -> None:
    folder = prepare()
    with pytest.raises(ConfigError, match="holds no run"):
        delete(tmp_path)
    delete(folder)
    assert not folder.exists()
    assert tmp_path.exists()


def test_a_run_is_found_by_its_name_in_the_default_folder(
    prepare: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare()
    monkeypatch.setenv("MAESIL_RUNS", str(folder.parent))
    assert find_run(folder.name) == folder
    with pytest.raises(ConfigError, match="holds no run"):
        find_run("another")
