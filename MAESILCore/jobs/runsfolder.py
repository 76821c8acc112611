"""The runs in and below a folder, started here or elsewhere. Needs neither PyTorch, nor pyyaml, nor pydantic."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MAESILCore.errors import MaesilError
from MAESILCore.jobfolder import ENDS, JobFolder, JobState
from MAESILCore.jobfolder.folder import CONFIG, EVENTS, JOB, LOCK, PREVIEWS
from MAESILCore.jobs.pretraining import PretrainingRequest
from MAESILCore.jobs.runrequests import RunRequest, read_request
from MAESILCore.jobs.runtail import Curves, CurveTail, Stamp, SummaryTail, stamp_of
from MAESILCore.jobs.wording import sentence
from MAESILCore.wording import displayable

#: Environment variable with the folder of the runs.
VARIABLE = "MAESIL_RUNS"

_FIELD = re.compile(r"^(method|preset): (\S+)\s*$", re.MULTILINE)
_PREVIEW = re.compile(r"step-(\d+)(\.png|\.nii\.gz)")


def runs_folder() -> Path:
    """The default folder of runs: the environment variable `MAESIL_RUNS`, else `~/MAESIL/runs`."""
    return Path(os.environ.get(VARIABLE) or "~/MAESIL/runs").expanduser()


@dataclass(frozen=True)
class RunSummary:
    """A row in the table of runs.

    Attributes:
        folder: the run folder.
        name: name of the run.
        method: name of the method, or the task of a run that learns one; "" if unknown.
        preset: named size of the method; "" if unknown.
        state: state of the job; `running` only while its process is alive.
        step: steps taken.
        total: steps requested; 0 if unknown.
        loss: loss of the newest step.
        psnr_hidden: hidden PSNR of the newest validation, dB.
        score: name and value of the first score of the newest validation.
        seconds_left: estimate for a running run.
        superpatches_per_second: speed of a running run.
        message: the newest sentence; after the end, the outcome.
        started: time of the first event, seconds since 1970.
        changed: time of the newest event, seconds since 1970.
    """

    folder: Path
    name: str
    method: str
    preset: str
    state: JobState
    step: int
    total: int
    loss: float | None
    psnr_hidden: float | None
    score: tuple[str, float] | None
    seconds_left: float | None
    superpatches_per_second: float | None
    message: str
    started: float | None
    changed: float | None


@dataclass(frozen=True)
class Preview:
    """A preview of a chosen scan.

    Attributes:
        step: the step after which it was made.
        png: the picture; None if there is none.
        nifti: the prediction as a volume; None if there is none.
        truth: the scan; None if there is none.
        hidden: the hidden voxels; None if there is none.
    """

    step: int
    png: Path | None
    nifti: Path | None
    truth: Path | None = None
    hidden: Path | None = None


class RunsFolder:
    """The runs directly below a folder, and the folder itself if it is a run.

    Args:
        root: the folder, which may not exist yet.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._runs: dict[Path, TrackedRun] = {}
        self._curves: dict[Path, CurveTail] = {}

    def refresh(self) -> list[RunSummary]:
        """The runs, newest first; only changed files are read. Other folders are skipped."""
        folders = _subfolders(self.root)
        self._runs = {folder: self._runs.get(folder) or TrackedRun(folder) for folder in folders}
        self._curves = {folder: tail for folder, tail in self._curves.items() if folder in self._runs}
        found = [summary for run in self._runs.values() if (summary := run.refresh()) is not None]
        return sorted(
            found, key=lambda run: (run.started or run.changed or float("inf"), run.name), reverse=True
        )

    def curves(self, folder: Path) -> Curves:
        """The curves of a run; the same object until something is added."""
        return self._curves.setdefault(folder, CurveTail(folder)).read()

    def previews(self, folder: Path) -> list[Preview]:
        """The previews of a run, in the order of their steps."""
        return previews_of(folder)


