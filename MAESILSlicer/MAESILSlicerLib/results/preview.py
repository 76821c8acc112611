"""The preview of a training run in a scene: a scan, what the model saw of it and what it made of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

from MAESILSlicerLib.results.jobfiles import ResultsError
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet, Role
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.nodes import leaveOutOfFiles
from MAESILSlicerLib.scene.transaction import allOrNothing
from MAESILSlicerLib.scene.volumes import addVolume

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import Preview

_ROLES = (
    Role("truth", "scan", "Original"),
    Role("masked", "input", "Masked", "view", "#E69F00", isOptional=True, isLikeInput=True),
    Role("reconstruction", "prediction", "Reconstruction", "view", "#0072B2", isLikeInput=True),
)


def _importNothing(_insertion: object) -> None:
    """Previews are added while their run goes on, by `addPreview`, and not when a job has finished."""


KIND = ResultKind("preview", _ROLES, "truth", _importNothing)


def addPreview(scene: slicer.vtkMRMLScene, name: str, preview: Preview) -> ResultSet:
    """Add the volumes of a preview, which are not saved with the scene; the input of the comparison is `main`.

    Args:
        scene: receives the volumes.
        name: name of the run, the beginning of the nodes' names.
        preview: a preview of the run.

    Raises:
        MaesilError: a file is missing or cannot be read, or there is not enough memory. The scene is then unchanged.
    """
    from MAESILCore.data.volume import read_volume

    files = {"truth": preview.truth, "masked": preview.hidden, "reconstruction": preview.nifti}
    for role in KIND.roles:
        if files[role.name] is None and not role.isOptional:
            raise ResultsError(sentence("preview.incomplete", step=preview.step))
    volumes = {role: read_volume(path) for role, path in files.items() if path is not None}
    nodes: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
    with allOrNothing(scene):
        for role in KIND.roles:
            if role.name in volumes:
                title, truth = f"{name} step {preview.step} {role.word}", nodes.get("truth")
                nodes[role.name] = addVolume(
                    scene, volumes[role.name], title, truth, sameDisplay=role.isLikeInput
                )
                leaveOutOfFiles(nodes[role.name])
    return ResultSet(KIND, nodes)
