"""The spectral loss against NumPy, over all frequencies of the whole transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.losses.spectral import Averaging, Comparison, frequency_weights, spectral_loss

SHAPES = [(8, 8, 8), (6, 8, 9)]
MODES: list[Comparison] = ["logmag", "magnitude", "complex"]
AVERAGES: list[Averaging] = ["frequencies", "radii"]


def two_pictures(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    one, other = (torch.rand(2, 1, *shape, generator=generator) for _ in range(2))
    return one * torch.tensor([1.0, 0.2]).view(2, 1, 1, 1, 1), other


def reference(mosaic: np.ndarray, target: np.ndarray, cut: float, mode: str, average: str) -> float:
    """Equation by equation, one sample, in double precision."""
    one, other = (
        np.fft.fftn((x - x.mean()) / np.sqrt(x.var() + 0.01**2), norm=None if mode == "logmag" else "ortho")
        for x in (mosaic, target)
    )
    axes = np.meshgrid(*(np.fft.fftfreq(size) for size in mosaic.shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    kept = radius >= cut * radius.max()
    one, other = one * kept, other * kept
    if mode == "complex":
        difference = np.abs(one - other) ** 2
    elif mode == "magnitude":
        difference = (np.abs(one) - np.abs(other)) ** 2
    else:
        difference = (np.log(1 + np.abs(one) + 1e-6) - np.log(1 + np.abs(other) + 1e-6)) ** 2
    if average == "frequencies":
        return float(difference.mean())
    shell = np.round(np.minimum(radius, 0.5) * max(mosaic.shape))
    return float(np.mean([difference[kept & (shell == one)].mean() for one in np.unique(shell[kept])]))


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cut", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_equation(
    shape: tuple[int, int, int], cut: float, mode: Comparison, average: Averaging
) -> None:
    mosaic, target = two_pictures(shape)
    found = float(spectral_loss(mosaic, target, cut=cut, mode=mode, average=average))
    pairs = zip(mosaic[:, 0].double().numpy(), target[:, 0].double().numpy(), strict=True)
    expected = np.mean([reference(one, other, cut, mode, average) for one, other in pairs])
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0.01


def test_without_a_cut_complex_spectra_differ_by_the_mean_squared_error() -> None:
    """Parseval: a spectral loss with phase is no other loss than the usual one, if no frequency is left out."""
    mosaic, target = (picture / picture.std() for picture in two_pictures((8, 8, 8)))
    one, other = (
        (picture - picture.mean((1, 2, 3, 4), keepdim=True))
        / (picture.var((1, 2, 3, 4), keepdim=True, correction=0) + 1e-4).sqrt()
        for picture in (mosaic, target)
    )
    found = spectral_loss(mosaic, target, cut=0.0, mode="complex")
    torch.testing.assert_close(found, (one - other).square().mean())


@pytest.mark.parametrize("mode", MODES)
def test_only_spectra_with_phase_see_that_a_picture_was_moved(mode: Comparison) -> None:
    picture, _ = two_pictures((8, 8, 8))
    moved = picture.roll((1, 2), dims=(2, 4))
    assert (float(spectral_loss(moved, picture, mode=mode)) > 0.1) == (mode == "complex")
    assert float(spectral_loss(picture, picture, mode=mode)) == 0.0


@pytest.mark.parametrize(("cut", "share"), [(0.0, 1.0), (0.3, 0.927), (0.5, 0.66)])
def test_the_cut_keeps_as_many_frequencies_as_published(cut: float, share: float) -> None:
    weights = frequency_weights((64, 64, 64), cut, "frequencies")
    assert weights.sum() == pytest.approx(share, abs=0.002)
    assert frequency_weights((64, 64, 64), cut, "radii").sum() == pytest.approx(1.0, abs=1e-4)


def test_it_stays_in_single_precision_and_finite_where_nothing_is() -> None:
    empty = torch.zeros(1, 1, 8, 8, 8)
    flat = torch.full_like(empty, 0.5).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = spectral_loss(flat, empty)
    assert loss.dtype == torch.float32
    loss.backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    # Noise of 2 HU in a window of 2000 is no anatomy.
    noise = empty + 0.001 * torch.rand(empty.shape, generator=torch.Generator().manual_seed(0))
    assert float(spectral_loss(noise, empty, mode="complex")) < 0.01
