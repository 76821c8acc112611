"""The pre-training job: its request and its folder, which is also the run folder. `pretrain` does the work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.wording import sentence
from MAESILCore.methods import METHODS
from MAESILCore.models.catalogue import place_of
from MAESILCore.options import check_device
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from MAESILCore.jobs.progress import Progress

#: The kind of job in `job.json`.
NAME = "pretraining"

#: Characters that a file name of Windows must not contain.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
#: Names that Windows reserves for devices, with any extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Most characters of a folder's name; Windows limits whole paths to 260.
_LONGEST = 60


@dataclass(frozen=True)
class PretrainingRequest:
    """The request of one pre-training: all that a process needs to start or resume it.

    No pydantic: 3D Slicer makes requests before MAESIL's packages are installed. The worker checks the recipe.

    Attributes:
        scans: absolute paths of scans, folders of scans, or one store.
        name: name of the run and of its model.
        method: name of the method; None is that of `config`, else the default.
        preset: named size of the method; None is that of `config`, else of the method's default recipe.
        steps: number of optimiser steps; None is that of `config`, else of the method's default recipe.
        device: auto, cpu, cuda, cuda:N or mps.
        processes: number of processes that share each step, one per GPU.
        initial: checkpoint or run folder with the initial weights; None draws them.
        config: further fields of the recipe.
    """

    scans: tuple[str, ...] = ()
    name: str = ""
    method: str | None = None
    preset: str | None = None
    steps: int | None = None
    device: str = "auto"
    processes: int = 1
    initial: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all that needs neither PyTorch nor the method.

        Raises:
            ConfigError: device, steps or processes are invalid, or the method is unknown.
        """
        check_device(self.device)
        if isinstance(self.processes, bool) or self.processes < 1:
            raise ConfigError(sentence("pretraining.processes", processes=self.processes))
        if self.steps is not None and (isinstance(self.steps, bool) or self.steps < 1):
            raise ConfigError(sentence("pretraining.steps", steps=self.steps))
        if self.method is not None and self.method not in METHODS:
            raise ConfigError(
                sentence("pretraining.method", method=self.method, methods=", ".join(sorted(METHODS)))
            )

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields of the recipe, for `load_config(None, ...)`."""
        named = {"name": self.name, "method": self.method, "preset": self.preset, "steps": self.steps}
        return {**self.config, **{key: value for key, value in named.items() if value}}

    @property
    def kind(self) -> str:
        """The kind of job in `job.json`."""
        return NAME

    @property
    def task(self) -> str:
        """The task that the run learns; "" for a pre-training."""
        return ""

    @property
    def content(self) -> dict[str, Any]:
        """The request for `job.json`."""
        return asdict(self)

    @classmethod
    def read(cls, folder: str | Path) -> PretrainingRequest:
        """Read the `job.json` of a run folder; runs of older versions have an empty request, or no file.

        Raises:
            ConfigError: the file is damaged, of a newer version, or of another kind of job.
        """
        job = JobFolder(folder)
        if not job.is_described:
            return cls()
        kind, content = job.description()
        if kind != NAME:
            raise ConfigError(sentence("pretraining.other-kind", folder=str(folder), kind=kind))
        return cls.of(content)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> PretrainingRequest:
        """The request in the content of a `job.json`.

        Raises:
            ConfigError: the content is damaged or of a newer version.
        """
        try:
            values = {**content, "scans": tuple(map(str, content.get("scans", ())))}
            unknown = set(values) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(**values)
        except (ValueError, TypeError) as error:
            message = (
                f"The run's description job.json cannot be used ({error}); update MAESIL, or start a new run."
            )
            raise ConfigError(message) from error

    def changed(
        self,
        steps: int | None,
        scans: Sequence[str | Path] | None,
        device: str | None = None,
        processes: int | None = None,
    ) -> PretrainingRequest:
        """The request with other steps, places of scans, device or processes; None and () change nothing.

        Raises:
            ConfigError: a scan is missing, or a value is invalid.
        """
        return replace(
            self,
            steps=self.steps if steps is None else steps,
            scans=absolute(scans) if scans else self.scans,
            device=device or self.device,
            processes=self.processes if processes is None else processes,
        )


def prepare_pretraining(
    root: str | Path,
    scans: Sequence[str | Path],
    *,
    name: str = "",
    method: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    device: str = "auto",
    processes: int = 1,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    initial: str | Path | None = None,
) -> Path:
    """Create the folder of a run with its request; `runs.resume` or a `JobProcess` starts it.

    Args:
        root: parent folder, created if missing.
        scans: scans, folders of scans, or one store.
        name: name of the run; its folder gets a similar, unique name. "" is made of method and preset.
        method: name of the method; None is that of the recipe, else the default.
        preset: named size of the method; None is that of the recipe.
        steps: number of optimiser steps; None is that of the recipe.
        device: auto, cpu, cuda, cuda:N or mps.
        processes: number of processes that share each step, one per GPU.
        recipe: YAML file or name of a bundled recipe; None is the default recipe of the method.
        overrides: fields that replace those of the recipe.
        initial: checkpoint, run folder or bundled name of the initial weights.

    Returns:
        The run folder.

    Raises:
        ConfigError: a scan is missing, a choice is invalid, or the folder cannot be written. No files remain.
        MissingPackageError: a recipe is given and pyyaml is not installed.
    """
    request = PretrainingRequest(
        scans=absolute(scans),
        name=name.strip() or "-".join(filter(None, (method or "maesil", preset))),
        method=method,
        preset=preset,
        steps=steps,
        device=device,
        processes=processes,
        initial=None if initial is None else absolute([place_of(initial)])[0],
        config={**_fields_of(recipe), **(overrides or {})},
    )
    try:
        folder = new_folder(Path(root).expanduser(), request.name)
        try:
            JobFolder(folder).describe(NAME, request.content)
        except BaseException:
            folder.rmdir()
            raise
    except OSError as error:
        raise ConfigError(message_of_os_error(error)) from error
    return folder


def absolute(places: Sequence[str | Path]) -> tuple[str, ...]:
    """The absolute paths of scans, so that a worker in another folder finds them.

    Raises:
        ConfigError: there is none, or one is missing.
    """
    if not places:
        raise ConfigError(sentence("pretraining.no-scans"))
    paths = [Path(place).expanduser() for place in places]
    for path in paths:
        if not path.exists():
            raise ConfigError(sentence("pretraining.scans-missing", path=str(path)))
    return tuple(os.path.abspath(path) for path in paths)


def safe_name(name: str) -> str:
    """A folder name that every file system accepts, made of any text."""
    plain = _FORBIDDEN.sub("-", displayable(name))[:_LONGEST].strip(" .-")
    return f"run-{plain}".rstrip("-") if not plain or _RESERVED.fullmatch(plain) else plain


def new_folder(root: Path, name: str) -> Path:
    """Create a folder of this name, with a number if there is one already."""
    root.mkdir(parents=True, exist_ok=True)
    plain = safe_name(name)
    for number in count(1):
        folder = root / (plain if number == 1 else f"{plain}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def _fields_of(recipe: str | Path | None) -> dict[str, Any]:
    if recipe is None:
        return {}
    from MAESILCore.training.config import read_recipe

    return read_recipe(recipe)


def _run(
    folder: JobFolder, request: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    asked = PretrainingRequest.of(request)
    if asked.processes > 1:
        from MAESILCore.jobs.ranks import work_together

        return work_together(folder, asked.processes, progress.emit, stopped)
    from MAESILCore.jobs.pretrain import work

    return work(folder, asked, progress.emit, stopped)


KIND = Kind("pre-training", _run)
