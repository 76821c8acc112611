"""Options shared by several commands, and the mask strategy from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from MAESILCore.errors import ConfigError

if TYPE_CHECKING:
    from MAESILCore.lattice import MaskStrategy

Model = Annotated[
    str | None,
    typer.Option(help="Checkpoint file, run folder or name of a bundled model.", show_default="bundled"),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[int | None, typer.Option(help="Superpatches per pass.", show_default="by device")]
Seed = Annotated[int, typer.Option(help="Seed of the masks.")]
Series = Annotated[
    str | None, typer.Option(help="Number or UID of the DICOM series, for a folder with several.")
]
NoBrowser = Annotated[
    bool,
    typer.Option(
        "--no-browser", envvar="NO_BROWSER", help="Print the address of the page without opening it."
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(help="Mask mode: random, block, nested, product, plane or axis.", show_default="nested"),
]
Ratio = Annotated[
    float | None, typer.Option(help="Hidden share, for random, block, plane and axis.", show_default="0.75")
]
PlaneRatio = Annotated[
    float | None,
    typer.Option(help="Share hidden by the plane stage, for nested and product.", show_default="0.5"),
]
AxisRatio = Annotated[
    float | None,
    typer.Option(help="Share hidden by the axis stage, for nested and product.", show_default="0.5"),
]
BlockSize = Annotated[
    int | None, typer.Option(help="Edge of a block in patches, for block.", show_default="2")
]
PlaneAxis = Annotated[
    str | None,
    typer.Option(help="Axis normal to the planes and along the columns: k, j or i.", show_default="k"),
]

_MASK_OPTIONS = ("mode", "ratio", "plane_ratio", "axis_ratio", "block_size", "plane_axis")


def given_mask_options(context: typer.Context) -> dict[str, Any]:
    """The mask options on the command line, by the field names of `MaskStrategy`."""
    return {name: context.params[name] for name in _MASK_OPTIONS if context.params[name] is not None}


def strategy_of(options: dict[str, Any]) -> MaskStrategy | None:
    """The mask strategy of the given options; None without options.

    Raises:
        ConfigError: an option has no effect in this mode, or a value is invalid.
    """
    from MAESILCore.lattice import OPTIONS_OF, MaskStrategy

    if not options:
        return None
    strategy = MaskStrategy(**options)
    for name in options:
        if name != "mode" and name not in OPTIONS_OF[strategy.mode]:
            shares = [option for option in OPTIONS_OF[strategy.mode] if option != "plane_axis"]
            fitting = " and ".join(map(as_option, shares))
            raise ConfigError(f"{as_option(name)} has no effect in mode {strategy.mode}; use {fitting}.")
    return strategy


def as_option(name: str) -> str:
    """`plane_ratio` -> `--plane-ratio`."""
    return f"--{name.replace('_', '-')}"


def region_of(text: str | None) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """`i0:i1,j0:j1,k0:k1` as start and stop in (k, j, i).

    Raises:
        ConfigError: the text does not have this form.
    """
    if text is None:
        return None
    number = r"\s*(-?\d+)\s*"
    found = re.fullmatch(",".join([f"{number}:{number}"] * 3), text)
    if found is None:
        raise ConfigError(
            f"The region {text!r} is not of the form i0:i1,j0:j1,k0:k1, for example 100:160,80:140,20:60."
        )
    ends = [int(end) for end in found.groups()]
    return tuple(ends[4::-2]), tuple(ends[5::-2])
