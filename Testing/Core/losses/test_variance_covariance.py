"""The variance and covariance of features equal those of a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.losses.variance_covariance import variance_covariance
from MAESILCore.methods.scores import feature_scores


def reference(features: np.ndarray, over: str) -> tuple[float, float]:
    """As VICReg writes it, one sum at a time."""
    samples, places, channels = features.shape
    tokens = features.reshape(samples * places, channels)
    covariance = 0.0
    for i in range(channels):
        for j in range(channels):
            if i != j:
                both = (tokens[:, i] - tokens[:, i].mean()) * (tokens[:, j] - tokens[:, j].mean())
                covariance += (both.sum() / (len(tokens) - 1)) ** 2 / channels
    columns = [tokens] if over == "tokens" else [features[:, place] for place in range(places)]
    falls = [max(0.0, 1.0 - np.sqrt(c.var(ddof=1) + 1e-4)) for column in columns for c in column.T]
    return float(np.mean(falls)), covariance


@pytest.mark.parametrize("over", ["tokens", "batch"])
def test_variance_and_covariance_equal_the_reference(over: str) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(3.0, 0.8, (4, 6, 5)) * (0.1, 0.5, 1.0, 1.5, 2.0)
    features[..., 1] += features[..., 4]
    found = variance_covariance(torch.from_numpy(features), over)  # type: ignore[arg-type]
    assert tuple(map(float, found)) == pytest.approx(reference(features, over), rel=1e-5)
    assert float(found.variance) > 0.01
    assert float(found.covariance) > 0.1


@pytest.mark.parametrize("over", ["tokens", "batch"])
def test_gradients_are_those_of_finite_differences(over: str) -> None:
    """The means have no gradient of their own, and need none."""
    features = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = variance_covariance(features, over)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(found.variance + found.covariance, features)
    direction = np.random.default_rng(1).normal(size=features.shape)
    there, back = (
        sum(reference(features.detach().double().numpy() + shift * direction, over))
        for shift in (1e-4, -1e-4)
    )
    assert float((gradient.numpy() * direction).sum()) == pytest.approx((there - back) / 2e-4, rel=1e-3)


def test_features_that_collapse_are_punished_and_free_ones_are_not() -> None:
    collapsed = torch.ones(4, 64, 8)
    assert float(variance_covariance(collapsed, "tokens").variance) == pytest.approx(0.99, abs=1e-4)
    free = torch.randn(4, 5000, 8, generator=torch.Generator().manual_seed(0)) * 1.2
    assert float(variance_covariance(free, "tokens").variance) == 0.0
    assert float(variance_covariance(free, "tokens").covariance) < 0.01
    same = free[..., :1].expand(-1, -1, 8)
    assert float(variance_covariance(same, "tokens").covariance) > 10.0


def test_one_sample_has_no_variance_over_the_batch() -> None:
    with pytest.raises(ConfigError, match="at least two crops: give a larger batch_size"):
        variance_covariance(torch.randn(1, 4, 5), "batch")


def test_the_scores_of_features_tell_rich_from_collapsed_ones() -> None:
    free = torch.randn(1, 8, 10, 10, 10, generator=torch.Generator().manual_seed(0))
    alike = free[:, :1].expand(-1, 8, -1, -1, -1)
    rich, poor, none = (feature_scores(each) for each in (free, alike, torch.ones_like(free)))
    assert rich["feature_rank"] > 7.9
    assert poor["feature_rank"] == pytest.approx(1.0, abs=1e-3)
    assert poor["feature_spread"] == pytest.approx(rich["feature_spread"], rel=0.1)
    assert poor["feature_covariance"] > 100 * rich["feature_covariance"]
    assert none["feature_spread"] == 0.0
