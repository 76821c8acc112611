"""The runs of a folder for both faces: listed, started, stopped, resumed, copied and deleted."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from MAESILCore.errors import ConfigError
from MAESILCore.jobs import runs as library
from MAESILCore.jobs import wording as jobs
from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.pretraining import prepare_pretraining
from MAESILCore.jobs.runrequests import read_request
from MAESILCore.jobs.runs import Curves, Preview, RunsFolder, RunSummary
from MAESILCore.optional import require
from MAESILSlicerLib.session.signal import Signal


class Board:
    """The runs in one folder. Runs outlive the face; a face calls `refresh` about once a second.

    Works before PyTorch is installed: then a started run fails with the sentence that says what is missing.

    Args:
        python: the interpreter that runs the trainings.

    Attributes:
        changed: emits "runs" when the folder or one of its runs has changed.
        runs: the runs of the last `refresh`, newest first.
    """

    def __init__(self, python: str = sys.executable) -> None:
        self.changed = Signal("runs")
        self.runs: list[RunSummary] = []
        self._python = python
        self._folder: RunsFolder | None = None
        self._started: list[JobProcess] = []

    @property
    def root(self) -> Path | None:
        """The folder of the runs; None if none is open."""
        return None if self._folder is None else self._folder.root

    def open(self, root: str | Path | None) -> None:
        """Show the runs of this folder instead; it is created with its first run. None shows none."""
        self._folder = None if root is None else RunsFolder(Path(root).expanduser())
        self.runs = []
        self.changed.emit("runs")
        self.refresh()

    def refresh(self) -> list[RunSummary]:
        """The runs, newest first; reads only what has changed since the last call."""
        for job in self._started:
            # Writes the last event of a process that ended without one, such as one that could not import PyTorch.
            job.poll()
        self._release(job for job in self._started if job.is_over)
        starting = {job.folder.path: job for job in self._started}
        runs = [
            replace(run, state="running", message=starting[run.folder].message)
            # Its process has not taken the lock yet, or has not ended yet.
            if run.folder in starting and run.state != "running"
            else run
            for run in ([] if self._folder is None else self._folder.refresh())
        ]
        if runs != self.runs:
            self.runs = runs
            self.changed.emit("runs")
        return self.runs

    def summary(self, folder: Path) -> RunSummary | None:
        """The run in a folder, as of the last `refresh`; None if it is not listed."""
        return next((run for run in self.runs if run.folder == folder), None)

    def curves(self, folder: Path) -> Curves:
        """The curves of a run; the same object until something is added.

        Raises:
            ValueError: no folder is open.
        """
        return self._opened().curves(folder)

    def previews(self, folder: Path) -> list[Preview]:
        """The previews of a run, in the order of their steps."""
        return library.previews_of(folder)

    def start(self, scans: Sequence[str | Path], **choices: Any) -> Path:  # noqa: ANN401
        """Start a run in the background.

        Args:
            scans: scans, folders of scans, or one store.
            choices: other arguments of `MAESILCore.jobs.pretraining.prepare_pretraining`.

        Returns:
            The run folder.

        Raises:
            MaesilError: a choice is invalid, the folder cannot be written, or Python cannot be started.
            ValueError: no folder is open.
        """
        # Otherwise a folder would remain whose run cannot be started.
        require("psutil", "Running a job")
        folder = prepare_pretraining(self._opened().root, scans, **choices)
        self.resume(folder)
        return folder

    def resume(
        self, folder: Path, *, steps: int | None = None, scans: Sequence[str | Path] = ()
    ) -> JobProcess:
        """Start or resume the run in a folder; see `MAESILCore.jobs.runs.resume`.

        Raises:
            MaesilError: the run is running or complete, or Python cannot be started.
        """
        if any(job.folder.path == folder and not job.is_over for job in self._started):
            # Its process may not have taken the lock yet.
            raise ConfigError(jobs.sentence("run.running", name=read_request(folder).name))
        job = library.resume(folder, steps=steps, scans=scans, python=self._python)
        logging.info("MAESIL: a training was started in the background")
        self._started.append(job)
        self.refresh()
        return job

    def stop(self, folder: Path) -> bool:
        """Request the end of a run, wherever it runs; False if nothing runs.

        Raises:
            OSError: the folder cannot be written.
        """
        starting = [job for job in self._started if job.folder.path == folder and not job.is_over]
        for job in starting:
            # Its process may not have taken the lock yet.
            job.cancel()
        return library.stop(folder) or bool(starting)

    def duplicate(self, folder: Path) -> dict[str, Any]:
        """The choices of a run as arguments of `start`, with `scans`; see `MAESILCore.jobs.runs.duplicate`."""
        return library.duplicate(folder)

    def delete(self, folder: Path) -> None:
        """Delete a run with all its files.

        Raises:
            MaesilError: the run is running, or cannot be deleted.
        """
        library.delete(folder)
        self.refresh()

    def modelOf(self, folder: Path) -> Path | None:
        """The final model of a run, else its best checkpoint, else its newest; None if there is none."""
        return library.model_of_run(folder)

    def close(self) -> None:
        """Release the runs, which go on; the application's log says so."""
        going = [job for job in self._started if not job.is_over]
        if going:
            logging.info("MAESIL: trainings that go on in the background: %d", len(going))
        self._release(list(self._started))
        self._folder, self.runs = None, []

    def _opened(self) -> RunsFolder:
        if self._folder is None:
            raise ValueError("Open a folder of runs first.")
        return self._folder

    def _release(self, jobs: Any) -> None:  # noqa: ANN401 - an iterable of JobProcess
        for job in list(jobs):
            job.close()
            self._started.remove(job)
