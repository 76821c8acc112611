"""The results of a segmentation job: a segmentation on the grid of its input, and how uncertain the model is."""

from __future__ import annotations

import numpy as np
import slicer

from MAESILCore.data.segmentation import Segment, Segmentation
from MAESILCore.report.shading import UNCERTAINTY_STOPS
from MAESILCore.report.summary import DISCLAIMER
from MAESILSlicerLib.results.colors import showInColors
from MAESILSlicerLib.results.insertion import Insertion
from MAESILSlicerLib.results.jobfiles import JobFiles, ResultsError
from MAESILSlicerLib.results.resultset import ResultKind, ResultSet, Role, allResults, removeResults
from MAESILSlicerLib.results.wording import sentence
from MAESILSlicerLib.scene.segmentations import addSegmentation
from MAESILSlicerLib.scene.volumes import geometryOf

_ROLES = (
    Role("segmentation", "segmentation", sentence("segmentation.segmentation")),
    # Entropy of the classes from 0 to 1.
    Role("uncertainty", "segmentation uncertainty", sentence("segmentation.uncertainty"), "view", "#D55E00"),
)


def _import(insertion: Insertion) -> None:
    """Import labels and uncertainty, and hide the earlier segmentations of the volume, which may be corrected ones."""
    files, result, inputNode = insertion.files, insertion.files.result, insertion.inputNode
    insertion.describe(
        f"Segmentation of {inputNode.GetName()} by {result['model']}.",
        insertion.note,
        *result.get("notes", ()),
        DISCLAIMER,
    )
    segmentation, uncertainty = segmentationOfJob(files, geometryOf(inputNode)), files.array("uncertainty")
    shape = inputNode.GetImageData().GetDimensions()[::-1]
    if segmentation.labels.shape != shape or uncertainty.shape != shape:
        raise ResultsError(sentence("segmentation.other-size", volume=inputNode.GetName()))
    earlier = segmentationsOf(inputNode)
    name = insertion.names["segmentation"]
    insertion.add("segmentation", addSegmentation(insertion.scene, segmentation, name, inputNode))
    node = insertion.volume("uncertainty", uncertainty, autoWindow=False)
    showInColors(
        node,
        "uncertainty of a segmentation",
        UNCERTAINTY_STOPS,
        (0.0, 1.0),
        sentence("segmentation.uncertainty"),
        digits=2,
    )
    for one in earlier:
        one.main.SetDisplayVisibility(False)


def segmentationOfJob(files: JobFiles, ijkToRas: np.ndarray) -> Segmentation:
    """The segmentation that a finished job has found.

    Args:
        files: the job's files.
        ijkToRas: (4, 4) geometry of the scan, in mm.

    Raises:
        ResultsError: a file is missing or damaged.
    """
    segments = tuple(
        Segment(
            int(one["value"]),
            str(one["name"]),
            tuple(one["color"]) if one.get("color") else None,
            str(one.get("terminology", "")),
        )
        for one in files.result["structures"]
    )
    return Segmentation(np.asarray(files.array("labels")), ijkToRas, segments)


def segmentationsOf(inputNode: slicer.vtkMRMLScalarVolumeNode) -> list[ResultSet]:
    """The segmentations of a volume by models, oldest first."""
    scene = inputNode.GetScene()
    return [one for one in allResults(scene, inputNode) if one.kind is KIND] if scene is not None else []


def undoNewest(inputNode: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Remove the newest segmentation of a volume by a model, and show the one before; whether there was one."""
    found = segmentationsOf(inputNode)
    if not found:
        return False
    removeResults(found[-1])
    for before in found[-2:-1]:
        before.main.SetDisplayVisibility(True)
    return True


KIND = ResultKind("segmentation", _ROLES, "segmentation", _import, hasOwnSection=True)
