"""Few-label segmentation of a scene: which volumes are outlined, and a run that learns from them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from MAESILCore.data.labels import write_segmentation
from MAESILCore.data.volume import write_volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.errors import ConfigError
from MAESILCore.files import UNFINISHED
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.runrequests import read_request
from MAESILCore.jobs.segmenttraining import TASK, prepare_segmentation_training
from MAESILCore.optional import require
from MAESILSlicerLib.scene.nodes import nodesOfClass, roleOf
from MAESILSlicerLib.scene.segmentations import fits, segmentationOf
from MAESILSlicerLib.scene.volumes import checkVolume, readVolume
from MAESILSlicerLib.session import runwords
from MAESILSlicerLib.session.wording import sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import RunSummary
    from MAESILSlicerLib.session.board import Board

#: Folder of the labelled scans in a run's folder.
_CASES = "cases"


@dataclass(frozen=True)
class SceneCase:
    """A volume of a scene, and the segmentation that was drawn on it.

    Attributes:
        volumeNode: the volume.
        segmentationNode: its newest segmentation, visible ones before hidden ones, and one made by hand before one by a
            model; None if it has none.
        isByHand: whether the segmentation is not the result of a model.
    """

    volumeNode: slicer.vtkMRMLScalarVolumeNode
    segmentationNode: slicer.vtkMRMLSegmentationNode | None
    isByHand: bool

    @property
    def structures(self) -> list[str]:
        """Names of the segments."""
        if self.segmentationNode is None:
            return []
        own = self.segmentationNode.GetSegmentation()
        return [own.GetNthSegment(number).GetName() for number in range(own.GetNumberOfSegments())]

    @property
    def text(self) -> str:
        """What the faces say of its segmentation, as a sentence."""
        if self.segmentationNode is None:
            return sentence("segment.not-outlined")
        names = {"segmentation": self.segmentationNode.GetName()}
        count = self.segmentationNode.GetSegmentation().GetNumberOfSegments()
        if count == 1:
            names["segment"] = self.segmentationNode.GetSegmentation().GetNthSegment(0).GetName()
            return sentence("segment.one", **names)
        return sentence("segment.several", count=count, **names)


def casesOf(scene: slicer.vtkMRMLScene) -> list[SceneCase]:
    """The usable volumes of a scene that are no results, each with its segmentation, in scene order.

    A segmentation belongs to the volume on which it was drawn, its reference geometry. One that was loaded from a file
    has none, and belongs to the only volume with its voxels, else to the one with whose name its own begins.
    """
    outlined = [
        node
        for node in nodesOfClass(scene, "vtkMRMLSegmentationNode")
        if node.GetSegmentation() is not None and node.GetSegmentation().GetNumberOfSegments() > 0
    ]
    volumes = [
        node
        for node in nodesOfClass(scene, "vtkMRMLScalarVolumeNode")
        if roleOf(node) is None and checkVolume(node, expectsHu=False).usable
    ]
    drawnOn = [(node, _volumeOf(node, volumes)) for node in outlined]
    cases = []
    for volumeNode in volumes:
        own = [node for node, volume in drawnOn if volume is volumeNode]
        own = [node for node in own if _isVisible(node)] or own
        byHand = [node for node in own if roleOf(node) is None]
        cases.append(SceneCase(volumeNode, next(reversed(byHand or own), None), bool(byHand)))
    return cases


def _isVisible(node: slicer.vtkMRMLSegmentationNode) -> bool:
    return node.GetDisplayNode() is None or bool(node.GetDisplayVisibility())


def _volumeOf(
    node: slicer.vtkMRMLSegmentationNode, volumes: Sequence[slicer.vtkMRMLScalarVolumeNode]
) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume of a segmentation; see `casesOf`."""
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    if reference is not None:
        return reference
    fitting = [volume for volume in volumes if fits(node, volume)]
    if len(fitting) == 1:
        return fitting[0]
    named = [volume for volume in fitting or volumes if node.GetName().startswith(volume.GetName())]
    return max(named, key=lambda volume: len(volume.GetName()), default=None)


