"""The list of models: those that come with MAESIL, and checkpoints in folders that the server was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from MAESILCore.errors import CheckpointError
from MAESILCore.models.bundled import models_folder
from MAESILCore.wording import displayable
from MAESILSlicerLib.session.models import SUFFIX

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application

#: Nobody can read a longer list.
MOST_MODELS = 200


@dataclass(frozen=True)
class ListedModel:
    """A checkpoint that the page offers.

    Attributes:
        title: its file name without the ending, or its path below the named folder.
        path: the file.
    """

    title: str
    path: Path


def findModels(folders: Sequence[Path]) -> list[ListedModel]:
    """The bundled models, and the checkpoints in and below folders, each once."""
    found = [ListedModel(path.stem, path) for path in sorted(models_folder().glob(f"*{SUFFIX}"))]
    for folder in folders:
        for path in sorted(folder.rglob(f"*{SUFFIX}")):
            # A run keeps its last states; its model is the file that is meant to be used.
            if path.is_file() and path.parent.name != "checkpoints":
                title = path.relative_to(folder).with_suffix("").as_posix()
                found.append(ListedModel(displayable(title), path))
    return list({one.path.resolve(): one for one in reversed(found)}.values())[::-1][:MOST_MODELS]


class ModelPanel:
    """Lets the page choose among the listed models; a path cannot be given, so that nobody can look for files.

    Args:
        application: what the sections share.
        folders: in which checkpoints are offered.
    """

    def __init__(self, application: Application, folders: Sequence[Path]) -> None:
        self._app = application
        self._models = findModels(folders)
        current = application.session.model.path
        chosen = next(
            (n for n, one in enumerate(self._models) if one.path.resolve() == current.resolve()), None
        )
        if chosen is None:
            # The model that `maesil app --model` named.
            self._models.insert(0, ListedModel(displayable(current.stem), current))
            chosen = 0
        self._chosen = chosen
        application.state.models = [one.title for one in self._models]
        application.state.chosen_model = chosen
        self._tell()
        application.state.change("chosen_model")(application.latest(self._choose))

    def _choose(self) -> None:
        state, session = self._app.state, self._app.session
        wanted = state.chosen_model
        if wanted == self._chosen:
            return
        if session.isRunning or not isinstance(wanted, int) or not 0 <= wanted < len(self._models):
            state.chosen_model = self._chosen
            return
        before = session.model
        try:
            session.setModel(self._models[wanted].path)
        except CheckpointError as error:
            # Told here: the way back to the model before is a choice that succeeds, which clears its own errors.
            state.chosen_model = self._chosen
            self._app.notice.tellError(error, about=self)
            return
        self._app.notice.settled(self)
        self._chosen = wanted
        self._tell()
        sizes = (session.model.superpatchSize, session.model.patchSize)
        if sizes != (before.superpatchSize, before.patchSize):
            # The rows of the results are superpatches of another grid.
            self._app.results.forget()
        self._app.masks.refresh()

    def _tell(self) -> None:
        state, model = self._app.state, self._app.session.model
        state.model_card = model.text
        state.model_facts = ". ".join(model.text.splitlines()[:2])