def previews_of(folder: Path) -> list[Preview]:
    """The previews of a run, in the order of their steps."""
    place = folder / PREVIEWS
    try:
        names = set(os.listdir(place))
    except OSError:
        return []
    found: dict[int, dict[str, Path]] = {}
    for name in names:
        match = _PREVIEW.fullmatch(name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = place / name
    truth, hidden = (place / name if name in names else None for name in ("truth.nii.gz", "hidden.nii.gz"))
    return [
        Preview(step, files.get(".png"), files.get(".nii.gz"), truth, hidden)
        for step, files in sorted(found.items())
    ]


def summary_of(folder: Path) -> RunSummary | None:
    """The summary of one run; None if the folder holds no run."""
    return TrackedRun(folder).refresh()


class TrackedRun:
    """One folder, which may be a run; `refresh` reads only what has changed.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tail = SummaryTail(folder)
        self._stamps: tuple[Stamp | None, ...] | None = None
        self._job_stamp: Stamp | None = None
        self._is_run = self._is_identified = False
        self._name = self._method = self._preset = ""
        self._steps = 0
        self._dead_lock: Stamp | None = None
        self._summary: RunSummary | None = None

    def refresh(self) -> RunSummary | None:
        """The summary; None if the folder holds no run."""
        job, lock = stamp_of(self._folder / JOB), stamp_of(self._folder / LOCK)
        # Before the events: a process that ends now has written its last event before it releases the lock.
        is_running = lock is not None and self._is_alive(lock)
        events = stamp_of(self._folder / EVENTS)
        stamps = (job, events, lock, Stamp(0, 0, 0) if is_running else None)
        if stamps == self._stamps:
            return self._summary
        self._stamps = stamps
        if not self._is_identified or job != self._job_stamp:
            self._identify(job, events)
        if not self._is_run:
            return None
        self._tail.read(events)
        self._summary = self._summarise(is_running, events or job)
        return self._summary

    def _is_alive(self, lock: Stamp) -> bool:
        """Whether the holder of the lock is alive. A dead one stays dead until the file changes."""
        if lock == self._dead_lock:
            return False
        is_alive = JobFolder(self._folder).lock.holder() is not None
        self._dead_lock = None if is_alive else lock
        return is_alive

    def _identify(self, job: Stamp | None, events: Stamp | None) -> None:
        """Find out whether this is a run, and its name, method and preset."""
        self._job_stamp, self._is_identified = job, True
        self._is_run, self._summary = False, None
        request: RunRequest = PretrainingRequest()
        try:
            if job is not None:
                request = read_request(self._folder)
            elif events is None or not (self._folder / CONFIG).is_file():
                self._is_identified = False
                return
        except MaesilError:
            # Another kind of job, or a damaged description, which a run of its own recipe may have lost.
            if not (self._folder / CONFIG).is_file():
                return
        written = dict(_FIELD.findall(_text(self._folder / CONFIG)))
        # A run that has just begun gets its recipe after its request.
        self._is_run, self._is_identified = True, bool(written)
        asked = request.recipe
        self._name = request.name or displayable(self._folder.name)
        self._method = request.task or written.get("method") or str(asked.get("method") or "maesil")
        preset = "" if request.task else written.get("preset") or str(asked.get("preset") or "")
        self._preset = "" if preset == "null" else preset
        self._steps = asked.get("steps") or 0

    def _summarise(self, is_running: bool, changed: Stamp | None) -> RunSummary:
        tail = self._tail
        state: JobState = "running"
        if not is_running:
            state = (
                "prepared"
                if tail.last is None
                else next((end for end in ENDS if tail.last.event == end), "dead")
            )
        scores = tail.scores
        # The process of a resumed run has not begun: what the last event says is over.
        is_starting = is_running and tail.last is not None and tail.last.event in ENDS
        message = sentence("run.dead") if state == "dead" else "" if is_starting else tail.message
        return RunSummary(
            folder=self._folder,
            name=self._name,
            method=self._method,
            preset=self._preset,
            state=state,
            step=tail.step,
            total=(is_starting and self._steps) or tail.total or self._steps,
            loss=tail.loss,
            psnr_hidden=scores.get("psnr_hidden"),
            score=next(iter(scores.items()), None),
            seconds_left=tail.seconds_left if is_running and not is_starting else None,
            superpatches_per_second=tail.speed if is_running and not is_starting else None,
            message=message,
            started=tail.started,
            changed=None if changed is None else changed.time / 1e9,
        )


def _subfolders(root: Path) -> list[Path]:
    """The folder itself, and its visible subfolders."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except OSError:
        return []
    return [root, *(root / name for name in sorted(names))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def describe(summary: RunSummary) -> dict[str, Any]:
    """A summary as plain values for JSON."""
    content = {name: getattr(summary, name) for name in RunSummary.__dataclass_fields__}
    return content | {"folder": str(summary.folder), "message": str(summary.message)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
