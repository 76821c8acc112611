"""Tests of `data.labels`: DICOM SEG made by highdicom, and RTSTRUCT made by pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicomslices import write_object
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, RTStructureSetStorage, generate_uid

from MAESILCore import Volume, VolumeError, read_segmentation, read_volume

FRAME, STUDY = "1.2.3.4", "1.2.3.5"
SHAPE = (4, 9, 11)
TO_RAS = np.diag([-1.0, -1, 1, 1])

#: Axes of a scan in LPS as columns: along the patient, and oblique.
STRAIGHT = np.diag([0.7, 0.8, 2.5])
_TURN = np.array([[0.8, -0.6, 0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
OBLIQUE = _TURN @ STRAIGHT


def scan_with(axes: np.ndarray) -> Volume:
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3], ijk_to_lps[:3, 3] = axes, (-10, -20, 30)
    return Volume(np.zeros(SHAPE, np.int16), TO_RAS @ ijk_to_lps)


def slices_of(scan: Volume) -> list[Dataset]:
    """The headers of the slices of a scan, as highdicom needs them."""
    axes, spacing = TO_RAS[:3, :3] @ scan.directions, scan.spacing
    slices = []
    for k in range(scan.shape[0]):
        one = Dataset()
        one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, generate_uid(), "CT"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = STUDY, "1.2.3.6", FRAME
        one.PatientID, one.PatientName, one.StudyID, one.AccessionNumber = "x", "x^", "x", "x"
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = ""
        one.Rows, one.Columns = scan.shape[1:]
        one.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
        one.ImagePositionPatient = list((TO_RAS @ scan.ijk_to_ras @ [0, 0, k, 1])[:3])
        one.PixelSpacing, one.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        slices.append(one)
    return slices


def write_seg(path: Path, scan: Volume, masks: np.ndarray, kind: str = "BINARY") -> Path:
    """Write masks (k, j, i, segment), of 0 to 1, or labels (k, j, i)."""
    import highdicom

    described = []
    for number in range(1, (masks.shape[-1] if masks.ndim == 4 else int(masks.max())) + 1):
        one = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label="Liver" if number == 1 else f"Part {number}",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="MANUAL",
            anatomic_regions=[codes.SCT.Abdomen] if number == 1 else None,
            display_color=highdicom.color.CIELabColor.from_rgb(221, 130, 101) if number == 1 else None,
        )
        described.append(one)
    made = highdicom.seg.Segmentation(
        source_images=slices_of(scan),
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path)
    return path


@pytest.fixture
def masks() -> np.ndarray:
    """Two segments, (k, j, i, segment); the first slice has none."""
    masks = np.zeros((*SHAPE, 2), np.uint8)
    masks[1:3, 2:6, 3:8, 0] = 1
    masks[2:4, 6:8, 1:4, 1] = 1
    return masks


@pytest.mark.parametrize("axes", [STRAIGHT, OBLIQUE])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_seg_has_its_voxels_names_colours_and_codes(
    kind: str, axes: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    scan = scan_with(axes)
    stored = masks.astype(np.float32) * [0.5, 1.0] if kind == "FRACTIONAL" else masks
    stored = masks[..., 0] + 2 * masks[..., 1] if kind == "LABELMAP" else stored
    found = read_segmentation(write_seg(tmp_path / "seg.dcm", scan, stored, kind), scan)
    np.testing.assert_array_equal(found.labels, masks[..., 0] + 2 * masks[..., 1])
    first, second = found.segments
    assert (first.name, second.name) == ("Liver", "Part 2")
    assert second.color is None
    np.testing.assert_allclose(np.multiply(first.color or 0, 255), (221, 130, 101), atol=1)
    organ, liver, abdomen = (
        f"SCT^{code.value}^{code.meaning}" for code in (codes.SCT.Organ, codes.SCT.Liver, codes.SCT.Abdomen)
    )
    kinds, regions = (
        "Segmentation category and type - DICOM master list",
        "Anatomic codes - DICOM master list",
    )
    assert first.terminology == f"{kinds}~{organ}~{liver}~^^~{regions}~{abdomen}~^^"
    assert len(found.notes) == (kind == "FRACTIONAL")


def test_the_slices_between_those_of_a_seg_are_empty(masks: np.ndarray, tmp_path: Path) -> None:
    masks[1:3] = 0
    masks[0, 1, 1, 0] = 1
    scan = scan_with(STRAIGHT)
    found = read_segmentation(write_seg(tmp_path / "seg.dcm", scan, masks), scan)
    np.testing.assert_array_equal(found.labels, masks[..., 0] + 2 * masks[..., 1])


def test_of_overlapping_segments_the_later_wins(masks: np.ndarray, tmp_path: Path) -> None:
    masks[2, 2:4, 3:8, 1] = 1
    scan = scan_with(STRAIGHT)
    found = read_segmentation(write_seg(tmp_path / "seg.dcm", scan, masks), scan)
    np.testing.assert_array_equal(found.labels, np.where(masks[..., 1], 2, masks[..., 0]))
    assert found.notes == ("Segments overlap in 10 voxels, which went to the later one (Part 2 over Liver).",)


def test_a_damaged_seg_is_one_sentence(masks: np.ndarray, tmp_path: Path) -> None:
    path = write_seg(tmp_path / "seg.dcm", scan_with(STRAIGHT), masks)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(VolumeError, match=r"^seg\.dcm "):
        read_segmentation(path)


def items(*sequence: dict[str, Any]) -> list[Dataset]:
    made = []
    for tags in sequence:
        made.append(Dataset())
        for keyword, value in tags.items():
            setattr(made[-1], keyword, value)
    return made


def write_structures(
    path: Path, scan: Volume, structures: dict[str, Sequence[np.ndarray]], kind: str = "CLOSED_PLANAR"
) -> Path:
    """Write contours, (N, 3) voxel indices each, of named structures."""
    drawn = []
    for number, outlines in enumerate(structures.values(), 1):
        contours = []
        for outline in outlines:
            lps = outline @ (TO_RAS @ scan.ijk_to_ras)[:3, :3].T + (TO_RAS @ scan.ijk_to_ras)[:3, 3]
            data = [f"{part:.4f}" for part in lps.ravel()]
            contours.append({"ContourGeometricType": kind, "ContourData": data})
        drawn.append(
            {
                "ReferencedROINumber": number,
                "ROIDisplayColor": [255, 0, 51],
                "ContourSequence": items(*contours),
            }
        )
    write_object(
        path,
        SOPClassUID=RTStructureSetStorage,
        Modality="RTSTRUCT",
        SpecificCharacterSet="ISO_IR 192",
        ReferencedFrameOfReferenceSequence=items({"FrameOfReferenceUID": FRAME}),
        StructureSetROISequence=items(
            *({"ROINumber": number, "ROIName": name} for number, name in enumerate(structures, 1))
        ),
        ROIContourSequence=items(*drawn),
    )
    return path


def box(i: tuple[float, float], j: tuple[float, float], k: float) -> np.ndarray:
    """A rectangle in a slice, (4, 3) voxel indices."""
    return np.array([[i[0], j[0], k], [i[1], j[0], k], [i[1], j[1], k], [i[0], j[1], k]])


@pytest.mark.parametrize("axes", [STRAIGHT, OBLIQUE])
def test_contours_become_voxels_of_the_scan(axes: np.ndarray, tmp_path: Path) -> None:
    scan = scan_with(axes)
    structures = {
        "Äußere": [box((2.6, 7.4), (1.6, 5.4), k) for k in (1, 2)] + [box((3.6, 4.4), (2.6, 3.4), 1)],
        "nothing": [],
        "inner": [box((6.6, 8.4), (4.6, 6.4), 2)],
    }
    found = read_segmentation(write_structures(tmp_path / "rs.dcm", scan, structures), scan)
    expected = np.zeros(SHAPE, int)
    expected[1:3, 2:6, 3:8] = 1
    expected[1, 3, 4] = 0
    expected[2, 5:7, 7:9] = 3
    np.testing.assert_array_equal(found.labels, expected)
    assert [(one.value, one.name) for one in found.segments] == [(1, "Äußere"), (2, "nothing"), (3, "inner")]
    assert found.segments[0].color == (1.0, 0.0, 0.2)
    assert found.notes == ("Segments overlap in 1 voxels, which went to the later one (inner over Äußere).",)


def test_contours_in_other_planes_are_resampled(tmp_path: Path) -> None:
    drawn, scan = scan_with(OBLIQUE), scan_with(STRAIGHT)
    ball = [_circle(4, 4, np.sqrt(max(1 - (k - 1.5) ** 2 / 4, 0)) * 3.5, k) for k in (0, 1, 2, 3)]
    path = write_structures(tmp_path / "rs.dcm", drawn, {"ball": ball})
    fine = Volume(np.zeros((60, 60, 60), np.int16), TO_RAS @ _fine_grid(drawn))
    found = read_segmentation(path, fine)
    own = read_segmentation(path, drawn)
    volumes = [
        np.count_nonzero(one.labels) * abs(np.linalg.det(one.ijk_to_ras[:3, :3])) for one in (found, own)
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)
    centres = [
        (one.ijk_to_ras @ [*np.mean(np.nonzero(one.labels), axis=1)[::-1], 1])[:3] for one in (found, own)
    ]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.25)
    assert any("ball are not in the planes of the scan" in note for note in found.notes)
    assert scan.spacing == pytest.approx(drawn.spacing)


def _circle(i: float, j: float, radius: float, k: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([i + radius * np.cos(angles), j + radius * np.sin(angles), np.full(40, k)], axis=1)


def _fine_grid(scan: Volume) -> np.ndarray:
    """An IJK-to-LPS matrix of 0.3 mm along the patient, around the middle of a scan's first voxels."""
    grid = np.diag([0.3, 0.3, 0.3, 1.0])
    middle = TO_RAS @ scan.ijk_to_ras @ [4, 4, 1.5, 1]
    grid[:3, 3] = middle[:3] - 9
    return grid


