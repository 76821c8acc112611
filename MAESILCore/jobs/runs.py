"""Starts, stops, resumes, copies and deletes runs in the background; `runsfolder` lists them.

Needs neither PyTorch, nor pyyaml, nor pydantic, except where stated.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.folder import CONFIG
from MAESILCore.jobfolder.lock import LockedError
from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.pretraining import PretrainingRequest, prepare_pretraining
from MAESILCore.jobs.runrequests import RunRequest, read_request
from MAESILCore.jobs.runsfolder import (
    Preview,
    RunsFolder,
    RunSummary,
    describe,
    previews_of,
    runs_folder,
    summary_of,
)
from MAESILCore.jobs.runtail import Curves
from MAESILCore.jobs.segmenttraining import TASK
from MAESILCore.jobs.wording import sentence
from MAESILCore.models.catalogue import FINAL, model_of_run

__all__ = [
    "Curves",
    "Preview",
    "RunSummary",
    "RunsFolder",
    "delete",
    "describe",
    "duplicate",
    "find_run",
    "model_of_run",
    "prepare_pretraining",
    "previews_of",
    "resume",
    "runs_folder",
    "stop",
    "summary_of",
]


def find_run(place: str | Path) -> Path:
    """The folder of a run, given by its path or by its name in the default folder of runs.

    Raises:
        ConfigError: there is no run.
    """
    path = Path(place).expanduser()
    named = runs_folder() / path
    if not path.is_dir() and len(path.parts) == 1 and named.is_dir():
        path = named
    if summary_of(path) is None:
        raise ConfigError(sentence("run.none", folder=str(place)))
    return path


def stop(folder: str | Path) -> bool:
    """Request the end of a run, also on another machine that shares the folder, and return at once.

    Returns:
        Whether a process works on the run; False changes nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    job = JobFolder(folder)
    if job.lock.holder() is None:
        return False
    job.cancel()
    return True


def resume(
    folder: str | Path,
    *,
    steps: int | None = None,
    scans: Sequence[str | Path] = (),
    device: str | None = None,
    processes: int | None = None,
    python: str = sys.executable,
) -> JobProcess:
    """Start the process of a run that is prepared, or ended before its last step.

    Args:
        folder: the run folder.
        steps: new total number of steps, to extend or shorten the run.
        scans: new places of the scans, if they were moved, or if a run of an older version does not know them.
        device: another device, auto, cpu, cuda, cuda:N or mps.
        processes: another number of processes, one per GPU.
        python: the interpreter.

    Returns:
        The detached job, which outlives this process; call `close` to release it.

    Raises:
        ConfigError: the run is running, has no step left or does not know its scans, or a choice is invalid.
    """
    _write(folder, _resumed(Path(folder), steps, scans, device, processes))
    job = JobProcess(folder, python, detached=True)
    job.start()
    return job


def _resumed(
    folder: Path,
    steps: int | None,
    scans: Sequence[str | Path],
    device: str | None,
    processes: int | None,
) -> RunRequest:
    """The request with which a run can be resumed; see `resume`."""
    summary = summary_of(folder)
    if summary is None:
        raise ConfigError(sentence("run.none", folder=str(folder)))
    if summary.state == "running":
        raise ConfigError(sentence("run.running", name=summary.name))
    has_model = (folder / FINAL).is_file()
    if summary.state == "finished" and has_model and not (steps and steps > summary.step):
        raise ConfigError(sentence("run.complete", name=summary.name, steps=summary.step))
    request = read_request(folder).changed(steps, scans, device, processes)
    if not request.scans:
        raise ConfigError(sentence("run.unknown-scans", name=summary.name))
    return request


def _write(folder: str | Path, request: RunRequest) -> None:
    """Write the request, if it differs from the one in the folder."""
    job = JobFolder(folder)
    if not job.is_described or read_request(folder) != request:
        try:
            job.describe(request.kind, request.content)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(sentence("run.not-writable", folder=str(folder), reason=reason)) from error


def duplicate(folder: str | Path) -> dict[str, Any]:
    """The choices of a run as arguments of `prepare_pretraining`, so that a new run can start from them.

    Raises:
        ConfigError: the folder holds no run.
        MissingPackageError: the run has no request, as an older version made it, and pyyaml is not installed.
    """
    folder = Path(folder)
    summary = summary_of(folder)
    if summary is None:
        raise ConfigError(sentence("run.none", folder=str(folder)))
    if summary.method == TASK:
        raise ConfigError(sentence("segmentation.no-copy", name=summary.name))
    request = PretrainingRequest.read(folder)
    if request == PretrainingRequest():
        request = replace(request, name=summary.name, config=_written(folder))
    config = dict(request.config)
    return {
        "scans": list(request.scans),
        "name": request.name,
        "method": request.method or config.pop("method", None) or summary.method,
        "preset": request.preset or config.pop("preset", None) or summary.preset or None,
        "steps": request.steps or config.pop("steps", None) or summary.total or None,
        "device": request.device,
        "processes": request.processes,
        "initial": request.initial,
        "overrides": config,
    }


def _written(folder: Path) -> dict[str, Any]:
    from MAESILCore.training.config import read_recipe

    return read_recipe(folder / CONFIG)


def delete(folder: str | Path) -> None:
    """Delete a run with all its files.

    Raises:
        ConfigError: the folder holds no run, the run is running, or a file cannot be deleted.
    """
    folder = Path(folder)
    summary = summary_of(folder)
    if summary is None:
        raise ConfigError(sentence("run.none", folder=str(folder)))
    try:
        # The lock keeps a process from starting here meanwhile.
        with JobFolder(folder).lock:
            shutil.rmtree(folder)
    except LockedError as error:
        raise ConfigError(sentence("run.delete-running", name=summary.name)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(sentence("run.delete-failed", name=summary.name, reason=reason)) from error
