"""The requests of all kinds of runs, so that runs are listed and resumed alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobs import pretraining, segmenttraining
from MAESILCore.jobs.wording import sentence


class RunRequest(Protocol):
    """What the table of runs and a resume need of a request."""

    @property
    def kind(self) -> str:
        """The kind of job in `job.json`."""

    @property
    def task(self) -> str:
        """The task that the run learns; "" for a pre-training."""

    @property
    def name(self) -> str:
        """Name of the run."""

    @property
    def scans(self) -> tuple[str, ...]:
        """Absolute paths of the scans."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields of the recipe that are asked for."""

    @property
    def content(self) -> dict[str, Any]:
        """The request for `job.json`."""

    def changed(
        self,
        steps: int | None,
        scans: Sequence[str | Path] | None,
        device: str | None = None,
        processes: int | None = None,
    ) -> RunRequest:
        """The request with other steps, places of scans, device or processes; None and () change nothing."""


#: The reader of the content of a `job.json`, by kind.
_READERS: Mapping[str, Callable[[Mapping[str, Any]], RunRequest]] = {
    pretraining.NAME: pretraining.PretrainingRequest.of,
    segmenttraining.NAME: segmenttraining.SegmentTrainingRequest.of,
}


def read_request(folder: str | Path) -> RunRequest:
    """Read the `job.json` of a run folder; runs of older versions have an empty request, or no file.

    Raises:
        ConfigError: the file is damaged, of a newer version, or of a job that is no run.
    """
    job = JobFolder(folder)
    if not job.is_described:
        return pretraining.PretrainingRequest()
    kind, content = job.description()
    if kind not in _READERS:
        raise ConfigError(sentence("pretraining.other-kind", folder=str(folder), kind=kind))
    return _READERS[kind](content)
