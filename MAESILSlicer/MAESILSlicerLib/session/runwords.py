"""What the faces say of a training run: its state, its figures and its curves, as sentences by code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from MAESILCore.jobs.estimate import estimate_text
from MAESILCore.wording import Texts, displayable
from MAESILCore.wording import marked as _

if TYPE_CHECKING:
    from MAESILCore.jobs.runs import Curves, RunSummary

TEXTS = Texts(
    {
        "runs.prepared": _("Not started"),
        "runs.running": _("Running"),
        "runs.finished": _("Finished"),
        "runs.failed": _("Failed"),
        "runs.cancelled": _("Stopped"),
        "runs.dead": _("Broke off"),
        "runs.step": _("{step:,}"),
        "runs.total": _("of {total:,}"),
        "runs.psnr": _("{psnr:.1f} dB"),
        "runs.psnr-full": _("{psnr:.1f} dB, all"),
        "runs.score": _("{name} {value:.3g}"),
        "runs.left-moment": _("seconds left"),
        "runs.left-seconds": _("{count} s left"),
        "runs.left-minutes": _("{count} min left"),
        "runs.left-hours": _("{count} h left"),
        "runs.started": _("The run {name} has started. It goes on when 3D Slicer is closed."),
        "runs.started-page": _(
            "The run {name} has started. It goes on when the page and its server are closed."
        ),
        "runs.has-finished": _("The run {name} has finished."),
        "runs.has-cancelled": _("The run {name} has stopped; it can be resumed."),
        "runs.has-failed": _("The run {name} has failed: {reason}"),
        "runs.has-dead": _("The run {name} broke off; it can be resumed from its newest checkpoint."),
        "runs.measuring": _("Measuring some steps; this takes a moment."),
        "runs.open-cost": _("About {step} s per step on {device}, and {memory} GiB of memory."),
        "runs.stopping": _("The run {name} stops after its current step and saves a checkpoint."),
        "runs.resumed": _("The run {name} goes on."),
        "runs.deleted": _("The run {name} was deleted."),
        "runs.duplicated": _("The choices of {name} are above; change them, then start the new run."),
        "runs.no-method": _("The method {method} of this run is not installed."),
        "runs.its-scans": _("The scans of {name}"),
        "runs.copied": _("All other settings are those of {name}."),
        "runs.uses-model": _("Reconstructions now use the model of the run {name}."),
        "runs.previewed": _("{name}, step {step:,}: the scan, the model's input and its reconstruction."),
        "runs.previewed-whole": _(
            "{name}, step {step:,}: the scan, of which the model sees all, and its copy."
        ),
        "runs.features-use-model": _("Features now use the model of the run {name}; it gives no voxels."),
        "runs.empty": _("There are no runs in this folder yet."),
        "runs.none": _("Choose a run first."),
        "runs.is-running": _("The run is running; stop it first."),
        "runs.is-not-running": _("The run is not running."),
        "runs.too-few-steps": _("The run has taken {step:,} steps already; give a larger number to go on."),
        "runs.no-model": _("The run has no checkpoint yet."),
        "runs.no-curve": _("The run has no figures yet."),
        "runs.no-preview": _("The run has no previews yet."),
        "intensity.window": _("CT in HU"),
        "intensity.percentiles": _("MRI and others, by percentiles"),
        "intensity.z-score": _("MRI and others, by mean and deviation"),
        "curve.loss": _("Loss"),
        "curve.part": _("Loss: {name}"),
        "curve.learning-rate": _("Learning rate"),
        "curve.psnr-hidden": _("PSNR of hidden voxels (dB)"),
        "curve.psnr-full": _("PSNR of all voxels (dB)"),
        "curve.score": _("Validation: {name}"),
        "preview.step": _("Step {step:,}"),
    }
)
sentence = TEXTS.sentence

#: The steps of a run that goes on until it is stopped, and what its recipe then needs: a learning rate that stays.
UNTIL_STOPPED = 1_000_000
ENDLESS: Mapping[str, object] = {"cooldown": 0.0}

#: The method that new runs propose.
USUAL_METHOD = "maesil"

#: The intensities of a recipe by name, the usual one first.
INTENSITIES: Mapping[str, str] = TEXTS.titles("intensity")

#: Between several folders or patterns in one line.
SEPARATOR = ";"

#: The largest number of points of a drawn curve; more cannot be told apart.
MOST_POINTS = 2000

#: Most letters of a name that is made of structures.
_LONGEST = 40


class RunRow(NamedTuple):
    """A run as a row of a table; each cell is text for people, "" if it is unknown.

    Attributes:
        name: name of the run.
        model: method and preset.
        state: its state in words.
        left: the estimated time.
        step: the step.
        total: the last step; "" if there is none.
        loss: the latest loss.
        psnr: the latest score: a PSNR over hidden voxels or over all, or the rank of the features.
    """

    name: str
    model: str
    state: str
    left: str
    step: str
    total: str
    loss: str
    psnr: str

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Two texts per column, one above the other: in a narrow panel, eight columns would not fit."""
        return tuple(zip(self[::2], self[1::2], strict=True))


