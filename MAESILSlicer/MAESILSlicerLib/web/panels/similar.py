"""Similar places on the page: a list with pictures, in the scan and in an index of the command line."""

from __future__ import annotations

import asyncio
import base64
import logging

from MAESILCore.downstream.search.index import Index
from MAESILCore.errors import MaesilError
from MAESILSlicerLib.session.features import ShownFeatures
from MAESILSlicerLib.session.similar import SimilarPlace, SimilarPlaces, pngOf
from MAESILSlicerLib.web.catalog import Entry
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.volume import VolumePanel
from MAESILSlicerLib.web.views import FOUR_UP

_POLL_SECONDS = 0.1
#: Heading of the scans of an index in the list of scans.
_GROUP = "Similar places"


class SimilarPanel:
    """Starts a search, lists what it finds, and goes to what is chosen; its state begins with `similar_`.

    Args:
        page: the shared objects of the page.
        shown: the features, with the picked point.
        volume: opens the scans of the index.
        index: an index to be searched, too; None for the shown scan alone.
    """

    def __init__(self, page: Page, shown: ShownFeatures, volume: VolumePanel, index: Index | None) -> None:
        self._page, self._volume, self._index = page, volume, index
        self._places = SimilarPlaces(page.session, shown)
        #: Entries of the catalog by the names of scans of the index.
        self._entries: dict[str, int] = {}
        self._listed: tuple[SimilarPlace, ...] = ()
        page.state.update(
            {
                "similar_places": [],
                "similar_hint": "",
                "similar_obstacle": self._places.obstacle,
                "similar_index": index.folder.name if index is not None else "",
                "similar_ask": -1,
            }
        )
        page.onTrigger("find_similar", self.start)
        page.onTrigger("go_to_similar", self.goTo)
        page.onTrigger("load_similar", self.load)

    def start(self) -> None:
        """Search for places like the picked point."""
        with self._page.state:
            try:
                self._places.start(self._index)
            except MaesilError as error:
                self._page.notice.showError(error)
            else:
                self._page.notice.clear()
            self.refresh()

    async def watch(self) -> None:
        """Take what a search finds while the page is served."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                if self._places.poll():
                    with self._page.state:
                        self.refresh()
            except Exception:
                # Catch everything, or no later search would be listed.
                logging.exception("MAESIL: similar places could not be listed")

    def refresh(self) -> None:
        """Show whether a search can be started, and what the last one has found."""
        state, places = self._page.state, self._places.places
        state.similar_obstacle = str(self._places.obstacle)
        state.similar_hint = str(self._places.hint)
        if places != self._listed:
            self._listed = places
            state.similar_ask = -1
            state.similar_places = [
                {
                    "title": place.name,
                    "similarity": f"{place.similarity:.3f}",
                    "picture": "" if place.picture is None else _address(place),
                }
                for place in places
            ]

    def goTo(self, number: int) -> None:
        """Show a place; one of a scan of the index that is not shown is asked for first."""
        place = self._placeOf(number)
        if place is None:
            return
        with self._page.state as state:
            state.similar_ask = -1
            node = self._page.session.volumeNode
            if place.scan is None and place.volumeNode is not node:
                self._page.notice.showError("Another scan is shown now; pick a point in it and search again.")
            elif place.scan is not None and self._entries.get(place.scan.name) != state.scan:
                state.similar_ask = number
            else:
                self._show(place)

    async def load(self, number: int) -> None:
        """Open the scan of a place of the index, and show the place there."""
        place = self._placeOf(number)
        if place is None or place.scan is None or self._index is None:
            return
        state, scan, index = self._page.state, place.scan, self._index
        if scan.name not in self._entries:
            catalog = self._volume.catalog
            entry = Entry(scan.name, _GROUP, lambda: index.read(scan), None)
            (self._entries[scan.name],) = catalog.add([entry])
        wanted = self._entries[scan.name]
        with state:
            state.similar_ask = -1
        await self._volume.opened(wanted)
        if state.scan == wanted:
            with state:
                self._show(place)

    def close(self) -> None:
        """End a running search."""
        self._places.close()

    def _placeOf(self, number: int) -> SimilarPlace | None:
        places = self._places.places
        return places[number] if isinstance(number, int) and 0 <= number < len(places) else None

    def _show(self, place: SimilarPlace) -> None:
        # The comparison does not show the mark.
        self._page.state.layout = FOUR_UP
        try:
            self._places.goTo(place, self._page.session.volumeNode)
        except MaesilError as error:
            self._page.notice.showError(error)


def _address(place: SimilarPlace) -> str:
    return "data:image/png;base64," + base64.b64encode(pngOf(place.picture)).decode("ascii")
