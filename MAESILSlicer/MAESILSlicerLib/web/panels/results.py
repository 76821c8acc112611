"""The section of results: scores, one row a superpatch, a plot, the comparison, and files to take home."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import slicer

from MAESILCore.errors import MaesilError
from MAESILCore.report.summary import DISCLAIMER, METRICS
from MAESILSlicerLib.results.comparison import ORIENTATIONS, Comparison
from MAESILSlicerLib.results.reconstruction import ResultNodes, maskedTitle, removeResults
from MAESILSlicerLib.results.tables import CONTROL, PSNR_COLUMN, superpatchOfRow
from MAESILSlicerLib.web.downloads import ZIP, filesOf
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.plot import scatter
from MAESILSlicerLib.web.viewframe import fitSlice
from MAESILSlicerLib.web.views import COMPARISON, FOUR_UP, ONLY_3D, Views

if TYPE_CHECKING:
    from pathlib import Path

#: In the input's window; error and uncertainty have one of their own.
_IN_WINDOW = ("masked", "reconstruction", "mosaic")

#: Of a coverage, these are of its first mask.
_OF_ONE_MASK = {"mosaic.nii.gz", "mask.nii.gz", "mask_lattice.nii.gz"}

_DIGITS = {metric.title: 0 if metric.unit == "HU" else metric.digits for metric in METRICS}
_NO_SCORE = "\N{EN DASH}"

_FILE_TITLES = {
    "reconstruction.nii.gz": "Reconstruction",
    "mosaic.nii.gz": "Mosaic",
    "error.nii.gz": "Error, HU",
    "uncertainty.nii.gz": "Uncertainty, HU",
    "mask.nii.gz": "Mask, by voxel",
    "mask_lattice.nii.gz": "Mask, by patch",
    "metrics.json": "Scores",
    "report.png": "Report",
}


class ResultsPanel:
    """Shows what the last reconstruction has made.

    Args:
        page: what the section works on.
        views: of the page.
    """

    def __init__(self, page: Page, views: Views) -> None:
        self._page, self._views = page, views
        self._comparison = Comparison(page.session.scene)
        self._shown: ResultNodes | None = None
        state = page.state
        state.update(
            {
                "disclaimer": DISCLAIMER,
                "layout": FOUR_UP,
                "orientation": ORIENTATIONS[0],
                "orientations": list(ORIENTATIONS),
                "zip_name": ZIP,
                "masked_title": "Masked",
            }
        )
        self.forget()
        state.change("layout", "orientation")(page.latest(self._arrange))

    def forget(self) -> None:
        """Show no results, as after a change of the scan, and take those that were shown out of the scene."""
        state = self._page.state
        self._replace(None)
        state.has_results = False
        state.score_groups, state.superpatch_rows = [], []
        state.plot, state.files = "", []
        if state.layout == COMPARISON:
            state.layout = FOUR_UP
            self._arrange()

    def show(self) -> None:
        """Fill the tables and switch to the comparison, in place of the results before."""
        results, state = self._page.session.results, self._page.state
        self._replace(results)
        state.has_results = True
        state.score_groups = _scores(results.metrics)
        state.masked_title = maskedTitle("Masked", results.maskCount)
        state.superpatch_rows = _superpatches(results.superpatches)
        state.plot = scatter([(row["index"], row["psnr"], row["place"]) for row in state.superpatch_rows])
        state.files = [
            {
                "name": name,
                "title": _fileTitle(name, results.maskCount),
                "size": _sizeText(path.stat().st_size),
            }
            for name, path in _ordered(filesOf(self._page.session.exportFolder))
        ]
        state.layout = COMPARISON
        self._arrange()

    def _replace(self, results: ResultNodes | None) -> None:
        # The page shows those of one run only: nobody could reach or delete the others, which take much memory.
        previous, self._shown = self._shown, results
        if previous is not None:
            removeResults(previous)

    def followWindow(self, display: slicer.vtkMRMLScalarVolumeDisplayNode) -> None:
        """Show the results in the window of the scan."""
        results = self._page.session.results
        if results is None:
            return
        for role in _IN_WINDOW:
            target = results.byRole[role].GetDisplayNode()
            target.SetWindowLevel(display.GetWindow(), display.GetLevel())

    def _arrange(self) -> None:
        state, session = self._page.state, self._page.session
        if state.layout not in (FOUR_UP, COMPARISON, ONLY_3D) or state.orientation not in ORIENTATIONS:
            return
        if state.layout == COMPARISON and session.results is None:
            state.layout = FOUR_UP
        self._views.show(state.layout)
        if state.layout == COMPARISON:
            try:
                self._comparison.enter(None, session.results, session.volumeNode, state.orientation)
            except MaesilError as error:
                self._page.notice.tellError(error)
                return
            # The page has its sliders over the pictures, and these need room for them.
            for view in self._views.shownSlices:
                fitSlice(view)


def _scores(node: slicer.vtkMRMLTableNode | None) -> list[dict[str, object]]:
    """One group for each window: its range, the titles of its columns, and its rows as text."""
    if node is None:
        return []
    table = node.GetTable()
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    candidates = [name for name in names if name not in ("score", "unit", "window")]
    # The panel is narrow.
    titles = [name.removeprefix(CONTROL).capitalize() for name in candidates]
    groups: dict[str, list[list[str]]] = {}
    for row in range(table.GetNumberOfRows()):
        score, unit, window = (
            table.GetValueByName(row, name).ToString() for name in ("score", "unit", "window")
        )
        cells = [_cell(table.GetValueByName(row, name), score, unit) for name in candidates]
        groups.setdefault(window, []).append([score, *cells])
    return [
        {"window": f"{window} HU" if window else "", "titles": titles, "rows": rows}
        for window, rows in groups.items()
    ]


def _cell(value: object, score: str, unit: str) -> str:
    number = value.ToDouble()
    return _NO_SCORE if math.isnan(number) else f"{number:.{_DIGITS[score]}f} {unit}".strip()


def _superpatches(node: slicer.vtkMRMLTableNode) -> list[dict[str, object]]:
    table = node.GetTable()
    rows = []
    for row in range(table.GetNumberOfRows()):
        psnr, error = (table.GetValueByName(row, name).ToDouble() for name in (PSNR_COLUMN, "mae_hu"))
        rows.append(
            {
                "index": superpatchOfRow(node, row),
                "place": table.GetValueByName(row, "place").ToString(),
                "psnr": None if math.isnan(psnr) else psnr,
                "error": None if math.isnan(error) else error,
            }
        )
    return rows


def _fileTitle(name: str, maskCount: int) -> str:
    title = _FILE_TITLES.get(name, name)
    return maskedTitle(title, maskCount) if name in _OF_ONE_MASK else title


def _sizeText(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _ordered(files: dict[str, Path]) -> list[tuple[str, Path]]:
    """Known files first, as `_FILE_TITLES` has them."""
    known = [name for name in _FILE_TITLES if name in files]
    return [(name, files[name]) for name in (*known, *(name for name in files if name not in _FILE_TITLES))]
