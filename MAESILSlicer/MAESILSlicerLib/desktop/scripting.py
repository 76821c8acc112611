"""Choices that come from a script: checked, with a sentence for each that does not fit."""

from __future__ import annotations

from typing import Any, get_type_hints

import slicer

from MAESILCore.errors import ConfigError
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode, MaskMode


def choose(parameters: MAESILSlicerParameterNode, *, mode: str, **choices: Any) -> None:  # noqa: ANN401
    """Write choices into a parameter node.

    Args:
        parameters: where to.
        mode: value of a `MaskMode`.
        choices: fields of the parameter node.

    Raises:
        ConfigError: a choice is unknown or outside of its range; those before it are kept.
    """
    modes = [member.value for member in MaskMode]
    if mode not in modes:
        message = f"There is no mask mode {mode!r}; choose one of {', '.join(modes)}."
        raise ConfigError(message)
    with slicer.util.NodeModify(parameters):
        parameters.mode = MaskMode(mode)
        for name, value in choices.items():
            try:
                parameters.setValue(name, value)
            except TypeError as error:
                message = f"{_shown(value)} cannot be used for {name}, which must be {_kindOf(name)}."
                raise ConfigError(message) from error
            except ValueError as error:
                message = f"{_shown(value)} cannot be used for {name}: {error}."
                raise ConfigError(message) from error


def _kindOf(name: str) -> str:
    """What a field of the parameter node holds, as one says it."""
    kind = get_type_hints(MAESILSlicerParameterNode)[name]
    return {int: "a whole number", float: "a number", str: "text"}.get(kind, f"a {kind.__name__}")


def _shown(value: object) -> str:
    return f'"{value.GetName()}"' if isinstance(value, slicer.vtkMRMLNode) else repr(value)