def test_points_are_left_out_and_what_leaves_the_scan_is_cut_off(tmp_path: Path) -> None:
    scan = scan_with(STRAIGHT)
    path = write_structures(tmp_path / "p.dcm", scan, {"mark": [box((1, 2), (1, 2), 1)]}, "POINT")
    assert not read_segmentation(path, scan).labels.any()
    assert (
        "Points and open lines of mark enclose no area and were left out."
        in read_segmentation(path, scan).notes
    )
    path = write_structures(tmp_path / "c.dcm", scan, {"large": [box((-5, 4.4), (1.6, 5.4), 1)]})
    found = read_segmentation(path, scan)
    assert found.labels.sum() == 5 * 4
    assert found.notes == ("Parts of large are outside of the scan and were cut off.",)


def test_contours_need_the_scan_that_they_were_drawn_on(tmp_path: Path) -> None:
    scan = scan_with(STRAIGHT)
    path = write_structures(tmp_path / "rs.dcm", scan, {"a": [box((2, 5), (2, 5), 1)]})
    with pytest.raises(VolumeError, match=r"^rs\.dcm holds contours, which have no voxels: give the scan"):
        read_segmentation(path)
    elsewhere = Volume(scan.voxels, np.diag([1.0, 1, 1, 1]))
    with pytest.raises(VolumeError, match=r"^rs\.dcm has all its contours outside of the scan"):
        read_segmentation(path, elsewhere)
    other = tmp_path / "scan" / "1.dcm"
    write_object(other, FrameOfReferenceUID="1.2.9")
    with pytest.raises(VolumeError, match=r"belongs to another scan than scan \(its frame of reference"):
        read_segmentation(path, scan, scan=other.parent)
    write_object(other, FrameOfReferenceUID=FRAME)
    assert read_segmentation(path, scan, scan=other.parent).labels.any()


