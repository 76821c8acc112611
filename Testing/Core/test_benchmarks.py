"""`make gpu` on a CPU, so that a lease of a GPU is not spent on its mistakes, and the methods in `make bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from MAESILCore.methods import METHODS
from Testing.Benchmarks import gpu, methods
from Testing.Benchmarks.counterparts import counterparts

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)  # dynamo
def test_the_speed_of_a_gpu_is_measured_on_a_cpu_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = torch.nn.Module.compile
    compiled = []

    def traced(module: torch.nn.Module, **options: object) -> None:
        """Trace as for the real compiler, which takes minutes on a CPU."""
        compiled.append(module)
        original(module, backend="aot_eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    monkeypatch.setenv("OUT", str(tmp_path / "figures"))
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu"])
    gpu.main()
    found = json.loads((tmp_path / "figures" / "gpu.json").read_text())
    assert compiled
    assert [(speed["preset"], speed["compiled"], speed["problem"]) for speed in found["speeds"]] == [
        ("tiny", False, ""),
        ("tiny", True, ""),
    ]
    for speed in found["speeds"]:
        assert 0 < speed["utilisation"] < 1
        rate = speed["superpatches_per_second"] * speed["flops"]
        assert speed["utilisation"] == pytest.approx(rate / found["peak"])
    text = (tmp_path / "figures" / "gpu.md").read_text()
    assert text.count("| tiny |") == 2
    assert "not measured" not in text


def test_crops_that_do_not_fit_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def timed(preset: str, compiles: bool, device: object, half: bool, plan: object, crops: int) -> gpu.Speed:
        tried.append(crops)
        if crops > 8:
            raise RuntimeError("CUDA out of memory.")
        return gpu.Speed(preset, compiles, crops, 1.0)

    monkeypatch.setattr(gpu, "_timed", timed)
    assert gpu._speed("base", False, torch.device("cpu"), True, gpu.GPU).crops == 8
    assert tried == [32, 16, 8]


def test_every_method_is_timed_beside_a_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_PRODUCT", 64)
    seconds = iter(range(1, 1000))
    monkeypatch.setattr(
        methods, "best_of", lambda contenders, *_: {name: next(seconds) for name in contenders}
    )
    rows = methods.method_rows(1, torch.device("cpu"), side=32)
    assert [what.split(",")[0] for what, *_ in rows if not what.startswith("  ")] == [
        "Matrix product 64^3",
        *(f"Step of {name}" for name in METHODS),
    ]
    for (what, measured, ratio), below in zip(rows[1:], [*rows[2:], ("Step",)], strict=True):
        assert "GFLOP" in measured
        if what.startswith("Step"):
            assert below[0].startswith("  "), "a method without a counterpart"
        else:
            assert ratio.endswith(" x as fast")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_counterpart_learns_with_about_the_same_work(name: str) -> None:
    torch.manual_seed(0)
    step = methods.step_of(name, "tiny", 32, torch.device("cpu"))
    for network in counterparts(step.method, 32, methods.SHARE).values():
        their = methods.TheirStep(network, step)
        first = float(their.loss().detach())
        for _ in range(4):
            last = their()
        assert last < first
        assert 0.5 < their.flops() / step.flops() < 1.5
