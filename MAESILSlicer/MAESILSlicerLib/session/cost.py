"""What a training would cost, measured in the background before it is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from MAESILSlicerLib.session.runwords import UNTIL_STOPPED, sentence

if TYPE_CHECKING:
    from MAESILCore.jobs.trial import TrainingEstimate, Trial


@dataclass(frozen=True)
class Choice:
    """What the cost of a step depends on.

    Attributes:
        method: name of the method.
        preset: named size of the method.
        device: auto, cpu, cuda, cuda:N or mps.
        overrides: further fields of the recipe.
    """

    method: str
    preset: str | None
    device: str
    overrides: Mapping[str, Any] = field(default_factory=dict)


class Cost:
    """Measures one choice at a time, and remembers the last one. A face calls `poll` about once a second.

    Args:
        python: the interpreter that measures.
    """

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._trial: Trial | None = None
        self._choice: Choice | None = None
        self._result: TrainingEstimate | None = None
        self._problem = ""

    @property
    def isMeasuring(self) -> bool:
        """Whether a measurement is running."""
        return self._trial is not None

    def measure(self, choice: Choice) -> None:
        """Start a measurement of some steps, in place of a running one.

        Raises:
            MaesilError: a choice is invalid, or the measurement cannot be started.
        """
        from MAESILCore.jobs.trial import Trial

        self.close()
        self._choice, self._result, self._problem = choice, None, ""
        # Scans for validation do not matter, and there are none in a measurement.
        overrides = {name: value for name, value in choice.overrides.items() if name != "hold_out"}
        self._trial = Trial(choice.method, choice.preset, choice.device, overrides, self._python)

    def poll(self) -> bool:
        """Look for the end of the measurement; return whether it has ended since the last call."""
        if self._trial is None or not self._trial.poll():
            return False
        self._result, self._problem = self._trial.result, self._trial.problem
        self._trial = None
        return True

    def text(self, choice: Choice, steps: int) -> str:
        """One sentence about the cost of a training; "" if this choice was not measured."""
        if choice != self._choice:
            return ""
        if self._trial is not None:
            return sentence("runs.measuring")
        if self._result is None:
            return self._problem
        if steps >= UNTIL_STOPPED:
            step, memory = f"{self._result.seconds_per_step:.2g}", f"{self._result.bytes / 2**30:.1f}"
            return sentence("runs.open-cost", device=self._result.device, step=step, memory=memory)
        return self._result.text(steps)

    def close(self) -> None:
        """End a running measurement."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.close()
