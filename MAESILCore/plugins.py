"""Objects by name: built-in ones, and those that other packages add as entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")


class Plugins(Mapping[str, T]):
    """A mapping of names to objects, which are imported when they are looked up.

    Args:
        group: group of the entry points; another package adds `name = "module:attribute"` to it.
        built_in: `module:attribute` by name; they take precedence.
    """

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        self._group = group
        self._built_in = {name: EntryPoint(name, place, group) for name, place in built_in.items()}

    def __getitem__(self, name: str) -> T:
        found: T = self._points()[name].load()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._points())

    def __len__(self) -> int:
        return len(self._points())

    def __contains__(self, name: object) -> bool:
        return name in self._points()

    def _points(self) -> dict[str, EntryPoint]:
        return _points_of(self._group, tuple(sys.path)) | self._built_in


@lru_cache
def _points_of(group: str, _path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """The entry points of the packages on a path; reading all their metadata takes milliseconds."""
    return {point.name: point for point in entry_points(group=group)}
