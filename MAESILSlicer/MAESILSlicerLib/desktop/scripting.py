"""Validates choices from scripts."""

from __future__ import annotations

from typing import Any, get_type_hints

import slicer

from MAESILCore.errors import ConfigError
from MAESILCore.lattice import MaskStrategy
from MAESILSlicerLib.desktop.parameters import MAESILSlicerParameterNode, MaskMode

_DRAWN = MaskStrategy()

#: The choices that `choose` accepts beside the mode, with their defaults.
DEFAULTS: dict[str, Any] = {
    "inputVolume": None,
    "model": "",
    "ratio": _DRAWN.ratio,
    "planeRatio": _DRAWN.plane_ratio,
    "axisRatio": _DRAWN.axis_ratio,
    "blockSize": _DRAWN.block_size,
    "planeAxis": _DRAWN.plane_axis,
    "seed": 0,
    "roi": None,
    "segmentation": None,
    "segmentId": "",
}


def choose(parameters: MAESILSlicerParameterNode, *, mode: str, **choices: Any) -> None:  # noqa: ANN401
    """Write choices into a parameter node; omitted choices get their defaults.

    Args:
        parameters: the parameter node.
        mode: value of a `MaskMode`.
        choices: fields of the parameter node, named as in `DEFAULTS`.

    Raises:
        TypeError: the name of a choice is unknown.
        ConfigError: the value of a choice is unknown or out of range; earlier choices stay written.
    """
    unknown = set(choices) - set(DEFAULTS)
    if unknown:
        message = f"Unknown choice: {', '.join(sorted(unknown))}. Choices are mode, {', '.join(DEFAULTS)}."
        raise TypeError(message)
    modes = [member.value for member in MaskMode]
    if mode not in modes:
        message = f"Unknown mask mode {mode!r}; choose one of {', '.join(modes)}."
        raise ConfigError(message)
    with slicer.util.NodeModify(parameters):
        parameters.mode = MaskMode(mode)
        for name, value in (DEFAULTS | choices).items():
            write(parameters, name, value)


def write(parameters: MAESILSlicerParameterNode, name: str, value: Any) -> None:  # noqa: ANN401
    """Write one choice into a parameter node.

    Args:
        parameters: the parameter node.
        name: a field of it.
        value: its new value.

    Raises:
        ConfigError: the value is unknown or out of range.
    """
    try:
        parameters.setValue(name, value)
    except TypeError as error:
        message = f"{_shown(value)} cannot be used for {name}, which must be {_kindOf(name)}."
        raise ConfigError(message) from error
    except ValueError as error:
        message = f"{_shown(value)} cannot be used for {name}: {error}."
        raise ConfigError(message) from error


def _kindOf(name: str) -> str:
    """The value type of a field of the parameter node, in words."""
    kind = get_type_hints(MAESILSlicerParameterNode)[name]
    return {int: "a whole number", float: "a number", str: "text"}.get(kind, f"a {kind.__name__}")


def _shown(value: object) -> str:
    return f'"{value.GetName()}"' if isinstance(value, slicer.vtkMRMLNode) else repr(value)
