"""What the browser can take home: results as files, all of them as a zip, and pictures of the views."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from MAESILCore.data.formats.names import extension_of

ZIP = "results.zip"
SCREENSHOT = "screenshot.png"

#: Compressed or small already: packing these again would only take time.
_STORED = {".nii.gz", ".png"}


class Downloads:
    """Answers requests for files; only names that are there at the moment are known, so no path can be asked for.

    Args:
        currentFolder: gives the folder of the shown result's files, or None.
        currentName: gives the name that downloads begin with.
        screenshot: gives the picture of the views as PNG.
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
        """Answer `GET /results/<name>` with that file of the result that is shown, or all of them as `results.zip`."""
        name = request.match_info["name"]
        # Both now: packing takes a while, in which another scan may be chosen.
        files, headers = filesOf(self._currentFolder()), self._asFile(name)
        if name == ZIP and files:
            async with self._packing:
                path = await asyncio.to_thread(_zipped, list(files.values()))
        else:
            path = files.get(name)
        if path is None:
            return web.Response(status=404, text="There is no such result; reconstruct first.")
        return web.FileResponse(path, headers=headers)

    async def sendScreenshot(self, _request: web.Request) -> web.Response:
        """Answer `GET /screenshot.png` with the views as they are now."""
        headers = self._asFile(SCREENSHOT) | {"Cache-Control": "no-store"}
        return web.Response(body=self._screenshot(), content_type="image/png", headers=headers)

    def _asFile(self, name: str) -> dict[str, str]:
        cleaned = "".join(
            c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in self._currentName()
        )
        return {"Content-Disposition": f'attachment; filename="{cleaned}_{name}"'}


def filesOf(folder: Path | None) -> dict[str, Path]:
    """The files of a result by their names."""
    if folder is None or not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {path.name: path for path in files if not path.name.startswith(ZIP)}


def _zipped(files: list[Path]) -> Path | None:
    """All files as one, made at the first wish and kept beside them; None if they have been deleted meanwhile."""
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
