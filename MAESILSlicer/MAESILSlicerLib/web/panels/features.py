"""The section of features: computes them, shows them over the slices, and asks where they agree with a point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from MAESILCore.errors import MaesilError
from MAESILCore.models.catalogue import list_models
from MAESILCore.wording import displayable
from MAESILSlicerLib.results.features import KIND
from MAESILSlicerLib.results.resultset import ResultSet
from MAESILSlicerLib.session.features import (
    COLOURS,
    LAYER_TITLES,
    NOTHING,
    SIMILARITY,
    FeatureDisplay,
    ShownFeatures,
)
from MAESILSlicerLib.session.models import ModelInfo, readFeatureModel
from MAESILSlicerLib.session.wording import sentence
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.models import MOST_MODELS
from MAESILSlicerLib.web.views import FOUR_UP


class FeaturesPanel:
    """Starts the computation, chooses what the slices show, and picks points; its state begins with `feature_`.

    As for reconstructions, the page chooses from a list and cannot send a path.

    Args:
        page: the shared objects of the page.
        folders: folders whose checkpoints are offered.
        onJob: called when a job has started.
    """

    def __init__(self, page: Page, folders: Sequence[Path], onJob: Callable[[], None]) -> None:
        self._page, self._onJob = page, onJob
        self._shown = ShownFeatures(page.session, page.latest(self._show))
        #: Called after the features or the point have changed.
        self.onShown: Callable[[], None] = lambda: None
        self._arrived: ResultSet | None = None
        self._model: ModelInfo | None = None
        #: Whether the mask was shown in slices and in 3D before features; None while they are not shown.
        self._hadMask: tuple[bool, bool] | None = None
        listed = [one for one in list_models(folders) if not one.no_features][:MOST_MODELS]
        self._titles, self._paths = [one.title for one in listed], [one.path for one in listed]
        display = FeatureDisplay()
        page.state.update(
            {
                "feature_models": [],
                "feature_model": 0,
                "feature_levels": [],
                "feature_level": 0,
                "feature_no_model": "",
                "feature_facts": "",
                "has_features": False,
                "feature_layers": [{"title": title, "value": name} for name, title in LAYER_TITLES.items()],
                "feature_layer": display.layer,
                "feature_opacity": display.opacity,
                "feature_threshold": display.threshold,
                "feature_picking": False,
                "feature_hint": self._shown.obstacle,
            }
        )
        self._showModel()
        page.state.change("feature_model")(page.latest(self._showModel))
        page.state.change("feature_layer", "feature_opacity", "feature_threshold")(page.latest(self._show))
        page.state.change("feature_picking")(page.latest(self._onPicking))
        self._onModelOfReconstruct, self._onSession = page.latest(self._showModel), page.latest(self._refresh)
        page.session.changed.connect(self._onModelOfReconstruct, "model")
        page.session.changed.connect(self._onSession, "volume", "results")
        page.onTrigger("compute_features", self.start)
        page.onTrigger("stop_picking", self.stopPicking)

    @property
    def shown(self) -> ShownFeatures:
        """The features and the picked point."""
        return self._shown

    @property
    def isPicking(self) -> bool:
        """Whether a click in a slice picks a point."""
        return bool(self._page.state.feature_picking)

    def start(self) -> None:
        """Start to compute the features of the scan."""
        state, page = self._page.state, self._page
        with state:
            try:
                if state.loading:
                    raise MaesilError("The scan is still being read; wait until it is shown.")
                if self._model is None:
                    raise MaesilError(state.feature_no_model)
                level = state.feature_level if state.feature_level in self._model.levels else -1
                page.session.startFeatures(str(self._model.path), level, str(state.device))
            except MaesilError as error:
                page.notice.showError(error)
                return
            page.notice.clear()
            self._onJob()

    def useModel(self, title: str, path: Path) -> None:
        """Offer a further model and choose it.

        Raises:
            MaesilError: the model cannot be read, or gives no features; the previous one stays.
        """
        readFeatureModel(path)
        if path not in self._paths:
            self._paths.append(path)
            self._titles.append(displayable(title))
        self._page.state.feature_model = 1 + self._paths.index(path)
        self._showModel()

    def pick(self, ras: tuple[float, float, float]) -> None:
        """Show where the features agree with those at a point (world RAS, mm), if points are being picked."""
        if not self.isPicking:
            return
        with self._page.state as state:
            try:
                self._shown.pick(ras)
            except MaesilError as error:
                self._page.notice.showError(error, about=self)
                return
            self._page.notice.settled(self)
            state.feature_layer = SIMILARITY
            self._show()

    def stopPicking(self) -> None:
        """Give clicks their usual meaning again."""
        with self._page.state as state:
            state.feature_picking = False
            self._show()

    def forget(self) -> None:
        """Remove the features, as after a change of the scan."""
        self._shown.forget()
        self._page.state.feature_picking = False
        self._show()

    def close(self) -> None:
        """Stop following the session."""
        self._page.session.changed.disconnect(self._onModelOfReconstruct)
        self._page.session.changed.disconnect(self._onSession)
        self._shown.close()

    def _showModel(self) -> None:
        state, session = self._page.state, self._page.session
        same = str(sentence("features.as-above", name=session.model.name))
        state.feature_models = [same, *self._titles]
        chosen = state.feature_model
        if not isinstance(chosen, int) or not 0 <= chosen <= len(self._paths):
            chosen = state.feature_model = 0
        try:
            model = readFeatureModel(self._paths[chosen - 1] if chosen else session.model.path)
        except MaesilError as error:
            self._model, state.feature_no_model, state.feature_facts = None, str(error), ""
            state.feature_levels = []
            return
        if self._model is None or model.path != self._model.path:
            # The deepest.
            state.feature_level = next(iter(model.levels))
        self._model, state.feature_no_model, state.feature_facts = model, "", str(model.lines[0])
        state.feature_levels = [
            {"title": str(title), "value": level} for level, title in model.levels.items()
        ]

    def _refresh(self) -> None:
        """Follow the volume and its features; those of a job that has just ended are shown."""
        made, state = self._page.session.made, self._page.state
        if made is not None and made is not self._arrived and made.kind is KIND:
            self._arrived = made
            # Users could not reach or delete older ones, which take much memory.
            self._shown.dropOlder()
            state.feature_layer, state.layout = COLOURS, FOUR_UP
        self._show()

    def _onPicking(self) -> None:
        state = self._page.state
        if state.feature_picking:
            # The comparison does not show features.
            state.layout = FOUR_UP
        self._show()

    def _show(self) -> None:
        state, shown = self._page.state, self._shown
        layer = str(state.feature_layer) if state.feature_layer in LAYER_TITLES else NOTHING
        shown.refresh(FeatureDisplay(layer, float(state.feature_opacity), float(state.feature_threshold)))
        state.has_features = shown.results is not None
        self._uncover(shown.results is not None and layer != NOTHING)
        state.feature_hint = str(shown.hint(bool(state.feature_picking)))
        self.onShown()

    def _uncover(self, isShown: bool) -> None:
        """Hide the mask while features are shown, because it covers them; the user may show it again."""
        state = self._page.state
        if isShown == (self._hadMask is not None):
            return
        if isShown:
            self._hadMask = bool(state.show_mask2d), bool(state.show_mask3d)
            state.show_mask2d = state.show_mask3d = False
        else:
            had, self._hadMask = self._hadMask, None
            state.show_mask2d, state.show_mask3d = state.show_mask2d or had[0], state.show_mask3d or had[1]
