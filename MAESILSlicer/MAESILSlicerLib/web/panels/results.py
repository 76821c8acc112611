"""The section of results: scores, one row per superpatch, a plot, the comparison and downloads."""

from __future__ import annotations

import math

import slicer
import vtk

from MAESILCore.errors import MaesilError
from MAESILCore.report.summary import DISCLAIMER, METRICS
from MAESILSlicerLib.results.comparison import ORIENTATIONS, Comparison, viewsOf
from MAESILSlicerLib.results.resultset import ResultSet, removeResults
from MAESILSlicerLib.results.tables import CONTROL, psnrColumnOf, superpatchOfRow
from MAESILSlicerLib.web.downloads import ZIP, filesOf
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.plot import scatter
from MAESILSlicerLib.web.viewframe import fitSlice
from MAESILSlicerLib.web.views import COMPARISON, FOUR_UP, ONLY_3D, Views

_DIGITS = {metric.title: 0 if metric.unit == "HU" else metric.digits for metric in METRICS}
_NO_SCORE = "\N{EN DASH}"


class ResultsPanel:
    """Shows the results of the last reconstruction.

    Args:
        page: the shared objects of the page.
        views: the page's views.
    """

    def __init__(self, page: Page, views: Views) -> None:
        self._page, self._views = page, views
        self._comparison = Comparison(page.session.scene)
        self._shown: ResultSet | None = None
        self._preview: ResultSet | None = None
        state = page.state
        state.update(
            {
                "disclaimer": DISCLAIMER,
                "layout": FOUR_UP,
                "orientation": ORIENTATIONS[0],
                "orientations": list(ORIENTATIONS),
                "zip_name": ZIP,
                "compared_titles": {},
            }
        )
        self.forget()
        state.change("layout", "orientation")(page.latest(self._arrange))

    def forget(self) -> None:
        """Hide the results, as after a change of the scan, and remove them from the scene."""
        state = self._page.state
        self._replace(None)
        state.has_results = False
        state.score_groups, state.superpatch_rows = [], []
        state.plot, state.files = "", []
        if state.layout == COMPARISON:
            state.layout = FOUR_UP
            self._arrange()

    def show(self) -> None:
        """Replace the previous results, fill the tables and switch to the comparison."""
        results, state = self._page.session.results, self._page.state
        self._dropPreview()
        self._replace(results)
        state.has_results = True
        state.score_groups = _scores(results.oneAt("scores"))
        state.superpatch_rows = _superpatches(results.oneAt("rows"))
        state.plot = scatter([(row["index"], row["psnr"], row["place"]) for row in state.superpatch_rows])
        files, titles = filesOf(self._page.session.exportFolder), results.kind.fileTitles
        known = [name for name in titles if name in files]
        state.files = [
            {
                "name": name,
                "title": results.caption(titles.get(name, name), name),
                "size": _sizeText(files[name].stat().st_size),
            }
            for name in dict.fromkeys((*known, *files))
        ]
        state.layout = COMPARISON
        self._arrange()

    def showPreview(self, preview: ResultSet) -> None:
        """Compare the preview of a run with its scan, until another layout is chosen or there are new results."""
        self._dropPreview()
        self._preview, self._page.state.layout = preview, COMPARISON
        self._arrange()

    def _dropPreview(self) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            removeResults(preview)

    @property
    def _compared(self) -> tuple[ResultSet, slicer.vtkMRMLScalarVolumeNode] | None:
        """What the comparison shows, and its input."""
        if self._preview is not None:
            return self._preview, self._preview.main
        results = self._page.session.results
        return None if results is None else (results, self._page.session.volumeNode)

    def _replace(self, results: ResultSet | None) -> None:
        # The page shows one result only; users could not reach or delete older ones, which take much memory.
        previous, self._shown = self._shown, results
        if previous is not None:
            removeResults(previous)

    def followWindow(self, display: slicer.vtkMRMLScalarVolumeDisplayNode) -> None:
        """Show the results in the window of the scan."""
        results = self._page.session.results
        if results is None:
            return
        for role, node in results.nodesByRole.items():
            if results.kind.role(role).isLikeInput:
                node.GetDisplayNode().SetWindowLevel(display.GetWindow(), display.GetLevel())

    def _arrange(self) -> None:
        state = self._page.state
        if state.layout not in (FOUR_UP, COMPARISON, ONLY_3D) or state.orientation not in ORIENTATIONS:
            return
        if state.layout != COMPARISON:
            self._dropPreview()
        compared = self._compared
        if state.layout == COMPARISON and compared is None:
            state.layout = FOUR_UP
        if state.layout == COMPARISON:
            results = compared[0]
            state.compared_titles = {
                view.tag: results.caption(view.label, view.role or "") for view in viewsOf(results)
            }
            self._views.compare(viewsOf(results))
        self._views.show(state.layout)
        if state.layout == COMPARISON:
            try:
                self._comparison.enter(None, *compared, state.orientation)
            except MaesilError as error:
                self._page.notice.showError(error)
                return
            # Leave room for the sliders over the views.
            for view in self._views.shownSlices:
                fitSlice(view)


def _scores(node: slicer.vtkMRMLTableNode | None) -> list[dict[str, object]]:
    """One group per window: its range, column titles, and rows as text."""
    if node is None:
        return []
    table = node.GetTable()
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    if not {"score", "unit", "window"} <= set(names):
        return [_plainGroup(table, names)]
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
    return [{"window": window, "titles": titles, "rows": rows} for window, rows in groups.items()]


def _plainGroup(table: vtk.vtkTable, names: list[str]) -> dict[str, object]:
    """Any table unchanged; its first column holds the row headers."""
    rows = [
        [table.GetValueByName(row, name).ToString() for name in names]
        for row in range(table.GetNumberOfRows())
    ]
    return {"window": "", "titles": names[1:], "rows": rows}


def _cell(value: object, score: str, unit: str) -> str:
    number = value.ToDouble()
    return _NO_SCORE if math.isnan(number) else f"{number:.{_DIGITS[score]}f} {unit}".strip()


def _superpatches(node: slicer.vtkMRMLTableNode | None) -> list[dict[str, object]]:
    if node is None:
        return []
    table = node.GetTable()
    rows = []
    for row in range(table.GetNumberOfRows()):
        psnr, error = (table.GetValueByName(row, name).ToDouble() for name in (psnrColumnOf(node), "mae_hu"))
        rows.append(
            {
                "index": superpatchOfRow(node, row),
                "place": table.GetValueByName(row, "place").ToString(),
                "psnr": None if math.isnan(psnr) else psnr,
                "error": None if math.isnan(error) else error,
            }
        )
    return rows


def _sizeText(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
