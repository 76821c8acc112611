"""The list of models: those that come with MAESIL, and checkpoints in folders that the server was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.models.bundled import models_folder
from MAESILCore.wording import displayable
from MAESILSlicerLib.session.models import SUFFIX
from MAESILSlicerLib.web.page import Page

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
        page: what the section works on.
        folders: in which checkpoints are offered.
        onModel: called when another model is in use, with whether superpatches or patches have another size.
    """

    def __init__(self, page: Page, folders: Sequence[Path], onModel: Callable[[bool], None]) -> None:
        self._page, self._onModel = page, onModel
        self._models = findModels(folders)
        current = page.session.model.path
        chosen = next(
            (n for n, one in enumerate(self._models) if one.path.resolve() == current.resolve()), None
        )
        if chosen is None:
            # The model that `maesil app --model` named.
            self._models.insert(0, ListedModel(displayable(current.stem), current))
            chosen = 0
        self._chosen = chosen
        page.state.models = [one.title for one in self._models]
        page.state.chosen_model = chosen
        self._tell()
        page.state.change("chosen_model")(page.latest(self._choose))

    def _choose(self) -> None:
        state, session = self._page.state, self._page.session
        wanted = state.chosen_model
        if wanted == self._chosen:
            return
        if session.isRunning or not isinstance(wanted, int) or not 0 <= wanted < len(self._models):
            state.chosen_model = self._chosen
            return
        before, choice = session.model, session.choices.model
        session.change(model=self._models[wanted].path)
        if "model" in session.problems:
            # Told here: the way back to the model before is a choice that succeeds, which clears its own errors.
            state.chosen_model = self._chosen
            self._page.notice.tellError(session.problems["model"], about=self)
            session.change(model=choice)
            return
        self._page.notice.settled(self)
        self._chosen = wanted
        self._tell()
        sizes = (session.model.superpatchSize, session.model.patchSize)
        self._onModel(sizes != (before.superpatchSize, before.patchSize))

    def _tell(self) -> None:
        state, model = self._page.state, self._page.session.model
        state.model_card = model.text
        state.model_facts = ". ".join(model.text.splitlines()[:2])
