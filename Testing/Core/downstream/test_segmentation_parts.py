"""The parts of a segmentation training: cases, classes, crops, network, loss, schedule and scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.segmentation import UNLABELLED, Segment, Segmentation
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.downstream.segmentation.cases import Case, check_cases, held_out, read_cases
from MAESILCore.downstream.segmentation.classes import IGNORED, CaseLabels, Classes
from MAESILCore.downstream.segmentation.config import AugmentConfig, load_segmentation_config
from MAESILCore.downstream.segmentation.data import LabelledCrops, LabelledScan, augmented, crop_size_for
from MAESILCore.downstream.segmentation.evaluate import interval
from MAESILCore.downstream.segmentation.learner import Schedule
from MAESILCore.downstream.segmentation.losses import SegmentationLoss, merged
from MAESILCore.downstream.segmentation.network import (
    SegmentationNetwork,
    halvings,
    placed,
    usual_levels,
)
from MAESILCore.downstream.segmentation.scores import mean_dice, structure_scores
from MAESILCore.downstream.segmentation.start import Start
from MAESILCore.errors import ConfigError
from MAESILCore.methods import create
from MAESILCore.training.source import SampleKey
from Testing.Core.downstream.conftest import BRIGHT, DARK, labelled_volume

NO_CHANGES = AugmentConfig(rotate=0, scale=0, contrast=0, noise=0)


def _file(path: Path) -> Path:
    write_volume(Volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4)), path)
    return path


def test_a_list_of_cases_is_read_with_paths_from_its_folder(tmp_path: Path) -> None:
    _file(tmp_path / "a.nrrd"), _file(tmp_path / "b.nrrd")
    listed = tmp_path / "cases.csv"
    listed.write_text("scan,labels,patient,split\na.nrrd,b.nrrd,p1,validation\nb.nrrd,a.nrrd,p2,\n")
    first, second = read_cases(listed)
    assert first == Case(str(tmp_path / "a.nrrd"), str(tmp_path / "b.nrrd"), "p1", validation=True)
    assert (second.name, second.validation) == ("b", False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("scan\na.nrrd\n", "lacks the column scan or labels"),
        ("scan,labels,side\n", "unknown column 'side'"),
        ("scan,labels\n", "no line with a case"),
        ("scan,labels\na.nrrd,\n", "line 2 of cases.csv the scan or its labels are missing"),
        ("scan,labels\na.nrrd,c.nrrd\n", "c.nrrd does not exist"),
        ("scan,labels,split\na.nrrd,a.nrrd,test\n", "write train or validation"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_in_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    _file(tmp_path / "a.nrrd")
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_cases(tmp_path / "cases.csv")


def test_folders_are_paired_by_name(tmp_path: Path) -> None:
    scans, labels = tmp_path / "imagesTr", tmp_path / "labelsTr"
    scans.mkdir(), labels.mkdir()
    for name in ("s1_0000.nrrd", "s10_0000.nrrd", "alone.nrrd"):
        _file(scans / name)
    for name in ("s1.nrrd", "s10.nrrd"):
        _file(labels / name)
    found = {case.name: Path(case.labels).name for case in read_cases(scans, labels)}
    assert found == {"s1_0000": "s1.nrrd", "s10_0000": "s10.nrrd"}


def test_labels_beside_their_scans_begin_with_their_name(tmp_path: Path) -> None:
    for name in ("s1_CT.nrrd", "s1_CT_gtv.nrrd", "s2_CT.nrrd", "s2_CT.seg.nrrd"):
        _file(tmp_path / name)
    found = {case.name: Path(case.labels).name for case in read_cases(tmp_path, tmp_path)}
    assert found == {"s1_CT": "s1_CT_gtv.nrrd", "s2_CT": "s2_CT.seg.nrrd"}
    with pytest.raises(ConfigError, match="give the folder of the labels"):
        read_cases(tmp_path)
    _file(tmp_path / "s1_CT_organ.nrrd")
    with pytest.raises(ConfigError, match="several labels"):
        read_cases(tmp_path, tmp_path)


def test_a_patient_on_both_sides_is_refused() -> None:
    cases = [Case("/a.nrrd", "/al.nrrd", "p"), Case("/b.nrrd", "/bl.nrrd", "p")]
    with pytest.raises(ConfigError, match="patient p is in training and validation"):
        check_cases(held_out(cases, ["b"]))
    with pytest.raises(ConfigError, match="comes twice"):
        check_cases([cases[0], cases[0]])
    with pytest.raises(ConfigError, match="no labelled case to train on"):
        check_cases(held_out(cases, ["*"]))
    with pytest.raises(ConfigError, match="No case fits the pattern"):
        held_out(cases, ["c*"])


def _segmentation(values: list[int], *segments: Segment) -> Segmentation:
    return Segmentation(np.array(values, np.uint8).reshape(-1, 1, 1), np.eye(4), segments)


def test_classes_are_the_structures_of_all_cases_by_name() -> None:
    first = _segmentation([0, 7, 9], Segment(7, "liver"), Segment(9, UNLABELLED), Segment(3, "spleen"))
    second = _segmentation([0, 1, 2], Segment(1, "spleen", (1, 0, 0)), Segment(2, "liver", terminology="T"))
    classes = Classes.of([first, second])
    assert classes.names == ("liver", "spleen")
    assert (classes.structures[0].terminology, classes.structures[1].color) == ("T", (1, 0, 0))
    assert Classes.from_json(classes.to_json()) == classes
    mapped = CaseLabels.of(first, classes)
    assert mapped.indices.ravel().tolist() == [0, 1, IGNORED]
    assert not mapped.missing.any(), "an empty segment says that the scan does not hold the structure"
    assert CaseLabels.of(second, classes).indices.ravel().tolist() == [0, 2, 1]


def test_a_structure_without_a_segment_is_missing_and_slices_without_labels_are_ignored() -> None:
    classes = Classes((BRIGHT, DARK))
    only = _segmentation([0, 1], BRIGHT)
    assert CaseLabels.of(only, classes).missing.tolist() == [False, False, True]
    assert CaseLabels.of(only, classes, only_labelled_slices=True).indices.ravel().tolist() == [IGNORED, 1]


def test_empty_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="labels of all cases are empty"):
        Classes.of([_segmentation([0, 0], BRIGHT)])


@pytest.fixture(scope="module")
def labelled_scan() -> LabelledScan:
    volume, segmentation = labelled_volume(0)
    labels = CaseLabels.of(segmentation, Classes((BRIGHT, DARK)))
    return LabelledScan.of("one", volume, labels, Intensity())


def test_a_crop_is_a_function_of_its_key_and_holds_the_labels_of_its_voxels(
    labelled_scan: LabelledScan,
) -> None:
    crops = LabelledCrops([labelled_scan], (8, 12, 8), 1.0, NO_CHANGES)
    for step in range(5):
        one, again = crops.draw(SampleKey(3, step, 0)), crops.draw(SampleKey(3, step, 0))
        assert np.array_equal(one.voxels, again.voxels)
        assert np.array_equal(one.labels, again.labels)
        k, j, i = one.corner
        box = slice(k, k + 8), slice(j, j + 12), slice(i, i + 8)
        assert np.array_equal(one.labels, labelled_scan.labels.indices[box])
        assert np.array_equal(one.voxels, labelled_scan.window.apply(labelled_scan.volume.voxels[box]))
        assert (one.labels > 0).any(), "every crop holds a structure"


def test_a_scan_smaller_than_the_crop_repeats_its_border_which_no_loss_counts(
    labelled_scan: LabelledScan,
) -> None:
    crop = LabelledCrops([labelled_scan], (16, 24, 24), 0.0, NO_CHANGES).draw(SampleKey(0, 0, 0))
    k, j, i = labelled_scan.volume.shape
    assert crop.voxels.shape == (16, 24, 24)
    assert (crop.labels[k:] == IGNORED).all()
    assert (crop.labels[:k, :j, :i] != IGNORED).all()
    assert np.array_equal(crop.voxels[k], crop.voxels[k - 1])


def test_augmentation_moves_voxels_and_labels_together(labelled_scan: LabelledScan) -> None:
    labels = labelled_scan.labels.indices
    voxels = (labels == 1).astype(np.float32)
    change = AugmentConfig(warp_probability=1.0, flip=("k", "i"), contrast=0, noise=0)
    moved, moved_labels = augmented(voxels, labels, change, 5)
    assert not np.array_equal(moved_labels, labels)
    assert set(np.unique(moved_labels)) <= {0, 1, 2}
    assert mean_dice((moved > 0.5).astype(np.uint8), CaseLabels(moved_labels, np.zeros(2, bool)))[1] > 0.9
    again, _ = augmented(voxels, labels, change, 5)
    assert np.array_equal(moved, again)


def test_nothing_turns_between_axes_of_very_different_spacing() -> None:
    voxels = np.zeros((8, 16, 16), np.float32)
    voxels[4] = 1.0  # a plane across the coarse axis stays one
    change = AugmentConfig(rotate=40.0, scale=0.0, warp_probability=1.0, contrast=0, noise=0)
    turned, _ = augmented(voxels, voxels.astype(np.uint8), change, 0, (5.0, 1.0, 1.0))
    assert np.array_equal(turned, voxels)
    turned, _ = augmented(voxels, voxels.astype(np.uint8), change, 0, (1.0, 1.0, 1.0))
    assert not np.array_equal(turned, voxels)


def test_the_default_crop_is_whole_patches_around_the_largest_case() -> None:
    assert crop_size_for([(14, 22, 19), (9, 9, 30)], (128,) * 3, (4, 4, 4)) == (16, 24, 32)
    assert crop_size_for([(133, 512, 512)], (128,) * 3, (8, 8, 8)) == (64, 64, 64)


@pytest.mark.parametrize("name", ["mae", "hi-end-mae", "jepa-vcr", "ae"])
def test_every_method_with_features_is_an_encoder(name: str) -> None:
    patches = {"patch_size": (4, 8, 8)} if name != "ae" else {}
    method = create(name, {"superpatch_size": (16, 16, 16), **patches}, "tiny")
    network = SegmentationNetwork(method, usual_levels(method), 3, 4)
    logits = network(torch.rand(2, 1, 16, 16, 16))
    assert logits.shape == (2, 3, 16, 16, 16)
    logits.sum().backward()
    assert any(weight.grad is not None for weight in method.parameters())
    network.zero_grad()
    network(torch.rand(1, 1, 16, 16, 16), frozen=True).sum().backward()
    assert all(weight.grad is None for weight in method.parameters())
    assert all(weight.grad is not None for weight in network.decoder_weights)


def test_patches_must_be_powers_of_two() -> None:
    method = create("mae", {"superpatch_size": (18, 18, 18), "patch_size": (6, 6, 6)}, "tiny")
    with pytest.raises(ConfigError, match="powers of two"):
        halvings(method)


@pytest.mark.parametrize(("is_hu", "norm"), [(True, "batch"), (False, "instance")])
def test_absolute_values_are_kept_where_they_mean_something(is_hu: bool, norm: str) -> None:
    sizes = {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}
    config = load_segmentation_config(None, {"preset": "tiny", "model": sizes, "width": 4})
    network = Start.of(config, is_hu).network(config, Classes((BRIGHT,)))
    assert network.norm == norm
    kinds = {type(module).__name__ for module in network.ups.modules()}
    assert {"batch": "BatchNorm3d", "instance": "InstanceNorm3d"}[norm] in kinds


def test_channels_come_last_on_a_cpu_and_change_no_logits() -> None:
    method = create("mae", {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}, "tiny")
    network = SegmentationNetwork(method, usual_levels(method), 3, 4)
    voxels = torch.rand(2, 1, 16, 16, 16)
    before = network(voxels)
    assert placed(network, torch.device("cpu")) is network
    weight = network.downs[0].layer.conv1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not weight.is_contiguous()
    torch.testing.assert_close(network(voxels), before, rtol=1e-4, atol=1e-5)


def test_the_layout_stays_on_other_devices() -> None:
    method = create("mae", {"superpatch_size": (16, 16, 16), "patch_size": (4, 4, 4)}, "tiny")
    network = placed(SegmentationNetwork(method, usual_levels(method), 3, 4), torch.device("meta"))
    assert network.downs[0].layer.conv1.conv.weight.is_contiguous()


def test_levels_that_do_not_fit_are_refused() -> None:
    method = create("mae", {"superpatch_size": (16, 16, 16)}, "tiny")
    with pytest.raises(ConfigError, match="3 resolutions, but 2 levels"):
        SegmentationNetwork(method, (0, 1), 2, 4)


def test_the_loss_counts_labelled_voxels_alone() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 4, 4, 4), torch.randint(0, 3, (1, 4, 4, 4))
    missing = torch.zeros(1, 3, dtype=torch.bool)
    cut = labels.clone()
    cut[:, 2:] = IGNORED
    changed = logits.clone()
    changed[:, :, 2:] = 50.0
    loss = SegmentationLoss(balance=0.0)
    assert torch.allclose(loss(logits, cut, missing).total, loss(changed, cut, missing).total)
    assert torch.allclose(
        loss(logits, cut, missing).parts["cross_entropy"],
        torch.nn.functional.cross_entropy(logits[:, :, :2], labels[:, :2]),
        atol=1e-6,
    )


def test_small_structures_weigh_more_in_the_cross_entropy() -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[0, 0, 0, :1] = 1  # one of 64 voxels
    labels[0, 3] = IGNORED
    logits, missing = torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 2, dtype=torch.bool)
    logits[:, 0] = 2.0
    own = -torch.log_softmax(torch.tensor([2.0, 0.0]), 0)
    for balance, share in ((0.0, 1 / 48), (0.5, 48**0.5 / (48**0.5 + 47 * (48 / 47) ** 0.5)), (1.0, 0.5)):
        found = SegmentationLoss(balance)(logits, labels, missing).parts["cross_entropy"]
        assert float(found) == pytest.approx(float(share * own[1] + (1 - share) * own[0]), rel=1e-5)


def test_a_missing_structure_may_lie_in_the_background() -> None:
    logits = torch.randn(1, 3, 2, 2, 2)
    missing = torch.tensor([[False, False, True]])
    shares, joined = logits.softmax(1), merged(logits.log_softmax(1), missing).exp()
    assert torch.allclose(joined[:, 0], shares[:, 0] + shares[:, 2])
    assert torch.allclose(joined[:, 1], shares[:, 1])
    assert not joined[:, 2].any()
    background = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    sure = torch.zeros(1, 3, 2, 2, 2)
    sure[:, 2] = 30.0
    loss = SegmentationLoss(balance=0.5)
    assert float(loss(sure, background, missing).parts["cross_entropy"]) < 1e-6
    assert float(loss(sure, background, torch.zeros_like(missing)).parts["cross_entropy"]) > 10


def test_the_encoder_waits_then_warms_up() -> None:
    config = load_segmentation_config(None, {"steps": 100, "warmup_steps": 10, "learning_rate": 1.0})
    learned, fresh = Schedule(config, is_pretrained=True), Schedule(config, is_pretrained=False)
    assert (learned.encoder(9), fresh.encoder(0)) == (0.0, fresh.decoder(0))
    assert learned.encoder(10) == pytest.approx(0.05 * learned.decoder(10), rel=1e-6)
    assert learned.encoder(40) == pytest.approx(0.5 * learned.decoder(40))
    assert learned.decoder(99) < 0.03
    kept = Schedule(config.model_copy(update={"encoder_rate": 0.0}), is_pretrained=True)
    assert not any(kept.encoder(step) for step in range(100))


def test_scores_agree_with_known_shapes() -> None:
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[2:6, 2:6, 2:6] = 1
    shifted = np.roll(truth, 2, axis=0)
    labels = CaseLabels(truth, np.zeros(2, bool))
    same = structure_scores(truth, labels, 1, (1.0, 1.0, 1.0))
    assert (same.dice, same.surface_dice, same.hausdorff95) == (1.0, 1.0, 0.0)
    moved = structure_scores(shifted, labels, 1, (3.0, 1.0, 1.0), tolerance=1.0)
    assert moved.dice == pytest.approx(0.5)
    assert moved.hausdorff95 == pytest.approx(6.0)  # two voxels of 3 mm along k
    assert 0.0 < moved.surface_dice < 1.0
    assert moved.labelled == pytest.approx(64 * 3 / 1000)
    assert mean_dice(shifted, labels) == {1: pytest.approx(0.5)}


def test_a_structure_that_was_not_found_scores_nothing_and_an_absent_one_has_no_score() -> None:
    truth = np.zeros((4, 4, 4), np.uint8)
    nothing = CaseLabels(truth, np.zeros(2, bool))
    assert math.isnan(structure_scores(truth, nothing, 1, (1, 1, 1)).dice)
    truth = truth.copy()
    truth[1, 1, 1] = 1
    found = structure_scores(np.zeros_like(truth), CaseLabels(truth, np.zeros(2, bool)), 1, (1, 1, 1))
    assert (found.dice, found.surface_dice) == (0.0, 0.0)
    assert math.isnan(found.hausdorff95)
    assert math.isnan(structure_scores(truth, CaseLabels(truth, np.array([False, True])), 1, (1, 1, 1)).dice)


def test_an_interval_holds_its_mean() -> None:
    found = interval([0.5, 0.7, math.nan, 0.9])
    assert found["cases"] == 3
    assert found["mean"] == pytest.approx(0.7)
    assert found["low"] <= found["mean"] <= found["high"]
    assert interval([math.nan])["mean"] is None
