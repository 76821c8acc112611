"""`maesil evaluate`: scores a model and controls without learning on unseen scans."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from MAESILCore.cli import app, options
from MAESILCore.cli.places import check_apart, check_file
from MAESILCore.cli.progress import watched
from MAESILCore.cli.terminal import in_code_page, show_notes
from MAESILCore.wording import displayable

#: Scores that fit into the width of a terminal; the files hold all.
_SHOWN = ("psnr_hidden", "ssim_hidden", "psnr_hidden_body", "mae_hu_hidden_body")
#: The same for models that hide nothing.
_SHOWN_WHOLE = ("psnr_full", "ssim_full", "latent")


@app.command()
def evaluate(
    context: typer.Context,
    scans: Annotated[list[Path], typer.Argument(help="Scans: files, DICOM folders, or folders of such.")],
    json_file: Annotated[Path, typer.Option("--json", help="File for all scores.")],
    table: Annotated[Path | None, typer.Option(help="File for the table in Markdown.")] = None,
    model: options.Model = None,
    mode: options.Mode = None,
    ratio: options.Ratio = None,
    plane_ratio: options.PlaneRatio = None,
    axis_ratio: options.AxisRatio = None,
    block_size: options.BlockSize = None,
    plane_axis: options.PlaneAxis = None,
    seed: options.Seed = 0,
    coverage: Annotated[
        int, typer.Option(help="Also score the mean over this many masks, which together hide every patch.")
    ] = 0,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Glob of scans to leave out, such as '*_small*'; repeatable.")
    ] = None,
    include_not_hu: Annotated[
        bool, typer.Option("--include-not-hu", help="Also score scans whose values do not look like HU.")
    ] = False,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
) -> None:
    """Score a model on unseen scans, with mean, nearest and smooth fills of the same patches as controls.

    Scans are named by their path below the folder. Patterns match this path, a folder on it or the end of it; each
    must match a scan.
    """
    from rich.console import Console

    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.scoring.evaluate import evaluate as evaluate_scans
    from MAESILCore.scoring.evaluate import write_results, write_table

    masks = options.given_mask_options(context)
    strategy = options.strategy_of(masks)
    # Fail before the work.
    check_file(json_file)
    if table is not None:
        check_file(table)
        check_apart(json_file, table)
    given = {"model": None if model is None else Path(model).name, **masks, "seed": seed or None}
    given |= {"coverage": coverage or None, "exclude": exclude, "include_not_hu": include_not_hu or None}
    loaded = load_checkpoint(model)
    with watched(Console(stderr=True), "Evaluating") as (progress, stopped):
        results = evaluate_scans(
            scans,
            loaded,
            strategy=strategy,
            seed=seed,
            coverage=coverage,
            exclude=exclude or (),
            include_not_hu=include_not_hu,
            device=device,
            batch_size=batch_size,
            command=_command(scans, json_file, given),
            progress=progress,
            cancelled=stopped,
        )
    write_results(results, json_file)
    if table is not None:
        write_table(results, table)
    _show(results)


def _command(scans: list[Path], json_file: Path, given: dict[str, Any]) -> str:
    """The command that reproduces the results; paths are cut to their last part, since folders differ by machine."""
    words = ["maesil", "evaluate", *(scan.resolve().name for scan in scans)]
    for name, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                words += [options.as_option(name)] if each is True else [options.as_option(name), str(each)]
    return displayable(shlex.join([*words, "--json", json_file.name]))


def _show(results: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from MAESILCore.data.formats.names import with_name
    from MAESILCore.scoring.evaluate.table import counted, table_rows, windows_of

    console, scans = Console(), results["summary"]["cases"]
    shown = _SHOWN if results["setup"]["mask"]["hidden_share"] else _SHOWN_WHOLE
    for soft_tissue, window in windows_of(results):
        title = f"{counted(scans)}, {window}"
        title += ", mean ± standard deviation" if scans > 1 else ""
        table = Table(title=in_code_page(title, console.encoding), title_justify="left", box=box.SIMPLE_HEAD)
        headings, rows = table_rows(results, soft_tissue=soft_tissue, scores=shown)
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(in_code_page(cell, console.encoding)) for cell in row))
        console.print(table)
    show_notes(results["setup"]["model_notes"], console)
    left_out = (with_name(scan["name"], scan["reason"]) for scan in results["left_out"])
    show_notes(left_out, console, "Left out")
