"""The page of a reconstruction: one file to open in any browser, without a network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.inference import Reconstruction
from MAESILCore.optional import require
from MAESILCore.report.figure import report_figure
from MAESILCore.report.files import report_file, write_png
from MAESILCore.report.markup import card_section, facts_section, joined, notes_section, scores_section, tag
from MAESILCore.report.shading import viewing_window
from MAESILCore.report.stack import slice_stack
from MAESILCore.report.summary import (
    DISCLAIMER,
    ERROR_MEANING,
    Scores,
    mask_sentence,
    plain,
    scored_words,
    unit_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from MAESILCore.models.checkpoint import Card

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
    """Write a page on which one scrolls through original, masked scan, reconstruction and error side by side.

    Everything is inside the file; it asks the network for nothing.

    Args:
        result: What `reconstruct` gave.
        original: The scan.
        scores: {"model": {metric: value}, "controls": {name: {metric: value}}}, or None.
        path: The .html file.
        title: The headline; None means the scan's name.
        card: The card of the model.
        window: Grey values; None means lung to bone for HU, else most of the range.

    Raises:
        MissingPackageError: matplotlib or Pillow is not installed.
        VolumeError: The file cannot be written.
    """
    title = title or original.name or "Reconstruction"
    window = window or viewing_window(original)
    viewer = slice_stack(result, original, window) | {"unit": unit_of(original)}
    name = card.name if card else None
    figure = report_figure(result, original, scores, title=title, model=name, window=window, footer=False)
    text = _filled(
        {
            "title": joined(title),
            "lead": joined(_lead(result, original, name)),
            "disclaimer": joined(DISCLAIMER),
            "window": joined(f"grey values: {plain(window.low)} to {plain(window.high)} {unit_of(original)}"),
            "scores": scores_section(scores, scored_words(result, scores)) if scores else "",
            "facts": facts_section(result, original),
            "card": card_section(card) if card else "",
            "notes": notes_section((*original.notes, *result.notes, *(scores or {}).get("notes", ()))),
            "figure": _figure_tag(figure, title),
            "viewer": _safe_json(viewer),
        }
    )
    with report_file(Path(path)) as unfinished:
        unfinished.write_bytes(text.encode("utf-8", "backslashreplace"))
    return Path(path)


def _lead(result: Reconstruction, original: Volume, model: str | None) -> str:
    who = f"the model {model}" if model else "the model"
    return (
        f"Parts of this scan were hidden ({mask_sentence(result)}), and {who} predicted them from the rest. "
        f"{ERROR_MEANING}"
    )


def _filled(parts: dict[str, str]) -> str:
    """The template with its placeholders replaced in one pass, so that no text is taken for a placeholder."""
    pieces: Iterable[str] = (files("MAESILCore.report") / "page.html").read_text(encoding="utf-8").split("{{")
    first, *rest = pieces
    filled = [first]
    for piece in rest:
        name, _, after = piece.partition("}}")
        filled += [parts[name.strip()], after]
    return "".join(filled)


def _safe_json(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _figure_tag(figure: Figure, title: str) -> str:
    """The picture of the three planes as an inline JPEG."""
    image = require("PIL.Image", "The page of a reconstruction")
    png, jpeg = io.BytesIO(), io.BytesIO()
    write_png(figure, png)
    image.open(png).convert("RGB").save(jpeg, "JPEG", quality=_FIGURE_QUALITY, optimize=True)
    source = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
    alternative = (
        f"Axial, coronal and sagittal slices of {title}: original, masked, reconstruction and error."
    )
    return tag("img", src=source, alt=alternative, loading="lazy")
