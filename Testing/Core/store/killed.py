"""Program of a test: `prepare` killed at every n-th change of a file, then run again.

Arguments: folder of scans, folder of a finished store, folder for the trials, n. Prints the number of kills and the
trials whose store differs. Forks after all imports, as a process per trial would take a second each.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conftest import tree
from MAESILCore.store.preparing import prepare


def in_fork(scans: Path, store: Path, last: int) -> bool:
    """Whether `prepare` in a child process was killed before its `last` change of a file; 0 for no kill."""
    child = os.fork()
    if child == 0:
        changes = 0

        def on_event(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal changes
            is_write = (
                event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wxa"))
            )
            if is_write or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
                changes += 1
                if changes == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(on_event)
        try:
            prepare([scans], store)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main() -> None:
    """Kill at changes n, 2 n, ... until `prepare` ends before."""
    scans, finished, folder, stride = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        int(sys.argv[4]),
    )
    import zarr.codecs  # noqa: F401 - before the forks

    expected, kills, wrong = tree(finished), 0, []
    for number in range(1, 10_000):
        store = folder / str(number)
        was_killed = in_fork(scans, store, number * stride)
        in_fork(scans, store, 0)
        found = tree(store)
        if found != expected:
            wrong.append((number * stride, sorted(set(found) ^ set(expected))))
        shutil.rmtree(store)
        if not was_killed:
            break
        kills += 1
    print(kills, wrong)


if __name__ == "__main__":
    main()
