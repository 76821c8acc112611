"""NRRD and MetaImage through SimpleITK; LPS becomes RAS here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MAESILCore.errors import VolumeError
from MAESILCore.formats import checks, geometry, metaimage_header, nrrd_header, numbers
from MAESILCore.formats.scan import Scan

if TYPE_CHECKING:
    import SimpleITK


def read_nrrd(path: Path) -> Scan:
    """Read one NRRD file; the geometry is the header's own, so that no reader can drop its shear.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    fields = nrrd_header.read_fields(path)
    for data in nrrd_header.detached_files(path, fields):
        if not data.is_file():
            raise VolumeError(f"{path.name} names the data file {data.name}, which is not beside it.")
    stated = nrrd_header.ijk_to_ras(path, fields)
    voxels, from_reader, notes = _read(path, "NrrdImageIO")
    if stated is None:
        note = "The header states no anatomical space: which side is left is a guess."
        return Scan(voxels, from_reader, (*notes, note))
    return Scan(voxels, stated, notes)


def read_meta_image(path: Path) -> Scan:
    """Read one MetaImage file.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    metaimage_header.check_data(path)
    return Scan(*_read(path, "MetaImageIO"))


def write_nrrd(scan: Scan, path: Path) -> None:
    """Write gzip NRRD in LPS; it can hold a shear."""
    _write(scan, path, "NrrdImageIO")


def write_meta_image(scan: Scan, path: Path) -> None:
    """Write compressed MetaImage.

    Raises:
        VolumeError: If the geometry is sheared: MetaImage's matrix is meant to be a rotation.
    """
    if geometry.is_sheared(scan.ijk_to_ras):
        raise VolumeError(f"{path.name}: MetaImage cannot hold a sheared geometry; write .nii.gz or .nrrd.")
    _write(scan, path, "MetaImageIO")


def _read(path: Path, image_io: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _refuse_pixels(path, reader)
        shape, notes = checks.squeeze_to_3d(path, reader.GetSize())
        image = reader.Execute()
    except RuntimeError as error:
        raise checks.damaged(path, "its voxels end too early or do not decode") from error
    voxels = numbers.rescale(SimpleITK.GetArrayFromImage(image).reshape(shape[::-1]))
    return voxels, _ijk_to_ras(image), notes


def _refuse_pixels(path: Path, reader: SimpleITK.ImageFileReader) -> None:
    import SimpleITK

    if "complex" in SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()).lower():
        checks.refuse_pixel_kind(path, np.dtype(np.complex64))
    components = reader.GetNumberOfComponents()
    if components > 1:
        message = f"{path.name} holds {components} values a voxel (colours or vectors), and one is needed."
        raise VolumeError(message)


def _ijk_to_ras(image: SimpleITK.Image) -> np.ndarray:
    dimension = image.GetDimension()
    directions = np.array(image.GetDirection()).reshape(dimension, dimension)[:3, :3]
    return geometry.ras_from_lps(directions, image.GetSpacing()[:3], image.GetOrigin()[:3])


def _write(scan: Scan, path: Path, image_io: str) -> None:
    import SimpleITK

    ijk_to_lps = geometry.LPS_TO_RAS @ scan.ijk_to_ras
    image = SimpleITK.GetImageFromArray(numbers.storable(scan.voxels))
    image.SetSpacing(geometry.spacing_of(ijk_to_lps).tolist())
    image.SetDirection(geometry.directions_of(ijk_to_lps).ravel().tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True, imageIO=image_io)
    except RuntimeError as error:
        raise OSError("SimpleITK could not write it") from error
