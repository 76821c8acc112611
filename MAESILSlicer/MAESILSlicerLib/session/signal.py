"""Tells listeners that something has changed, by topic."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the topics of a change.
Listener = Callable[[frozenset[str]], None]


class Signal:
    """Listeners, each of one or more topics.

    Args:
        topics: all that there are.
    """

    def __init__(self, *topics: str) -> None:
        self.topics = frozenset(topics)
        self._listeners: list[tuple[Listener, frozenset[str]]] = []

    def connect(self, listener: Listener, *topics: str) -> None:
        """Have `listener` called when one of some topics has changed; without topics, when any has."""
        self._listeners.append((listener, self._known(topics) or self.topics))

    def disconnect(self, listener: Listener) -> None:
        """Undo `connect`; a listener that is not connected is no error."""
        self._listeners = [entry for entry in self._listeners if entry[0] != listener]

    def emit(self, *topics: str) -> None:
        """Call the listeners of some topics, each once."""
        changed = self._known(topics)
        for entry in list(self._listeners):
            # A listener before it may have disconnected it.
            if entry in self._listeners and entry[1] & changed:
                entry[0](changed)

    def _known(self, topics: tuple[str, ...]) -> frozenset[str]:
        unknown = set(topics) - self.topics
        if unknown:
            raise ValueError(f"There is no topic {', '.join(sorted(unknown))}.")
        return frozenset(topics)
