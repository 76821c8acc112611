"""Run a command and print what it took: time, processor time, and the most memory that all its processes held at once.

`python Testing/peak.py make lint`; the exit status is the command's.
"""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

#: Shortest time between two looks at the memory, in seconds, and its least multiple of the processor time of a look,
#: which is long for many large processes.
INTERVAL, PAUSE = 1.0, 50.0


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process holds; what several share counts once where the system says so (Linux), else for each."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:  # it has ended
        return 0
    return getattr(memory, "pss", memory.uss)


def main(command: list[str]) -> int:
    """Run the command to its end."""
    began, most = time.monotonic(), 0
    own = psutil.Process()
    with subprocess.Popen(command) as running:
        while running.poll() is None:
            look = time.process_time()
            most = max(most, sum(memory_of(process) for process in own.children(recursive=True)))
            try:
                running.wait(max(INTERVAL, PAUSE * (time.process_time() - look)))
            except subprocess.TimeoutExpired:
                continue
    # Of all children that were waited for, and theirs.
    processors = own.cpu_times().children_user + own.cpu_times().children_system
    taken = f"{time.monotonic() - began:.0f} s, {processors:.0f} s of processors"
    print(f"{taken}, at most {most / 2**30:.2f} GiB of memory")
    return running.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
