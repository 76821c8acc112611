"""Times as people say them."""

from __future__ import annotations

from slicer.i18n import tr as _


def durationText(seconds: float) -> str:
    """A time that is estimated anyway: 40 s, 12 min, 1.5 h."""
    if seconds < 100:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 100 * 60:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count} h").format(count=f"{seconds / 3600:.1f}")