def learnedRuns(board: Board) -> list[RunSummary]:
    """The runs that learn segmentations, newest first."""
    return [run for run in board.runs if run.method == TASK]


def learningText(run: RunSummary) -> str:
    """What the faces say of a run that learns: its progress with the time left, or its newest sentence."""
    if run.state != "running" or not run.total:
        return run.message
    facts = {"name": run.name, "step": run.step, "total": run.total}
    if run.seconds_left is None:
        return sentence("segment.learning", **facts)
    return sentence("segment.learning-left", left=runwords.leftOf(run.seconds_left), **facts)


def learn(board: Board, cases: Sequence[SceneCase], **choices: Any) -> Path:  # noqa: ANN401
    """Write volumes and segmentations into the folder of a new run, and start it in the background.

    The scene is not changed. Labels are on the exact grid of their volume; transforms are taken into account.

    Args:
        board: the runs; its folder is open.
        cases: volumes with segmentations.
        choices: further arguments of `MAESILCore.jobs.segmenttraining.prepare_segmentation_training`.

    Returns:
        The folder of the run, which has the cases in it.

    Raises:
        MaesilError: there is no case, one cannot be used, a choice is invalid, or the folder cannot be written.
            No files remain.
        ValueError: no folder of runs is open.
    """
    usable = [case for case in cases if case.segmentationNode is not None]
    if not usable:
        raise ConfigError(sentence("segment.no-case"))
    return learnFrom(
        board,
        lambda folder: [_write(case, folder, number) for number, case in enumerate(usable, 1)],
        **choices,
    )


def learnFrom(board: Board, write: Callable[[Path], list[Case]], **choices: Any) -> Path:  # noqa: ANN401
    """Start a run with cases that are written for it.

    Args:
        board: the runs; its folder is open.
        write: writes the scans and labels of all cases into a folder.
        choices: as for `learn`.

    Returns:
        The folder of the run, which has the cases in it.

    Raises:
        MaesilError: `write` raised it, a choice is invalid, or the folder cannot be written. No files remain.
        ValueError: no folder of runs is open.
    """
    # Otherwise a folder would remain whose run cannot be started.
    require("psutil", "Running a job")
    root = board.root
    if root is None:
        raise ValueError("Open a folder of runs first.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=root) as unfinished:
            folder = prepare_segmentation_training(root, write(Path(unfinished)), **choices)
            try:
                _moveIn(Path(unfinished), folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    except OSError as error:
        raise ConfigError(message_of_os_error(error)) from error
    board.resume(folder)
    return folder


def _write(case: SceneCase, folder: Path, number: int) -> Case:
    """Write the volume and the labels of a case."""
    name = re.sub(r"\W+", "-", case.volumeNode.GetName()).strip("-")
    stem = f"{number:02d}-{name}".rstrip("-")
    # Not compressed: this takes some tenths of a second for a large scan, and compression some seconds.
    scan, labels = folder / f"{stem}.nii", folder / f"{stem}.seg.nrrd"
    write_volume(readVolume(case.volumeNode), scan)
    write_segmentation(segmentationOf(case.segmentationNode, case.volumeNode), labels)
    return Case(str(scan), str(labels))


def _moveIn(unfinished: Path, folder: Path) -> None:
    """Move the written cases into a run's folder, and name their new places in its request."""
    target = folder / _CASES
    target.mkdir()
    for file in sorted(unfinished.iterdir()):
        file.replace(target / file.name)
    request = read_request(folder)
    moved = [
        replace(case, scan=str(target / Path(case.scan).name), labels=str(target / Path(case.labels).name))
        for case in request.cases
    ]
    JobFolder(folder).describe(request.kind, replace(request, cases=tuple(moved)).content)