def rowOf(run: RunSummary) -> RunRow:
    """The cells of a run."""
    isOpen = not 0 < run.total < UNTIL_STOPPED
    hasEstimate = run.state == "running" and run.seconds_left is not None and not isOpen
    return RunRow(
        displayable(run.name),
        " ".join(filter(None, (run.method, run.preset))),
        sentence(f"runs.{run.state}"),
        leftOf(run.seconds_left) if hasEstimate else "",
        sentence("runs.step", step=run.step),
        "" if isOpen else sentence("runs.total", total=run.total),
        "" if run.loss is None else f"{run.loss:.3g}",
        _scoreOf(run),
    )


def _scoreOf(run: RunSummary) -> str:
    """The first score of the newest validation in few letters."""
    if run.score is None:
        return ""
    name, value = run.score
    if name == "psnr_hidden":
        return sentence("runs.psnr", psnr=value)
    if name == "psnr_full":
        return sentence("runs.psnr-full", psnr=value)
    return sentence("runs.score", name=name.removeprefix("feature_"), value=value)


def leftOf(seconds: float) -> str:
    """The estimated time in few letters."""
    usual = estimate_text(seconds)
    return sentence(usual.code.replace("duration.", "runs.left-"), **usual.parameters)


def freeName(method: str, preset: str, taken: Iterable[str]) -> str:
    """A name for a new run that no other run has, such as `maesil-small-2`."""
    base, names = "-".join(filter(None, (method, preset))), set(taken)
    if base not in names:
        return base
    return next(name for number in range(2, len(names) + 3) if (name := f"{base}-{number}") not in names)


def nameOfStructures(structures: Iterable[str], taken: Iterable[str]) -> str:
    """A name for a run that learns structures, made of theirs, such as `Lungs` or `Liver, Spleen-2`."""
    names = list(dict.fromkeys(name for name in structures if name))
    joined = ", ".join(names)
    return freeName(joined if 0 < len(joined) <= _LONGEST else "segmentation", "", taken)


def partsOf(text: str) -> list[str]:
    """The folders or patterns in a line."""
    return [part for part in map(str.strip, text.split(SEPARATOR)) if part]


def overridesOf(
    holdOut: str,
    isEndless: bool,
    copied: Mapping[str, object] | None = None,
    intensity: str = "",
) -> dict[str, object]:
    """The fields of the recipe that the inputs of a new run do not name.

    Args:
        holdOut: patterns of the scans for validation, in one line.
        isEndless: whether the run goes on until it is stopped.
        copied: the fields of the run whose choices were copied.
        intensity: a key of `INTENSITIES`; "" is the usual one.
    """
    # A run that is to end must not copy the constant learning rate of an endless one.
    fields = {name: value for name, value in (copied or {}).items() if ENDLESS.get(name) != value}
    for shown in ("hold_out", "intensity"):
        fields.pop(shown, None)
    patterns, isUsual = partsOf(holdOut), intensity in ("", next(iter(INTENSITIES)))
    fields |= {"hold_out": patterns} if patterns else {}
    fields |= {} if isUsual else {"intensity": intensity}
    return fields | (dict(ENDLESS) if isEndless else {})


