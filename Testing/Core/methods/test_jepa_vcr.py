"""JEPA-VCR: what teacher, student, predictor and regularisation do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch, Step
from MAESILCore.methods.jepa_vcr import JepaVcr

SIZES = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}


def a_method(**fields: Any) -> JepaVcr:  # noqa: ANN401 - of the configuration
    torch.manual_seed(0)
    method = create("jepa-vcr", {**SIZES, **fields}, "tiny")
    assert isinstance(method, JepaVcr)
    return method


@pytest.fixture
def a_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    stages = torch.rand(3, 4, 4, 4, generator=generator) < torch.tensor([0.5, 0.7, 0.8]).view(3, 1, 1, 1)
    return Batch(torch.rand(3, 1, 16, 16, 16, generator=generator), stages.to(torch.uint8))


def test_the_teacher_begins_as_the_student_and_follows_it_ever_more_slowly() -> None:
    method = a_method(momentum=(0.9, 1.0))
    students, teachers = ([*part.parameters()] for part in (method.student, method.teacher))
    assert all(torch.equal(a, b) for a, b in zip(students, teachers, strict=True))
    assert not any(weight.requires_grad for weight in teachers)
    with torch.no_grad():
        students[0].add_(1.0)
    before = teachers[0].clone()
    method.after_step(Step(0, 10))
    torch.testing.assert_close(teachers[0] - before, torch.full_like(before, 0.1))
    method.after_step(Step(5, 10))
    torch.testing.assert_close(teachers[0] - before, torch.full_like(before, 0.1 + 0.9 * 0.05))
    before = teachers[0].clone()
    method.after_step(Step(10, 10))
    assert torch.equal(teachers[0], before)


def test_the_teacher_sees_hidden_voxels_and_the_student_does_not(a_batch: Batch) -> None:
    method = a_method(gamma=0.0).eval()
    other = a_batch._replace(superpatches=a_batch.superpatches.clone())
    other.superpatches[0, 0, :4, :4, :4] += 0.5
    stages = a_batch.stages
    assert stages is not None
    for hides in (True, False):
        stages[0, 0, 0, 0] = hides
        with torch.no_grad():
            loss, changed = (method.training_losses(batch, Step(0, 1)).total for batch in (a_batch, other))
            targets = [method._targets(batch) for batch in (a_batch, other)]
        assert not torch.allclose(*targets)
        assert loss != changed
    # With the teacher's answer fixed, what is hidden changes nothing.
    fixed = method._targets(a_batch)
    method._targets = lambda _: fixed  # type: ignore[method-assign]
    for hides in (True, False):
        stages[0, 0, 0, 0] = hides
        with torch.no_grad():
            loss, changed = (method.training_losses(batch, Step(0, 1)).total for batch in (a_batch, other))
        assert torch.equal(loss, changed) is hides


def test_targets_are_standardised(a_batch: Batch) -> None:
    targets = a_method()._targets(a_batch)
    torch.testing.assert_close(targets.mean(dim=-1), torch.zeros(3, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(targets.std(dim=-1, unbiased=False), torch.ones(3, 64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_plain_jepa_is_the_mean_difference_at_hidden_patches(exponent: float, a_batch: Batch) -> None:
    method = a_method(gamma=0.0, exponent=exponent)
    losses = method.training_losses(a_batch, Step(0, 1))
    assert set(losses.parts) == {"prediction"}
    assert losses.total is losses.parts["prediction"]
    assert not method.abilities.needs_whole_batch
    assert a_method().abilities.needs_whole_batch
    expected = []
    for one in range(3):
        hidden = a_batch.hidden[one].flatten()
        single = Batch(a_batch.superpatches[one : one + 1], a_batch.stages[one : one + 1])  # type: ignore[index]
        with torch.no_grad():
            split = torch.nonzero(~hidden)[:, 0]
            tokens, _ = method.student.embedded(single.superpatches, every_token(), None)
            latent = method.student.encoder(tokens[:, [0, *(1 + split).tolist()]])
            predicted = method.predictor(latent, a_split(split), (4, 4, 4))
            difference = (predicted - method._targets(single))[0, hidden].abs() ** exponent
        expected.append(float(difference.mean()))
    assert float(losses.total.detach()) == pytest.approx(sum(expected) / 3, rel=1e-5)


def every_token() -> Any:  # noqa: ANN401 - a TokenSplit
    return a_split(torch.arange(64))


def a_split(visible: torch.Tensor) -> Any:  # noqa: ANN401 - a TokenSplit
    from MAESILCore.nn.tokens import TokenSplit

    return TokenSplit(visible[None], None)


@pytest.mark.parametrize(
    ("regularise", "reaches_predictor"), [("context", False), ("predictor", True), ("both", True)]
)
@pytest.mark.parametrize("over", ["tokens", "batch"])
def test_the_regularisation_reaches_what_the_recipe_names(
    regularise: str, over: str, reaches_predictor: bool, a_batch: Batch
) -> None:
    method = a_method(regularise=regularise, variance_over=over)
    losses = method.training_losses(a_batch, Step(0, 1))
    parts = {name: torch.as_tensor(part) for name, part in losses.parts.items()}
    assert set(parts) == {"prediction", "variance", "covariance"}
    penalty = parts["variance"] + 0.1 * parts["covariance"]
    torch.testing.assert_close(losses.total, parts["prediction"] + 0.25 * penalty)
    penalty.backward()
    leave = method.predictor.leave.weight.grad
    assert (leave is not None and bool(leave.any())) is reaches_predictor
    embed = method.student.embed.weight.grad
    assert embed is not None
    assert embed.any()


def test_a_superpatch_with_nothing_visible_or_hidden_has_a_finite_loss(a_batch: Batch) -> None:
    stages = torch.zeros(3, 4, 4, 4, dtype=torch.uint8)
    stages[0] = 1
    for each in (stages, torch.ones_like(stages)):
        assert torch.isfinite(a_method().training_losses(a_batch._replace(stages=each), Step(0, 1)).total)


def test_a_variance_over_a_batch_of_one_is_refused(a_batch: Batch) -> None:
    alone = Batch(a_batch.superpatches[:1], a_batch.stages[:1])  # type: ignore[index]
    with pytest.raises(ConfigError, match="at least two crops"):
        a_method(variance_over="batch").training_losses(alone, Step(0, 1))


def test_a_momentum_that_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="momentum must be two numbers from 0 to 1"):
        a_method(momentum=(0.9, 1.1))


def test_features_are_the_teachers(tmp_path: Path) -> None:
    method = a_method()
    voxels = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        (before,) = method.features(voxels)
        for weight in method.student.parameters():
            weight.zero_()
        (after,) = method.features(voxels)
    assert torch.equal(before.map, after.map)
    assert before.summary is not None
    torch.testing.assert_close(before.summary, before.map.mean(dim=(2, 3, 4)))