def test_a_folder_means_its_only_object(tmp_path: Path) -> None:
    scan = scan_with(STRAIGHT)
    write_structures(tmp_path / "rs.dcm", scan, {"a": [box((2, 5), (2, 5), 1)]})
    assert read_segmentation(tmp_path, scan).segments[0].name == "a"
    write_structures(tmp_path / "more" / "rs.dcm", scan, {"b": [box((2, 5), (2, 5), 1)]})
    with pytest.raises(VolumeError, match="holds 2 DICOM objects with segments"):
        read_segmentation(tmp_path, scan)


def test_the_real_contours_are_the_real_mask(scans: Path) -> None:
    volume = read_volume(scans / "test" / "STS_042_dicom" / "image")
    drawn = read_segmentation(scans / "test" / "STS_042_dicom" / "mask" / "RS.dcm", volume)
    mask = read_segmentation(scans / "test" / "STS_042_CT_gtv.nii.gz", volume)
    assert drawn.segments[0].name == "GTV_Mass_CT"
    np.testing.assert_array_equal(drawn.labels, mask.labels)


def test_the_real_seg_lies_on_its_liver(scans: Path) -> None:
    folder = scans / "test" / "dcmqi_ct-3slice"
    volume = read_volume(folder)
    path = scans / "test" / "dcmqi_ct-3slice_SEG_liver.dcm"
    found = read_segmentation(path, volume, scan=folder)
    assert found.segments[0].name == "Liver"
    assert "SRT^T-62000^Liver" in found.segments[0].terminology
    assert found.labels.sum() == 107098
    assert 30 < np.median(volume.voxels[found.labels > 0]) < 60
    assert found.notes == ()
