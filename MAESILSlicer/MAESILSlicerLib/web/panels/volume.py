"""The volume section: the scan, its window and its rendering in 3D."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import slicer

from MAESILCore.data.volume import Volume, describe
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.scene.nodes import removeNode
from MAESILSlicerLib.scene.rendering import PRESETS, SHIFT_RANGE, USUAL_PRESET, Rendering
from MAESILSlicerLib.scene.volumes import addVolume
from MAESILSlicerLib.web.catalog import Catalog, Entry, findEntries, sentenceOf
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.windows import Windows, windowsFor

_TIMES = "\N{MULTIPLICATION SIGN}"


class VolumePanel:
    """Loads scans and shows them.

    Args:
        page: the shared objects of the page.
        rendering: the volume rendering of the 3D view.
        catalog: the scans on offer.
        onVolume: called with the new scan once it is in the session; None for none.
        onShown: called once all views show the scan.
        onWindow: called with the scan's display node when its window has changed.
    """

    def __init__(
        self,
        page: Page,
        rendering: Rendering,
        catalog: Catalog,
        onVolume: Callable[[slicer.vtkMRMLScalarVolumeNode | None], None],
        onShown: Callable[[], None],
        onWindow: Callable[[slicer.vtkMRMLScalarVolumeDisplayNode], None],
    ) -> None:
        self._page, self._rendering, self.catalog = page, rendering, catalog
        self._onVolume, self._onShown, self._onWindow = onVolume, onShown, onWindow
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._loading: asyncio.Task[None] | None = None
        self._wanted: list[int] = []
        self._wereSent = False
        state = page.state
        self._windows = windowsFor(None)
        self._updateWindows()
        state.update(
            {
                "scans": catalog.items,
                "scan": -1,
                "scan_facts": [],
                "scan_warnings": [],
                "loading": "",
                "rendered": True,
                "preset": USUAL_PRESET,
                "presets": [{"title": title, "value": value} for value, title in PRESETS.items()],
                "shift": 0,
                "shift_range": list(SHIFT_RANGE),
            }
        )
        state.change("window_width", "window_level")(page.latest(self._applyWindow))
        state.change("preset", "shift", "rendered")(page.latest(self._applyRendering))
        page.onTrigger("open_scan", self.open)

    def open(self, number: int) -> None:
        """Load a scan of the catalog in the background; the previous one stays until then."""
        entries = self.catalog.entries
        if isinstance(number, int) and number in entries:
            self._want([number])

    async def opened(self, number: int) -> None:
        """Load a scan of the catalog, and wait until it is shown or turns out to be unreadable."""
        self.open(number)
        if self._loading is not None:
            await self._loading

    def openFirst(self, numbers: list[int]) -> None:
        """Load the first readable scan of these, so that a damaged one does not leave the page empty."""
        self._want(numbers)

    def _want(self, numbers: list[int], wereSent: bool = False) -> None:
        """Request the first readable scan of these; `wereSent` is True for uploads."""
        task = self._page.session.task
        if task is not None and task.inputNode is not None:
            noun = task.noun
            self._page.notice.showError(f"A {noun} is running; cancel it before you change the scan.")
            return
        # The latest request wins, even while another scan is being read.
        self._wanted, self._wereSent = numbers, wereSent
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._openWanted())

    async def openUpload(self, folder: Path) -> None:
        """Add the scans of an upload and open the first readable one; unreadable ones are removed.

        Raises:
            MaesilError: the upload contains no scan; nothing is added.
        """
        found = await asyncio.to_thread(findEntries, sorted(folder.iterdir()) or [folder], "Uploads", folder)
        with self._page.state as state:
            numbers = self.catalog.add(found)
            state.scans = self.catalog.items
            self._want(numbers, wereSent=True)

    async def _openWanted(self) -> None:
        while self._wanted:
            numbers, self._wanted, wereSent = self._wanted, [], self._wereSent
            problems: list[str] = []
            for number in numbers:
                problem = await self._open(number)
                if problem is None or self._wanted:
                    break
                problems.append(problem)
            if problems and not self._wanted:
                with self._page.state:
                    summarise = _summaryOf if wereSent else _summaryOfOffered
                    self._page.notice.showError(summarise(problems, len(numbers)))

    async def _open(self, number: int) -> str | None:
        """Show a scan, unless another one was requested meanwhile; return a problem as a sentence, or None."""
        entry, state = self.catalog.entries[number], self._page.state
        with state:
            state.loading = f"Reading {entry.title} ..."
            self._page.notice.clear()
        try:
            volume = await asyncio.to_thread(entry.read)
            facts = await asyncio.to_thread(_factsOf, volume)
            windows = await asyncio.to_thread(windowsFor, volume)
            problem = None
        except Exception as error:
            problem = sentenceOf(error, entry)
            if isinstance(error, MaesilError) and number != state.scan:
                self.catalog.removeUpload(number)
        with state:
            state.loading = ""
            state.scans = self.catalog.items
            if self._wanted:
                return None
            if problem is None:
                problem = self._show(volume, entry, facts, windows)
            if problem is None:
                state.scan = number
            # Sent even if unchanged, so that the page's list shows the open scan.
            state.dirty("scan")
            return problem

    def _show(self, volume: Volume, entry: Entry, facts: list[str], windows: Windows) -> str | None:
        """Replace the current scan atomically; return a problem as a sentence, or None."""
        session, state = self._page.session, self._page.state
        previous, node = self._node, None
        try:
            node = addVolume(session.scene, volume, volume.name or entry.title)
            self._put(node)
        except Exception as error:
            problem = sentenceOf(error, entry)
            if node is not None:
                self._put(previous)
                removeNode(node)
            return problem
        removeNode(previous)
        before, self._windows = self._windows, windows
        # Keep the user's window between scans in HU; other value ranges are unrelated.
        self._updateWindows(keepWindow=before.unit == windows.unit == "HU")
        self._applyWindow()
        state.scan_facts = facts
        # The reader's notes already cover values and axes.
        state.scan_warnings = list(volume.notes)
        if session.check.problem:
            self._page.notice.showError(session.check.problem)
        return None

    def _put(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Show one volume in all views, with its grid and mask."""
        self._rendering.show(node)
        self._node = node
        self._page.session.change(volume=node)
        self._onVolume(node)
        self._applyWindow()
        self._onShown()

    def _updateWindows(self, keepWindow: bool = False) -> None:
        """Write the windows to the page and choose the first, unless the current one is kept."""
        state, windows = self._page.state, self._windows
        if not keepWindow:
            state.window_width, state.window_level = next(iter(windows.presets.values()))
        state.unit, state.window_step = windows.unit, windows.step
        state.window_widths, state.window_levels = list(windows.widths), list(windows.levels)
        state.window_presets = [
            {"title": name, "value": list(value)} for name, value in windows.presets.items()
        ]

    def _applyWindow(self) -> None:
        if self._node is None:
            return
        display = self._node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.AutoWindowLevelOff()
            state = self._page.state
            display.SetWindowLevel(
                max(float(self._windows.step), float(state.window_width)), float(state.window_level)
            )
        self._onWindow(display)

    def _applyRendering(self) -> None:
        state = self._page.state
        if state.preset in PRESETS:
            self._rendering.set(state.preset, float(state.shift), bool(state.rendered))


