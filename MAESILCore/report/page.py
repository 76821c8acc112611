"""The page of a reconstruction: one HTML file that needs no network."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE, Window
from MAESILCore.inference import Reconstruction
from MAESILCore.optional import require
from MAESILCore.report.figure import report_figure
from MAESILCore.report.files import report_file, write_png
from MAESILCore.report.shading import viewing_window
from MAESILCore.report.stack import slice_stack
from MAESILCore.report.summary import (
    CONTROL_MEANINGS,
    DISCLAIMER,
    ERROR_MEANING,
    Scores,
    control_name,
    facts,
    mask_sentence,
    plain,
    score_rows,
    score_tiles,
    scored_words,
    shown_metrics,
    soft_tissue_scores,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from MAESILCore.models.card import Card

_FIGURE_QUALITY = 86


def write_report_html(
    result: Reconstruction,
    original: Volume,
    scores: Scores | None,
    path: str | Path,
    title: str | None = None,
    *,
    card: Card | None = None,
    window: Window | None = None,
) -> Path:
    """Write a page to scroll through original, masked scan, reconstruction and error side by side.

    The file is self-contained and makes no network requests.

    Args:
        result: the result of `reconstruct`.
        original: the scan.
        scores: {"model": {metric: value}, "controls": {name: {metric: value}}}, or None.
        path: the .html file.
        title: the headline; None is the scan's name.
        card: the card of the model.
        window: window of the grey values; None is `viewing_window`.

    Raises:
        MissingPackageError: matplotlib or Pillow is not installed.
        VolumeError: the file cannot be written.
    """
    title = title or original.name or "Reconstruction"
    window = window or viewing_window(original)
    name = card.name if card else None
    figure = report_figure(result, original, scores, title=title, model=name, window=window, footer=False)
    scores = scores or {}
    text = _template().render(
        title=title,
        lead=_lead(result, original, name),
        disclaimer=DISCLAIMER,
        window=f"{_range(window)} {unit_of(original)}",
        scores=scores,
        scored=scored_words(result, scores),
        soft_tissue=soft_tissue_scores(scores),
        soft_tissue_window=f"{_range(SOFT_TISSUE)} HU",
        facts=facts(result, original),
        card=_card_facts(card) if card else [],
        notes=list(dict.fromkeys((*original.notes, *result.notes, *scores.get("notes", ())))),
        figure=_jpeg(figure),
        viewer=slice_stack(result, original, window) | {"unit": unit_of(original)},
    )
    with report_file(Path(path)) as unfinished:
        unfinished.write_bytes(text.encode("utf-8", "backslashreplace"))
    return Path(path)


def _template() -> Template:
    """The page as a template that escapes all values."""
    environment = Environment(
        loader=PackageLoader("MAESILCore.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.globals.update(
        shown_metrics=shown_metrics,
        score_tiles=score_tiles,
        score_rows=score_rows,
        control_name=control_name,
        control_meanings=CONTROL_MEANINGS,
    )
    return environment.get_template("page.html")


def _range(window: Window) -> str:
    return f"{plain(window.low)} to {plain(window.high)}"


def _card_facts(card: Card) -> list[tuple[str, str]]:
    """Facts from the model's card as pairs of name and value."""
    pairs = [
        ("Name", card.name),
        ("Method", card.method),
        ("Window", _intensity(card)),
        ("Trained with masks", ", ".join(f"{key} {value}" for key, value in card.mask.items())),
        ("Steps", f"{card.step:,}"),
        ("Trained on", card.data),
    ]
    return [(name, value) for name, value in pairs if value]


def _intensity(card: Card) -> str:
    """The windows of a model, or its rule for scans without HU."""
    return ", ".join(f"{_range(window)} HU" for window in card.windows) or str(card.rule)


def _lead(result: Reconstruction, original: Volume, model: str | None) -> str:
    who = f"the model {model}" if model else "the model"
    if result.sees_all:
        return (
            f"Nothing was hidden: {who} saw the whole scan that it returns, so this is no prediction. "
            f"{ERROR_MEANING}"
        )
    return (
        f"Parts of this scan were hidden ({mask_sentence(result)}), and {who} predicted them from the rest. "
        f"{ERROR_MEANING}"
    )


def _jpeg(figure: Figure) -> str:
    """A figure as a JPEG in base64."""
    image = require("PIL.Image", "The page of a reconstruction")
    png, jpeg = io.BytesIO(), io.BytesIO()
    write_png(figure, png)
    image.open(png).convert("RGB").save(jpeg, "JPEG", quality=_FIGURE_QUALITY, optimize=True)
    return base64.b64encode(jpeg.getvalue()).decode("ascii")
