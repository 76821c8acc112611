"""Scores as nodes: a table of the whole volume, a table with one row per superpatch, and its plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import slicer
import vtk

from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.lattice import FIRST_STAGE
from MAESILCore.report.shading import STAGE_COLOURS, rgb
from MAESILCore.report.summary import METRICS, control_name, finite, plain, value_of
from MAESILSlicerLib.scene.nodes import markNode

#: Column of the superpatch table with the index for `SuperpatchGrid.box`.
SUPERPATCH_COLUMN = "superpatch"
#: Its column with the PSNR: of hidden voxels, or of all for a model that hides none.
PSNR_OF_HIDDEN, PSNR_OF_ALL = "psnr_hidden", "psnr_full"

#: Prefix of the title of a control's column.
CONTROL = "Control: "


class Column(NamedTuple):
    """A column of a table; its values are all str, all int or all float."""

    name: str
    title: str
    values: Sequence[Any]


def addScoreTable(
    scene: slicer.vtkMRMLScene, name: str, metrics: Mapping[str, Any]
) -> slicer.vtkMRMLTableNode:
    """Add a table with one row per score, first in the model's window, then in the soft-tissue window.

    Args:
        scene: the scene that receives the table.
        name: name of the node.
        metrics: the content of `metrics.json`: `setup`, `model` and `controls`.
    """
    model = metrics["model"]
    candidates = {"Model": model} | {
        f"{CONTROL}{control_name(key)}": entry for key, entry in metrics.get("controls", {}).items()
    }
    setup = metrics.get("setup", {})
    unit = setup.get("unit", "HU")
    own = setup.get("window", setup.get("window_hu"))
    windows = [(_windowText(*own, unit) if own else "", candidates)]
    if "soft_tissue" in model:
        softTissue = {title: entry["soft_tissue"] for title, entry in candidates.items()}
        windows.append((_windowText(SOFT_TISSUE.low, SOFT_TISSUE.high, unit), softTissue))
    rows = [
        (score, window, entries)
        for window, entries in windows
        for score in METRICS
        if value_of(entries["Model"], score) is not None
    ]
    columns = [
        Column("score", "Score", [score.title for score, _window, _entries in rows]),
        Column("unit", "Unit", [unit if score.unit == "HU" else score.unit for score, _, _ in rows]),
        Column("window", "Window", [window for _score, window, _entries in rows]),
    ]
    columns += [
        Column(
            title,
            title,
            [_rounded(value_of(entries[title], score), score.digits) for score, _, entries in rows],
        )
        for title in candidates
    ]
    return addTable(scene, name, columns)


def addSuperpatchTable(
    scene: slicer.vtkMRMLScene, name: str, entries: Iterable[Mapping[str, Any]], unit: str = "HU"
) -> slicer.vtkMRMLTableNode:
    """Add a table with one row per superpatch; titles are short to fit the module's panel.

    Args:
        scene: the scene that receives the table.
        name: name of the node.
        entries: the content of `superpatches.json`: `index`, place `i`, `j`, `k`, `hidden_voxels`, `psnr_hidden`,
            `mae_hu`; `psnr_full` if the model sees all voxels.
        unit: unit of the error; "" for none.
    """
    rows = list(entries)
    # Of a model that hides nothing, no column speaks of hidden voxels.
    seesAll = any("psnr_full" in row for row in rows)
    psnr = PSNR_OF_ALL if seesAll else PSNR_OF_HIDDEN
    hidden = (
        [] if seesAll else [Column("hidden_voxels", "Hidden", [int(row["hidden_voxels"]) for row in rows])]
    )
    columns = [
        Column("place", "Superpatch", [f"{row['i']}-{row['j']}-{row['k']}" for row in rows]),
        *hidden,
        Column(psnr, "PSNR (dB)", [_rounded(finite(row.get(psnr)), 2) for row in rows]),
        Column("mae_hu", titleWithUnit("Error", unit), [_rounded(finite(row["mae_hu"]), 1) for row in rows]),
        Column(SUPERPATCH_COLUMN, "No.", [int(row["index"]) for row in rows]),
    ]
    return addTable(scene, name, columns)


def titleWithUnit(title: str, unit: str) -> str:
    """A title such as "Error (HU)"."""
    return f"{title} ({unit})" if unit else title


def superpatchOfRow(tableNode: slicer.vtkMRMLTableNode, row: int) -> int:
    """The superpatch index in a row of the superpatch table."""
    return tableNode.GetTable().GetValueByName(row, SUPERPATCH_COLUMN).ToInt()


def psnrColumnOf(tableNode: slicer.vtkMRMLTableNode) -> str:
    """The name of the column with the PSNR of each superpatch: `PSNR_OF_ALL` or `PSNR_OF_HIDDEN`."""
    hasAll = tableNode.GetTable().GetColumnByName(PSNR_OF_ALL) is not None
    return PSNR_OF_ALL if hasAll else PSNR_OF_HIDDEN


def addScoreChart(
    scene: slicer.vtkMRMLScene, name: str, tableNode: slicer.vtkMRMLTableNode
) -> slicer.vtkMRMLPlotChartNode:
    """Add a plot of the score of each superpatch; point indices equal row indices of the table.

    Args:
        scene: the scene that receives the plot.
        name: name of the chart.
        tableNode: the table of superpatches.
    """
    psnr = psnrColumnOf(tableNode)
    voxels = "all voxels" if psnr == PSNR_OF_ALL else "hidden voxels"
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"PSNR, {voxels}")
    markNode(series, "chartSeries")
    series.SetAndObserveTableNodeID(tableNode.GetID())
    # A scatter plot, because a superpatch without hidden voxels has no score and leaves a gap.
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetXColumnName(SUPERPATCH_COLUMN)
    series.SetYColumnName(psnr)
    series.SetLabelColumnName("place")
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    series.SetMarkerSize(9)
    series.SetColor(*map(float, rgb(STAGE_COLOURS[FIRST_STAGE])))
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(name)
    chart.SetXAxisTitle("No. of the superpatch")
    chart.SetYAxisTitle(f"PSNR, {voxels} (dB)")
    chart.SetLegendVisibility(False)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def addTable(scene: slicer.vtkMRMLScene, name: str, columns: Sequence[Column]) -> slicer.vtkMRMLTableNode:
    """Add a read-only table."""
    table = vtk.vtkTable()
    for column in columns:
        table.AddColumn(_array(column))
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetAndObserveTable(table)
    for column in columns:
        node.SetColumnTitle(column.name, column.title)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def _array(column: Column) -> vtk.vtkAbstractArray:
    kinds = {str: vtk.vtkStringArray, int: vtk.vtkIntArray, float: vtk.vtkDoubleArray}
    array = kinds[type(column.values[0]) if column.values else str]()
    array.SetName(column.name)
    for value in column.values:
        array.InsertNextValue(value)
    return array


def _rounded(value: float | None, digits: int) -> float:
    """Round a number for a column; None becomes NaN."""
    return math.nan if value is None else round(value, digits)


def _windowText(low: float, high: float, unit: str) -> str:
    if not unit:  # scans without HU may have values far below 1
        return f"{low:.4g} to {high:.4g}".replace("-", "\N{MINUS SIGN}")
    return f"{plain(low)} to {plain(high)} {unit}"
