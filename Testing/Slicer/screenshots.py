"""Draws the pictures of the module's window for the README: the module itself, in the host that its tests use.

Run by `make screenshots`; it needs no screen and takes a few minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FOLDER = REPOSITORY / "Resources" / "Screenshots"
sys.path[:0] = [str(REPOSITORY / "MAESILSlicer"), str(HERE)]

from hosting import Host, makeApplication, opened  # noqa: E402

#: Columns and rows.
SIZE = (1280, 720)
MOST_BYTES = 700_000


def openWindow(host: Host) -> None:
    """Open the module with its sample, as a person does."""
    host.window.resize(*SIZE)
    widget = host.open()
    host.ui.systemSection.collapsed = False
    host.wait(lambda: widget.window.system.report is not None, 120)
    host.ui.systemSection.collapsed = True
    host.click(host.ui.sampleButton)


def reconstruct(host: Host) -> None:
    """Press the button and wait for the results."""
    host.click(host.ui.reconstructButton)
    session = host.widget.logic.session
    host.wait(lambda: not session.isRunning, 1800)
    if session.results is None:
        raise SystemExit(session.message)


def save(host: Host, name: str) -> None:
    """Write a picture of the window that is small enough for a repository."""
    path = host.grab(FOLDER / name)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES} bytes.")


def main() -> None:
    """Draw both pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, opened(makeApplication(), Path(folder)) as host:
        openWindow(host)
        save(host, "module-masks.png")
        reconstruct(host)
        # Room for the scores.
        host.ui.maskSection.collapsed = True
        host.scrollTo(host.ui.superpatchTable)
        save(host, "module-results.png")


if __name__ == "__main__":
    main()
