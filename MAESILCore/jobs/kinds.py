"""The kinds of job: what `job.json` names, and what a worker does for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from MAESILCore.jobfolder import JobFolder
    from MAESILCore.jobs.progress import Progress

#: The group of entry points by which other packages add kinds; the name of an entry point is that of its kind.
GROUP = "maesil.jobs"

_BUILT_IN = {"reconstruction": "MAESILCore.jobs.reconstruction"}


class Kind(NamedTuple):
    """A kind of job.

    Attributes:
        noun: what sentences call such a job, such as "reconstruction".
        run: does the work. It is given the folder, the request from `job.json`, what takes its progress, and a function
            that says whether the work is to end, which it answers by raising `Cancelled`. It returns the closing
            sentence. It must import large packages only when it is called.
    """

    noun: str
    run: Callable[[JobFolder, Mapping[str, Any], Progress, Callable[[], bool]], str]


def kind_of(name: str) -> Kind:
    """The kind of this name: the attribute `KIND` of a built-in module, or an entry point of the group.

    Raises:
        ConfigError: there is none.
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
