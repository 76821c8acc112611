"""Saved features: other programs find them where they are, and a failure leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
import zarr

from MAESILCore.data.volume import Volume
from MAESILCore.errors import ConfigError, VolumeError
from MAESILCore.inference import LevelFeatures, save_features
from MAESILCore.inference import featurefiles as feature_files
from MAESILCore.lattice import FeatureMap

MODEL = SimpleNamespace(name="toy", notes=("a note on the model",))


def matrices() -> dict[str, np.ndarray]:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    oblique, sheared = np.eye(4), np.diag([0.7, 0.7, 2.5, 1.0])
    oblique[:3, :3] = turn * (6.4, 8.8, 24.0)
    oblique[:3, 3] = (-30.0, 12.0, 700.0)
    sheared[1, 2] = 0.9
    return {"oblique": oblique, "sheared": sheared}


def some_features(matrix: np.ndarray) -> list[LevelFeatures]:
    generator = np.random.default_rng(0)
    found = []
    for level, shape in ((0, (6, 8, 10)), (3, (3, 4, 5))):
        vectors = generator.normal(size=(7, *shape)).astype(np.float32)
        body = generator.random(shape) < 0.5
        summary = generator.normal(size=5).astype(np.float32) if level else None
        found.append(LevelFeatures(level, FeatureMap(vectors, matrix, (4, 4, 4), body), summary))
    return found


def a_scan() -> Volume:
    return Volume(np.zeros((2, 2, 2), np.int16), np.eye(4), "Döe", ("a note",))


def save(folder: Path, found: list[LevelFeatures], name: str = "nifti") -> list[str]:
    files = save_features(found, folder, volume=a_scan(), model=MODEL, format=name)  # type: ignore[arg-type]
    return [file.name for file in files]


@pytest.mark.parametrize("name", matrices())
def test_a_vector_image_lies_where_a_click_finds_its_box(name: str, tmp_path: Path) -> None:
    found = some_features(matrices()[name])
    names = ["features-level-0.nii", "features-level-3.nii", "pooled.json"]
    assert save(tmp_path / "new", found) == names
    for one in found:
        image = nibabel.load(tmp_path / "new" / f"features-level-{one.level}.nii")
        assert image.header.get_intent()[0] == "vector"
        assert image.shape == (*one.map.shape[::-1], 1, 7)
        place = (2, 1, 3)
        ras = image.affine @ [*place[::-1], 1.0]
        assert one.map.place_at(ras[:3]) == place
        np.testing.assert_allclose(ras, one.map.lattice_to_ras @ [*place[::-1], 1.0], atol=1e-4)
        stored = np.asarray(image.dataobj)[:, :, :, 0]
        np.testing.assert_array_equal(stored.transpose(3, 2, 1, 0), one.map.vectors)


def test_itk_reads_the_vectors_of_the_same_places(tmp_path: Path) -> None:
    """3D Slicer reads files through ITK."""
    found = some_features(matrices()["oblique"])[1]
    save(tmp_path, [found])
    image = SimpleITK.ReadImage(str(tmp_path / "features-level-3.nii"))
    assert (image.GetSize(), image.GetNumberOfComponentsPerPixel()) == (found.map.shape[::-1], 7)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), np.moveaxis(found.map.vectors, 0, -1))
    place = (2, 1, 3)
    ras = np.array(image.TransformIndexToPhysicalPoint(place[::-1])) * (-1.0, -1.0, 1.0)
    assert found.map.place_at(ras) == place
    np.testing.assert_allclose(ras, (found.map.lattice_to_ras @ [*place[::-1], 1.0])[:3], atol=1e-3)


def test_zarr_has_the_exact_geometry(tmp_path: Path) -> None:
    found = some_features(matrices()["oblique"])
    assert save(tmp_path, found, "zarr") == ["features.zarr", "pooled.json"]
    group = zarr.open_group(str(tmp_path / "features.zarr"), mode="r")
    for one in found:
        array = group[f"level-{one.level}"]
        np.testing.assert_array_equal(array[...], one.map.vectors)
        np.testing.assert_array_equal(array.attrs["lattice_to_ras"], one.map.lattice_to_ras)
        assert array.attrs["stride_kji"] == [4, 4, 4]


def test_pooled_vectors_are_the_mean_of_the_body_and_the_summary(tmp_path: Path) -> None:
    found = some_features(np.eye(4))
    save(tmp_path, found)
    pooled = json.loads((tmp_path / "pooled.json").read_text(encoding="utf-8"))
    assert (pooled["name"], pooled["model"]) == ("Döe", "toy")
    assert pooled["notes"] == ["a note", "a note on the model"]
    for one, level in zip(found, pooled["levels"], strict=True):
        expected = one.map.vectors[:, one.map.body].mean(axis=1)
        np.testing.assert_allclose(level["mean"], expected, rtol=1e-5, atol=1e-6)
        assert level["body_boxes"] == one.map.body.sum()
        assert level["file"] == f"features-level-{one.level}.nii"
    assert pooled["levels"][0]["summary"] is None
    np.testing.assert_allclose(pooled["levels"][1]["summary"], found[1].summary)


def test_new_features_replace_those_before(tmp_path: Path) -> None:
    found = some_features(np.eye(4))
    (tmp_path / "mine.txt").write_text("mine")
    for features, name, expected in (
        (found, "zarr", {"features.zarr"}),
        (found[:1], "zarr", {"features.zarr"}),
        (found, "nifti", {"features-level-0.nii", "features-level-3.nii"}),
        (found[1:], "nifti", {"features-level-3.nii"}),
    ):
        save(tmp_path, features, name)
        assert {path.name for path in tmp_path.iterdir()} == expected | {"pooled.json", "mine.txt"}


def test_a_failure_leaves_the_features_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = some_features(np.eye(4))
    save(tmp_path, found)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_files, "write_json", full)
    with pytest.raises(VolumeError, match="the disk is full"):
        save(tmp_path, found[:1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="is a file; choose another place"):
        save(tmp_path / "file", found)
    with pytest.raises(ConfigError, match="written as nifti or zarr, not as hdf5"):
        save(tmp_path, found, "hdf5")
