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
SIZE = (1280, 900)
#: From where the volume is seen in 3D: right, anterior, superior.
DIRECTION_RAS = (0.75, 1.0, 0.45)
MOST_BYTES = 700_000


def openWindow(host: Host) -> None:
    """Open the module with its sample, as a person does."""
    host.window.resize(*SIZE)
    widget = host.open()
    host.wait(lambda: widget.window._system.report is not None, 120)
    host.click(host.ui.sampleButton)


def lookFromAside(host: Host) -> None:
    """Turn the 3D view so that three sides of the cubes are seen."""
    host.app.layoutManager().resetThreeDViews()
    camera = host.scene.GetFirstNodeByClass("vtkMRMLCameraNode").GetCamera()
    focus, distance = camera.GetFocalPoint(), 1.2 * camera.GetDistance()
    length = sum(part**2 for part in DIRECTION_RAS) ** 0.5
    camera.SetPosition(
        *(at + distance * part / length for at, part in zip(focus, DIRECTION_RAS, strict=True))
    )
    camera.SetViewUp(0, 0, 1)


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
        lookFromAside(host)
        save(host, "module-masks.png")
        reconstruct(host)
        # Room for the scores.
        host.ui.maskSection.collapsed = True
        save(host, "module-results.png")


if __name__ == "__main__":
    main()
