"""Results of an evaluation as tables and files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from MAESILCore.errors import VolumeError
from MAESILCore.files import write_whole

#: No score, but the size of what an unmasked pass makes its voxels of.
LATENT = "latent"
#: Heading and decimals of the scores in tables.
_COLUMNS = {
    "psnr_hidden": ("PSNR hidden (dB)", 2),
    "ssim_hidden": ("SSIM hidden", 3),
    "psnr_hidden_body": ("PSNR hidden body (dB)", 2),
    "ssim_hidden_body": ("SSIM hidden body", 3),
    "psnr_full": ("PSNR full (dB)", 2),
    "ssim_full": ("SSIM full", 3),
    "psnr_unmasked": ("PSNR unmasked (dB)", 2),
    LATENT: ("Latent values per voxel", 0),
    "mae_hu_hidden_body": ("MAE hidden body (HU)", 1),
    "blockiness_ratio": ("Blockiness ratio", 2),
    "seams_ratio": ("Seams ratio", 2),
}


def table_rows(
    results: dict[str, Any], *, soft_tissue: bool = False, scores: Iterable[str] = tuple(_COLUMNS)
) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: the model, then the controls from the best to the worst.

    Args:
        results: the result of `evaluate`.
        soft_tissue: whether to show the soft-tissue window instead of the model's.
        scores: the columns, from those of the Markdown table.
    """
    summary, columns = results["summary"], {name: _COLUMNS[name] for name in scores}
    controls = summary["controls"]
    ordered = sorted(controls, key=lambda name: -(controls[name]["psnr_hidden"]["mean"] or 0.0))
    named = {results["setup"]["model"]: summary["model"]} | {name: controls[name] for name in ordered}
    rows = []
    for name, spreads in named.items():
        shown = spreads["soft_tissue"] if soft_tissue else spreads
        size = "-" if name in controls else latent_size(results["setup"])
        cells = (
            size if score == LATENT else _cell(shown[score], decimals)
            for score, (_, decimals) in columns.items()
        )
        rows.append([name, *cells])
    unit = "HU" if results["setup"]["window_hu"] else "stored units"
    return ["Method", *(heading.replace("HU", unit) for heading, _ in columns.values())], rows


def latent_size(facts: Mapping[str, Any]) -> str:
    """The latent of an unmasked pass: values per voxel, or the bits of codes, or a dash if the method has none.

    Args:
        facts: `latent_per_voxel` and `latent_bits_per_voxel`, see `Abilities`; results of older versions have neither.
    """
    bits = facts.get("latent_bits_per_voxel")
    return f"{bits:.3g} bits" if bits is not None else _significant(facts.get("latent_per_voxel"))


def format_table(results: dict[str, Any]) -> str:
    """The results as Markdown: both windows, the gains, and an explanation."""
    setup, summary = results["setup"], results["summary"]
    lines = [_caption(setup, summary), ""]
    for soft_tissue, window in windows_of(results):
        headings, rows = table_rows(results, soft_tissue=soft_tissue)
        lines += [f"{window[:1].upper()}{window[1:]}:", ""]
        lines += [_line(headings), _line(["---"] + ["---:"] * (len(headings) - 1)), *map(_line, rows), ""]
        lines += [*_gain_lines(summary, soft_tissue), ""]
    if "coverage" in summary:
        lines += [*_coverage_lines(summary["coverage"]), ""]
    if setup["command"]:
        lines += [f"Made by `{setup['command']}`.", ""]
    return "\n".join(lines)


def windows_of(results: dict[str, Any]) -> list[tuple[bool, str]]:
    """The windows of the scores: whether it is that of soft tissue, and a text such as "window [-175, 250] HU"."""
    setup, model = results["setup"], results["summary"]["model"]
    (low, high), (soft_low, soft_high) = setup["window_hu"] or (None, None), setup["soft_tissue_window_hu"]
    own = f"window of each scan: {setup['intensity']}" if low is None else f"window [{low:g}, {high:g}] HU"
    asked = ", in which the model was asked" if setup["asked_in_soft_tissue"] else ""
    soft = [(True, f"window [{soft_low:g}, {soft_high:g}] HU{asked}")] if "soft_tissue" in model else []
    return [(False, own), *soft]


def counted(scans: int) -> str:
    """A number of scans with its noun."""
    return "1 scan" if scans == 1 else f"{scans} scans"


def write_results(results: dict[str, Any], path: str | Path) -> None:
    """Write results as JSON, all or nothing.

    Raises:
        VolumeError: the file cannot be written.
    """
    _write(Path(path), json.dumps(results, indent=2, allow_nan=False) + "\n")


def write_table(results: dict[str, Any], path: str | Path) -> None:
    """Write `format_table` to a file, all or nothing.

    Raises:
        VolumeError: the file cannot be written.
    """
    _write(Path(path), format_table(results))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}. Choose another place."
        raise VolumeError(message) from error


def _caption(setup: dict[str, Any], summary: dict[str, Any]) -> str:
    mask = setup["mask"]
    return (
        f"Mean ± standard deviation over {counted(summary['cases'])}; {mask['hidden_share']:.0%} of the patches "
        f"hidden (mode {mask['mode']}, seed {setup['seed']}). Hidden: only voxels that were not shown; body: of "
        "these, those inside the patient; full: hidden and shown ones; unmasked: nothing was hidden. Below the "
        "model: controls, which fill in the same patches without any learning."
    )


def _gain_lines(summary: dict[str, Any], soft_tissue: bool) -> Iterator[str]:
    if "gain_over_best_control" not in summary:
        return
    gains = summary["gain_over_best_control"]
    gains = gains["soft_tissue"] if soft_tissue else gains
    yield (
        f"Gain over the best control of each scan: {_cell(gains['psnr_hidden_body'], 2, sign='+')} dB PSNR on "
        f"hidden voxels inside the body, {_cell(gains['psnr_hidden'], 2, sign='+')} dB PSNR and "
        f"{_cell(gains['ssim_hidden'], 3, sign='+')} SSIM on all hidden voxels "
        f"(smallest {_number(gains['psnr_hidden_body']['lowest'], 2, '+')} dB, "
        f"{_number(gains['psnr_hidden']['lowest'], 2, '+')} dB and "
        f"{_number(gains['ssim_hidden']['lowest'], 3, '+')})."
    )


def _coverage_lines(coverage: dict[str, Any]) -> Iterator[str]:
    soft = ""
    if "soft_tissue" in coverage:
        psnr, ssim = (_cell(coverage["soft_tissue"][score], d) for score, d in (("psnr", 2), ("ssim", 3)))
        soft = f"; in the soft-tissue window {psnr} dB and {ssim}"
    yield (
        f"Coverage of {coverage['masks']['mean']:g} masks, mean of the predictions made while hidden, all voxels: "
        f"PSNR {_cell(coverage['psnr'], 2)} dB, SSIM {_cell(coverage['ssim'], 3)}{soft}. "
        f"Blockiness ratio {_cell(coverage['blockiness_ratio'], 2)}."
    )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(spread: dict[str, Any], decimals: int, sign: str = "") -> str:
    """Mean and standard deviation, or a dash."""
    deviation = "" if spread["sd"] is None else f" ± {_number(spread['sd'], decimals)}"
    return _number(spread["mean"], decimals, sign) + deviation


def _significant(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.{decimals}f}"
