"""Building blocks, each against a slow and obvious version of itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from skimage.restoration import inpaint_biharmonic

from MAESILCore.lattice import LatticeBox, SuperpatchGrid
from MAESILCore.nn import multigrid
from MAESILCore.nn.convolution import Conv3d
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.positions import sincos_positions
from MAESILCore.nn.refine import RefinementHead, depth_to_space, space_to_depth
from MAESILCore.nn.tokens import TokenSplit, expand_patches, patchify, take, unpatchify
from MAESILCore.nn.transformer import Attention

PATCH = (2, 2, 2)


@pytest.fixture
def some_superpatches() -> torch.Tensor:
    return torch.rand(2, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))


def test_patches_are_those_of_the_superpatch_grid(some_superpatches: torch.Tensor) -> None:
    grid, superpatches = SuperpatchGrid((4, 6, 8), (4, 6, 8), PATCH), some_superpatches[:, 0].numpy()
    places = itertools.product(*map(range, grid.lattice_shape))
    boxes = [LatticeBox((k, j, i), (k + 1, j + 1, i + 1)) for k, j, i in places]
    expected = [[grid.cut_box(each, box).ravel() for box in boxes] for each in superpatches]
    np.testing.assert_array_equal(patchify(some_superpatches, PATCH).numpy(), expected)


def test_unpatchify_undoes_patchify(some_superpatches: torch.Tensor) -> None:
    tokens = patchify(some_superpatches, PATCH)
    assert torch.equal(unpatchify(tokens, (2, 3, 4), PATCH), some_superpatches)


def test_a_patch_value_lands_on_the_voxels_of_its_patch(some_superpatches: torch.Tensor) -> None:
    lattice = torch.arange(24.0).view(1, 1, 2, 3, 4)
    expanded = patchify(expand_patches(lattice, PATCH), PATCH)
    assert torch.equal(expanded, torch.arange(24.0).view(1, 24, 1).expand(1, 24, 8))


def test_space_to_depth_is_undone_and_keeps_voxels_together(some_superpatches: torch.Tensor) -> None:
    deep = space_to_depth(some_superpatches)
    assert torch.equal(depth_to_space(deep), some_superpatches)
    assert torch.equal(deep[0, :, 0, 0, 0], some_superpatches[0, 0, :2, :2, :2].flatten())


def test_visible_indices_ascend_and_short_samples_are_marked() -> None:
    hidden = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 1]], dtype=torch.bool).view(2, 1, 2, 2)
    split = TokenSplit.of(hidden)
    assert split.visible[0].tolist() == [1, 2]
    assert split.visible[1, 0] == 0
    assert split.valid is not None
    assert split.valid.tolist() == [[True, True], [True, False]]
    assert TokenSplit.of(hidden[:1]).valid is None


def test_take_picks_tokens_of_every_sample() -> None:
    tokens = torch.arange(12.0).view(2, 3, 2)
    picked = take(tokens, torch.tensor([[2, 0], [1, 1]]))
    assert picked.tolist() == [[[4.0, 5.0], [0.0, 1.0]], [[8.0, 9.0], [8.0, 9.0]]]


def test_fused_attention_equals_the_written_out_formula() -> None:
    torch.manual_seed(0)
    attention, x = Attention(12, 3), torch.randn(2, 5, 12)
    allowed = torch.tensor([[True] * 5, [True, True, False, True, False]])
    query, key, value = attention.qkv(x).view(2, 5, 3, 3, 4).permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-1, -2) / 2.0
    scores = scores.masked_fill(~allowed[:, None, None, :], -torch.inf)
    expected = attention.proj((scores.softmax(-1) @ value).transpose(1, 2).reshape(2, 5, 12))
    torch.testing.assert_close(attention(x, allowed), expected)


@pytest.mark.parametrize("width", [6, 48, 256])
def test_positions_differ_everywhere_and_shift_with_their_start(width: int) -> None:
    whole = sincos_positions((4, 4, 4), width)
    assert whole.shape == (1, 64, width)
    assert len(torch.unique(whole[0], dim=0)) == 64
    shifted = sincos_positions((2, 2, 2), width, torch.tensor([[1, 2, 0]]))
    expected = whole.view(4, 4, 4, width)[1:3, 2:4, 0:2].reshape(1, 8, width)
    torch.testing.assert_close(shifted, expected)


def test_the_fill_keeps_visible_voxels_and_stays_in_the_window(some_superpatches: torch.Tensor) -> None:
    hidden = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.6
    filled = smooth_fill(some_superpatches, hidden, PATCH)
    inside = expand_patches(hidden[:, None], PATCH)
    assert torch.equal(filled[~inside], some_superpatches[~inside])
    assert filled.min() >= 0.0
    assert filled.max() <= 1.0


def test_nothing_hidden_needs_no_solver(
    some_superpatches: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("MAESILCore.nn.multigrid.solve")
    nothing = torch.zeros(2, 2, 3, 4, dtype=torch.bool)
    assert torch.equal(smooth_fill(some_superpatches, nothing, PATCH), some_superpatches)


def a_wavy_volume() -> torch.Tensor:
    axis = torch.linspace(0, 2, 12)
    waves = axis[:, None, None].sin() * axis[None, :, None].cos() + 0.2 * axis[None, None, :]
    return (0.2 + 0.5 * waves)[None, None]


def test_the_multigrid_solves_the_equation_that_scikit_image_solves() -> None:
    """Holes away from the borders, where scikit-image uses another stencil."""
    volume, hidden = a_wavy_volume(), torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    hidden[..., 3:8, 4:9, 3:6] = hidden[..., 4:9, 3:5, 6:9] = True
    solution = inpaint_biharmonic(volume[0, 0].numpy(), hidden[0, 0].numpy())
    filled = multigrid.solve(volume * ~hidden, (~hidden).float(), tolerance=1e-6)
    np.testing.assert_allclose(filled[0, 0].numpy(), solution, atol=1e-4)


@pytest.mark.slow
def test_one_cycle_per_grid_goes_most_of_the_way() -> None:
    volume = torch.nn.functional.interpolate(a_wavy_volume(), scale_factor=4, mode="trilinear")
    hidden = torch.rand(1, 6, 6, 6, generator=torch.Generator().manual_seed(3)) < 0.7
    inside = expand_patches(hidden[:, None], (8, 8, 8))
    rough, fine = (
        multigrid.solve(volume * ~inside, (~inside).float(), tolerance=tolerance)[inside]
        for tolerance in (None, 1e-5)
    )
    assert (rough - fine).abs().mean() < 0.1 * (fine - volume[~inside].mean()).abs().mean()


def test_samples_of_a_batch_are_solved_independently() -> None:
    volume = torch.rand(2, 1, 12, 9, 10, generator=torch.Generator().manual_seed(5))
    known = (volume > 0.6).float()
    for order in (1, 2):
        together = multigrid.solve(volume * known, known, order=order)
        alone = [
            multigrid.solve(v[None] * k[None], k[None], order=order)
            for v, k in zip(volume, known, strict=True)
        ]
        torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 6, 2), (14, 4, 2)])
def test_the_fill_takes_any_whole_number_of_patches(shape: tuple[int, int, int]) -> None:
    lattice = tuple(size // 2 for size in shape)
    filled = smooth_fill(torch.rand(1, 1, *shape), torch.ones(1, *lattice, dtype=torch.bool), PATCH)
    assert torch.equal(filled, torch.full_like(filled, 0.5))


def test_the_refinement_head_starts_as_nothing_and_passes_gradients() -> None:
    torch.manual_seed(0)
    head = RefinementHead(token_width=6, patch_size=(8, 8, 8), channels=4)
    fill, hidden = torch.rand(2, 1, 16, 24, 8), torch.ones(2, 2, 3, 1, dtype=torch.bool)
    tokens = torch.randn(2, 6, 6, requires_grad=True)
    correction = head(fill, hidden, tokens)
    assert torch.equal(correction, torch.zeros_like(fill))
    torch.nn.init.normal_(head.out.weight)
    head(fill, hidden, tokens).square().sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (3, 1, 0), (2, 2, 0), (1, 1, 0)]
)
@pytest.mark.parametrize("planes", [3, 4, 7, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_fast_convolution_is_the_usual_one(
    kernel: int, stride: int, padding: int, planes: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    ours = Conv3d(6, 5, kernel, stride=stride, padding=padding)
    usual = torch.nn.Conv3d(6, 5, kernel, stride=stride, padding=padding)
    usual.load_state_dict(ours.state_dict())
    x = torch.rand(1, 6, planes, 8, 10).contiguous(memory_format=layout)
    expected = usual(x)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), expected)
    weights = torch.rand_like(expected)
    gradients = []
    for conv in (ours, usual):
        voxels = x.clone().requires_grad_()
        y = conv(voxels)
        torch.testing.assert_close(y, expected)
        (y * weights).sum().backward()
        gradients.append([voxels.grad, *(weight.grad for weight in conv.parameters())])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_a_training_passes_one_small_sample_as_two_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    original, shapes = torch.nn.functional.conv3d, []

    def seen(x: torch.Tensor, *rest: object) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return original(x, *rest)

    monkeypatch.setattr(torch.nn.functional, "conv3d", seen)
    conv = Conv3d(16, 16, 3, padding=1)
    conv(torch.rand(1, 16, 32, 40, 8))  # 20480 is small
    conv(torch.rand(1, 16, 32, 41, 8))
    conv(torch.rand(2, 16, 4, 4, 8))
    assert shapes == [(2, 16, 18, 40, 8), (1, 16, 32, 41, 8), (2, 16, 4, 4, 8)]
