"""A signal with topics."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the topics of a change.
Listener = Callable[[frozenset[str]], None]


class Signal:
    """Calls listeners when one of their topics has changed.

    Args:
        topics: all topics of the signal.
    """

    def __init__(self, *topics: str) -> None:
        self.topics = frozenset(topics)
        self._listeners: list[tuple[Listener, frozenset[str]]] = []

    def connect(self, listener: Listener, *topics: str) -> None:
        """Call `listener` when one of these topics changes; without topics, when any does."""
        self._listeners.append((listener, self._known(topics) or self.topics))

    def disconnect(self, listener: Listener) -> None:
        """Undo `connect`; an unknown listener is ignored."""
        self._listeners = [entry for entry in self._listeners if entry[0] != listener]

    def emit(self, *topics: str) -> None:
        """Call the listeners of these topics, each once."""
        changed = self._known(topics)
        for entry in list(self._listeners):
            # An earlier listener may have disconnected this one.
            if entry in self._listeners and entry[1] & changed:
                entry[0](changed)

    def _known(self, topics: tuple[str, ...]) -> frozenset[str]:
        unknown = set(topics) - self.topics
        if unknown:
            raise ValueError(f"There is no topic {', '.join(sorted(unknown))}.")
        return frozenset(topics)
