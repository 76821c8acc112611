"""Files that are something else than their name promises are named as what they are, with what to do."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from niftiscans import AFFINE, write_nifti

from MAESILCore.data.volume import read_volume
from MAESILCore.errors import VolumeError

POINTERS = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS pointer"),
    "git-annex": (b"/annex/objects/MD5E-s1--2.nii.gz\n", "git-annex pointer"),
    "link of git-annex": (b"../.git/annex/objects/a/b/MD5E-s1--2.nii.gz", "git-annex pointer"),
    "DVC": (b"outs:\n- md5: 0123\n  path: scan.nii.gz\n", "DVC pointer"),
    "web page": (b"<!DOCTYPE html>\n<html>404</html>", "web page"),
    "empty": (b"", r"empty \(0 bytes\)"),
    "zip": (b"PK\x03\x04 and so on", "zip archive: unpack it"),
    "bzip2": (bz2.compress(b"x"), "compressed with bzip2: unpack it"),
}


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.mgz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.hdr", "a.dcm"]
)
def test_what_lies_in_place_of_a_scan_is_named(kind: str, name: str, tmp_path: Path) -> None:
    content, words = POINTERS[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=rf"{name} is .*{words}"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("written", "renamed", "words"),
    [
        (
            "a.nii.gz",
            "a.nii",
            r"compressed with gzip, and its name does not say so: rename it to end in \.nii\.gz",
        ),
        ("a.nii", "a.nii.gz", r"not compressed with gzip, as its name says: rename it to end in \.nii\."),
        ("a.mgz", "a.mgh", r"rename it to end in \.mgz"),
        ("a.mgh", "a.mgz", r"rename it to end in \.mgh"),
        (
            "a.nii.gz",
            "a.nrrd",
            r"is a NIfTI file, and its name does not say so: rename it to end in \.nii\.gz",
        ),
        ("a.nii", "a.mha", r"is a NIfTI file, and its name does not say so: rename it to end in \.nii\."),
        ("a.nii.gz", "a.mgz", r"is a NIfTI file, .* rename it to end in \.nii\.gz"),
        ("a.mgz", "a.nii.gz", r"is an MGH file, .* rename it to end in \.mgz"),
        ("a.mgh", "a.nii", r"is an MGH file, .* rename it to end in \.mgh"),
        ("a.mgh", "a.volume", r"is an MGH file, .* rename it to end in \.mgh"),
        ("a.nii.gz", "a.nii.gz.part", r"is a NIfTI file, .* rename it to end in \.nii\.gz"),
    ],
)
def test_a_name_that_is_wrong_about_format_or_compression_is_named(
    written: str, renamed: str, words: str, hu: np.ndarray, tmp_path: Path
) -> None:
    write_nifti(tmp_path / written, hu)
    (tmp_path / written).rename(tmp_path / renamed)
    with pytest.raises(VolumeError, match=words):
        read_volume(tmp_path / renamed)


DICOM = bytes(128) + b"DICM" + bytes(200)
NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n\n" + bytes(16)
TAR = b"scan.nii".ljust(257, b"\0") + b"ustar\00000" + bytes(1000)
META_IMAGE = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementDataFile = LOCAL\n" + bytes(16)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.nii.gz", DICOM, r"is a DICOM file, .* rename it to end in \.dcm"),
        ("a.nii", DICOM, r"is a DICOM file, .* rename it to end in \.dcm"),
        ("a.img", DICOM, r"is a DICOM file, .* rename it to end in \.dcm"),
        (
            "a.nii.gz",
            gzip.compress(DICOM, mtime=0),
            r"a DICOM file that is compressed with gzip: unpack it, .* \.dcm",
        ),
        ("a.nii", NRRD, r"is a NRRD file, .* rename it to end in \.nrrd"),
        (
            "a.nrrd.gz",
            gzip.compress(NRRD, mtime=0),
            r"a NRRD file that is compressed with gzip: unpack it, .* \.nrrd",
        ),
        ("a.nrrd", META_IMAGE, r"is a MetaImage file, .* rename it to end in \.mha"),
        ("a.nii.gz", b'{"message": "Not Found"}', "is text and not a scan: copy or download it again"),
        (
            "a.nii.gz",
            gzip.compress(b"Not found", mtime=0),
            "is text and not a scan: copy or download it again",
        ),
        ("a.mha", b'{"message": "Not Found"}', "is text and not a scan: copy or download it again"),
        ("a.nii.gz", b"<Error><Code>AccessDenied</Code></Error>", "is a web page or XML"),
        ("a.nii.gz", bytes(4096), "holds zeros in place of a header: copy or export it again"),
        ("a.mgh", bytes(4096), "holds zeros in place of a header: copy or export it again"),
        (
            "a.nii.gz",
            b"XSym\n0012\n0123\nb.nii.gz\n",
            "is a link and not the scan itself: copy the file that it",
        ),
        (
            "a.nii",
            b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0",
            "is a link and not the scan itself: copy the file that it",
        ),
        ("a.nii.Z", b"\x1f\x9d\x90", r"is compressed with compress \(\.Z\): unpack it"),
        ("a.nii.gz", TAR, "is a tar archive: unpack it"),
        ("a.nii.gz", gzip.compress(TAR, mtime=0), "is a tar archive that is compressed with gzip: unpack it"),
        ("scans.tar", TAR, "is a tar archive: unpack it"),
        ("a.nii.gz", zlib.compress(bytes(4096)), "compressed with zlib and not with gzip"),
        (
            "a.nii.gz",
            bytes(range(1, 256)),
            "neither compressed with gzip, as its name says, nor of the format NIfTI",
        ),
        (
            "a.mgz",
            gzip.compress(gzip.compress(bytes(400), mtime=0), mtime=0),
            "compressed with gzip twice: unpack it once",
        ),
        ("a.nii.bz2", bz2.compress(bytes(400)), "compressed with bzip2: unpack it"),
        ("a.nii.xz", b"\xfd7zXZ\0\0\4", "compressed with xz: unpack it"),
        ("a.nii.zst", b"(\xb5/\xfd\4\0", "compressed with Zstandard: unpack it"),
        ("pointer", POINTERS["Git LFS"][0], "is a Git LFS pointer"),
        ("a.img.gz", bytes(4096), r"not compressed with gzip, as its name says: rename it to end in \.img\."),
    ],
)
def test_what_a_file_is_instead_of_what_its_name_says(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match=rf"^{name} {words}|^{name} is {words}") as caught:
        read_volume(tmp_path / name)
    assert str(caught.value).endswith(".")


def test_an_uncompressed_analyze_header_is_to_be_renamed(hu: np.ndarray, tmp_path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(hu.T, AFFINE), tmp_path / "a.img")
    (tmp_path / "a.hdr").rename(tmp_path / "a.hdr.gz")
    with pytest.raises(VolumeError, match=r"not compressed with gzip, .* rename it to end in \.hdr\."):
        read_volume(tmp_path / "a.hdr.gz")


@pytest.mark.parametrize("asked", ["a.hdr", "a.img"])
@pytest.mark.parametrize("pointer", ["a.hdr", "a.img"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.AnalyzeImage])
def test_a_pointer_in_place_of_either_half_of_a_pair_is_named(
    kind: type, pointer: str, asked: str, hu: np.ndarray, tmp_path: Path
) -> None:
    nibabel.save(kind(hu.T, AFFINE), tmp_path / "a.img")
    (tmp_path / pointer).write_bytes(POINTERS["Git LFS"][0])
    with pytest.raises(VolumeError, match=rf"{pointer} is a Git LFS pointer"):
        read_volume(tmp_path / asked)


@pytest.mark.parametrize("value", [0, 1])
def test_voxels_that_look_like_a_mark_are_read(value: int, tmp_path: Path) -> None:
    """Big-endian ones are the version, lengths and type of an MGH header, too."""
    header = nibabel.nifti1.Nifti1PairHeader(endianness=">")
    header.set_data_dtype(">i4")
    labels = np.full((3, 4, 5), value, np.int32)
    labels[2, 3, 4] = 7
    nibabel.save(nibabel.Nifti1Pair(labels.T, AFFINE, header), tmp_path / "a.img")
    assert np.array_equal(read_volume(tmp_path / "a.img").voxels, labels)
