"""Tests of `data.labels.slicer_nrrd`: the segmentations of 3D Slicer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MAESILCore import Segment, Segmentation, Volume, VolumeError, read_segmentation, write_segmentation

LIVER = "Segmentation category and type~SCT^85756007^Tissue~SCT^10200004^Liver~^^~Anatomic codes~^^~^^"
HEADER = """NRRD0004
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: {layers} 3 4 2
space directions: none (0.7,0,0) (0,0.8,0) (0.1,0,2.5)
kinds: list domain domain domain
encoding: raw
space origin: (3,4,5)
{keys}
"""


def write_layers(path: Path, layers: np.ndarray, *keys: str) -> Path:
    """Write label maps (layer, 2, 4, 3) as 3D Slicer does."""
    header = HEADER.format(layers=len(layers), keys="".join(f"{key}\n" for key in keys))
    path.write_bytes(header.encode() + np.moveaxis(layers, 0, -1).astype(np.uint8).tobytes())
    return path


def keys_of(number: int, name: str, layer: int, value: int = 1, more: str = "") -> list[str]:
    own = {"ID": f"Segment_{number}", "Name": name, "Layer": layer, "LabelValue": value, "Color": "1 0 0.5"}
    return [*(f"Segment{number}_{key}:={value}" for key, value in own.items()), *([more] if more else [])]


@pytest.fixture
def layers() -> np.ndarray:
    """Two overlapping boxes, (layer, k, j, i)."""
    layers = np.zeros((2, 2, 4, 3), np.uint8)
    layers[0, :, :3] = 1
    layers[1, :, 2:] = 1
    return layers


def test_layers_become_one_label_map_with_names_colours_and_terminology(
    layers: np.ndarray, tmp_path: Path
) -> None:
    tags = f"Segment0_Tags:=TerminologyEntry:{LIVER}|Segmentation.Status:inprogress|"
    keys = [*keys_of(0, "Leber", 0, more=tags), *keys_of(1, "Tumör", 1)]
    found = read_segmentation(write_layers(tmp_path / "s.seg.nrrd", layers, *keys))
    assert found.segments == (Segment(1, "Leber", (1, 0, 0.5), LIVER), Segment(2, "Tumör", (1, 0, 0.5)))
    np.testing.assert_array_equal(found.labels, np.where(layers[1], 2, layers[0]))
    assert found.notes == ("Segments overlap in 6 voxels, which went to the later one (Tumör over Leber).",)
    expected = [[-0.7, 0, -0.1, -3], [0, -0.8, 0, -4], [0, 0, 2.5, 5], [0, 0, 0, 1]]
    np.testing.assert_allclose(found.ijk_to_ras, expected)


def test_what_nobody_has_labelled_covers_no_structure(layers: np.ndarray, tmp_path: Path) -> None:
    for first, second in (("a", "unlabelled"), ("unlabelled", "a")):
        keys = [*keys_of(0, first, 0), *keys_of(1, second, 1)]
        found = read_segmentation(write_layers(tmp_path / "s.seg.nrrd", layers, *keys))
        one, other = found.segment("a"), found.segment("unlabelled")
        assert one is not None
        assert other is not None
        of_one, of_other = layers if first == "a" else layers[::-1]
        expected = np.where(of_one, one.value, np.where(of_other, other.value, 0))
        np.testing.assert_array_equal(found.labels, expected)
        assert found.notes == ()


def test_distinct_values_of_layers_are_kept(layers: np.ndarray, tmp_path: Path) -> None:
    layers[1] *= 7
    keys = [*keys_of(0, "a", 0), *keys_of(1, "b", 1, 7)]
    found = read_segmentation(write_layers(tmp_path / "s.seg.nrrd", layers, *keys))
    assert [one.value for one in found.segments] == [1, 7]
    assert set(np.unique(found.labels)) == {1, 7}


def test_the_files_of_old_versions_have_a_layer_for_each_segment(layers: np.ndarray, tmp_path: Path) -> None:
    path = write_layers(tmp_path / "s.seg.nrrd", layers, "Segment0_Name:=a", "Segment1_Name:=b")
    assert [(one.value, one.name) for one in read_segmentation(path).segments] == [(1, "a"), (2, "b")]


def test_a_label_of_no_segment_gets_a_name(layers: np.ndarray, tmp_path: Path) -> None:
    layers[1] *= 3
    found = read_segmentation(write_layers(tmp_path / "s.seg.nrrd", layers, *keys_of(0, "a", 0)))
    assert [(one.value, one.name) for one in found.segments] == [(1, "a"), (3, "label 3")]
    assert "Some labels have no name; they were called label 3." in found.notes


def test_segments_of_the_same_name_are_told_apart(layers: np.ndarray, tmp_path: Path) -> None:
    keys = [*keys_of(0, "a\\n b", 0), *keys_of(1, "a b", 1)]
    found = read_segmentation(write_layers(tmp_path / "s.seg.nrrd", layers, *keys))
    assert [one.name for one in found.segments] == ["a b", "a b (2)"]


@pytest.mark.parametrize("key", ["Segment0_Layer:=2", "Segment0_LabelValue:=0", "Segment0_LabelValue:=x"])
def test_an_impossible_segment_is_one_sentence(key: str, layers: np.ndarray, tmp_path: Path) -> None:
    path = write_layers(tmp_path / "s.seg.nrrd", layers, "Segment0_Name:=a", key)
    with pytest.raises(VolumeError, match=r"^s\.seg\.nrrd states a layer or a label of segment 0"):
        read_segmentation(path)


def test_segments_of_one_slice_are_put_into_the_scan(tmp_path: Path) -> None:
    slice_of = Segmentation(np.ones((1, 2, 2), np.uint8), np.diag([1.0, 1, 3, 1]), (Segment(1, "a"),))
    write_segmentation(slice_of, tmp_path / "s.seg.nrrd")
    like = Volume(np.zeros((3, 4, 5), np.int16), np.diag([1.0, 1, 3, 1]))
    found = read_segmentation(tmp_path / "s.seg.nrrd", like)
    assert found.labels.shape == like.shape
    assert found.labels[0, :2, :2].sum() == found.labels.sum() == 4


def test_a_written_file_has_the_keys_of_slicer(tmp_path: Path) -> None:
    segments = (
        Segment(2, "Leber \\ 50%", (0.25, 0.5, 1.0), LIVER),
        Segment(5, "empty"),
    )
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 1] = 2
    written = Segmentation(labels, np.diag([-1.0, -1, 2, 1]), segments)
    write_segmentation(written, tmp_path / "s.seg.nrrd")
    image = SimpleITK.ReadImage(str(tmp_path / "s.seg.nrrd"))
    keys = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert keys["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert keys["Segment0_LabelValue"] == "2"
    assert keys["Segment0_Extent"] == "0 3 0 2 0 1"
    assert keys["Segment0_Tags"] == f"TerminologyEntry:{LIVER}|"
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), labels)
    found = read_segmentation(tmp_path / "s.seg.nrrd")
    assert found.segments[0] == segments[0]
    assert (found.segments[1].value, found.segments[1].name) == (5, "empty")
    # A colour is made up, as 3D Slicer shows segments without one in grey.
    assert found.segments[1].color is not None
