"""The losses of latents, beside slow references in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.losses.gaussian import standard_normal_divergence
from MAESILCore.losses.quantisation import codebook_error, commitment
from MAESILCore.nn.draws import draw_normals


def test_the_divergence_is_that_of_the_integral() -> None:
    """KL = integral of q ln(q / p), of each value and then their mean."""
    generator = np.random.default_rng(0)
    mean, log_variance = generator.normal(0, 1.5, (2, 3, 2, 1, 2)), generator.normal(0, 1, (2, 3, 2, 1, 2))
    x = np.linspace(-30, 30, 60_001)
    each = []
    for mu, variance in zip(mean.flat, np.exp(log_variance).flat, strict=True):
        log_q = -0.5 * ((x - mu) ** 2 / variance + np.log(2 * np.pi * variance))
        log_p = -0.5 * (x**2 + np.log(2 * np.pi))
        each.append(np.trapezoid(np.exp(log_q) * (log_q - log_p), x))
    found = standard_normal_divergence(torch.from_numpy(mean), torch.from_numpy(log_variance))
    assert float(found) == pytest.approx(np.mean(each), rel=1e-6)
    assert float(standard_normal_divergence(torch.zeros(1, 2), torch.zeros(1, 2))) == 0.0


def test_both_terms_of_a_codebook_are_the_distance_and_pull_one_side_each() -> None:
    generator = np.random.default_rng(0)
    encoded, codes = (torch.from_numpy(generator.normal(size=(5, 3))).requires_grad_() for _ in range(2))
    difference = (encoded - codes).detach().numpy()
    slope = 2.0 * difference / difference.size
    for term, moved, still, sign in ((commitment, encoded, codes, 1), (codebook_error, codes, encoded, -1)):
        loss = term(encoded, codes)
        assert float(loss.detach()) == pytest.approx((difference**2).mean())
        (gradient,) = torch.autograd.grad(loss, moved, retain_graph=True)
        np.testing.assert_allclose(gradient.numpy(), sign * slope)
        assert torch.autograd.grad(loss, still, allow_unused=True) == (None,)


def test_normal_numbers_of_a_sample_are_normal_and_its_own() -> None:
    seeds = torch.tensor([3, 2**40 + 5, 3])
    drawn = draw_normals(seeds, 20_001)
    assert drawn.shape == (3, 20_001)
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(draw_normals(seeds[1:2], 20_001)[0], drawn[1])
    first, second = drawn[:2].double()
    for numbers in (first, second):
        assert float(numbers.mean()) == pytest.approx(0.0, abs=0.02)
        assert float(numbers.std()) == pytest.approx(1.0, abs=0.02)
        assert float((numbers**4).mean()) == pytest.approx(3.0, abs=0.15)
        assert abs(float((numbers[:-1] * numbers[1:]).mean())) < 0.02
    assert abs(float((first * second).mean())) < 0.02
