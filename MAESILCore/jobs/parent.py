"""Whether the process that asked for the work still lives."""

from __future__ import annotations

import os
import sys

#: What the parent writes to stdin at first. Only after that does stdin's end mean that the parent is gone: a launcher
#: between the two may not pass its stdin on, and a person may start a worker in a terminal.
GREETING = b"maesil\n"

#: The environment variable that holds the parent's process id.
PARENT = "MAESIL_PARENT"

_SYNCHRONIZE = 0x00100000
_SIGNALLED = 0


class Parent:
    """The process at the other end; asked often, it never waits.

    Where there are launchers it is not this process's parent in the sense of the system.
    """

    def __init__(self) -> None:
        self._is_greeted, self._is_open = False, True
        self._handle = _handle_of_windows()

    def is_gone(self) -> bool:
        """Whether it is known to have ended."""
        if sys.platform == "win32":
            # Not by stdin: a read that waits in one thread makes the import of numpy in another hang (numpy#24290).
            import _winapi

            return self._handle is not None and _winapi.WaitForSingleObject(self._handle, 0) == _SIGNALLED
        return self._stdin_has_ended()

    def _stdin_has_ended(self) -> bool:
        import select

        if not self._is_open:
            return self._is_greeted
        try:
            if not select.select([0], [], [], 0)[0]:
                return False
            read = os.read(0, 64)
        except OSError:
            read = b""
        self._is_open = bool(read)
        self._is_greeted = self._is_greeted or read.startswith(GREETING)
        return not self._is_open and self._is_greeted


def _handle_of_windows() -> int | None:
    """A handle that tells when the parent ends, also if its process id is given to another process then."""
    if sys.platform == "win32":
        import _winapi

        try:
            return _winapi.OpenProcess(_SYNCHRONIZE, False, int(os.environ[PARENT]))
        except (KeyError, ValueError, OSError):
            return None
    return None
