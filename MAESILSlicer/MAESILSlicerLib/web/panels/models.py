"""The list of models: bundled ones, and checkpoints in the folders of `maesil app --models`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from MAESILCore.models.catalogue import ListedModel, list_models, resolve
from MAESILCore.wording import displayable
from MAESILSlicerLib.session.models import readModelInfo
from MAESILSlicerLib.web.page import Page

#: Maximum number of listed models; a longer list is unreadable.
MOST_MODELS = 200


class ModelPanel:
    """Lets the page choose a listed model, and shows why a model cannot reconstruct.

    The page cannot send a path, so that users cannot probe the server's files.

    Args:
        page: the shared objects of the page.
        folders: folders whose checkpoints are offered.
        onModel: called after a change of the model with whether its superpatch or patch size differs.
    """

    def __init__(self, page: Page, folders: Sequence[Path], onModel: Callable[[bool], None]) -> None:
        self._page, self._onModel = page, onModel
        listed = list_models(folders)
        self._models = [one for one in listed if not one.obstacle][:MOST_MODELS]
        page.state.models_left_out = [
            f"{one.title} is not offered: {one.obstacle}" for one in listed if one.obstacle
        ][:MOST_MODELS]
        current = page.session.model.path
        chosen = next(
            (n for n, one in enumerate(self._models) if resolve(one.path).resolve() == current.resolve()),
            None,
        )
        if chosen is None:
            # The model of `maesil app --model`.
            self._models.insert(0, ListedModel(displayable(current.stem), current))
            chosen = 0
        self._chosen = chosen
        page.state.models = [one.title for one in self._models]
        page.state.chosen_model = chosen
        self._showModel()
        page.state.change("chosen_model")(page.latest(self._choose))

    def use(self, title: str, path: Path) -> None:
        """Offer a further model and choose it.

        Raises:
            MaesilError: a job is running, or the model cannot be used; the previous model stays.
        """
        self._page.session.requireNoTask()
        readModelInfo(path)
        found = next((n for n, one in enumerate(self._models) if one.path == path), None)
        if found is None:
            found = len(self._models)
            self._models.append(ListedModel(displayable(title), path))
            self._page.state.models = [one.title for one in self._models]
        self._page.state.chosen_model = found
        # A run may have written its model anew.
        self._chosen = None
        self._choose()

    @property
    def window(self) -> tuple[float, float] | None:
        """The chosen window in HU; None is the model's own."""
        windows, chosen = list(self._page.session.model.windows), self._page.state.chosen_window
        return windows[chosen] if isinstance(chosen, int) and 0 < chosen < len(windows) else None

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
            # Shown here, because the return to the previous model succeeds and would clear its own error.
            state.chosen_model = self._chosen
            self._page.notice.showError(session.problems["model"], about=self)
            session.change(model=choice)
            return
        self._page.notice.settled(self)
        self._chosen = wanted
        self._showModel()
        sizes = (session.model.superpatchSize, session.model.patchSize)
        self._onModel(sizes != (before.superpatchSize, before.patchSize))

    def _showModel(self) -> None:
        state, model = self._page.state, self._page.session.model
        state.no_mask = self._page.session.noMask
        state.model_card = "\n".join(model.lines)
        state.model_facts = ". ".join(model.lines[:2])
        state.windows = list(model.windows.values())
        state.chosen_window = 0
