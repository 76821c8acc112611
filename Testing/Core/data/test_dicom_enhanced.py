"""Enhanced CT, many frames a file or one: each frame has its own place and its own rescale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomslices import write_slice
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage, RLELossless

from MAESILCore.data.volume import find_scans, list_series, read_volume
from MAESILCore.errors import VolumeError

AXES = np.array([[0.8, 0.6, 0.0], [-0.48, 0.64, 0.6]])
NORMAL = np.cross(AXES[0], AXES[1])
ORIGIN = np.array([-10.0, -20.0, 30.0])


def group(sequence: str, **tags: Any) -> Dataset:  # noqa: ANN401 - DICOM values are of many types
    """One functional group."""
    outer, inner = Dataset(), Dataset()
    for keyword, value in tags.items():
        setattr(inner, keyword, value)
    setattr(outer, sequence, [inner])
    return outer


def merged(*groups: Dataset) -> Dataset:
    whole = Dataset()
    for one in groups:
        whole.update(one)
    return whole


def write_enhanced(
    path: Path,
    stored: np.ndarray,
    positions: np.ndarray,
    slopes: np.ndarray | None = None,
    frame_type: Callable[[int], str] = lambda n: "AXIAL",
    **tags: Any,  # noqa: ANN401
) -> None:
    """Write frames (k, j, i) at LPS positions (k, 3); rescaling is shared unless slopes are given."""
    shared = [
        group("PlaneOrientationSequence", ImageOrientationPatient=AXES.ravel().tolist()),
        group("PixelMeasuresSequence", PixelSpacing=[0.8, 0.7]),
    ]
    if slopes is None:
        shared.append(
            group(
                "PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"
            )
        )
    frames = []
    for n, position in enumerate(positions):
        of_frame = [
            group("PlanePositionSequence", ImagePositionPatient=[f"{part:.10g}" for part in position])
        ]
        of_frame.append(group("CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", frame_type(n)]))
        if slopes is not None:
            scale = {"RescaleSlope": str(slopes[n]), "RescaleIntercept": str(-100 * n)}
            of_frame.append(group("PixelValueTransformationSequence", **scale))
        frames.append(merged(*of_frame))
    defaults = {
        "SOPClassUID": EnhancedCTImageStorage,
        "NumberOfFrames": len(stored),
        "Rows": stored.shape[1],
        "Columns": stored.shape[2],
        "PixelData": stored.astype("<u2").tobytes(),
        "SharedFunctionalGroupsSequence": [merged(*shared)],
        "PerFrameFunctionalGroupsSequence": frames,
        **dict.fromkeys(
            (
                "ImageOrientationPatient",
                "ImagePositionPatient",
                "PixelSpacing",
                "RescaleSlope",
                "RescaleIntercept",
            )
        ),
    }
    write_slice(path, stored[0], ORIGIN, **{**defaults, **tags})


def positions(count: int, step: float = 2.5) -> np.ndarray:
    return ORIGIN + step * np.arange(count)[:, None] * NORMAL


def check(path: Path, voxels: np.ndarray, notes: tuple[str, ...] = ()) -> None:
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, voxels)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.ijk_to_ras
    expected = np.column_stack([0.7 * AXES[0], 0.8 * AXES[1], 2.5 * NORMAL, ORIGIN])
    np.testing.assert_allclose(lps[:3], expected, atol=1e-6)
    assert volume.notes == notes


@pytest.mark.parametrize("storage", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage])
def test_frames_are_sorted_by_their_positions(storage: str, stored: np.ndarray, tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(len(stored))
    write_enhanced(tmp_path / "ct.dcm", stored[order], positions(len(stored))[order], SOPClassUID=storage)
    check(tmp_path / "ct.dcm", stored - 1024)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_each_frame_has_its_own_rescale(is_compressed: bool, stored: np.ndarray, tmp_path: Path) -> None:
    slopes = 1 + np.arange(len(stored)) * 2
    path = tmp_path / "ct.dcm"
    write_enhanced(path, stored, positions(len(stored)), slopes, PhotometricInterpretation="MONOCHROME1")
    if is_compressed:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    voxels = stored * slopes[:, None, None] - 100 * np.arange(len(stored))[:, None, None]
    check(
        path,
        voxels,
        (f"The values from {voxels.min()} to {voxels.max()} are not HU.",),
    )


def test_one_frame_a_file_makes_a_series(stored: np.ndarray, tmp_path: Path) -> None:
    for n, position in enumerate(positions(len(stored))):
        write_enhanced(tmp_path / "scan" / f"{9 - n}.dcm", stored[n : n + 1], position[None])
    check(tmp_path / "scan", stored - 1024)
    assert list_series(tmp_path / "scan")[0].is_volume
    with pytest.raises(VolumeError, match=r"only one slice .* give the folder of its series"):
        read_volume(tmp_path / "scan" / "9.dcm")


def test_a_multi_frame_file_in_a_folder_is_a_scan(stored: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "scan" / "ct.dcm", stored, positions(len(stored)))
    check(tmp_path / "scan", stored - 1024)
    assert [(one.slices, one.is_volume) for one in list_series(tmp_path / "scan")] == [(6, True)]
    assert find_scans(tmp_path / "scan") == [tmp_path / "scan"]


def test_a_scout_frame_is_left_out(stored: np.ndarray, tmp_path: Path) -> None:
    places = np.vstack([positions(5), [[0.0, 300.0, 0.0]]])
    write_enhanced(
        tmp_path / "ct.dcm", stored, places, frame_type=lambda n: "LOCALIZER" if n == 5 else "AXIAL"
    )
    check(tmp_path / "ct.dcm", stored[:5] - 1024, ("1 scout image was left out (ct.dcm).",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PerFrameFunctionalGroupsSequence": None}, r"multi-frame DICOM \(6 frames\) without the position"),
        ({"NumberOfFrames": 5}, "announces 5 frames and describes 6"),
        ({"PixelData": bytes(2 * 5 * 7 * 6 - 4)}, "it has 416 of 420 bytes of pixels"),
        ({"SharedFunctionalGroupsSequence": None}, "without a position or orientation"),
    ],
)
def test_frames_that_are_not_described_are_refused(
    change: dict[str, Any], words: str, stored: np.ndarray, tmp_path: Path
) -> None:
    write_enhanced(tmp_path / "ct.dcm", stored, positions(len(stored)), **change)
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path / "ct.dcm")


def test_a_missing_frame_is_named(stored: np.ndarray, tmp_path: Path) -> None:
    places = np.delete(positions(len(stored) + 1), 3, axis=0)
    write_enhanced(tmp_path / "ct.dcm", stored, places)
    with pytest.raises(VolumeError, match=r"lacks 1 slice among slices 2\.5 mm apart"):
        read_volume(tmp_path / "ct.dcm")


def test_two_phases_in_one_file_are_refused(stored: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", stored, np.vstack([positions(3), positions(3)]))
    with pytest.raises(VolumeError, match="several phases"):
        read_volume(tmp_path / "ct.dcm")


@pytest.mark.parametrize(
    ("sequence", "keyword", "values"),
    [
        ("FrameContentSequence", "FrameAcquisitionNumber", (1, 2)),
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2)),
        ("FrameContentSequence", "FrameAcquisitionDateTime", ("20240131101500", "20240131101503")),
        ("CTXRayDetailsSequence", "KVP", (80, 140)),
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", (10, 70)),
    ],
)
@pytest.mark.parametrize("is_interleaved", [False, True])
def test_frames_of_acquisitions_that_alternate_are_named(
    sequence: str,
    keyword: str,
    values: tuple[Any, Any],
    is_interleaved: bool,
    stored: np.ndarray,
    tmp_path: Path,
) -> None:
    path = tmp_path / "ct.dcm"
    write_enhanced(path, stored, positions(len(stored)))
    dataset = pydicom.dcmread(path)
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.update(group(sequence, **{keyword: values[n % 2 if is_interleaved else n // 3]}))
    dataset.save_as(path)
    note = "The slices of several acquisitions alternate in this stack: it may mix phases or doses."
    check(path, stored - 1024, (note,) if is_interleaved else ())


def write_parts(folder: Path, stored: np.ndarray, count: int | None) -> list[Path]:
    """Write an image as three files of two frames each."""
    paths = []
    for n in range(3):
        frames = slice(2 * n, 2 * n + 2)
        tags = {
            "ConcatenationUID": "1.2.7",
            "InConcatenationNumber": n + 1,
            "InConcatenationTotalNumber": count,
        }
        paths.append(folder / f"{n}.dcm")
        write_enhanced(paths[-1], stored[frames], positions(6)[frames], **tags)
    return paths


@pytest.mark.parametrize(
    ("count", "notes"),
    [
        (3, ()),
        (None, ("The image is divided into parts, and no header states their number: some may be missing.",)),
    ],
)
def test_all_parts_of_an_image_make_a_scan(
    count: int | None, notes: tuple[str, ...], stored: np.ndarray, tmp_path: Path
) -> None:
    write_parts(tmp_path / "scan", stored, count)
    check(tmp_path / "scan", stored - 1024, notes)


@pytest.mark.parametrize(
    ("lost", "count", "missing"),
    [(0, 3, "1 of 3 parts is"), (2, 3, "1 of 3 parts is"), (1, None, "1 of 3 parts is")],
)
def test_a_missing_part_of_an_image_is_named(
    lost: int, count: int | None, missing: str, stored: np.ndarray, tmp_path: Path
) -> None:
    paths = write_parts(tmp_path / "scan", stored, count)
    paths[lost].unlink()
    with pytest.raises(VolumeError, match=rf"scan is a part of a larger image .* {missing} missing"):
        read_volume(tmp_path / "scan")


def test_a_part_without_a_number_has_a_note(stored: np.ndarray, tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct.dcm", stored, positions(len(stored)), ConcatenationUID="1.2.7")
    note = "The image is divided into parts, and no header states their number: some may be missing."
    check(tmp_path / "ct.dcm", stored - 1024, (note,))


def test_a_single_part_of_an_image_is_no_scan(stored: np.ndarray, tmp_path: Path) -> None:
    path = write_parts(tmp_path, stored, 3)[1]
    with pytest.raises(
        VolumeError, match=r"1\.dcm is a part of .* 2 of 3 parts are missing: give a folder with all"
    ):
        read_volume(path)


@pytest.mark.parametrize("has_table", [False, True])
def test_compressed_frames_that_are_missing_are_counted(
    has_table: bool, stored: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "ct.dcm"
    write_enhanced(path, stored, positions(len(stored)))
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=len(stored)))
    dataset.PixelData = encapsulate(frames[:-1], has_bot=has_table)
    dataset.save_as(path)
    with pytest.raises(
        VolumeError, match=r"ct\.dcm is cut short or damaged \(its pixel data have 5 of 6 frames\)"
    ):
        read_volume(path)
