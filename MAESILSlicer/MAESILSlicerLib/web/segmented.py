"""The segmentations of the page's scans, as files, because only the shown scan is in the scene."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from MAESILCore.data.labels import write_segmentation
from MAESILCore.errors import VolumeError
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.reconstruction import RESULT
from MAESILCore.jobs.segmentation import LABELS, UNCERTAINTY
from MAESILSlicerLib.results.jobfiles import JobFiles
from MAESILSlicerLib.results.segmentation import segmentationOfJob

#: What a finished job leaves; the voxels of the scan are not kept.
_FILES = ("job.json", LABELS, UNCERTAINTY, RESULT)
_WRITTEN = "segmentation.seg.nrrd"


class SegmentedScans:
    """Keeps the result files of segmentation jobs, by the number of their scan.

    Args:
        folder: the parent of their folders; the caller removes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[int, list[Path]] = {}

    @property
    def numbers(self) -> list[int]:
        """The scans that have a segmentation."""
        return [number for number, folders in self._kept.items() if folders]

    def keep(self, number: int, jobFolder: Path) -> Path:
        """Move the files of a finished job out of its folder; return their new folder.

        Raises:
            VolumeError: the files cannot be moved.
        """
        try:
            kept = Path(tempfile.mkdtemp(prefix="segmented-", dir=self._folder))
            for name in _FILES:
                shutil.move(jobFolder / name, kept / name)  # also to another disk
        except OSError as error:
            raise VolumeError(message_of_os_error(error)) from error
        self._kept.setdefault(number, []).append(kept)
        return kept

    def of(self, number: int) -> list[Path]:
        """The folders of the segmentations of a scan, oldest first."""
        return list(self._kept.get(number, ()))

    def removeNewest(self, number: int) -> None:
        """Delete the newest segmentation of a scan, if it has one."""
        folders = self._kept.get(number)
        if folders:
            shutil.rmtree(folders.pop(), ignore_errors=True)

    def structuresOf(self, number: int) -> str:
        """Names of the structures in the newest segmentation of a scan."""
        result = JobFiles(self._kept[number][-1]).result
        return ", ".join(str(one["name"]) for one in result["structures"])


def nameIn(folder: Path) -> str:
    """The name of the scan in a kept folder; "" if it has none."""
    return str(JobFiles(folder).json("job.json")["request"].get("name", ""))


def writtenSegmentation(folder: Path) -> Path:
    """The segmentation in a kept folder as a .seg.nrrd file, written on the first request; slow.

    Raises:
        MaesilError: the files are damaged or deleted, or the disk is full.
    """
    path = folder / _WRITTEN
    if not path.exists():
        files = JobFiles(folder)
        geometry = np.array(files.json("job.json")["request"]["ijk_to_ras"], float)
        write_segmentation(segmentationOfJob(files, geometry), path)
    return path
