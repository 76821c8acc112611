"""The picture of a reconstruction: rows of slices, each as original, masked, reconstruction and error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE, Window
from MAESILCore.inference import Reconstruction
from MAESILCore.lattice import SuperpatchGrid
from MAESILCore.optional import require
from MAESILCore.report.files import report_file, write_png
from MAESILCore.report.legends import draw_colour_bar, draw_footer, draw_header, draw_mask_key
from MAESILCore.report.planes import (
    LETTERS,
    Cut,
    DisplayFrame,
    cuts_to_show,
    display_frame,
    is_mostly_soft_tissue,
)
from MAESILCore.report.shading import (
    ERROR_STOPS,
    GREY_STOPS,
    UNCERTAINTY_STOPS,
    colour_map,
    hide,
    nice_limit,
    viewing_window,
)
from MAESILCore.report.style import INK, MUTED, PANEL, Rectangle, sheet_for
from MAESILCore.report.summary import Scores, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
#: Possible lengths of a scale bar, mm.
_BARS = (200, 100, 50, 20, 10, 5, 2)
_HALO = 2.5
#: Ends of the colours in the soft-tissue row, HU.
_SOFT_ERROR_HU, _SOFT_SPREAD_HU = 100.0, 50.0


@dataclass(frozen=True)
class Row:
    """One row of the picture.

    Attributes:
        cut: the slice that it shows.
        window: window of the grey values.
        error: end of the error colours, HU or the scan's unit.
        spread: end of the uncertainty colours, likewise.
        caption: the line above it.
        clips_errors: whether its errors are those of the scan and the prediction clipped to the window.
    """

    cut: Cut
    window: Window
    error: float
    spread: float
    caption: str = ""
    clips_errors: bool = False


@dataclass(frozen=True)
class Column:
    """One column of the picture.

    Attributes:
        title: the title above it.
        paint: draws the cut of a row into axes.
        draw_legend: draws the legend into a rectangle below it.
    """

    title: str
    paint: Callable[[Axes, Row], None]
    draw_legend: Callable[[Figure, Rectangle], None] | None = None


def report_figure(
    result: Reconstruction,
    original: Volume,
    scores: Scores | None = None,
    *,
    title: str | None = None,
    model: str | None = None,
    window: Window | None = None,
    footer: bool = True,
) -> Figure:
    """Draw original, masked, reconstruction and error (for a coverage also uncertainty) in three planes.

    Patient right is on the viewer's left, front or head is up; an oblique scan is shown along its own axes. If the body
    is mostly soft tissue, a row shows the axial slice in the soft-tissue window, with a narrow scale of errors.

    Args:
        result: the result of `reconstruct`.
        original: the scan.
        scores: {"model": {metric: value}, "controls": {name: {metric: value}}} for the footer.
        title: the headline; None is the scan's name.
        model: name of the model for the headline.
        window: window of the grey values; None is `viewing_window`.
        footer: whether to show scores, geometry and disclaimer.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib", "The picture of a reconstruction")
    from matplotlib.figure import Figure

    frame = display_frame(original)
    shown = frame.turn(original.voxels)
    stages = frame.turn(result.grid.expand(result.mask.stages))
    cuts = cuts_to_show(shown, frame.spacing, original.looks_like_hu, stages)
    window = window or viewing_window(original)
    error = nice_limit(result.error.voxels)
    spread = 0.0 if result.uncertainty is None else nice_limit(result.uncertainty.voxels)
    rows = [Row(cut, window, error, spread) for cut in cuts]
    if original.looks_like_hu and is_mostly_soft_tissue(cuts[0].of(shown)):
        rows.append(_soft_tissue_row(cuts[0], result))
    columns = _columns(result, shown, stages, frame, rows[0], unit_of(original))
    captions = frozenset(place for place, row in enumerate(rows) if row.caption)
    sheet = sheet_for([row.cut for row in rows], len(columns), footer, captions)
    figure = Figure(figsize=sheet.size, dpi=_DPI, facecolor=PANEL)
    draw_header(figure, sheet, title or original.name or "Reconstruction", model)
    for place, column in enumerate(columns):
        figure.text(*sheet.above(place), column.title, color=INK, fontsize=13, ha="center", va="bottom")
        if column.draw_legend is not None:
            column.draw_legend(figure, sheet.below(place))
        for number, row in enumerate(rows):
            axes = figure.add_axes(sheet.cell(number, place), facecolor="black")
            column.paint(axes, row)
            _finish_panel(axes, row.cut, is_first=place == 0)
    for number in captions:
        figure.text(*sheet.caption(number), rows[number].caption, color=MUTED, fontsize=11.5, va="center")
    if footer:
        draw_footer(figure, sheet, result, original, scores)
    return figure


def write_report_png(
    result: Reconstruction,
    original: Volume,
    scores: Scores | None,
    path: str | Path,
    **options: Any,  # noqa: ANN401 - those of `report_figure`
) -> Path:
    """Write the picture of a reconstruction to a PNG file; see `report_figure` for the options.

    Raises:
        MissingPackageError: matplotlib is not installed.
        VolumeError: the file cannot be written.
    """
    figure = report_figure(result, original, scores, **options)
    with report_file(Path(path)) as unfinished:
        write_png(figure, unfinished)
    return Path(path)


def _soft_tissue_row(cut: Cut, result: Reconstruction) -> Row:
    low, high = (f"{end:g}".replace("-", "\N{MINUS SIGN}") for end in (SOFT_TISSUE.low, SOFT_TISSUE.high))
    caption = (
        f"Soft tissue: grey values and errors inside {low} to {high} HU, error colours up to "
        f"\N{PLUS-MINUS SIGN}{_SOFT_ERROR_HU:g} HU"
    )
    if result.uncertainty is not None:
        caption += f", uncertainty up to {_SOFT_SPREAD_HU:g} HU"
    return Row(cut, SOFT_TISSUE, _SOFT_ERROR_HU, _SOFT_SPREAD_HU, caption, clips_errors=True)


