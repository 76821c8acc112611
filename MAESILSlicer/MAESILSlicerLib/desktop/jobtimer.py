"""Polls the running job several times a second."""

from __future__ import annotations

import qt

from MAESILSlicerLib.session.session import Session

INTERVAL_MS = 100


class JobTimer:
    """Polls a session while its job runs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)
        session.changed.connect(self._onSessionChanged, "job")

    def close(self) -> None:
        """Stop polling."""
        self._session.changed.disconnect(self._onSessionChanged)
        self._timer.stop()
        self._timer.disconnect("timeout()", self._poll)

    def _onSessionChanged(self, _topics: frozenset[str]) -> None:
        if self._session.isRunning and not self._timer.active:
            self._timer.start()
        elif not self._session.isRunning:
            self._timer.stop()

    def _poll(self) -> None:
        self._session.poll()
