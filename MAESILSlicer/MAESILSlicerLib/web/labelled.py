"""The labelled scans of the page, as files from which runs learn."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.data.labels import read_segmentation, write_segmentation
from MAESILCore.data.segmentation import Segmentation
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.segmentation.cases import Case
from MAESILCore.errors import VolumeError

_SCAN, _LABELS = "scan.nii", "labels.seg.nrrd"


@dataclass(frozen=True)
class LabelledScan:
    """A scan with labels on its grid.

    Attributes:
        title: name of the scan.
        folder: the folder of both files, as of `writeCase`.
        text: names of the structures.
    """

    title: str
    folder: Path
    text: str

    def copyTo(self, folder: Path, stem: str) -> Case:
        """Copy both files into another folder, under another name."""
        scan, labels = folder / f"{stem}.nii", folder / f"{stem}.seg.nrrd"
        shutil.copyfile(self.folder / _SCAN, scan)
        shutil.copyfile(self.folder / _LABELS, labels)
        return Case(str(scan), str(labels))


def readLabels(folder: Path, like: Volume) -> Segmentation:
    """The labels in the folder of an upload, on the grid of a scan.

    Raises:
        VolumeError: there are several files, or the file has no labels of this scan.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) != 1:
        raise VolumeError(f"The upload has {len(files)} files; upload the labels of the shown scan alone.")
    return read_segmentation(files[0], like, within=folder)


def writeCase(folder: Path, volume: Volume, segmentation: Segmentation) -> None:
    """Write a scan and its labels into a folder, in place of earlier ones."""
    folder.mkdir(exist_ok=True)
    write_volume(volume, folder / _SCAN)
    write_segmentation(segmentation, folder / _LABELS)
