"""The section of superpatches and masks: the mask and its display."""

from __future__ import annotations

from dataclasses import replace

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILCore.report.shading import STAGE_COLOURS
from MAESILSlicerLib.overlays.overlays import OverlayDisplay
from MAESILSlicerLib.results import comparison
from MAESILSlicerLib.session.choices import LARGEST_SEED, MODE_TITLES, Nothing, Region, StudyChoices
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels import regions, segments
from MAESILSlicerLib.web.views import COMPARISON

#: Relative position from left to right, back to front, bottom to top.
_FRONT = (0.3, 0.7, 0.6)


class MaskPanel:
    """Applies the page's choices of mask and display to the session.

    Args:
        page: the shared objects of the page.
        region: the section of the box.
        segment: the section of the label map.
    """

    def __init__(self, page: Page, region: regions.RegionPanel, segment: segments.SegmentPanel) -> None:
        self._state, self._session = page.state, page.session
        self._region, self._segment = region, segment
        usual, display = MaskStrategy(), OverlayDisplay()
        state = page.state
        state.update(
            {
                "modes": [{"title": title, "value": value} for value, title in MODE_TITLES.items()],
                "mode": usual.mode,
                "ratio": usual.ratio,
                "plane_ratio": usual.plane_ratio,
                "axis_ratio": usual.axis_ratio,
                "block_size": usual.block_size,
                "seed": 0,
                "largest_seed": LARGEST_SEED,
                "hidden_share": "",
                "stage_colors": list(STAGE_COLOURS.values()),
                "superpatches": [],
                "superpatch": -1,
                "show_grid": display.grid,
                "show_labels": display.labels,
                "show_mask2d": display.mask2d,
                # The mask would cover the compared images.
                "show_mask_compared": False,
                "show_mask3d": display.mask3d,
                "opacity": display.opacity,
                "clip": False,
            }
        )
        self.redraw = page.latest(self.apply)
        state.change(
            *("mode", "ratio", "plane_ratio", "axis_ratio", "block_size", "seed"),
            *("show_grid", "show_labels", "show_mask2d", "show_mask_compared", "show_mask3d"),
            *("opacity", "clip", "superpatch", "layout"),
        )(self.redraw)
        page.session.changed.connect(self.redraw, "moved")
        page.onTrigger("choose_superpatch", self.choose)

    def refresh(self) -> None:
        """Use the grid of another volume."""
        state, session = self._state, self._session
        count = len(session.grid) if session.grid is not None else 0
        state.superpatches = [session.overlays.labelOf(index) for index in range(count)]
        # Show one superpatch in 3D by default, because all cubes together would cover the patient.
        first = self._frontSuperpatch()
        state.superpatch, state.clip = (-1, False) if first is None else (first, True)
        self._updateShares()
        self.redraw()

    def _frontSuperpatch(self) -> int | None:
        """A superpatch between the centre and the upper front corner, where 3D shows it well."""
        node, overlays = self._session.volumeNode, self._session.overlays
        bounds = [0.0] * 6
        if node is None or self._session.grid is None:
            return None
        node.GetRASBounds(bounds)
        ras = [
            bounds[2 * axis] + share * (bounds[2 * axis + 1] - bounds[2 * axis])
            for axis, share in enumerate(_FRONT)
        ]
        return overlays.superpatchAt(ras)

    def choose(self, index: int) -> None:
        """Outline a superpatch and jump to it in the slices."""
        state, overlays = self._state, self._session.overlays
        if not isinstance(index, int) or not -1 <= index < len(state.superpatches):
            return
        with state:
            state.superpatch = index
        if index >= 0:
            comparison.jumpTo(self._session.scene, overlays.centerOf(index))

    def chooseAt(self, ras: tuple[float, float, float]) -> None:
        """Outline the superpatch at a point (world RAS, mm)."""
        index = self._session.overlays.superpatchAt(ras)
        if index is not None:
            self.choose(index)

    def apply(self) -> None:
        """Apply the page's choices, except to a mask that is being reconstructed.

        Raises:
            MaesilError: the mask cannot be made; none is shown then.
        """
        session = self._session
        # Write the seed back, so that the field shows the used one.
        self._state.seed = min(max(int(self._state.seed or 0), 0), LARGEST_SEED)
        masked = session.choices if session.isRunning else self._masked(session.choices)
        self._region.showHandles()
        session.apply(self._displayed(masked))
        self._updateShares()
        if session.problem is not None:
            raise session.problem

    def _masked(self, choices: StudyChoices) -> StudyChoices:
        """The choices with the page's mask settings."""
        state, region = self._state, None
        if self._session.grid is not None and self._region.isChosen:
            region = self._region.choice()
        elif self._session.grid is not None and self._segment.isChosen:
            region = self._segment.choice()
        strategy = choices.strategy
        if region is None and not (self._region.isChosen or self._segment.isChosen):
            try:
                strategy = MaskStrategy(
                    str(state.mode),
                    float(state.ratio),
                    float(state.plane_ratio),
                    float(state.axis_ratio),
                    int(state.block_size),
                )
            except ConfigError as error:
                region = Nothing(str(error))
        return replace(choices, strategy=strategy, seed=int(state.seed), region=region)

    def _displayed(self, choices: StudyChoices) -> StudyChoices:
        """The choices with the page's display settings."""
        state = self._state
        chosen = state.superpatch if state.superpatch >= 0 else None
        display = OverlayDisplay(
            grid=bool(state.show_grid),
            labels=bool(state.show_labels),
            mask2d=bool(state.show_mask_compared if state.layout == COMPARISON else state.show_mask2d),
            mask3d=bool(state.show_mask3d),
            opacity=float(state.opacity),
            # A region may span several superpatches and must be shown whole.
            clip=chosen if state.clip and not isinstance(choices.region, Region) else None,
        )
        return replace(choices, display=display, superpatch=chosen)

    def _updateShares(self) -> None:
        """Show the hidden shares on the page."""
        state, mask = self._state, self._session.mask
        if mask is None:
            state.hidden_share = ""
            return
        state.hidden_share = f"{(mask.stages > 0).mean():.1%}"
