"""Devices: the one that is there is found, the one that is not is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from MAESILCore import devices
from MAESILCore.devices import pick_device, pick_precision
from MAESILCore.errors import ConfigError


@pytest.fixture
def a_mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that says that it has the GPU of a Mac."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    devices.mps_obstacle.cache_clear()
    yield
    devices.mps_obstacle.cache_clear()


def test_auto_prefers_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert pick_device() == torch.device("cuda", 0)


def test_auto_without_a_gpu_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == torch.device("cpu")


@pytest.mark.usefixtures("a_mac")
def test_auto_takes_the_gpu_of_a_mac_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    try_out, tried = devices._try_out, []

    def try_out_here(device: torch.device) -> None:
        tried.append(device.type)
        try_out(torch.device("cpu"))

    monkeypatch.setattr(devices, "_try_out", try_out_here)
    assert pick_device() == pick_device("mps") == torch.device("mps")
    assert tried == ["mps"]


@pytest.mark.usefixtures("a_mac")
@pytest.mark.parametrize("name", ["avg_pool3d", "interpolate", "conv3d", "scaled_dot_product_attention"])
def test_auto_leaves_the_gpu_of_a_mac_that_lacks_something(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object, **__: object) -> None:
        message = (
            "The operator 'aten::some.out' is not implemented for the MPS device. If you want this op, ask.\n"
        )
        raise NotImplementedError(message)

    try_out = devices._try_out
    monkeypatch.setattr(devices, "_try_out", lambda device: try_out(torch.device("cpu")))
    monkeypatch.setattr(torch.nn.functional, name, missing)
    sentence = (
        f"PyTorch {torch.__version__} cannot use the GPU of this Mac "
        "(The operator 'aten::some.out' is not implemented for the MPS device)."
    )
    assert pick_device() == torch.device("cpu")
    assert caplog.messages == [f"{sentence} The CPU is used instead."]
    with pytest.raises(ConfigError, match="Use the device cpu, or a newer PyTorch"):
        pick_device("mps")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda", "sees 0 CUDA devices"),
        ("cuda:3", "sees 0 CUDA devices"),
        ("mps", "Apple silicon"),
        ("abacus", "no device 'abacus'"),
        ("meta", "no device 'meta'"),
    ],
)
def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=words):
        pick_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:127", "cuda:128", "cuda:256"])
def test_a_gpu_beyond_the_last_one_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """PyTorch keeps eight bits of the number."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=f"'{name}' is not available: .* sees 2 CUDA devices"):
        pick_device(name)
    assert pick_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((9, 0), "bf16-mixed")]
)
def test_half_precision_is_taken_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert pick_precision(torch.device("cuda")) == precision
