"""The kinds of job: the names in `job.json` and their functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from MAESILCore.errors import ConfigError
from MAESILCore.plugins import Plugins

if TYPE_CHECKING:
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs.progress import Progress


class Kind(NamedTuple):
    """A kind of job.

    Attributes:
        noun: noun for the job in sentences, such as "reconstruction".
        run: does the work and returns the closing sentence. Arguments: the folder, the request from `job.json`, the
            progress, and a function that returns True if `run` must raise `Cancelled`. Large packages must be imported
            inside it.
    """

    noun: str
    run: Callable[[JobFolder, Mapping[str, Any], Progress, Callable[[], bool]], str]


#: All kinds by name: built-in ones and those of installed packages.
KINDS: Mapping[str, Kind] = Plugins(
    "maesil.jobs",
    {
        "features": "MAESILCore.jobs.features:KIND",
        "pretraining": "MAESILCore.jobs.pretraining:KIND",
        "reconstruction": "MAESILCore.jobs.reconstruction:KIND",
        "segmentation": "MAESILCore.jobs.segmentation:KIND",
        "segmentation-training": "MAESILCore.jobs.segmenttraining:KIND",
        "trial": "MAESILCore.jobs.trial:KIND",
    },
)


def kind_of(name: str) -> Kind:
    """The kind of a name.

    Raises:
        ConfigError: the kind is unknown.
    """
    if name not in KINDS:
        raise ConfigError(
            f"There is no kind of job {name!r}; install the package that brings it, or update MAESIL."
        )
    return KINDS[name]
