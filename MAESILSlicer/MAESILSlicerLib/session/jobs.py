"""Starts the job that reconstructs a volume."""

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
        jobsFolder: the parent of the job's folder.
        python: the interpreter that runs the job; None is the current one.
        study: the volume, and the strategy of a coverage's masks.
        model: the model that reconstructs.
        mask: the mask; ignored for a coverage, which draws its own masks.
        choices: the settings of the reconstruction.

    Raises:
        MaesilError: the volume or a choice cannot be used, or the job's folder cannot be written.
    """
    from MAESILCore.jobs.client import JobProcess
    from MAESILCore.jobs.reconstruction import prepare_reconstruction

    if choices.overlap is not None:
        # Checked here, because the valid range depends on the model, which the request does not know.
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
