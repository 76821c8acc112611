"""The estimated duration of a reconstruction in the module's window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modulehelp import FACTS, answerAtOnce
from volumes import addTestVolume

if TYPE_CHECKING:
    from hosting import Host


class FakeProbe:
    """Answers at the second question with a computer whose CPU was measured."""

    def __init__(self, *, measure: bool) -> None:
        from MAESILCore.machine.report import Device, DeviceReport

        assert measure
        self._reports = iter(
            (None, DeviceReport((Device("cpu", "Quick CPU", seconds_per_megavoxel=5000.0),), ""))
        )

    def poll(self) -> object:
        return next(self._reports)

    def close(self) -> None:
        self._reports = iter(())


def test_a_measured_computer_gives_an_estimate_for_each_choice_that_outlives_the_window(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MAESILCore.machine.report import Device
    from MAESILSlicerLib.desktop import estimate
    from MAESILSlicerLib.desktop.parameters import Prediction

    measure = estimate.Estimate.measure
    answerAtOnce(monkeypatch, FACTS)
    monkeypatch.setattr(estimate.Estimate, "measure", measure)
    monkeypatch.setattr(estimate, "DeviceProbe", FakeProbe)
    addTestVolume(host.scene)
    host.open()
    host.ui.systemSection.collapsed = False
    host.wait(lambda: "Quick CPU" in host.ui.estimateLabel.text, 30)
    covering = host.ui.estimateLabel.text
    assert covering.startswith("This takes ")
    host.widget.logic.getParameterNode().prediction = Prediction.SHOWN_MASK
    host.wait(lambda: host.ui.estimateLabel.text not in ("", covering), 10)
    host.widget.logic.getParameterNode().model = "no such model"
    host.wait(lambda: not host.ui.estimateLabel.isVisibleTo(host.window), 10)
    # Another window knows the speeds from the settings.
    from MAESILSlicerLib.desktop import settings

    known = estimate._devicesOf(settings.speeds())
    assert known == (Device("cpu", "Quick CPU", seconds_per_megavoxel=5000.0),)


@pytest.mark.parametrize("kept", ["", "no JSON", '{"id": 1}', '[{"unknown": 1}]'])
def test_speeds_of_another_version_are_ignored(kept: str) -> None:
    from MAESILSlicerLib.desktop.estimate import _devicesOf

    assert _devicesOf(kept) == ()
