"""Features of whole volumes: their geometry, their joints, their colours and their similarity."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.errors import Cancelled, ConfigError, VolumeError
from MAESILCore.inference import encode, encode_levels
from MAESILCore.lattice import FeatureMap, SuperpatchGrid, pca_colours, similarity
from MAESILCore.lattice.whitening import Projection
from MAESILCore.methods import create
from MAESILCore.methods.abilities import Abilities, FeatureLevel
from MAESILCore.methods.base import Features

SHAPE = (21, 18, 35)  # not whole patches


class Pooling:
    """A method whose features are the means of boxes, at two depths."""

    patch_size, superpatch_size, name = (4, 4, 4), (16, 16, 16), "pooling"
    window = Window(0.0, 1.0)
    abilities = Abilities(True, False, tuple(FeatureLevel((stride, stride, stride), 2) for stride in (2, 4)))
    method: Pooling

    def __init__(self) -> None:
        self.method = self

    def features(self, superpatches: torch.Tensor, levels: Sequence[int]) -> list[Features]:
        found = []
        for level in levels:
            stride = self.abilities.levels[level].stride
            pooled = F.avg_pool3d(superpatches, stride)
            found.append(Features(torch.cat([pooled, 1.0 - pooled], dim=1), stride))
        return found


def geometries() -> dict[str, np.ndarray]:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    oblique, sheared = np.eye(4), np.diag([0.7, 0.7, 2.5, 1.0])
    oblique[:3, :3] = turn * (0.8, 1.1, 3.0)
    oblique[:3, 3] = (-30.0, 12.0, 700.0)
    sheared[1, 2] = 0.9
    return {"oblique": oblique, "sheared": sheared, "flipped": np.diag([-0.9, 1.2, -2.0, 1.0])}


@pytest.mark.parametrize("level", [0, -1])
@pytest.mark.parametrize("name", geometries())
def test_features_lie_where_their_voxels_lie(name: str, level: int) -> None:
    """A scan whose values are a linear function of the position has box means that are the same function of theirs."""
    ijk_to_ras = geometries()[name]
    slope = np.array([0.3, -0.5, 0.2])

    def value_at(ras: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 + (ras - centre) @ slope / 400.0)

    def positions(matrix: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        k, j, i = np.indices(shape)
        return np.asarray(np.stack([i, j, k, np.ones_like(i)], axis=-1) @ matrix.T)[..., :3]

    centre = positions(ijk_to_ras, SHAPE).mean(axis=(0, 1, 2))
    scan = Volume(value_at(positions(ijk_to_ras, SHAPE)).astype(np.float32), ijk_to_ras)
    found = encode(scan, Pooling(), level, device="cpu")  # type: ignore[arg-type]
    stride = (2, 4)[level]
    assert found.stride == (stride,) * 3
    assert found.shape == tuple(-(-size // stride) for size in SHAPE)
    expected = value_at(positions(found.lattice_to_ras, found.shape))
    whole = tuple(slice(size // stride) for size in SHAPE)
    np.testing.assert_allclose(found.vectors[0][whole], expected[whole], atol=1e-5)
    np.testing.assert_allclose(found.vectors.sum(axis=0), 1.0, atol=1e-5)
    place = (1, 2, 3)
    ras = positions(found.lattice_to_ras, found.shape)[place]
    assert found.place_at(ras) == place
    corner = scan.ijk_to_ras @ [3 * stride - 0.4, 2 * stride - 0.4, stride - 0.4, 1.0]
    assert found.place_at(corner[:3]) == place
    outside = scan.ijk_to_ras @ [-0.6, 0.0, 0.0, 1.0]
    assert found.place_at(outside[:3]) is None


@pytest.mark.parametrize("name", ["maesil", "jepa-vcr"])
def test_one_superpatch_has_the_features_that_its_method_gives(name: str) -> None:
    model = a_model(name)
    method = model.method
    voxels = np.random.default_rng(0).random((16, 16, 16), dtype=np.float32)
    for level in (0, -1):
        found = encode(Volume(voxels, np.eye(4)), model, level, device="cpu")  # type: ignore[arg-type]
        with torch.no_grad():
            (direct,) = method.features(torch.from_numpy(voxels)[None, None], (level,))
        np.testing.assert_allclose(found.vectors, direct.map[0].numpy(), rtol=1e-5, atol=1e-6)


def a_model(name: str) -> SimpleNamespace:
    torch.manual_seed(0)
    method = create(name, {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}, "tiny").eval()
    return SimpleNamespace(
        method=method,
        abilities=method.abilities,
        window=Window(0.0, 1.0),
        name=name,
        superpatch_size=(16, 16, 16),
        patch_size=(4, 4, 4),
    )


def test_all_levels_cost_one_walk() -> None:
    voxels = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    scan, model, calls = Volume(voxels, np.eye(4)), a_model("maesil"), []
    features = model.method.features

    def counted(superpatches: torch.Tensor, levels: Sequence[int]) -> list[Features]:
        calls.append(tuple(levels))
        return features(superpatches, levels)

    model.method.features = counted
    found = encode_levels(scan, model, device="cpu")  # type: ignore[arg-type]
    tiles = len(SuperpatchGrid(SHAPE, 16, 4, 4).tiles())
    assert calls == [tuple(range(len(model.abilities.levels)))] * tiles
    assert [one.level for one in found] == list(range(len(model.abilities.levels)))
    for one in found:
        alone = encode(scan, model, one.level, device="cpu")  # type: ignore[arg-type]
        np.testing.assert_allclose(one.map.vectors, alone.vectors, rtol=1e-5, atol=1e-6)
    (last,) = encode_levels(scan, model, (-1,), device="cpu")  # type: ignore[arg-type]
    assert last.level == found[-1].level


def test_levels_of_different_strides_are_walked_together() -> None:
    scan = Volume(np.random.default_rng(0).random(SHAPE, dtype=np.float32), np.eye(4))
    deep, shallow = encode_levels(scan, Pooling(), (-1, 0), device="cpu")  # type: ignore[arg-type]
    assert (deep.level, deep.map.stride, shallow.level, shallow.map.stride) == (1, (4,) * 3, 0, (2,) * 3)
    expected = encode(scan, Pooling(), 0, device="cpu").vectors  # type: ignore[arg-type]
    np.testing.assert_array_equal(shallow.map.vectors, expected)
    assert deep.summary is None


def test_the_summary_is_the_mean_over_tiles_that_hold_more_than_air() -> None:
    voxels = np.zeros((16, 16, 28), dtype=np.float32)
    voxels[:, :, 16:] = np.random.default_rng(0).random((16, 16, 12))
    model = a_model("maesil")
    (found,) = encode_levels(Volume(voxels, np.eye(4)), model, overlap=4, device="cpu")[-1:]  # type: ignore[arg-type]
    with torch.no_grad():
        (seen,) = model.method.features(torch.from_numpy(voxels[None, None, :, :, 12:].copy()), (-1,))
    assert found.summary is not None
    assert seen.summary is not None
    np.testing.assert_allclose(found.summary, seen.summary[0].numpy(), rtol=1e-5, atol=1e-6)
    empty = Volume(np.zeros_like(voxels), np.eye(4))
    (air,) = encode_levels(empty, model, (-1,), overlap=4, device="cpu")  # type: ignore[arg-type]
    assert air.summary is not None
    assert np.isfinite(air.summary).all()


def test_wanted_patches_have_the_features_of_the_whole_walk() -> None:
    scan = Volume(np.random.default_rng(0).random(SHAPE, dtype=np.float32), np.eye(4))
    grid, passes = SuperpatchGrid(SHAPE, 16, 4, 4), []
    wanted = np.zeros(grid.lattice_shape, dtype=bool)
    wanted[5, 4, 8] = True
    (found,) = encode_levels(
        scan,
        Pooling(),  # type: ignore[arg-type]
        (0,),
        wanted=wanted,
        device="cpu",
        progress=lambda done, total: passes.append(total),
    )
    whole = encode(scan, Pooling(), 0, device="cpu")  # type: ignore[arg-type]
    there = (slice(None), slice(10, 11), slice(8, 9), slice(16, 18))
    np.testing.assert_array_equal(found.map.vectors[there], whole.vectors[there])
    assert 0 < len(passes) < len(grid.tiles())
    with pytest.raises(ConfigError, match="No patch of the scan is wanted"):
        encode_levels(scan, Pooling(), wanted=np.zeros_like(wanted), device="cpu")  # type: ignore[arg-type]


def test_progress_cancelling_and_bad_input() -> None:
    scan = Volume(np.random.default_rng(0).random(SHAPE, dtype=np.float32), np.eye(4))
    seen: list[tuple[int, int]] = []
    encode(scan, Pooling(), device="cpu", progress=lambda done, total: seen.append((done, total)))  # type: ignore[arg-type]
    count = len(SuperpatchGrid(SHAPE, 16, 4, 4).tiles())
    assert seen == [(n + 1, count) for n in range(count)]
    with pytest.raises(Cancelled):
        encode(scan, Pooling(), device="cpu", cancelled=lambda: len(seen) > 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pooling has no feature level 2: its levels are 0 to 1"):
        encode(scan, Pooling(), 2, device="cpu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="feature level 1 is given twice"):
        encode_levels(scan, Pooling(), (1, -1), device="cpu")  # type: ignore[arg-type]
    silent = Pooling()
    silent.abilities = Abilities(True, True, ())
    with pytest.raises(ConfigError, match="it gives no features"):
        encode(scan, silent, device="cpu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="it gives no features"):
        encode_levels(scan, silent, device="cpu")  # type: ignore[arg-type]
    holed = scan.voxels.copy()
    holed[0, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="NaN"):
        encode(scan.with_voxels(holed), Pooling(), device="cpu")  # type: ignore[arg-type]


def a_map(channels: int = 8) -> FeatureMap:
    """Three groups of boxes with three vectors and noise, around air."""
    generator = np.random.default_rng(0)
    groups = np.zeros((6, 8, 10), dtype=int)
    groups[1:5, 1:7, 1:4], groups[1:5, 1:7, 4:7], groups[1:5, 1:7, 7:9] = 1, 2, 3
    centres = generator.normal(size=(4, channels)) * np.arange(channels, 0, -1)
    vectors = 20.0 + centres[groups] + 0.05 * generator.normal(size=(*groups.shape, channels))
    vectors = np.moveaxis(vectors, -1, 0).astype(np.float32)
    return FeatureMap(vectors, np.eye(4), (8, 8, 8), groups > 0)


def test_colours_are_the_principal_components_of_the_body() -> None:
    found = a_map()
    colours = pca_colours(found)
    assert colours.shape == (6, 8, 10, 3)
    assert colours.dtype == np.uint8
    assert not colours[~found.body].any()
    body = found.vectors[:, found.body].T.astype(np.float64)
    _, _, axes = np.linalg.svd(body - body.mean(axis=0), full_matrices=False)
    for channel in range(3):
        values = (
            (body - body.mean(axis=0))
            @ axes[channel]
            * np.sign(axes[channel][np.abs(axes[channel]).argmax()])
        )
        low, high = np.percentile(values, [1, 99])
        expected = np.clip((values - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(colours[found.body][:, channel], expected, atol=1.0)


def test_colours_need_neither_a_body_nor_three_channels() -> None:
    whole = a_map()
    air = FeatureMap(whole.vectors, whole.lattice_to_ras, whole.stride, np.zeros_like(whole.body))
    assert not pca_colours(air).any()
    two = pca_colours(FeatureMap(whole.vectors[:2], whole.lattice_to_ras, whole.stride, whole.body))
    assert two[..., :2].any()
    assert not two[..., 2].any()
    same = FeatureMap(np.ones_like(whole.vectors), whole.lattice_to_ras, whole.stride, whole.body)
    assert not pca_colours(same).any()
    assert not similarity(same, (2, 2, 2)).any()


def test_a_place_is_similar_to_its_own_group() -> None:
    found = a_map(channels=2)  # three groups vary along two axes
    likeness = similarity(found, (2, 3, 2))
    assert likeness.shape == found.shape
    assert likeness[2, 3, 2] == pytest.approx(1.0, abs=1e-4)
    assert likeness[1:5, 1:7, 1:4].min() > 0.95
    assert likeness[1:5, 1:7, 4:9].max() < 0.9
    with pytest.raises(ConfigError, match=r"no feature at \(6, 0, 0\)"):
        similarity(found, (6, 0, 0))


def test_all_axes_of_variation_count_alike_in_a_similarity() -> None:
    found = a_map()
    directions = Projection.of(found.vectors[:, found.body].T).directions_of(found.vectors.reshape(8, -1).T)
    expected = (directions @ directions.reshape(*found.shape, 8)[2, 3, 2]).reshape(found.shape)
    np.testing.assert_allclose(similarity(found, (2, 3, 2)), expected, atol=1e-4)
    scaled = FeatureMap(found.vectors * 0.01, found.lattice_to_ras, found.stride, found.body)
    np.testing.assert_allclose(similarity(scaled, (2, 3, 2)), expected, atol=1e-3)