def furtherOf(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of a duplicated run that the inputs of a new run do not show; {} if there are none.

    Args:
        arguments: those of `Board.duplicate`.
    """
    further = {"overrides": overridesOf("", False, arguments["overrides"])}
    further |= {name: arguments[name] for name in ("initial", "processes")}
    return further if further["overrides"] or further["initial"] or further["processes"] > 1 else {}


class Endings:
    """Notices the ends of runs.

    A face calls `of` with the runs after each change.
    """

    def __init__(self) -> None:
        self._running: set[Path] = set()

    def of(self, runs: Iterable[RunSummary]) -> tuple[str, bool] | None:
        """A sentence about a run that has ended since the last call, and whether it reports a failure."""
        ended = [run for run in runs if run.folder in self._running and run.state != "running"]
        self._running = {run.folder for run in runs if run.state == "running"}
        if not ended:
            return None
        run = ended[0]
        failed = run.state in ("failed", "dead")
        return sentence(f"runs.has-{run.state}", name=run.name, reason=run.message), failed


class Obstacles(NamedTuple):
    """Why an action cannot be applied to a run, by action; "" if it can."""

    stop: str
    resume: str
    useModel: str
    duplicate: str
    delete: str
    openFolder: str


def obstaclesOf(run: RunSummary | None, model: Path | None, steps: int) -> Obstacles:
    """What can be done with a run.

    Args:
        run: the chosen run; None if none is chosen.
        model: the run's newest model; None if there is none.
        steps: the step up to which the run is to be resumed; its total, which may be unknown and 0, changes nothing.
    """
    if run is None:
        return Obstacles(*[sentence("runs.none")] * len(Obstacles._fields))
    running = sentence("runs.is-running") if run.state == "running" else ""
    # A run that was interrupted after its last step has its model still to write.
    hasMore = steps > run.step or (run.state != "finished" and steps == run.total)
    tooFew = "" if hasMore else sentence("runs.too-few-steps", step=run.step)
    return Obstacles(
        stop="" if running else sentence("runs.is-not-running"),
        resume=running or tooFew,
        useModel="" if model is not None else sentence("runs.no-model"),
        duplicate="",
        delete=running,
        openFolder="",
    )


class Curve(NamedTuple):
    """A curve of a run.

    Attributes:
        key: identifies the curve among those of the run.
        title: name of the curve for people.
        points: step and value; values are finite.
        isLogarithmic: whether a logarithmic axis suits the values: all are above zero and none is a score, which is in
            dB or a share.
    """

    key: str
    title: str
    points: list[tuple[int, float]]
    isLogarithmic: bool


def curvesOf(curves: Curves) -> list[Curve]:
    """All curves of a run that have a point: the loss, the scores of the validation, the parts, the learning rate."""
    found = [_curve("loss", sentence("curve.loss"), curves.loss)]
    for name, values in curves.scores.items():
        code = "curve." + name.replace("_", "-")
        title = sentence(code) if code in TEXTS else sentence("curve.score", name=name)
        found.append(_curve(f"score {name}", title, values, isScore=True))
    for name, values in curves.parts.items():
        found.append(_curve(f"part {name}", sentence("curve.part", name=name), values))
    found.append(_curve("rate", sentence("curve.learning-rate"), curves.learning_rate))
    return [curve for curve in found if curve.points]


def _curve(key: str, title: str, points: Sequence[tuple[int, float]], isScore: bool = False) -> Curve:
    isLogarithmic = not isScore and all(value > 0 for _, value in points)
    return Curve(key, title, thinned(points), isLogarithmic)


def thinned(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """At most `most` points: means of equal numbers of neighbours, and the last point."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / (most - 1))
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    means = [(block[-1][0], math.fsum(value for _, value in block) / len(block)) for block in blocks]
    return [*means[:-1], points[-1]]
