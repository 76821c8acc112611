"""The registry of methods, one file each. A look-up imports the method and PyTorch; nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from MAESILCore.errors import ConfigError
from MAESILCore.plugins import Plugins

if TYPE_CHECKING:
    from pydantic import ValidationError

    from MAESILCore.methods.base import Method, MethodConfig

__all__ = ["METHODS", "create"]

BUILT_IN = {
    "ae": "MAESILCore.methods.ae:Ae",
    "hi-end-mae": "MAESILCore.methods.hi_end_mae:HiEndMae",
    "jepa-vcr": "MAESILCore.methods.jepa_vcr:JepaVcr",
    "mae": "MAESILCore.methods.mae:Mae",
    "maesil": "MAESILCore.methods.maesil:Maesil",
    "sl-mae": "MAESILCore.methods.sl_mae:SlMae",
    "vae": "MAESILCore.methods.vae:Vae",
    "vq-vae": "MAESILCore.methods.vq_vae:VqVae",
}

#: All methods by name: built-in ones and those of installed packages. A look-up imports the method.
METHODS: Mapping[str, type[Method]] = Plugins("maesil.methods", BUILT_IN)


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
    return find(name)(configure(name, config, preset))


def configure(name: str, config: Mapping[str, Any] | None = None, preset: str | None = None) -> MethodConfig:
    """The configuration of a method; see `create`."""
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
        return method.config_type.model_validate(fields)
    except ValidationError as error:
        message = f"The configuration of {name!r} does not fit: {problems_in(error)}."
        raise ConfigError(message) from error


def problems_in(error: ValidationError) -> str:
    """The fields that do not fit and the reasons, in one clause."""
    problems = (
        (
            ".".join(map(str, one["loc"])),
            one["msg"].removeprefix("Value error, ").replace("Input should", "must", 1),
        )
        for one in error.errors()
    )
    return "; ".join(f"{place}: {reason}" if place else reason for place, reason in problems)
