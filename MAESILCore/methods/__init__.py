"""The published systems, one file each, found by name."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from MAESILCore.errors import ConfigError
from MAESILCore.methods.base import Method, MethodConfig, TransformerSize
from MAESILCore.methods.maesil import PRESETS, Maesil, MaesilConfig

__all__ = ["METHODS", "Method", "MethodConfig", "TransformerSize", "create"]

#: name -> (method, its configuration, its presets)
METHODS: dict[str, tuple[type[Maesil], type[MaesilConfig], dict[str, dict[str, object]]]] = {
    "maesil": (Maesil, MaesilConfig, PRESETS),
}


def create(name: str, config: dict[str, Any] | None = None, preset: str | None = None) -> Method:
    """Build a method with fresh weights.

    Args:
        name: a key of `METHODS`.
        config: fields of the method's configuration; they win over the preset's.
        preset: a named set of sizes.

    Raises:
        ConfigError: the method or preset is unknown, or a field does not fit.
    """
    if name not in METHODS:
        message = f"There is no method {name!r}; choose one of {', '.join(sorted(METHODS))}."
        raise ConfigError(message)
    method, config_type, presets = METHODS[name]
    if preset is not None and preset not in presets:
        message = f"Method {name!r} has no preset {preset!r}; choose one of {', '.join(presets)}."
        raise ConfigError(message)
    fields = {**(presets[preset] if preset else {}), **(config or {})}
    try:
        return method(config_type.model_validate(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        message = f"The configuration of {name!r} does not fit: {place + ': ' if place else ''}{reason}."
        raise ConfigError(message) from error
