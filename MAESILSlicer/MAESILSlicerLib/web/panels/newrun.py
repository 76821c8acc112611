"""The inputs of a new run in the section "Pre-train" of the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MAESILCore.errors import MaesilError
from MAESILCore.methods import BUILT_IN
from MAESILCore.methods.presets import preset_names
from MAESILCore.methods.wording import SUMMARIES
from MAESILSlicerLib.session.board import Board
from MAESILSlicerLib.session.cost import Choice, Cost
from MAESILSlicerLib.session.runwords import (
    INTENSITIES,
    SEPARATOR,
    UNTIL_STOPPED,
    USUAL_METHOD,
    freeName,
    overridesOf,
    sentence,
)
from MAESILSlicerLib.web.page import Page
from MAESILSlicerLib.web.panels.copiedrun import CopiedRun

_USUAL_PRESET = "small"
#: The built-in methods, the usual one first.
_METHODS = sorted(BUILT_IN, key=lambda name: (name != USUAL_METHOD, name))


class NewRun:
    """The inputs of a new run and the estimate of its cost; their state begins with `pretrain_`.

    Args:
        page: the shared objects of the page.
        data: folders of scans and stores.
        board: the runs, whose names are taken.
    """

    def __init__(self, page: Page, data: Sequence[Path], board: Board) -> None:
        self._page, self._board = page, board
        self._copied, self._cost = CopiedRun(list(data)), Cost()
        self._proposed = ""
        methods = [
            {"name": name, "presets": list(preset_names(name)), "summary": str(SUMMARIES[name])}
            for name in _METHODS
        ]
        page.state.update(
            {
                "pretrain_data": self._copied.titles(),
                "pretrain_place": 0,
                "pretrain_methods": methods,
                "pretrain_method": methods[0]["name"],
                "pretrain_preset": _USUAL_PRESET,
                "pretrain_intensities": [
                    {"title": title, "value": name} for name, title in INTENSITIES.items()
                ],
                "pretrain_intensity": next(iter(INTENSITIES)),
                "pretrain_hold_out": "",
                "pretrain_name": "",
                "pretrain_steps": 10_000,
                "pretrain_endless": False,
                "pretrain_copied": "",
                "pretrain_cost": "",
                "pretrain_measuring": False,
            }
        )

    def follow(self) -> None:
        """Follow the inputs from now on."""
        page = self._page
        page.state.change("pretrain_method", "pretrain_preset")(page.latest(self._onModel))
        page.state.change("pretrain_steps", "pretrain_endless", "device")(page.latest(self._showCost))

    def look(self) -> None:
        """Show a free name and the end of a measurement; called once a second."""
        self._propose()
        self._cost.poll()
        self._showCost()

    def measure(self) -> None:
        """Start a measurement of the cost.

        Raises:
            MaesilError: a choice is invalid, or the measurement cannot be started.
        """
        self._cost.measure(self._choice())

    def arguments(self) -> tuple[Sequence[str | Path], dict[str, Any]]:
        """The scans, and the other arguments of `Board.start`.

        Raises:
            MaesilError: no scans are chosen, or the number of steps is none.
        """
        state, place = self._page.state, self._page.state.pretrain_place
        places, method = self._copied.places(), str(state.pretrain_method)
        if not isinstance(place, int) or not 0 <= place < len(places):
            raise MaesilError("Choose the scans first.")
        further = self._copied.further(method)
        isEndless = bool(state.pretrain_endless)
        overrides = overridesOf(
            str(state.pretrain_hold_out or ""),
            isEndless,
            further.get("overrides"),
            str(state.pretrain_intensity or ""),
        )
        return places[place], {
            "name": str(state.pretrain_name).strip(),
            "method": method,
            "preset": str(state.pretrain_preset) or None,
            "steps": self._steps(),
            "device": str(state.device),
            **further,
            "overrides": overrides,
        }

    def copy(self, name: str, arguments: dict[str, Any]) -> None:
        """Fill the inputs with the choices of a run, as of `Board.duplicate`.

        Raises:
            MaesilError: the method of the run is not installed.
        """
        state = self._page.state
        method = next((one for one in state.pretrain_methods if one["name"] == arguments["method"]), None)
        if method is None:
            raise MaesilError(sentence("runs.no-method", method=arguments["method"]))
        self._copied.copy(name, arguments)
        state.pretrain_method = method["name"]
        if arguments["preset"] in method["presets"]:
            state.pretrain_preset = arguments["preset"]
        state.pretrain_place = self._copied.place()
        state.pretrain_hold_out = f"{SEPARATOR} ".join(arguments["overrides"].get("hold_out", ()))
        state.pretrain_intensity = arguments["overrides"].get("intensity", next(iter(INTENSITIES)))
        steps = arguments["steps"] or state.pretrain_steps
        state.pretrain_endless = steps >= UNTIL_STOPPED
        if not state.pretrain_endless:
            state.pretrain_steps = steps
        state.pretrain_name = freeName(name, "", [one.name for one in self._board.runs])
        self._showCopied()

    def forget(self) -> None:
        """Forget the choices of the copied run that the inputs do not show."""
        self._copied.forget()
        self._showCopied()

    def close(self) -> None:
        """End a measurement."""
        self._cost.close()

    def _onModel(self) -> None:
        self._fitPreset()
        self._propose()
        self._showCopied()
        self._showCost()

    def _fitPreset(self) -> None:
        """Choose the usual size where the method does not have the chosen one."""
        state = self._page.state
        presets = preset_names(str(state.pretrain_method))
        if state.pretrain_preset not in presets:
            state.pretrain_preset = _USUAL_PRESET if _USUAL_PRESET in presets else next(iter(presets), "")

    def _choice(self) -> Choice:
        state = self._page.state
        method, preset = str(state.pretrain_method), str(state.pretrain_preset) or None
        return Choice(method, preset, str(state.device), self._copied.further(method).get("overrides", {}))

    def _steps(self) -> int:
        state = self._page.state
        return UNTIL_STOPPED if state.pretrain_endless else wholeNumber(state.pretrain_steps)

    def _showCopied(self) -> None:
        state = self._page.state
        state.pretrain_copied = self._copied.text(str(state.pretrain_method))
        state.pretrain_data = self._copied.titles()
        if state.pretrain_place == len(state.pretrain_data) > 0:
            state.pretrain_place = 0

    def _showCost(self) -> None:
        state = self._page.state
        state.pretrain_measuring = self._cost.isMeasuring
        try:
            state.pretrain_cost = self._cost.text(self._choice(), self._steps())
        except MaesilError:
            # The start says what is wrong with the number of steps.
            state.pretrain_cost = ""

    def _propose(self) -> None:
        """Propose a free name, unless a person has typed one."""
        state = self._page.state
        if state.pretrain_name in ("", self._proposed):
            taken = [run.name for run in self._board.runs]
            self._proposed = freeName(str(state.pretrain_method), str(state.pretrain_preset or ""), taken)
            state.pretrain_name = self._proposed


def wholeNumber(number: object) -> int:
    """A number of steps from the page.

    Raises:
        MaesilError: it is none.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number != int(number):
        raise MaesilError("Give the number of steps as a whole number.")
    return int(number)
