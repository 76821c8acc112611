"""What is said when a job fails: one sentence each, with a code and parameters so that a face can translate it."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from MAESILCore.errors import MaesilError, OutOfMemoryError

#: Code and English text of every sentence. `{job}` is what the kind calls its job, such as "reconstruction".
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

#: What the last lines of a log say, most telling first, and the code of the sentence for it.
_KNOWN_LINES = (
    (re.compile(r"No module named '?torch\b"), "no_pytorch"),
    (re.compile(r"No module named '?(?P<package>\w+)"), "no_package"),
    (re.compile(r"(?P<reason>DLL load failed.*|.*cannot open shared object file.*)"), "broken_pytorch"),
    (re.compile(r"MemoryError|bad_alloc|Cannot allocate memory|out of memory", re.IGNORECASE), "no_memory"),
    (re.compile(r"No space left on device"), "disk_full"),
)


@dataclass(frozen=True)
class Message:
    """A sentence that a face shows.

    Attributes:
        code: a key of `TEXTS`; "" for the sentence of an error that has no code.
        parameters: what the text is filled with.
        text: the sentence in English.
    """

    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        """Fill the text of the code."""
        if self.code:
            object.__setattr__(self, "text", TEXTS[self.code].format(**self.parameters))

    def __str__(self) -> str:
        return self.text


def message_of(error: BaseException, job: str = "job") -> Message:
    """The sentence for an error that ended a job, raised in its process.

    Args:
        error: any.
        job: what the kind calls the job.
    """
    if isinstance(error, OutOfMemoryError):
        return Message("no_device_memory")
    if isinstance(error, MaesilError):
        # Its own advice, to choose another folder, does not help with the folder of a job.
        return Message("folder_disk_full") if _is_full(error.__cause__) else Message("", text=str(error))
    if isinstance(error, MemoryError):
        return Message("no_memory")
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return Message("no_pytorch") if package == "torch" else Message("no_package", {"package": package})
    if isinstance(error, ImportError):
        return Message("broken_pytorch", {"reason": _one_line(error)})
    if isinstance(error, OSError):
        return message_of_os_error(error, job)
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        return Message("no_device_memory")
    return Message("unexpected", {"reason": f"{type(error).__name__}: {_one_line(error)}"})


def message_of_os_error(error: OSError, job: str) -> Message:
    """The sentence for a file of the job that cannot be written or read."""
    if _is_full(error):
        return Message("folder_disk_full")
    if isinstance(error, FileNotFoundError):
        return Message("vanished", {"job": job})
    return Message("folder_unusable", {"reason": error.strerror or _one_line(error)})


def message_of_exit(status: int, log: str, job: str = "job") -> Message:
    """The sentence for a process that ended without a word.

    Args:
        status: its exit status; negative, or above 128 behind a launcher, for a signal.
        log: what it printed.
        job: what the kind calls the job.
    """
    killed = {-signal.SIGTERM, 128 + signal.SIGTERM}
    if hasattr(signal, "SIGKILL"):
        killed |= {-signal.SIGKILL, 128 + signal.SIGKILL}
    if status in killed:
        return Message("killed", {"job": job})
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern, code in _KNOWN_LINES:
        for line in reversed(lines[-30:]):
            found = pattern.search(line)
            if found:
                return Message(code, {name: shortened(value) for name, value in found.groupdict().items()})
    reason = shortened(lines[-1]) if lines else "it wrote no reason"
    return Message("unexpected_end", {"status": status, "reason": reason})


def shortened(text: str, most: int = 200) -> str:
    """A line without the user's name, which a home folder tells, and not longer than fits a message."""
    text = text.replace(str(Path.home()), "~")
    return text if len(text) <= most else text[: most - 3] + "..."


def _is_full(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _one_line(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), "") or type(error).__name__)
