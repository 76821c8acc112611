"""A kind of job, and the results that it brings into a scene, that the product knows nothing of: another package's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from MAESILCore.jobs import JobProcess

JOB = """
import json

import numpy as np

from MAESILCore.jobs import Kind


def run(folder, request, progress, stopped):
    np.save(folder.path / "colors.npy", np.full((3, 2, 3, 4), [[[[9]]], [[[80]]], [[[200]]]], np.uint8))
    (folder.path / "numbers.json").write_text(request["numbers"])
    return "Painted."


KIND = Kind("painting", run)
"""

RESULTS = """
import numpy as np

from MAESILSlicerLib.results.resultset import ResultKind, Role
from MAESILSlicerLib.results.tables import Column, addTable
from MAESILSlicerLib.scene.volumes import geometryOf

ROLES = (
    Role("toy_colors", "colours", "Colours", "view", "#009E73"),
    Role("outline", "outline", "Outline", "view", "#CC79A7", isOptional=True),
    Role("numbers", "numbers", "Numbers", "scores"),
)


def bring(insertion):
    insertion.describe("Painted by a toy.", insertion.note)
    lattice = geometryOf(insertion.inputNode) @ np.diag([4, 4, 4, 1])
    insertion.volume("toy_colors", insertion.files.array("colors"), lattice)
    outline = insertion.node("outline", "vtkMRMLSegmentationNode")
    outline.GetSegmentation().AddEmptySegment("toy", "Toy")
    rows = insertion.files.json("numbers.json")
    columns = [Column("what", "What", list(rows)), Column("value", "Value", list(rows.values()))]
    insertion.add("numbers", addTable(insertion.scene, insertion.names["numbers"], columns))


KIND = ResultKind("painting", ROLES, "toy_colors", bring, {"painting.txt": "A text"})
"""

POINTS = "[maesil.jobs]\npainting = toy_job:KIND\n[maesil.results]\npainting = toy_results:KIND\n"


def install_toy(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package into a folder on the path of this process and of its children."""
    information = packages / "a_toy-1.0.dist-info"
    information.mkdir(parents=True)
    (packages / "toy_job.py").write_text(JOB, encoding="utf-8")
    (packages / "toy_results.py").write_text(RESULTS, encoding="utf-8")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: a-toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]))


def start_toy(folder: Path, numbers: str = '{"one": 1.5, "two": 2.5}') -> JobProcess:
    """Start a job of the toy's kind."""
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs import JobProcess

    folder.mkdir(parents=True)
    JobFolder(folder).describe("painting", {"numbers": numbers})
    job = JobProcess(folder)
    job.start()
    return job
