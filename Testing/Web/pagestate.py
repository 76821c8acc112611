"""The page without a browser: what its tests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.data.volume import Volume, write_volume

if TYPE_CHECKING:
    from aiohttp.web import StreamResponse

    from MAESILSlicerLib.web.application import Application
    from MAESILSlicerLib.web.downloads import Downloads

PATIENCE_SECONDS = 120


Run = Callable[[Coroutine[object, object, None]], None]


async def until(is_done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def show(application: Application, title: str) -> None:
    entries = application.volume.catalog.entries
    number = next(number for number, entry in entries.items() if entry.title == title)
    application.volume.open(number)
    await until(lambda: application.state.scan == number and not application.state.loading)


async def reconstruct(application: Application) -> None:
    application.reconstruct.start()
    assert application.state.running, application.state.notice
    await until(lambda: not application.state.running)


async def download(downloads: Downloads, name: str) -> StreamResponse:
    return await downloads.sendResult(SimpleNamespace(match_info={"name": name}))


def count_of(application: Application, *classes: str) -> dict[str, int]:
    scene = application.scene
    return {name: scene.GetNumberOfNodesByClass(f"vtkMRML{name}Node") for name in classes}


def send(folder: Path, **scans: bool) -> Path:
    """Scans as an upload, all beside each other, whole or damaged."""
    for name, is_whole in scans.items():
        path = folder / "CT thorax" / f"{name}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(Volume(np.zeros((8, 8, 8), np.int16), np.eye(4)), path)
        if not is_whole:
            path.write_bytes(path.read_bytes()[:400])
    return folder


def titles_of(application: Application) -> list[str]:
    return [str(one["title"]) for one in application.state.scans if one["group"] == "Uploads"]
