"""Messages for failed jobs: one sentence each, with code and parameters for translation."""

from __future__ import annotations

import errno
import re
import signal
from pathlib import Path
from typing import Any, TypeGuard

from MAESILCore.errors import MaesilError, OutOfMemoryError
from MAESILCore.jobfolder.events import Event
from MAESILCore.wording import Sentence

#: English text of each code. `{job}` is the noun of the kind of job, such as "reconstruction".
TEXTS = {
    "cancelled": "Cancelled; nothing was kept.",
    "disk_full": "The disk is full; free some space, then try again.",
    "folder_disk_full": "The disk that holds the job's folder is full; free some space, then try again.",
    "folder_unusable": "The job's files cannot be used ({reason}); check the folder for temporary files.",
    "killed": (
        "The process of the {job} was killed from outside; most often the memory of the computer ran out: "
        "close other programs, or choose a smaller volume, then try again."
    ),
    "lost": "The process of the {job} ended without a word; its log may say why.",
    "no_memory": (
        "The memory of the computer ran out; close other programs, or choose a smaller volume, then try again."
    ),
    "no_device_memory": (
        "The memory of the device does not suffice for a single superpatch; close other programs that use it, "
        "or choose the CPU or a smaller model."
    ),
    "no_pytorch": (
        "PyTorch is not installed in the Python that is to run the model; install it "
        "(in 3D Slicer through the extension PyTorch), then try again."
    ),
    "no_package": (
        "The package {package} is not installed in the Python that is to run the model; install it, then try again."
    ),
    "broken_pytorch": "PyTorch is installed but cannot be loaded ({reason}); install it anew, then try again.",
    "unexpected": "MAESIL failed unexpectedly ({reason}); the log of the job says more.",
    "unexpected_end": "The process ended unexpectedly with status {status} ({reason}).",
    "vanished": "The job's folder was removed while the job ran; start the {job} again.",
}

#: Patterns for the last lines of a log, most specific first, and the codes of their messages.
_KNOWN_LINES = (
    (re.compile(r"No module named '?torch\b"), "no_pytorch"),
    (re.compile(r"No module named '?(?P<package>\w+)"), "no_package"),
    (re.compile(r"(?P<reason>DLL load failed.*|.*cannot open shared object file.*)"), "broken_pytorch"),
    (re.compile(r"MemoryError|bad_alloc|Cannot allocate memory|out of memory", re.IGNORECASE), "no_memory"),
    (re.compile(r"No space left on device"), "disk_full"),
)


def sentence(code: str, **parameters: Any) -> Sentence:  # noqa: ANN401 - what `format` takes
    """The sentence of a code, a key of `TEXTS`."""
    return Sentence(code, TEXTS[code], **parameters)


def event_saying(name: str, text: str, step: int = 0) -> Event:
    """An event with a message; one that is a `Sentence` keeps its code and parameters."""
    if isinstance(text, Sentence):
        return Event(name, text, step, code=text.code, parameters=text.parameters)
    return Event(name, text, step)


def text_of(event: Event) -> str:
    """The message of an event, as a `Sentence` if its code is known; other kinds of job may use other codes."""
    if event.code not in TEXTS:
        return event.message
    try:
        return sentence(event.code, **event.parameters)
    except KeyError:  # another version wrote the event
        return event.message


def message_of(error: BaseException, job: str = "job") -> str:
    """The message for an error that ended a job, raised in its process.

    Args:
        error: the error.
        job: noun for the job.
    """
    if isinstance(error, OutOfMemoryError):
        return sentence("no_device_memory")
    if isinstance(error, MaesilError):
        # The error advises another folder, which a job cannot choose.
        return sentence("folder_disk_full") if _is_full(error.__cause__) else str(error)
    if isinstance(error, MemoryError):
        return sentence("no_memory")
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return sentence("no_pytorch") if package == "torch" else sentence("no_package", package=package)
    if isinstance(error, ImportError):
        return sentence("broken_pytorch", reason=_one_line(error))
    if isinstance(error, OSError):
        return message_of_os_error(error, job)
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        return sentence("no_device_memory")
    return sentence("unexpected", reason=f"{type(error).__name__}: {_one_line(error)}")


def message_of_os_error(error: OSError, job: str) -> str:
    """The message for a file of the job that cannot be written or read."""
    if _is_full(error):
        return sentence("folder_disk_full")
    if isinstance(error, FileNotFoundError):
        return sentence("vanished", job=job)
    return sentence("folder_unusable", reason=error.strerror or _one_line(error))


def message_of_exit(status: int, log: str, job: str = "job") -> str:
    """The message for a process that ended without a last event.

    Args:
        status: its exit status; negative for a signal, or above 128 if a launcher returned it.
        log: its output.
        job: noun for the job.
    """
    killed = {-signal.SIGTERM, 128 + signal.SIGTERM}
    if hasattr(signal, "SIGKILL"):
        killed |= {-signal.SIGKILL, 128 + signal.SIGKILL}
    if status in killed:
        return sentence("killed", job=job)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern, code in _KNOWN_LINES:
        for line in reversed(lines[-30:]):
            found = pattern.search(line)
            if found:
                return sentence(code, **{name: shortened(value) for name, value in found.groupdict().items()})
    reason = shortened(lines[-1]) if lines else "it wrote no reason"
    return sentence("unexpected_end", status=status, reason=reason)


def shortened(text: str, most: int = 200) -> str:
    """A text of at most `most` characters, with the home folder, which names the user, as `~`."""
    text = text.replace(str(Path.home()), "~")
    return text if len(text) <= most else text[: most - 3] + "..."


def _is_full(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _one_line(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), "") or type(error).__name__)
