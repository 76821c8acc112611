"""Does the work of a pre-training job, in the worker and in the shell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import Event, EventCallback, JobFolder
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.wording import sentence
from MAESILCore.models.catalogue import place_of
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.optional import require
from MAESILCore.training.config import PretrainConfig, load_config
from MAESILCore.training.run import Run
from MAESILCore.training.scans import data_at
from MAESILCore.training.sizes import differences
from MAESILCore.training.trainer import pretrain
from MAESILCore.wording import displayable


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
    found = scans_of(request, folder.path.name)
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


def scans_of(request: PretrainingRequest, name: str) -> Discovery | Sequence[Path]:
    """The scans of a request, or its store.

    Args:
        request: the request of a run.
        name: name of its folder, for runs of older versions, whose requests have none.

    Raises:
        ConfigError: the request has none, as those of older versions.
        VolumeError: the scans cannot be found.
    """
    if not request.scans:
        raise ConfigError(sentence("run.unknown-scans", name=displayable(request.name or name)))
    return data_at([Path(scan) for scan in request.scans])


def initial_of(request: PretrainingRequest, run: Run) -> LoadedModel | None:
    """The initial weights of a request; None for a run with a checkpoint, which holds its own."""
    return load_checkpoint(request.initial) if request.initial and not run.has_checkpoint else None


def steps_to_continue(folder: Path, given: Mapping[str, Any], initial: Path | None) -> tuple[int, int | None]:
    """Check that a repeated command fits the run that it started before.

    Only the fields that are given count. Their values are compared as the checked recipe holds them, so that neither
    another spelling, nor the defaults of another version, nor a field that is left out is a difference.

    Args:
        folder: the run folder.
        given: fields of the recipe in the command, and in the recipe's file.
        initial: the initial weights in the command; None if there are none.

    Returns:
        The steps of the run, and those of the command; None if it has none.

    Raises:
        ConfigError: a field differs, or a value is invalid.
    """
    request = PretrainingRequest.read(folder)
    config = Run.open(folder).config({"steps": request.steps} if request.steps else None)
    steps = load_config(None, {**given}).steps if "steps" in given else None
    fields = {name: value for name, value in given.items() if name != "steps"}
    there, here = (one.model_dump(mode="json") for one in (config, load_config(None, fields)))
    others = list(differences(fields, there, here))
    # Runs of older versions do not know their initial weights.
    if (
        initial is not None
        and request.scans
        and os.path.abspath(place_of(initial).expanduser()) != request.initial
    ):
        others.append(f"initial: {request.initial} there, {initial} here")
    if others:
        raise ConfigError(sentence("run.other-options", folder=str(folder), options="; ".join(others)))
    return config.steps, steps
