"""NRRD and MetaImage writers through SimpleITK, with conversion from RAS to LPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from MAESILCore.data.formats import geometry, voxeltypes
from MAESILCore.data.formats.scan import Scan
from MAESILCore.errors import VolumeError


def write(scan: Scan, path: Path, keys: Mapping[str, str] | None = None) -> None:
    """Write gzip NRRD or compressed MetaImage in LPS.

    Args:
        scan: voxels and geometry.
        path: the file, .nrrd, .mha or .mhd.
        keys: key/value pairs for the header of a NRRD file.

    Raises:
        VolumeError: a sheared geometry is to be written as MetaImage, whose matrix is meant to be a rotation, or the
            path is not UTF-8, as SimpleITK accepts no other.
    """
    import SimpleITK

    is_nrrd = path.suffix.lower() == ".nrrd"
    if not is_nrrd and geometry.is_sheared(scan.ijk_to_ras):
        raise VolumeError(f"{path.name}: MetaImage cannot hold a sheared geometry; write .nii.gz or .nrrd.")
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise VolumeError("Only .nii and .nii.gz can be written to a path that is not UTF-8.") from error
    ijk_to_lps = geometry.LPS_TO_RAS @ scan.ijk_to_ras
    image = SimpleITK.GetImageFromArray(voxeltypes.storable(scan.voxels))
    image.SetSpacing(geometry.spacing_of(ijk_to_lps).tolist())
    image.SetDirection(geometry.directions_of(ijk_to_lps).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    for key, value in (keys or {}).items():
        image.SetMetaData(key, value)
    image_io = "NrrdImageIO" if is_nrrd else "MetaImageIO"
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True, imageIO=image_io)
    except RuntimeError as error:
        raise OSError("SimpleITK could not write it") from error