def _summaryOf(problems: list[str], tried: int) -> str:
    """One sentence about all unusable scans of an upload, with the first problem as an example."""
    if tried == 1:
        return problems[0]
    if len(problems) == tried:
        return f"None of the {tried} uploaded scans can be shown. {problems[0]}"
    verb = "is" if len(problems) == 1 else "are"
    return f"{len(problems)} of the {tried} uploaded scans {verb} skipped. {problems[0]}"


def _summaryOfOffered(problems: list[str], tried: int) -> str:
    """One sentence about unusable scans of the server, which stay on offer."""
    if len(problems) == tried:
        return problems[0] if tried == 1 else f"None of the {tried} scans can be shown. {problems[0]}"
    scans = "1 scan" if len(problems) == 1 else f"{len(problems)} scans"
    return f"{scans} before this one cannot be shown. {problems[0]}"


def _factsOf(volume: Volume) -> list[str]:
    facts = describe(volume)
    k, j, i = facts["shape_kji"]
    x, y, z = facts["spacing_mm_ijk"]
    low, high = facts["value_range"]
    return [
        f"{i} {_TIMES} {j} {_TIMES} {k} voxels, {x:.2f} {_TIMES} {y:.2f} {_TIMES} {z:.2f} mm",
        f"{low:g} to {high:g} HU" if facts["looks_like_hu"] else f"Values {low:g} to {high:g}",
    ]
