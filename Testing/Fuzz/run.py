"""Mutate small scans of every format, read each in a process of its own kind, and judge what came out.

    python Testing/Fuzz/run.py --count 10000 --seed 0
    python Testing/Fuzz/run.py --only 1234        # one case again, with what was done to it

Exit code 1 if any outcome is wrong. A case is a function of the seed and its number.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from judge import Outcome, what_is_wrong
from mutations import mutate
from seeds import SEEDS

#: Seconds that reading one file may take.
LONGEST = 10.0


def read_in_child(pipe: Connection) -> None:
    """Read each path that comes through a pipe, and send back what came out."""
    from MAESILCore.data.volume import read_volume
    from MAESILCore.errors import VolumeError

    # A warning on the screen is a fault, too.
    warnings.simplefilter("error")
    while path := pipe.recv():
        try:
            volume = read_volume(path)
            outcome = Outcome(volume.voxels, volume.ijk_to_ras, volume.notes)
        except VolumeError as error:
            outcome = Outcome(sentence=str(error))
        except BaseException as error:
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        pipe.send(outcome)


class Reader:
    """A child process that reads; it is replaced when a file ends or hangs it."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def read(self, path: Path) -> Outcome:
        """What the library makes of a file."""
        self._pipe.send(path)
        try:
            if self._pipe.poll(LONGEST):
                return self._pipe.recv()
            problem = f"it hangs for more than {LONGEST:g} s"
        except EOFError:
            self._process.join()
            problem = f"the process ended with exit code {self._process.exitcode}"
        self.close()
        self._start()
        return Outcome(error=problem)

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=read_in_child, args=(other,), daemon=True)
        self._process.start()
        other.close()


def run_case(number: int, seed: int, reader: Reader) -> tuple[str, str, Outcome, str]:
    """One case: the kind of file, what was done to it, what came out, and why that is wrong."""
    rng = np.random.default_rng([seed, number])
    kind = list(SEEDS)[number % len(SEEDS)]
    with tempfile.TemporaryDirectory(prefix="maesil-fuzz-") as folder:
        target = SEEDS[kind](Path(folder))
        done = mutate(target, rng)
        outcome = reader.read(target)
        return kind, done, outcome, what_is_wrong(kind, target, outcome)


def main() -> int:
    """Run the cases that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the single case to run")
    options = parser.parse_args()
    numbers = range(options.count) if options.only is None else [options.only]
    reader, counts, wrong, started = Reader(), Counter[str](), 0, time.monotonic()
    for number in numbers:
        kind, done, outcome, problem = run_case(number, options.seed, reader)
        wrong += bool(problem)
        counts["refused" if outcome.sentence else "with a note" if outcome.notes else "read"] += not problem
        if problem or options.only is not None:
            print(f"case {number}, {kind}, {done}: {problem or outcome.summary()}", flush=True)
    reader.close()
    summary = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{len(numbers)} mutated files, {wrong} wrong ({summary}) in {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
