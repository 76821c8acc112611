"""What is told when a job fails: one sentence each."""

from __future__ import annotations

import errno
import re
import signal
from pathlib import Path
from typing import IO, TypeGuard

from MAESILCore.errors import MaesilError, OutOfMemoryError

AGAIN = "then try again."
VANISHED = "The job's folder was removed while the job ran; start the reconstruction again."
KILLED = (
    "The process of the reconstruction was killed from outside; most often the memory of the computer ran out: "
    f"close other programs, or choose a smaller volume, {AGAIN}"
)
NO_PYTORCH = (
    "PyTorch is not installed in the Python that is to run the model; install it "
    f"(in 3D Slicer through the extension PyTorch), {AGAIN}"
)
_NO_MEMORY = f"The memory of the computer ran out; close other programs, or choose a smaller volume, {AGAIN}"
_NO_DEVICE_MEMORY = (
    "The memory of the device does not suffice for a single superpatch; close other programs that use it, "
    "or choose the CPU or a smaller model."
)
_BROKEN_PYTORCH = f"PyTorch is installed but cannot be loaded ({{reason}}); install it anew, {AGAIN}"
_MISSING_PACKAGE = (
    f"The package {{package}} is not installed in the Python that is to run the model; install it, {AGAIN}"
)
_UNEXPECTED = "MAESIL failed unexpectedly ({reason}); the log of the job says more."

#: Bytes of a log that are looked at and shown.
_TAIL = 8000

#: What the last lines of a log say, most telling first, and the sentence for it.
_KNOWN_LINES = (
    (re.compile(r"No module named '?torch\b"), NO_PYTORCH),
    (re.compile(r"No module named '?(?P<package>\w+)"), _MISSING_PACKAGE),
    (re.compile(r"(?P<reason>DLL load failed.*|.*cannot open shared object file.*)"), _BROKEN_PYTORCH),
    (re.compile(r"MemoryError|bad_alloc|Cannot allocate memory|out of memory", re.IGNORECASE), _NO_MEMORY),
    (re.compile(r"No space left on device"), f"The disk is full; free some space, {AGAIN}"),
)


def sentence_of(error: BaseException) -> str:
    """The sentence for what ended the work inside the worker."""
    if isinstance(error, OutOfMemoryError):
        return _NO_DEVICE_MEMORY
    if isinstance(error, MaesilError):
        # Its own advice, to choose another folder, is none for the folder of a job.
        return sentence_of_os_error(error.__cause__) if _is_full(error.__cause__) else str(error)
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return NO_PYTORCH if package == "torch" else _MISSING_PACKAGE.format(package=package)
    if isinstance(error, ImportError):
        return _BROKEN_PYTORCH.format(reason=_one_line(error))
    if isinstance(error, OSError):
        return sentence_of_os_error(error)
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        return _NO_DEVICE_MEMORY
    return _UNEXPECTED.format(reason=f"{type(error).__name__}: {_one_line(error)}")


def sentence_of_os_error(error: OSError) -> str:
    """The sentence for a file of the job that cannot be written or read."""
    if _is_full(error):
        return f"The disk that holds the job's folder is full; free some space, {AGAIN}"
    if isinstance(error, FileNotFoundError):
        return VANISHED
    reason = error.strerror or _one_line(error)
    return f"The job's files cannot be used ({reason}); check the folder for temporary files."


def sentence_of_exit(status: int, log: str) -> str:
    """The sentence for a worker that ended without a word.

    Args:
        status: its exit status; negative, or above 128 behind a launcher, for a signal.
        log: what it wrote to stderr.
    """
    killed = {-signal.SIGTERM, 128 + signal.SIGTERM}
    if hasattr(signal, "SIGKILL"):
        killed |= {-signal.SIGKILL, 128 + signal.SIGKILL}
    if status in killed:
        return KILLED
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern, sentence in _KNOWN_LINES:
        for line in reversed(lines[-30:]):
            found = pattern.search(line)
            if found:
                return sentence.format(
                    **{name: shortened(value) for name, value in found.groupdict().items()}
                )
    reason = shortened(lines[-1]) if lines else "it wrote no reason"
    return f"The process ended unexpectedly with status {status} ({reason})."


def _is_full(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def shortened(text: str, most: int = 200) -> str:
    """A line without the user's name, which a home folder tells, and not longer than fits a message."""
    text = text.replace(str(Path.home()), "~")
    return text if len(text) <= most else text[: most - 3] + "..."


def tail_of(log: IO[bytes]) -> str:
    """The end of a log as text, without the user's name."""
    log.seek(max(0, log.seek(0, 2) - _TAIL))
    return shortened(log.read().decode("utf-8", errors="replace"), 2 * _TAIL)


def _one_line(error: BaseException) -> str:
    return shortened(next(iter(str(error).splitlines()), "") or type(error).__name__)