def _columns(
    result: Reconstruction, shown: np.ndarray, stages: np.ndarray, frame: DisplayFrame, first: Row, unit: str
) -> list[Column]:
    """The columns; their legends are those of the first row."""
    grid, rebuilt, error = (
        result.grid,
        frame.turn(result.reconstruction.voxels),
        frame.turn(result.error.voxels),
    )
    several = f" (1 of {len(result.masks)})" if len(result.masks) > 1 else ""

    def grey(array: np.ndarray) -> Callable[[Axes, Row], None]:
        return lambda axes, row: _show(
            axes, row.cut, row.window.apply(row.cut.of(array)), cmap="gray", vmin=0, vmax=1
        )

    def masked(axes: Axes, row: Row) -> None:
        cut = row.cut
        picture = cut.of(shown)
        scale = max(1, round(700 / max(picture.shape)))
        patch = min(grid.patch_size[axis] for n, axis in enumerate(frame.order) if n != cut.fixed)
        _show(axes, cut, hide(row.window.apply(picture), cut.of(stages), patch, scale))
        _draw_superpatches(axes, cut, grid, frame)

    def errors(axes: Axes, row: Row) -> None:
        wrong = row.cut.of(error)
        if row.clips_errors:
            scan = row.cut.of(shown).astype(np.float32)
            low, high = row.window.low, row.window.high
            wrong = np.clip(scan + wrong, low, high) - np.clip(scan, low, high)
        table = colour_map("report", ERROR_STOPS)
        _show(axes, row.cut, wrong, cmap=table, vmin=-row.error, vmax=row.error)

    def bar(
        stops: tuple[str, ...], ticks: tuple[float, ...], caption: str
    ) -> Callable[[Figure, Rectangle], None]:
        return partial(draw_colour_bar, stops=stops, ticks=ticks, caption=f"{unit}, {caption}")

    window, limit = first.window, first.error
    columns = [
        Column("Original", grey(shown), bar(GREY_STOPS, (window.low, window.high), "grey values shown")),
        Column("Input", masked)
        if result.sees_all
        else Column(f"Masked{several}", masked, partial(draw_mask_key, result=result)),
        Column("Reconstruction", grey(rebuilt)),
        Column("Error", errors, bar(ERROR_STOPS, (-limit, 0, limit), "reconstruction - scan")),
    ]
    if result.uncertainty is not None:
        spread = frame.turn(result.uncertainty.voxels)
        table = colour_map("report", UNCERTAINTY_STOPS)

        def uncertainty(axes: Axes, row: Row) -> None:
            _show(axes, row.cut, row.cut.of(spread), cmap=table, vmin=0, vmax=row.spread)

        legend = bar(UNCERTAINTY_STOPS, (0, first.spread), "spread over masks")
        columns.append(Column("Uncertainty", uncertainty, legend))
    return columns


def _show(axes: Axes, cut: Cut, picture: np.ndarray, **options: Any) -> None:  # noqa: ANN401 - those of imshow
    height, width = cut.size
    # Smooth enlargement would blur the sharp edges of covered patches.
    smooth = "nearest" if picture.ndim == 3 else "bilinear"
    axes.imshow(picture, extent=(0.0, width, height, 0.0), interpolation=smooth, aspect="equal", **options)


def _draw_superpatches(axes: Axes, cut: Cut, grid: SuperpatchGrid, frame: DisplayFrame) -> None:
    """Draw dotted lines between superpatches."""
    down, across = (axis for axis in range(3) if axis != cut.fixed)
    line: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (1, 2)), "alpha": 0.9}
    for row in frame.borders(grid.shape, grid.superpatch_size, down, cut.rows):
        axes.axhline(row * cut.pixel[0], **line)
    for column in frame.borders(grid.shape, grid.superpatch_size, across, cut.columns):
        axes.axvline(column * cut.pixel[1], **line)
    height, width = cut.size
    axes.set(xlim=(0, width), ylim=(height, 0))


def _finish_panel(axes: Axes, cut: Cut, is_first: bool) -> None:
    """Remove ticks; add direction letters and a scale bar in the first column."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if not is_first:
        return
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=_HALO, foreground="black")]
    height, width = cut.size
    left, right, top, bottom = LETTERS[cut.plane]
    places = ((left, 0.02, 0.5, "left", "center"), (right, 0.98, 0.5, "right", "center"),
              (top, 0.5, 0.985, "center", "top"), (bottom, 0.5, 0.015, "center", "bottom"))  # fmt: skip
    for letter, x, y, ha, va in places:
        axes.text(
            x, y, letter, transform=axes.transAxes, ha=ha, va=va, color="#ffd166", fontsize=11,
            fontweight="bold", path_effects=halo,
        )  # fmt: skip
    bar = next((length for length in _BARS if length < 0.3 * width), _BARS[-1])
    x, y = 0.03 * width, height - 0.035 * width
    axes.plot(
        [x, x + bar], [y, y], color="white", linewidth=3, solid_capstyle="butt",
        path_effects=[withStroke(linewidth=3 + _HALO, foreground="black")],
    )  # fmt: skip
    axes.annotate(
        f"{bar / 10:g} cm", (x, y), (0, 4), textcoords="offset points", color="white", fontsize=10, ha="left",
        va="bottom", path_effects=halo,
    )  # fmt: skip
