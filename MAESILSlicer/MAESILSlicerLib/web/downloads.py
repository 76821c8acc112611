"""Downloads: result files, all of them as a zip, and screenshots of the views."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from MAESILCore.data.formats.names import extension_of

ZIP = "results.zip"
SCREENSHOT = "screenshot.png"

#: Suffixes of compressed files, which the zip stores without further compression.
_STORED = {".nii.gz", ".png"}


class Downloads:
    """Answers requests for files. Only names of existing files are accepted, so no path can be requested.

    Args:
        currentFolder: returns the folder of the shown result's files, or None.
        currentName: returns the prefix of the names of downloads.
        screenshot: returns the picture of the views as PNG.
    """

    def __init__(
        self,
        currentFolder: Callable[[], Path | None],
        currentName: Callable[[], str],
        screenshot: Callable[[], bytes],
    ) -> None:
        self._currentFolder, self._currentName, self._screenshot = currentFolder, currentName, screenshot
        self._packing = asyncio.Lock()

    async def sendResult(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /results/<name>` with a file of the shown result; `results.zip` has all of them."""
        name = request.match_info["name"]
        # Read both first: another scan may be chosen during the slow packing.
        files, headers = filesOf(self._currentFolder()), self._asFile(name)
        if name == ZIP and files:
            async with self._packing:
                path = await asyncio.to_thread(_zipped, list(files.values()))
        else:
            path = files.get(name)
        if path is None:
            return web.Response(status=404, text="This result does not exist; reconstruct first.")
        return web.FileResponse(path, headers=headers)

    async def sendScreenshot(self, _request: web.Request) -> web.Response:
        """Answer `GET /screenshot.png` with the current views."""
        headers = self._asFile(SCREENSHOT) | {"Cache-Control": "no-store"}
        return web.Response(body=self._screenshot(), content_type="image/png", headers=headers)

    def _asFile(self, name: str) -> dict[str, str]:
        return attached(self._currentName(), name)


def attached(title: str, name: str) -> dict[str, str]:
    """The header of a download whose name begins with a title."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in title)
    return {"Content-Disposition": f'attachment; filename="{cleaned}_{name}"'}


def filesOf(folder: Path | None) -> dict[str, Path]:
    """The files of a result by their names."""
    if folder is None or not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {path.name: path for path in files if not path.name.startswith(ZIP)}


def _zipped(files: list[Path]) -> Path | None:
    """All files as a zip, created on first request and cached beside them; None if they were deleted meanwhile."""
    path = files[0].parent / ZIP
    if path.exists():
        return path
    unfinished = path.with_name(ZIP + ".part")
    try:
        with zipfile.ZipFile(unfinished, "w") as archive:
            for file in files:
                method = zipfile.ZIP_STORED if extension_of(file) in _STORED else zipfile.ZIP_DEFLATED
                archive.write(file, file.name, method)
        return unfinished.replace(path)
    except FileNotFoundError:
        return None
