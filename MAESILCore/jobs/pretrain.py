"""Does the work of a pre-training job, in the worker and in the shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import Event, EventCallback, JobFolder
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.wording import sentence
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.optional import require
from MAESILCore.training.config import PretrainConfig, load_config
from MAESILCore.training.run import Run
from MAESILCore.training.scans import data_at
from MAESILCore.training.trainer import pretrain


def work(
    folder: JobFolder, request: PretrainingRequest, emit: EventCallback, stopped: Callable[[], bool]
) -> str:
    """Start or resume the run of a job, and take its steps.

    Args:
        folder: the job folder; its lock is held.
        request: the request in the folder.
        emit: writes the events of the run, also its last one.
        stopped: returns True if the training must stop.

    Returns:
        The closing sentence, for a run that has written no last event.

    Raises:
        Cancelled: the training was stopped; the newest checkpoint holds its state.
        MaesilError: the run cannot be started or resumed.
    """
    for package in ("yaml", "lightning_fabric"):
        require(package, "Pre-training")
    run, config = open_run(folder, request, emit)
    emit(Event("progress", sentence("pretraining.looking"), total=config.steps))
    found = scans_of(request)
    initial = initial_of(request, run)
    model = pretrain(run, config, found, device=request.device, cancelled=stopped, initial=initial)
    return sentence("pretraining.all-taken", steps=config.steps, model=model.name)


def open_run(
    folder: JobFolder, request: PretrainingRequest, emit: EventCallback | None = None
) -> tuple[Run, PretrainConfig]:
    """The run in a folder, and its recipe with the requested steps.

    Args:
        folder: the folder of a run, or of one that is only prepared.
        request: the request in the folder.
        emit: writes the events of the run; None appends them to the folder.

    Raises:
        ConfigError: a field of the recipe does not fit.
    """
    run = Run.prepared(folder, emit, request.content)
    if run.is_new:
        return run, load_config(None, request.recipe)
    return run, run.config({"steps": request.steps} if request.steps else None)


def scans_of(request: PretrainingRequest) -> Discovery | Sequence[Path]:
    """The scans of a request, or its store.

    Raises:
        ConfigError: the request has none, as those of older versions.
        VolumeError: the scans cannot be found.
    """
    if not request.scans:
        raise ConfigError(sentence("run.unknown-scans", name=request.name))
    return data_at([Path(scan) for scan in request.scans])


def initial_of(request: PretrainingRequest, run: Run) -> LoadedModel | None:
    """The initial weights of a request; None for a run with a checkpoint, which holds its own."""
    return load_checkpoint(request.initial) if request.initial and not run.has_checkpoint else None
