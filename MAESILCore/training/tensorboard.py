"""TensorBoard event files of a run, for `log: [tensorboard]`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from MAESILCore.jobfolder import Event
from MAESILCore.optional import require

#: The subfolder of a run.
FOLDER = "tensorboard"


class TensorBoardLog:
    """Writes the numbers of the events `step` and `validation`; other events are ignored.

    Each start of a run has its own file. It begins with a note for TensorBoard to drop what an earlier process wrote
    about later steps. The file names hold no name of the machine, unlike those of `SummaryWriter`.

    Args:
        run: the run folder.
        step: steps taken before this start.

    Raises:
        MissingPackageError: tensorboardX is not installed.
    """

    def __init__(self, run: Path, step: int) -> None:
        require("tensorboardX", "Logging for TensorBoard")
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import RecordWriter

        self._protocol, self._summary = event_pb2, summary_pb2
        folder = run / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        number = len(list(folder.iterdir()))
        self._writer = RecordWriter(str(folder / f"events.out.tfevents.{number:06d}.maesil"))
        self._write(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.SessionStatus.Value("START"))
        self._write(step=step + 1, session_log=start)

    def write(self, event: Event) -> None:
        """Write the numbers of an event."""
        if event.event not in ("step", "validation"):
            return
        numbers = [
            self._summary.Summary.Value(tag=f"{event.event}/{name}", simple_value=value)
            for name, value in _numbers(event.fields)
        ]
        self._write(step=event.step, summary=self._summary.Summary(value=numbers))

    def flush(self) -> None:
        """Wait until the disk has everything; call it with each checkpoint, so that a kill leaves no gap."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, **fields: Any) -> None:  # noqa: ANN401 - those of the protocol
        self._writer.write(self._protocol.Event(wall_time=time.time(), **fields).SerializeToString())


def _numbers(fields: Any, above: str = "") -> list[tuple[str, float]]:  # noqa: ANN401 - JSON
    """All numbers of nested fields, by name."""
    found: list[tuple[str, float]] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            found += _numbers(value, f"{above}{name}/")
        elif isinstance(value, int | float):
            found.append((f"{above}{name}", float(value)))
    return found
