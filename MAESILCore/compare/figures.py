"""The figures of a comparison: scores against latent size, and reconstructions side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.compare.cells import Cell
from MAESILCore.compare.config import CompareConfig
from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.inference import reconstruct
from MAESILCore.models.checkpoint import load_checkpoint
from MAESILCore.optional import require
from MAESILCore.report.files import report_file, write_png
from MAESILCore.report.planes import AXIAL, cuts_to_show, display_frame
from MAESILCore.report.shading import hide, viewing_window

#: One for each row of a figure.
MARKERS = "osD^v<>Ph*"

#: Reconstructions in a row of the figure.
_ACROSS = 4


def draw_latent(cells: Sequence[Cell], path: Path) -> Path | None:
    """Draw the unmasked PSNR of each row over its latent size; returns None if no row has both.

    Args:
        cells: the cells; those of equal steps are drawn.
        path: the .png file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib", "The figure of the latent sizes")
    from matplotlib.figure import Figure

    points: dict[str, list[tuple[float, float]]] = {}
    for cell in cells:
        found = cell.scores()
        if cell.view != "steps" or found is None:
            continue
        latent: float | None = found["facts"]["latent_per_voxel"]
        summary: dict[str, Any] = next(iter(found["masks"].values()), {})
        psnr = summary.get("psnr_unmasked", {}).get("mean")
        if latent and psnr is not None:
            points.setdefault(cell.row, []).append((latent, psnr))
    if not points:
        return None
    figure = Figure(figsize=(7.0, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for number, (row, values) in enumerate(points.items()):
        latent, scores = values[0][0], [psnr for _, psnr in values]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        mean = statistics.fmean(scores)
        marker = MARKERS[number % len(MARKERS)]
        axes.errorbar(latent, mean, yerr=spread, fmt=marker, capsize=3, label=row)
    axes.set(xscale="log", xlabel="latent values per voxel", ylabel="PSNR, nothing hidden (dB)")
    axes.margins(x=0.15)
    # Beside the axes: points of equal latent size lie close together.
    figure.legend(loc="outside right upper", frameon=False)
    axes.grid(visible=True, alpha=0.3)
    return written(figure, path)


def draw_reconstructions(
    config: CompareConfig, cells: Sequence[Cell], example: Path, path: Path
) -> Path | None:
    """Draw the axial slice in the middle of a scan as each row reconstructs it; None if no row does.

    Rows that hide patches fill in the hidden ones of the first mask; the others show their output.

    Args:
        config: the comparison.
        cells: the cells; those of equal steps and the first seed are drawn.
        example: the scan.
        path: the .png file.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib", "The figure of the reconstructions")
    from matplotlib.figure import Figure

    volume = read_scan(example)
    pictures, patch = _pictures(config, cells, volume)
    if len(pictures) < 2:
        return None
    frame = display_frame(volume)
    nothing = np.zeros(volume.shape, dtype=np.uint8)
    cuts = cuts_to_show(frame.turn(volume.voxels), frame.spacing, volume.looks_like_hu, frame.turn(nothing))
    cut, window = next(cut for cut in cuts if cut.plane == AXIAL), viewing_window(volume)
    height, width = cut.size
    lines = -(-len(pictures) // _ACROSS)
    figure = Figure(
        figsize=(3.0 * _ACROSS, (3.0 * height / width + 0.3) * lines), dpi=120, layout="constrained"
    )
    for number, (title, (voxels, stages)) in enumerate(pictures.items()):
        axes = figure.add_subplot(lines, _ACROSS, number + 1)
        grey: Any = window.apply(cut.of(frame.turn(voxels)))
        if stages is not None:
            grey = hide(grey, cut.of(frame.turn(stages)), patch, 1)
        axes.imshow(grey, extent=(0, width, height, 0), cmap="gray", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    return written(figure, path)


def _pictures(
    config: CompareConfig, cells: Sequence[Cell], volume: Volume
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray | None]], int]:
    """Voxels by title, with the stages of the mask for what the models see; and the edge of a patch."""
    patch = 1
    strategy = next(iter(config.evaluation.strategies().values()))
    pictures: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"scan": (volume.voxels, None)}
    for cell in cells:
        if (cell.view, cell.seed) != ("steps", config.seeds[0]) or cell.scores() is None:
            continue
        model = load_checkpoint(cell.folder)
        if not model.abilities.reconstructs:
            continue
        result = reconstruct(volume, model, strategy=strategy, seed=config.evaluation.seed)
        if result.sees_all:
            pictures[f"{cell.row} (sees all)"] = result.reconstruction.voxels, None
            continue
        patch = min(model.patch_size)
        pictures.setdefault("masked", (volume.voxels, result.grid.expand(result.mask.stages)))
        pictures[cell.row] = result.mosaic.voxels, None
    return pictures, patch


def written(figure: Any, path: Path) -> Path:  # noqa: ANN401 - matplotlib may be missing
    """Write a figure as PNG, whole or not at all; returns its path."""
    with report_file(path) as unfinished:
        write_png(figure, unfinished)
    return path
