"""`maesil reconstruct`: predicts hidden parts of a scan and measures the error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_folder
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import show_notes
from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@app.command()
def reconstruct(
    context: typer.Context,
    scan: Annotated[Path, typer.Argument(help="A scan: a file, or a folder of DICOM slices.")],
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")],
    model: options.Model = None,
    series: options.Series = None,
    mode: options.Mode = None,
    ratio: options.Ratio = None,
    plane_ratio: options.PlaneRatio = None,
    axis_ratio: options.AxisRatio = None,
    block_size: options.BlockSize = None,
    plane_axis: options.PlaneAxis = None,
    seed: options.Seed = 0,
    coverage: Annotated[
        int, typer.Option(help="Number of masks that together hide every patch; 0 is a single mask.")
    ] = 0,
    roi: Annotated[
        str | None,
        typer.Option(help="Hide this region instead of a mask: i0:i1,j0:j1,k0:k1 in voxels, ends excluded."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Overlap of neighbouring superpatches in voxels; 0 is faster and leaves seams.",
            show_default="a quarter of a superpatch, fewer along coarser axes",
        ),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Window in HU in which the model predicts, such as -175 250. maesil info MODEL lists the windows "
            "that a model was trained in.",
            show_default="the model's",
            metavar="LOW HIGH",
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Also score this control: mean, nearest, harmonic or biharmonic; repeatable."),
    ] = None,
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Skip metrics.json, which is slow for a large scan.")
    ] = False,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Hide part of a scan and let a model fill it in.

    The results are volumes on the scan's own grid: reconstruction, mosaic of visible and predicted patches,
    error, mask, and the uncertainty of a coverage; a report image; and scores.
    """
    from rich.console import Console

    from MAESILCore.data.scans import read_scan
    from MAESILCore.data.window import Window
    from MAESILCore.inference import reconstruct as reconstruct_volume
    from MAESILCore.inference import save_reconstruction
    from MAESILCore.lattice import MaskStrategy, SuperpatchGrid, roi_mask_from_box
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.optional import require
    from MAESILCore.report.figure import write_report_png
    from MAESILCore.scoring.reconstruction import check_controls, describe_metrics, score_reconstruction

    masks = options.given_mask_options(context)
    region = options.region_of(roi)
    strategy = options.strategy_of(masks)
    if region is not None and masks:
        raise ConfigError(
            "--roi replaces the mask: leave out --mode and the other mask options, or leave out --roi."
        )
    if control and no_scores:
        raise ConfigError("--control needs the scores that --no-scores skips: leave out one of them.")
    check_controls(control or (), is_coverage=coverage > 0)
    # Fail before the work.
    require("matplotlib", "The report")
    check_folder(out)
    volume = read_scan(scan, series)
    loaded = load_checkpoint(model)
    sizes = loaded.superpatch_size, loaded.patch_size
    grid = SuperpatchGrid(volume.shape, *sizes)
    console = Console(stderr=True)
    with watched(console, "Starting") as (progress, stopped):
        result = reconstruct_volume(
            volume,
            loaded,
            strategy=strategy,
            seed=seed,
            coverage=coverage,
            mask=None if region is None else roi_mask_from_box(grid, *region),
            overlap=overlap,
            window=None if window is None else Window(*window),
            batch_size=batch_size,
            device=device,
            progress=progress,
            cancelled=stopped,
        )
        notes = _notes_on_region(region, volume.shape)
        scores = None
        if not no_scores:
            scores = score_reconstruction(result, control or (), progress=progress, cancelled=stopped)
            scores["notes"] += notes
    drawn = {"roi": roi} if region is not None else (strategy or MaskStrategy()).options
    setup = {"seed": seed, "coverage": coverage, **drawn}
    files = save_reconstruction(
        result,
        out,
        metrics=None if scores is None else describe_metrics(result, loaded.name, setup, scores),
        draw_report=lambda path: write_report_png(result, volume, scores, path, model=loaded.name),
    )
    show_notes((*volume.notes, *result.notes, *notes), console)
    Console(soft_wrap=True, highlight=False).print(_closing_line(len(files), str(out), scores), markup=False)


def _notes_on_region(
    region: tuple[tuple[int, ...], tuple[int, ...]] | None, shape: tuple[int, int, int]
) -> list[str]:
    """A note if a part of a region (k, j, i) is outside the scan."""
    from MAESILCore.data.formats.checks import dimensions_text

    if region is None or (min(region[0]) >= 0 and all(b <= n for b, n in zip(region[1], shape, strict=True))):
        return []
    ends = [f"{max(a, 0)}:{min(b, n)}" for a, b, n in zip(*region, shape, strict=True)]
    return [
        f"The region extends beyond the scan's {dimensions_text(shape[::-1])} voxels (i, j, k); "
        f"only the part inside was hidden, {','.join(reversed(ends))}."
    ]


def _closing_line(files: int, folder: str, scores: Mapping[str, Any] | None) -> str:
    psnr = None if scores is None else scores["model"].get("psnr_hidden")
    score = "" if psnr is None else f"; PSNR of the hidden voxels {psnr:.2f} dB"
    return f"{files} files in {folder}{score}. Research use only; not a medical device."
