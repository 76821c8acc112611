"""Files that a job exports for other programs: kept in a temporary folder, saved on request."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import slicer

from MAESILCore.errors import MaesilError
from MAESILSlicerLib.results.wording import sentence

#: Characters that some systems forbid in file names.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
#: Characters; file systems allow 255 bytes, and UTF-8 takes several bytes a character.
_LONGEST_NAME = 80


class ExportError(MaesilError):
    """Files cannot be kept or saved."""


class KeptFiles:
    """The files of one job in a temporary folder, because patient data must not stay on disk unnoticed.

    Args:
        root: the parent of that folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None

    def keep(self, written: Path, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Move a job's files, if it has any, out of its folder; they replace the files kept before.

        Raises:
            ExportError: the files could not be moved; nothing is kept then.
        """
        self.forget()
        if not written.is_dir():
            return
        self._volumeNode = volumeNode
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="export-", dir=self._root))
            written.rename(self._folder / "files")
        except OSError as error:
            self.forget()
            reason = error.strerror or str(error)
            raise ExportError(sentence("exports.not-kept", reason=reason)) from error

    def of(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> Path | None:
        """The folder with the files of this volume; None if the kept files belong to another one."""
        return self._folder / "files" if self._folder is not None and self.isOf(volumeNode) else None

    def isOf(self, volumeNode: slicer.vtkMRMLNode | None) -> bool:
        """Whether the kept files belong to this volume."""
        return volumeNode is not None and volumeNode is self._volumeNode

    def forget(self) -> None:
        """Delete the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self._volumeNode = None


def saveFiles(written: Path, folder: Path, inputName: str) -> Path:
    """Copy files into a new folder named after their input volume.

    Args:
        written: the folder with the files.
        folder: the parent of the new folder; its existing files are not touched.
        inputName: name of the input volume.

    Returns:
        The new folder.

    Raises:
        ExportError: the disk is full or the folder is not writable; no partial copy is left.
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
        reason = error.strerror or str(error)
        raise ExportError(sentence("exports.not-saved", folder=str(folder), reason=reason)) from error
    return made


def _newFolder(folder: Path, inputName: str) -> Path:
    plain = _NOT_IN_NAMES.sub("_", inputName)[:_LONGEST_NAME].strip(" .")
    for number in count(1):
        made = folder / f"{plain} MAESIL{f' {number}' if number > 1 else ''}".strip()
        with suppress(FileExistsError):
            made.mkdir()
            break
    return made
