"""Whether there is a screen to open a browser on."""

from __future__ import annotations

import os
import sys


def has_screen() -> bool:
    """Without one, `webbrowser` would start a text browser in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
