"""Starts the job that reconstructs a volume, from what was chosen for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.lattice import Mask, SuperpatchGrid
from MAESILSlicerLib.scene.volumes import readVolume
from MAESILSlicerLib.session.choices import ReconstructionChoices, StudyChoices
from MAESILSlicerLib.session.models import ModelInfo

if TYPE_CHECKING:
    from MAESILCore.jobs.client import JobProcess


def startJob(
    jobsFolder: Path,
    python: str | None,
    study: StudyChoices,
    model: ModelInfo,
    mask: Mask,
    choices: ReconstructionChoices,
) -> JobProcess:
    """Start a reconstruction in a process of its own.

    Args:
        jobsFolder: where the job's folder is made.
        python: the interpreter that runs it; None for the one that runs this.
        study: the volume, and how the masks of a coverage are drawn.
        model: with which.
        mask: what is hidden, unless by a coverage, which draws its own masks.
        choices: how it is reconstructed.

    Raises:
        MaesilError: the volume or a choice cannot be used, or the job's folder cannot be written.
    """
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.reconstruction import prepare_reconstruction

    if choices.overlap is not None:
        # Only the model tells what fits, so the request cannot refuse it.
        shape = study.volume.GetImageData().GetDimensions()[::-1]
        SuperpatchGrid(shape, model.superpatchSize, model.patchSize, choices.overlap)
    request = prepare_reconstruction(
        jobsFolder,
        readVolume(study.volume),
        mask=None if choices.coverage else mask,
        model=str(model.path),
        strategy=study.strategy,
        seed=study.seed,
        coverage=choices.coverage,
        device=choices.device,
        batch_size=choices.batchSize,
        overlap=choices.overlap,
        scores=choices.scores,
        export=choices.export,
        controls=choices.controls,
    )
    job = JobProcess(request.folder) if python is None else JobProcess(request.folder, python=python)
    job.start()
    return job
