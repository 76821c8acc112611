"""Messages for failed jobs: one sentence each, with code and parameters for translation."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any, TypeGuard

from MAESILCore.errors import MaesilError, OutOfMemoryError
from MAESILCore.files import FULL
from MAESILCore.wording import Sentence

#: English template of each code.
TEXTS = {
    "job.cancelled": "Cancelled; nothing was kept.",
    "job.disk-full": "The disk is full; free some space, then try again.",
    "job.folder-disk-full": "The disk that holds the job's folder is full; free some space, then try again.",
    "job.folder-unusable": "The job's files cannot be used ({reason}); check the folder for temporary files.",
    "job.killed": (
        "Another program or the system killed the job, most often because the computer ran out of memory; "
        "close other programs, or choose a smaller volume, then try again."
    ),
    "job.lost": "The job ended without a message; see its log.",
    "job.no-memory": (
        "The computer ran out of memory; close other programs, or choose a smaller volume, then try again."
    ),
    "job.no-device-memory": (
        "The device has too little memory for one superpatch; close other programs that use it, or choose the CPU or "
        "a smaller model."
    ),
    "job.no-pytorch": (
        "PyTorch is not installed in the Python that runs the model; install it "
        "(in 3D Slicer with the extension PyTorch), then try again."
    ),
    "job.no-package": (
        "The package {package} is not installed in the Python that runs the model; install it, then try again."
    ),
    "job.broken-pytorch": "PyTorch is installed but cannot be loaded ({reason}); reinstall it, then try again.",
    "job.unexpected": "MAESIL failed unexpectedly ({reason}); see the log of the job.",
    "job.unexpected-end": "The process ended unexpectedly with status {status} ({reason}).",
    "job.stopped": (
        "The job was stopped before it reached a point where it saves its work; what it had saved before remains."
    ),
    "job.vanished": "The job's folder was removed while the job ran; start the job again.",
}

#: Patterns for the last lines of a log, most specific first, and the codes of their messages.
_KNOWN_LINES = (
    (re.compile(r"No module named '?torch\b"), "job.no-pytorch"),
    (re.compile(r"No module named '?(?P<package>\w+)"), "job.no-package"),
    (re.compile(r"(?P<reason>DLL load failed.*|.*cannot open shared object file.*)"), "job.broken-pytorch"),
    (
        re.compile(r"MemoryError|bad_alloc|Cannot allocate memory|out of memory", re.IGNORECASE),
        "job.no-memory",
    ),
    (re.compile(r"No space left on device"), "job.disk-full"),
)


def sentence(code: str, **parameters: Any) -> Sentence:  # noqa: ANN401 - what `format` takes
    """The sentence of a code, a key of `TEXTS`."""
    return Sentence(code, TEXTS[code], **parameters)


def message_of(error: BaseException) -> str:
    """The message for an error that ended a job, raised in its process."""
    if isinstance(error, OutOfMemoryError):
        return sentence("job.no-device-memory")
    if isinstance(error, MaesilError):
        # The error advises another folder, which a job cannot choose.
        return sentence("job.folder-disk-full") if _is_full(error.__cause__) else str(error)
    if isinstance(error, MemoryError):
        return sentence("job.no-memory")
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return (
            sentence("job.no-pytorch") if package == "torch" else sentence("job.no-package", package=package)
        )
    if isinstance(error, ImportError):
        return sentence("job.broken-pytorch", reason=_one_line(error))
    if isinstance(error, OSError):
        return message_of_os_error(error)
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        return sentence("job.no-device-memory")
    return sentence("job.unexpected", reason=f"{type(error).__name__}: {_one_line(error)}")


def message_of_os_error(error: OSError) -> str:
    """The message for a file of the job that cannot be written or read."""
    if _is_full(error):
        return sentence("job.folder-disk-full")
    if isinstance(error, FileNotFoundError):
        return sentence("job.vanished")
    return sentence("job.folder-unusable", reason=error.strerror or _one_line(error))


def message_of_exit(status: int, log: str) -> str:
    """The message for a process that ended without a last event.

    Args:
        status: its exit status; negative for a signal, or above 128 if a launcher returned it.
        log: its output.
    """
    kills = [signal.SIGTERM, *([signal.SIGKILL] if hasattr(signal, "SIGKILL") else [])]
    if status in {-kill for kill in kills} | {128 + kill for kill in kills}:
        return sentence("job.killed")
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern, code in _KNOWN_LINES:
        found = next(filter(None, map(pattern.search, reversed(lines[-30:]))), None)
        if found:
            return sentence(code, **{name: shortened(value) for name, value in found.groupdict().items()})
    reason = shortened(lines[-1]) if lines else "its output is empty"
    return sentence("job.unexpected-end", status=status, reason=reason)


def shortened(text: str, most: int = 200) -> str:
    """A text of at most `most` characters, with the home folder, which names the user, as `~`."""
    text = text.replace(str(Path.home()), "~")
    return text if len(text) <= most else text[: most - 3] + "..."


def _is_full(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in FULL


def _one_line(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), "") or type(error).__name__)
