"""The sections of the page as HTML; every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import SOFT_TISSUE
from MAESILCore.inference import Reconstruction
from MAESILCore.report.summary import (
    CONTROL_MEANINGS,
    Metric,
    Scores,
    best_control,
    control_name,
    facts,
    plain,
    shown_metrics,
    value_of,
)

if TYPE_CHECKING:
    from MAESILCore.models.checkpoint import Card

_TILES = 4
_DASH = "\N{EN DASH}"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def joined(*parts: str) -> Html:
    """The parts in a row, escaped unless they are markup."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def tag(name: str, *children: str, **attributes: str) -> Html:
    """An element; a trailing underscore of an attribute's name is dropped (`class_`)."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    if name == "img":
        return Html(f"<img{given}>")
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def scores_section(scores: Scores, scored: str = "") -> Html:
    """Tiles with the most telling scores, the table with the controls, and what each of them means.

    Args:
        scores: Those of a scan.
        scored: What they are of, where the pictures show something else.
    """
    metrics = shown_metrics(scores)
    if not metrics:
        return Html("")
    tiles = tag("div", *(_tile(scores, metric) for metric in metrics[:_TILES]), class_="tiles")
    meanings = [tag("dt", m.title) + tag("dd", f"{m.meaning}.") for m in metrics]
    known = [name for name in scores.get("controls", {}) if name in CONTROL_MEANINGS]
    meanings += [
        tag("dt", f"Control: {control_name(n)}") + tag("dd", f"{CONTROL_MEANINGS[n]}.") for n in known
    ]
    explained = tag(
        "details", tag("summary", "What these numbers mean"), tag("dl", *(Html(text) for text in meanings))
    )
    heading = tag("h2", "Scores", id="scores-heading")
    said = tag("p", f"{scored}.") if scored else Html("")
    inner = (heading, said, tiles, _table(scores, metrics), _soft_tissue(scores), explained)
    return tag("section", *inner, class_="card", **{"aria-labelledby": "scores-heading"})


def _soft_tissue(scores: Scores) -> Html:
    """The same table in the narrow window of the abdomen, folded away."""
    controls = {name: entry.get("soft_tissue", {}) for name, entry in scores.get("controls", {}).items()}
    narrow = {"model": scores["model"].get("soft_tissue", {}), "controls": controls}
    metrics = shown_metrics(narrow)
    if not metrics:
        return Html("")
    low, high = plain(SOFT_TISSUE.low), plain(SOFT_TISSUE.high)
    summary = tag("summary", f"The same in the soft-tissue window, {low} to {high} HU")
    return tag("details", summary, _table(narrow, metrics))


def _tile(scores: Scores, metric: Metric) -> Html:
    value, rival = value_of(scores["model"], metric), best_control(scores, metric)
    against = f"best control ({control_name(rival[0])}): {metric.text(rival[1])}" if rival else ""
    return tag(
        "div",
        tag("div", metric.title, class_="tile-name"),
        tag("div", metric.text(value) if value is not None else _DASH, class_="tile-value"),
        tag("div", against, class_="tile-rival"),
        class_="tile",
    )


def _table(scores: Scores, metrics: list[Metric]) -> Html:
    head = [tag("th", "", scope="col")]
    head += [tag("th", f"{m.title}{f', {m.unit}' if m.unit else ''}", scope="col") for m in metrics]
    rows = [("This model", scores["model"])]
    rows += [(f"Control: {control_name(name)}", entry) for name, entry in scores.get("controls", {}).items()]
    body = [_row(name, entry, metrics, rows, is_model=n == 0) for n, (name, entry) in enumerate(rows)]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag(
        "div", table, class_="scroll", tabindex="0", role="region", **{"aria-label": "Table of scores"}
    )


def _row(
    name: str,
    entry: Mapping[str, Any],
    metrics: list[Metric],
    rows: list[tuple[str, Mapping[str, Any]]],
    is_model: bool,
) -> Html:
    cells = [tag("th", name, scope="row")]
    for metric in metrics:
        value = value_of(entry, metric)
        rivals = [metric.shortfall(v) for _, row in rows if (v := value_of(row, metric)) is not None]
        is_best = value is not None and len(rivals) > 1 and metric.shortfall(value) <= min(rivals)
        text = f"{value:.{metric.digits}f}" if value is not None else _DASH
        cells.append(tag("td", tag("strong", text) if is_best else text))
    return tag("tr", *cells, **({"class_": "model"} if is_model else {}))


def facts_section(result: Reconstruction, original: Volume) -> Html:
    """Geometry and grid."""
    return _pairs_section("Scan and grid", facts(result, original))


def card_section(card: Card) -> Html:
    """What the model says about itself."""
    low, high = card.window
    pairs = [
        ("Name", card.name),
        ("Method", card.method),
        ("Window", f"{plain(low)} to {plain(high)} HU"),
        ("Trained with masks", ", ".join(f"{key} {value}" for key, value in card.mask.items())),
        ("Steps", f"{card.step:,}"),
        ("Trained on", card.data),
    ]
    return _pairs_section("Model", [(name, value) for name, value in pairs if value])


def notes_section(notes: Iterable[str]) -> Html:
    """What the reader has to know about this scan."""
    items = [tag("li", note) for note in dict.fromkeys(notes)]
    if not items:
        return Html("")
    return tag("section", tag("h2", "Worth knowing"), tag("ul", *items), class_="card")


def _pairs_section(title: str, pairs: list[tuple[str, str]]) -> Html:
    rows = [joined(tag("dt", name), tag("dd", value)) for name, value in pairs]
    return tag("section", tag("h2", title), tag("dl", *rows, class_="pairs"), class_="card")
