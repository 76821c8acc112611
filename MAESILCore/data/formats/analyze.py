"""Analyze 7.5 and SPM pairs (.hdr/.img), with headers through nibabel."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.formats import checks, geometry, nifti, voxeldata, voxeltypes
from MAESILCore.data.formats.names import extension_of
from MAESILCore.data.formats.scan import Scan, Unreadable

_HEADER_BYTES = 348

#: Extensions of SPM's matrix file, compressed or in capitals like the pair.
_MATRIX_ENDINGS = (".mat", ".MAT", ".mat.gz")


@nifti.readable()
def read(path: Path) -> Scan:
    """Read an Analyze pair by the path of either half; gzip is supported.

    Raises:
        Unreadable: a half is missing or damaged, or the pair holds no real-valued 3D volume.
    """
    from nibabel.imageglobals import LoggingOutputSuppressor

    header_path, data_path = nifti.pair(path)
    with LoggingOutputSuppressor():
        image = _image(header_path)
        dtype, offset = np.dtype(image.get_data_dtype()), int(image.dataobj.offset)
        checks.refuse_pixel_kind(dtype)
        shape, notes = checks.squeeze_to_3d(image.shape)
        if offset < 0:
            raise Unreadable(f"says that its voxels begin at byte {offset}: export it again.")
        stored, extra = voxeldata.read_voxels(
            voxeldata.VoxelData.behind(data_path, offset), dtype, image.shape
        )
        ijk_to_ras = np.array(image.affine, dtype=np.float64)
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    voxels = voxeltypes.rescale(stored.reshape(shape[::-1]), slope, intercept)
    return Scan(voxels, ijk_to_ras, (*notes, geometry.NO_ORIENTATION, *voxeldata.extra_bytes_notes(extra)))


def _image(header_path: Path) -> Any:  # noqa: ANN401 - nibabel is untyped
    """The header as a nibabel image (SPM2, SPM99 or plain Analyze) without voxels."""
    from nibabel import AnalyzeImage, Spm2AnalyzeImage, Spm99AnalyzeImage
    from nibabel.fileholders import FileHolder

    with voxeldata.decompressed(header_path) as stream:
        block = stream.read(_HEADER_BYTES)
        voxeldata.count_rest(stream)
    for kind in (Spm2AnalyzeImage, Spm99AnalyzeImage, AnalyzeImage):
        if kind.header_class.may_contain_header(block):
            parts = {"header": block, "image": b"", "mat": _matrix_of_spm(header_path)}
            return kind.from_file_map(
                {name: FileHolder(fileobj=io.BytesIO(part)) for name, part in parts.items()}
            )
    raise Unreadable("has no readable NIfTI or Analyze header: copy or export it again.")


def _matrix_of_spm(header_path: Path) -> bytes:
    """The content of SPM's MATLAB matrix file, empty if there is none."""
    stem = header_path.name[: -len(extension_of(header_path))]
    for path in (header_path.with_name(stem + ending) for ending in _MATRIX_ENDINGS):
        if path.is_file():
            with voxeldata.decompressed(path) as stream:
                return stream.read()
    return b""
