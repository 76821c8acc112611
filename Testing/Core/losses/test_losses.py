"""Losses of models whose pictures are looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.losses.picture import hidden_dissimilarity, hidden_log_mse, picture_losses
from MAESILCore.methods import create
from MAESILCore.scoring.metrics import ssim_map


@pytest.fixture
def target() -> torch.Tensor:
    return torch.rand(2, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def inside(target: torch.Tensor) -> torch.Tensor:
    """Hidden: one half of the first superpatch, a quarter of the second one."""
    inside = torch.zeros_like(target)
    inside[0, :, :12] = 1.0
    inside[1, :, :6] = 1.0
    return inside


def test_ten_decibels_are_a_tenth_of_the_squared_error(target: torch.Tensor, inside: torch.Tensor) -> None:
    far = hidden_log_mse(target + 0.1, target, inside, floor=0.0)
    near = hidden_log_mse(target + 0.1 * 10**-0.5, target, inside, floor=0.0)
    assert float(far - near) == pytest.approx(np.log(10.0), rel=1e-4)


def test_visible_voxels_do_not_count(target: torch.Tensor, inside: torch.Tensor) -> None:
    changed = target + (1.0 - inside)
    assert float(hidden_log_mse(changed, target, inside, floor=1e-4)) == pytest.approx(np.log(1e-4))


def test_an_easy_superpatch_pulls_as_hard_as_a_difficult_one(
    target: torch.Tensor, inside: torch.Tensor
) -> None:
    prediction = (target + torch.tensor([0.01, 0.3])[:, None, None, None, None]).requires_grad_()
    hidden_log_mse(prediction, target, inside, floor=0.0).backward()
    # Per unit of relative error: gradient times error, summed.
    pull = ((prediction.detach() - target) * prediction.grad).sum(dim=(1, 2, 3, 4))
    assert float(pull[0]) == pytest.approx(float(pull[1]), rel=1e-3)


def test_an_exact_copy_is_not_dissimilar(target: torch.Tensor, inside: torch.Tensor) -> None:
    assert float(hidden_dissimilarity(target, target, inside)) == pytest.approx(0.0, abs=1e-5)


def test_dissimilarity_goes_with_the_ssim_that_is_reported(target: torch.Tensor) -> None:
    everywhere = torch.ones_like(target)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    for level in (0.02, 0.1, 0.3):
        noisy = target + level * noise
        reported = np.mean(
            [ssim_map(*(image[n, 0].numpy() for image in (target, noisy))).mean() for n in (0, 1)]
        )
        assert 1.0 - float(hidden_dissimilarity(noisy, target, everywhere)) == pytest.approx(
            reported, abs=0.03
        )


def test_structure_outside_the_hidden_part_does_not_count(target: torch.Tensor) -> None:
    inside = torch.zeros_like(target)
    inside[:, :, :8] = 1.0
    changed = target.clone()
    changed[:, :, 16:] = 0.5
    assert float(hidden_dissimilarity(changed, target, inside)) == pytest.approx(0.0, abs=1e-5)


def test_a_crop_thinner_than_a_box_has_a_dissimilarity_too(target: torch.Tensor) -> None:
    thin = target[:, :, :4]
    assert 0.0 < float(hidden_dissimilarity(1.0 - thin, thin, torch.ones_like(thin))) <= 2.0


@pytest.mark.parametrize("focus", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_a_focus_outside_the_window_is_refused(focus: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="focus must be two rising numbers"):
        create("maesil", {"picture_loss": {"focus": focus}}, "tiny")


def test_without_a_focus_the_second_term_is_left_out(target: torch.Tensor) -> None:
    hidden = torch.ones(len(target), 3, 3, 3, dtype=torch.bool)
    terms = [picture_losses(target * 0.9, target, hidden, (8, 8, 8), focus) for focus in (None, (0.4, 0.6))]
    assert set(terms[1]) - set(terms[0]) == {"log_mse_focus"}
    assert all(torch.equal(value, terms[1][name]) for name, value in terms[0].items())


@pytest.mark.parametrize("other", [{"decode_fraction": 0.5}, {"normalise_targets": True}])
def test_what_gives_no_whole_picture_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="picture_loss needs whole pictures"):
        create("maesil", {"picture_loss": {"focus": (0.4, 0.6)}, **other}, "tiny")
