"""The registry of methods, one file each. A look-up imports the method and PyTorch; nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from MAESILCore.methods.base import Method

__all__ = ["METHODS", "create"]

#: Other packages add methods under this group of entry points: `name = "module:Class"`.
GROUP = "maesil.methods"
BUILT_IN = {"maesil": "MAESILCore.methods.maesil:Maesil"}


class _Methods(Mapping[str, "type[Method]"]):
    """Method name -> class, imported lazily."""

    def __getitem__(self, name: str) -> type[Method]:
        module, _, attribute = self._places()[name].partition(":")
        found: type[Method] = getattr(import_module(module), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places())

    def __len__(self) -> int:
        return len(self._places())

    def __contains__(self, name: object) -> bool:
        return name in self._places()

    def _places(self) -> dict[str, str]:
        return {point.name: point.value for point in entry_points(group=GROUP)} | BUILT_IN


#: All methods by name: built-in ones and those of installed packages.
METHODS: Mapping[str, type[Method]] = _Methods()


def find(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        ConfigError: there is no method of this name.
    """
    if name not in METHODS:
        message = f"There is no method {name!r}; choose one of {', '.join(sorted(METHODS))}."
        raise ConfigError(message)
    return METHODS[name]


def create(name: str, config: Mapping[str, Any] | None = None, preset: str | None = None) -> Method:
    """Build a method with fresh weights.

    Args:
        name: a key of `METHODS`.
        config: fields of the method's configuration; they override the preset.
        preset: a named set of sizes.

    Raises:
        ConfigError: the method or preset is unknown, or a field does not fit.
    """
    from pydantic import ValidationError

    method = find(name)
    if preset is not None and preset not in method.presets:
        choice = (
            f"choose one of {', '.join(method.presets)}" if method.presets else "it has none: leave it out"
        )
        message = f"Method {name!r} has no preset {preset!r}; {choice}."
        raise ConfigError(message)
    fields = {**(method.presets[preset] if preset else {}), **(config or {})}
    try:
        return method(method.config_type.model_validate(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        message = f"The configuration of {name!r} does not fit: {place + ': ' if place else ''}{reason}."
        raise ConfigError(message) from error
