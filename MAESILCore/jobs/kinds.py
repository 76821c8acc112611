"""The kinds of job: the names in `job.json` and their functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs.progress import Progress

#: Group of entry points through which other packages add kinds; an entry point has the name of its kind.
GROUP = "maesil.jobs"

_BUILT_IN = {"reconstruction": "MAESILCore.jobs.reconstruction"}


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


def kind_of(name: str) -> Kind:
    """The kind of a name: the attribute `KIND` of a built-in module, or an entry point of the group.

    Raises:
        ConfigError: the kind is unknown.
    """
    if name in _BUILT_IN:
        kind: Kind = import_module(_BUILT_IN[name]).KIND
        return kind
    for entry in entry_points(group=GROUP, name=name):
        found: Kind = entry.load()
        return found
    raise ConfigError(
        f"There is no kind of job {name!r}; install the package that brings it, or update MAESIL."
    )
