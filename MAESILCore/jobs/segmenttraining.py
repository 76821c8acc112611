"""The segmentation training job: its request and its folder, which is also the run folder. Needs no PyTorch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore.downstream.segmentation.cases import Case, check_cases
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder import JobFolder
from MAESILCore.jobfolder.failures import message_of_os_error
from MAESILCore.jobs.kinds import Kind
from MAESILCore.jobs.pretraining import absolute, new_folder
from MAESILCore.jobs.wording import sentence
from MAESILCore.models.catalogue import place_of
from MAESILCore.options import check_device

if TYPE_CHECKING:
    from MAESILCore.jobfolder import EventCallback
    from MAESILCore.jobs.progress import Progress

#: The kind of job in `job.json`.
NAME = "segmentation-training"
#: What the table of runs shows as its method.
TASK = "segmentation"


@dataclass(frozen=True)
class SegmentTrainingRequest:
    """The request of one segmentation training: all that a process needs to start or resume it.

    No pydantic: 3D Slicer makes requests before MAESIL's packages are installed. The worker checks the recipe.

    Attributes:
        cases: the labelled cases.
        name: name of the run and of its model.
        encoder: checkpoint, run folder or bundled name of the pre-trained encoder; None trains one from scratch.
        steps: most optimiser steps; None is that of `config`, else the default.
        device: auto, cpu, cuda, cuda:N or mps.
        initial: run folder or checkpoint of an earlier segmentation training to go on from.
        config: further fields of the recipe.
    """

    cases: tuple[Case, ...] = ()
    name: str = ""
    encoder: str | None = None
    steps: int | None = None
    device: str = "auto"
    initial: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all that needs neither PyTorch nor the cases.

        Raises:
            ConfigError: device or steps are invalid.
        """
        check_device(self.device)
        if self.steps is not None and (isinstance(self.steps, bool) or self.steps < 1):
            raise ConfigError(sentence("pretraining.steps", steps=self.steps))

    @property
    def kind(self) -> str:
        """The kind of job in `job.json`."""
        return NAME

    @property
    def scans(self) -> tuple[str, ...]:
        """The scans of the cases."""
        return tuple(case.scan for case in self.cases)

    @property
    def task(self) -> str:
        """The task that the run learns."""
        return TASK

    @property
    def recipe(self) -> dict[str, Any]:
        """The fields of the recipe, for `load_segmentation_config(None, ...)`."""
        named = {"name": self.name, "encoder": self.encoder, "steps": self.steps}
        return {**self.config, **{key: value for key, value in named.items() if value}}

    @property
    def content(self) -> dict[str, Any]:
        """The request for `job.json`."""
        return {**asdict(self), "cases": [case.content for case in self.cases]}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> SegmentTrainingRequest:
        """The request in the content of a `job.json`.

        Raises:
            ConfigError: the content is damaged or of a newer version.
        """
        try:
            values = {**content, "cases": tuple(Case.of(one) for one in content.get("cases", ()))}
            unknown = set(values) - {one.name for one in fields(cls)}
            if unknown:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(sentence("pretraining.damaged", reason=str(error))) from error

    def changed(
        self,
        steps: int | None,
        scans: Sequence[str | Path] | None,
        device: str | None = None,
        processes: int | None = None,
    ) -> SegmentTrainingRequest:
        """The request with other steps or another device; None and () change nothing.

        Raises:
            ConfigError: scans or several processes are asked for, which a segmentation training does not take.
        """
        if scans:
            raise ConfigError(sentence("segmentation.no-scans"))
        if processes not in (None, 1):
            raise ConfigError(sentence("segmentation.one-process"))
        return replace(self, steps=self.steps if steps is None else steps, device=device or self.device)


def prepare_segmentation_training(
    root: str | Path,
    cases: Sequence[Case],
    *,
    name: str = "",
    encoder: str | Path | None = None,
    steps: int | None = None,
    device: str = "auto",
    initial: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Create the folder of a run with its request; `runs.resume` or a `JobProcess` starts it.

    Args:
        root: parent folder, created if missing.
        cases: the labelled cases, with absolute paths.
        name: name of the run; its folder gets a similar, unique name.
        encoder: checkpoint, run folder or bundled name of the pre-trained encoder; None trains one from scratch.
        steps: most optimiser steps; None is the default.
        device: auto, cpu, cuda, cuda:N or mps.
        initial: run folder or checkpoint of an earlier segmentation training to go on from.
        overrides: further fields of the recipe.

    Returns:
        The run folder.

    Raises:
        ConfigError: the cases do not fit, a file is missing, a choice is invalid, or the folder cannot be written. No
            files remain.
    """
    check_cases(cases)
    absolute([path for case in cases for path in (case.scan, case.labels)])
    request = SegmentTrainingRequest(
        cases=tuple(cases),
        name=name.strip() or "segmentation",
        encoder=None if encoder is None else absolute([place_of(encoder)])[0],
        steps=steps,
        device=device,
        initial=None if initial is None else absolute([initial])[0],
        config=dict(overrides or {}),
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


def work(
    folder: JobFolder, request: SegmentTrainingRequest, emit: EventCallback, stopped: Callable[[], bool]
) -> str:
    """Start or resume the run of a job, and take its steps.

    Args:
        folder: the job folder; its lock is held.
        request: the request in the folder.
        emit: writes the events of the run, also its last one.
        stopped: returns True if the training must stop.

    Returns:
        The closing sentence, for a run that has written no last event.

    Raises:
        Cancelled: the training was stopped; the newest checkpoint holds its state.
        MaesilError: the run cannot be started or resumed.
    """
    from MAESILCore.downstream.segmentation.config import load_segmentation_config
    from MAESILCore.downstream.segmentation.model import load_segmentation_model
    from MAESILCore.downstream.segmentation.run import SegmentationRun
    from MAESILCore.downstream.segmentation.trainer import train_segmentation

    run = SegmentationRun.prepared(folder, emit, request.content)
    if run.is_new:
        config = load_segmentation_config(None, request.recipe)
    else:
        config = run.segmentation_config({"steps": request.steps} if request.steps else None)
    initial = load_segmentation_model(request.initial) if request.initial else None
    model = train_segmentation(
        run, config, request.cases, device=request.device, cancelled=stopped, initial=initial
    )
    return sentence("segmentation.learned", model=model.name)


def _run(
    folder: JobFolder, content: Mapping[str, Any], progress: Progress, stopped: Callable[[], bool]
) -> str:
    return work(folder, SegmentTrainingRequest.of(content), progress.emit, stopped)


KIND = Kind("segmentation training", _run)
