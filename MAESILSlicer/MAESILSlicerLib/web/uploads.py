"""Uploads of scans: streamed to a separate folder, checked while streaming, and removed if refused."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path, PureWindowsPath

from aiohttp import BodyPartReader, web

from MAESILCore.data.formats.names import READABLE, extension_of
from MAESILCore.errors import MaesilError

_LARGEST_BYTES = 4 * 2**30
_MOST_FILES = 5000
#: Free disk space that uploads must leave for other programs.
_SPARE_BYTES = 2**30

_CHUNK_BYTES = 2**20
#: Bytes; file systems allow 255.
_LONGEST_NAME = 200
_DEEPEST = 16
_DICOM_MARK_AT = 128
#: Suffixes of raw voxels, which belong to a separate header.
_COMPANIONS = (".raw", ".raw.gz", ".zraw", ".bin")
#: Name of an upload of several items.
_UNNAMED = "Upload"
_UNSAFE = set('<>:"|?*')

_TOO_LARGE = (
    f"The upload is larger than {_LARGEST_BYTES / 2**30:g} GiB; "
    "put the scan into a folder of the server and name it to `maesil app`."
)


class UploadError(MaesilError):
    """An upload is refused."""


class Uploads:
    """Receives uploads.

    Args:
        folder: the parent of their folders.
        onUploaded: called with the folder of a complete upload, whose only subfolder is named after the upload and
            holds all files; a MaesilError refuses the upload.
        mayOpen: returns whether the sender of a request may change the page; called after the transfer.
    """

    def __init__(
        self,
        folder: Path,
        onUploaded: Callable[[Path], Awaitable[None]],
        mayOpen: Callable[[web.Request], bool] = lambda _request: True,
    ) -> None:
        self._folder, self._onUploaded, self._mayOpen = folder, onUploaded, mayOpen

    async def receive(self, request: web.Request) -> web.Response:
        """Answer `POST /upload`, multipart form data with one part per file, named by its relative path."""
        target = Path(tempfile.mkdtemp(prefix="upload-", dir=self._folder))
        sent = target / _UNNAMED
        try:
            await self._store(request, sent)
            _nameAfterSent(sent)
            if not self._mayOpen(request):
                message = "Another tab took the page over during the upload; take it back and upload again."
                raise UploadError(message)
            await self._onUploaded(target)
        except MaesilError as error:
            shutil.rmtree(target, ignore_errors=True)
            # Senders do not know the server's folder.
            sentence = re.sub(rf"{re.escape(str(target))}(/[^/:]+)?", "the upload", str(error))
            # Not an HTTP error status, which a browser would also log on its console.
            return web.json_response({"error": sentence})
        except BaseException:
            # After a disconnect or a disk error, no partial upload may stay.
            shutil.rmtree(target, ignore_errors=True)
            raise
        return web.json_response({"ok": True})

    async def _store(self, request: web.Request, target: Path) -> None:
        if not request.content_type.startswith("multipart/"):
            message = "An upload must be a form with files."
            raise UploadError(message)
        announced = request.content_length or 0
        self._checkRoom(announced)
        received = kept = seen = 0
        lastUnknown = ""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.filename:
                continue
            seen += 1
            if seen > _MOST_FILES:
                message = f"The upload has more than {_MOST_FILES} files; upload one series at a time."
                raise UploadError(message)
            path = _placeOf(part.filename, target)
            size, isScan = await self._storePart(part, path, received)
            received += size
            if isScan:
                kept += 1
            else:
                lastUnknown = path.name
                path.unlink()
        if kept == 0:
            what = f"{lastUnknown} is not" if seen == 1 else "None of these files is"
            message = (
                f"{what} a scan; upload NIfTI, NRRD, MetaImage or MGH files, or a folder of DICOM slices."
            )
            raise UploadError(message if seen else "The upload contains no file.")

    async def _storePart(self, part: BodyPartReader, path: Path, before: int) -> tuple[int, bool]:
        """Write one file; return its size and whether it can belong to a scan."""
        if path.exists():
            message = f"Two files have the name {path.name}; upload one series at a time."
            raise UploadError(message)
        path.parent.mkdir(parents=True, exist_ok=True)
        size, head = 0, b""
        with path.open("wb") as file:
            while chunk := await part.read_chunk(_CHUNK_BYTES):
                size += len(chunk)
                if before + size > _LARGEST_BYTES:
                    raise UploadError(_TOO_LARGE)
                head = head if len(head) >= _DICOM_MARK_AT + 4 else head + chunk[: _DICOM_MARK_AT + 4]
                file.write(chunk)
        isDicom = head[_DICOM_MARK_AT : _DICOM_MARK_AT + 4] == b"DICM"
        return size, isDicom or extension_of(path) in READABLE or path.name.lower().endswith(_COMPANIONS)

    def _checkRoom(self, announced: int) -> None:
        if announced > _LARGEST_BYTES + 2**20:
            raise UploadError(_TOO_LARGE)
        if shutil.disk_usage(self._folder).free < announced + _SPARE_BYTES:
            message = "The server's disk is too full for this upload; free space, or ask the server's administrator."
            raise UploadError(message)


def _nameAfterSent(folder: Path) -> None:
    """Replace a folder that holds only one subfolder by that subfolder, whose name describes the upload."""
    inner = list(folder.iterdir())
    if len(inner) == 1 and inner[0].is_dir() and inner[0].name != folder.name:
        inner[0].rename(folder.with_name(inner[0].name))
        folder.rmdir()


def _placeOf(name: str, target: Path) -> Path:
    """The path of a file below `target`.

    Raises:
        UploadError: the name leads outside `target`, or is not a valid file name.
    """
    # Windows rules cover drives, shares and both slashes.
    named = PureWindowsPath(name)
    isPlain = not named.anchor and 0 < len(named.parts) <= _DEEPEST and all(map(_isPlainName, named.parts))
    path = target.joinpath(*named.parts) if isPlain else target
    # Resolved as well, because the file system may interpret a plain name.
    if not isPlain or not path.resolve().is_relative_to(target.resolve()):
        message = "A file name is not allowed; rename the file with letters and digits and upload it again."
        raise UploadError(message)
    return path


def _isPlainName(part: str) -> bool:
    # Windows drops trailing spaces and full stops.
    isNamed = part.isprintable() and part.strip(" .") != ""
    return isNamed and not _UNSAFE & set(part) and len(part.encode()) <= _LONGEST_NAME
