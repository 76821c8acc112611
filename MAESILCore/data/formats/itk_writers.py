"""NRRD and MetaImage writers through SimpleITK, with conversion from RAS to LPS."""

from __future__ import annotations

from pathlib import Path

from MAESILCore.data.formats import geometry, voxeltypes
from MAESILCore.data.formats.scan import Scan
from MAESILCore.errors import VolumeError


def write_nrrd(scan: Scan, path: Path) -> None:
    """Write gzip NRRD in LPS; it can hold a shear."""
    _write(scan, path, "NrrdImageIO")


def write_meta_image(scan: Scan, path: Path) -> None:
    """Write compressed MetaImage.

    Raises:
        VolumeError: the geometry is sheared: MetaImage's matrix is meant to be a rotation.
    """
    if geometry.is_sheared(scan.ijk_to_ras):
        raise VolumeError(f"{path.name}: MetaImage cannot hold a sheared geometry; write .nii.gz or .nrrd.")
    _write(scan, path, "MetaImageIO")


def _write(scan: Scan, path: Path, image_io: str) -> None:
    import SimpleITK

    _refuse_undecodable(path)
    ijk_to_lps = geometry.LPS_TO_RAS @ scan.ijk_to_ras
    image = SimpleITK.GetImageFromArray(voxeltypes.storable(scan.voxels))
    image.SetSpacing(geometry.spacing_of(ijk_to_lps).tolist())
    image.SetDirection(geometry.directions_of(ijk_to_lps).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True, imageIO=image_io)
    except RuntimeError as error:
        raise OSError("SimpleITK could not write it") from error


def _refuse_undecodable(path: Path) -> None:
    """Reject a path that is not UTF-8, as SimpleITK accepts no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise VolumeError("Only .nii and .nii.gz can be written to a path that is not UTF-8.") from error
