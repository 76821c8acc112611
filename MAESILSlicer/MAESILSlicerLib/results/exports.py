"""Files for other programs that a job has written: kept for a while, and saved where a person wants them."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import slicer

from MAESILCore.errors import MaesilError
from MAESILCore.wording import Sentence

#: What not every system allows in the name of a file.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
#: File systems allow 255 bytes, of which a character may take some.
_LONGEST_NAME = 80


class ExportError(MaesilError):
    """Files that cannot be kept or saved."""


class KeptFiles:
    """The files of one job, in a temporary folder: what is known of patients is not to lie about for ever.

    Args:
        root: where that folder is made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None

    def keep(self, written: Path, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Move what a job on a volume has written out of the job's folder, in place of the files before.

        Raises:
            ExportError: it could not be moved; nothing is kept then.
        """
        self.forget()
        self._volumeNode = volumeNode
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="export-", dir=self._root))
            written.rename(self._folder / "files")
        except OSError as error:
            self.forget()
            message = Sentence(
                "exports.not-kept",
                "The results are in the scene, but their files could not be kept ({reason}); "
                "free some disk space and reconstruct again.",
                reason=error.strerror or str(error),
            )
            raise ExportError(message) from error

    def of(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> Path | None:
        """The folder with the files of a volume; None if what is kept is not of this one."""
        return self._folder / "files" if self._folder is not None and self.isOf(volumeNode) else None

    def isOf(self, volumeNode: slicer.vtkMRMLNode | None) -> bool:
        """Whether what is kept was made of this volume."""
        return volumeNode is not None and volumeNode is self._volumeNode

    def forget(self) -> None:
        """Delete them."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self._volumeNode = None


def saveFiles(written: Path, folder: Path, inputName: str) -> Path:
    """Copy files into a new folder, which is named after the volume that they were made of.

    Args:
        written: the folder with the files.
        folder: where the new one is made; what lies there already is not touched.
        inputName: of the volume.

    Returns:
        The new folder.

    Raises:
        ExportError: the disk is full, or the folder may not be written to; nothing of the files is left there.
    """
    made: Path | None = None
    try:
        made = _newFolder(folder, inputName)
        for path in sorted(written.rglob("*")):
            target = made / path.relative_to(written)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        message = Sentence(
            "exports.not-saved",
            "The files could not be saved in {folder} ({reason}); choose another folder.",
            folder=str(folder),
            reason=error.strerror or str(error),
        )
        raise ExportError(message) from error
    return made


def _newFolder(folder: Path, inputName: str) -> Path:
    plain = _NOT_IN_NAMES.sub("_", inputName)[:_LONGEST_NAME].strip(" .")
    number = 1
    while True:
        made = folder / f"{plain} MAESIL{f' {number}' if number > 1 else ''}".strip()
        try:
            made.mkdir()
        except FileExistsError:
            number += 1
        else:
            return made
