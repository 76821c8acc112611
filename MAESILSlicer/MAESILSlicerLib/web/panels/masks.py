"""The section of superpatches and masks: how the mask is drawn, and what of it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from MAESILCore.errors import MaesilError
from MAESILCore.report.shading import STAGE_COLOURS
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.results import comparison
from MAESILSlicerLib.session.choices import MODE_TITLES, MaskChoices
from MAESILSlicerLib.web.panels import regions, segments
from MAESILSlicerLib.web.views import COMPARISON

if TYPE_CHECKING:
    from MAESILSlicerLib.web.application import Application

_MODES = {**MODE_TITLES, regions.MODE: regions.TITLE, segments.MODE: segments.TITLE}

#: Shares of the way from left to right, back to front, bottom to top.
_FRONT = (0.3, 0.7, 0.6)
_LARGEST_SEED = 2**31 - 1


class MaskPanel:
    """Draws masks as the sliders say.

    Args:
        application: what the sections share.
    """

    def __init__(self, application: Application) -> None:
        self._app = application
        self._drawnMode = MaskChoices().mode
        self._wasRegion = False
        usual, display = MaskChoices(), OverlayDisplay()
        state = application.state
        state.update(
            {
                "modes": [
                    {"title": title, "value": value}
                    for value, title in {
                        **MODE_TITLES,
                        regions.MODE: regions.TITLE,
                        segments.MODE: segments.TITLE,
                    }.items()
                ],
                "mode": usual.mode,
                "ratio": usual.ratio,
                "plane_ratio": usual.planeRatio,
                "axis_ratio": usual.axisRatio,
                "block_size": usual.blockSize,
                "seed": usual.seed,
                "hidden_share": "",
                "stage_colors": list(STAGE_COLOURS.values()),
                "superpatches": [],
                "superpatch": -1,
                "show_grid": display.grid,
                "show_labels": display.labels,
                "show_mask2d": display.mask2d,
                # The comparison is about what lies beneath.
                "show_mask_compared": False,
                "show_mask3d": display.mask3d,
                "opacity": display.opacity,
                "clip": False,
            }
        )
        latest = application.latest
        drawn = ("mode", "ratio", "plane_ratio", "axis_ratio", "block_size", "seed")
        self._redraw = latest(self._draw)
        state.change(*drawn)(self._redraw)
        shown = (
            *("show_grid", "show_labels", "show_mask2d", "show_mask_compared", "show_mask3d"),
            *("opacity", "clip", "superpatch", "layout"),
        )
        state.change(*shown)(latest(self._display))
        application.server.trigger("choose_superpatch")(self.choose)

    @property
    def choices(self) -> MaskChoices:
        """How masks are drawn; while a region is hidden, as they were drawn before."""
        state = self._app.state
        if state.mode in MODE_TITLES:
            self._drawnMode = str(state.mode)
        return MaskChoices(
            mode=self._drawnMode,
            ratio=float(state.ratio),
            planeRatio=float(state.plane_ratio),
            axisRatio=float(state.axis_ratio),
            blockSize=int(state.block_size),
            seed=min(max(int(state.seed or 0), 0), _LARGEST_SEED),
        )

    def refresh(self) -> None:
        """Take over the grid of another volume."""
        state, session = self._app.state, self._app.session
        count = len(session.grid) if session.grid is not None else 0
        state.superpatches = [session.overlays.labelOf(index) for index in range(count)]
        # In 3D, all cubes together would hide the patient: one superpatch is taken out to begin with.
        first = self._frontSuperpatch()
        state.superpatch, state.clip = (-1, False) if first is None else (first, True)
        if session.choices == self.choices and state.mode in MODE_TITLES:
            # Drawn by the session when it took over the volume.
            self._tellShares()
        else:
            self._redraw()
        self._display()

    def _frontSuperpatch(self) -> int | None:
        """One between the middle of the volume and its upper corner in front, where 3D shows it well."""
        node, overlays = self._app.session.volumeNode, self._app.session.overlays
        bounds = [0.0] * 6
        if node is None or self._app.session.grid is None:
            return None
        node.GetRASBounds(bounds)
        ras = [
            bounds[2 * axis] + share * (bounds[2 * axis + 1] - bounds[2 * axis])
            for axis, share in enumerate(_FRONT)
        ]
        return overlays.superpatchAt(ras)

    def choose(self, index: int) -> None:
        """Outline a superpatch and bring it into the slices."""
        state, overlays = self._app.state, self._app.session.overlays
        if not isinstance(index, int) or not -1 <= index < len(state.superpatches):
            return
        with state:
            state.superpatch = index
        if index >= 0:
            comparison.jumpTo(self._app.scene, overlays.centerOf(index))

    def chooseAt(self, ras: tuple[float, float, float]) -> None:
        """Outline the superpatch at a point, in world RAS mm."""
        index = self._app.session.overlays.superpatchAt(ras)
        if index is not None:
            self.choose(index)

    def redraw(self) -> None:
        """Draw the mask again soon, once for all calls that come close together."""
        self._redraw()

    def _draw(self) -> None:
        if self._app.session.isRunning:
            # The very mask that is shown is being reconstructed.
            return
        choices = self.choices
        # The field shows the seed that is used.
        self._app.state.seed = choices.seed
        try:
            self._app.regions.showHandles()
            if self._app.regions.isChosen and self._app.session.grid is not None:
                self._app.regions.hide()
                self._app.regions.showHandles()
            elif self._app.segments.isChosen and self._app.session.grid is not None:
                self._app.segments.hide()
            else:
                self._app.session.setMask(choices)
        except MaesilError:
            # Nor may the mask before be taken for what the sliders say.
            self._app.session.clearMask()
            raise
        finally:
            self._tellShares()
            if self._wasRegion != self._app.session.isRegion:
                self._wasRegion = self._app.session.isRegion
                self._display()

    def _tellShares(self) -> None:
        """Write on the page how much is hidden."""
        state, mask = self._app.state, self._app.session.mask
        if mask is None:
            state.hidden_share = ""
            return
        state.hidden_share = f"{(mask.stages > 0).mean():.1%}"

    def _display(self) -> None:
        state, session = self._app.state, self._app.session
        if session.grid is None:
            return
        chosen = state.superpatch if state.superpatch >= 0 else None
        session.setDisplay(
            OverlayDisplay(
                grid=bool(state.show_grid),
                labels=bool(state.show_labels),
                mask2d=bool(state.show_mask_compared if state.layout == COMPARISON else state.show_mask2d),
                mask3d=bool(state.show_mask3d),
                opacity=float(state.opacity),
                # A region may lie in any superpatch, and all of it is what is asked about.
                clip=chosen if state.clip and not session.isRegion else None,
            )
        )
        session.overlays.setHighlight(chosen)
