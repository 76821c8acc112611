"""Reports of a reconstruction for people: a picture, and a page to scroll through.

What draws them is loaded when it is first used: a GUI takes the words and colours from `summary` and `shading`, which
need no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from MAESILCore.report.figure import report_figure, write_report_png
    from MAESILCore.report.page import write_report_html

_HOME_OF = {"report_figure": "figure", "write_report_html": "page", "write_report_png": "figure"}

__all__ = ["report_figure", "write_report_html", "write_report_png"]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
