"""FreeSurfer MGH (.mgh, .mgz), with the header through nibabel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MAESILCore.data.formats import checks, geometry, nifti, voxeldata, voxeltypes
from MAESILCore.data.formats.scan import Scan, Unreadable

_HEADER_BYTES = 284

_VERSION, _KNOWN_VERSION = slice(0, 4), b"\0\0\0\1"

#: Bytes of the flag for valid directions and position.
_GOOD_RAS_FLAG = slice(28, 30)


@nifti.readable()
def read(path: Path) -> Scan:
    """Read one MGH file.

    Raises:
        Unreadable: the file is damaged, or holds no real-valued 3D volume.
    """
    from nibabel.freesurfer.mghformat import MGHHeader

    with voxeldata.decompressed(path) as stream:
        block = stream.read(_HEADER_BYTES)
    if block[_VERSION] != _KNOWN_VERSION:
        raise Unreadable("has no readable MGH header: copy or export it again.")
    # nibabel would print its checks.
    header = MGHHeader(block, check=False)
    dtype, size = np.dtype(header.get_data_dtype()), header.get_data_shape()
    shape, notes = checks.squeeze_to_3d(size)
    # FreeSurfer's scan parameters and tags follow the voxels.
    stored, _ = voxeldata.read_voxels(voxeldata.VoxelData.behind(path, _HEADER_BYTES), dtype, size)
    # nibabel sets the flag in its own header when it fills in the default geometry.
    is_oriented = int.from_bytes(block[_GOOD_RAS_FLAG], "big", signed=True) > 0
    return Scan(
        voxeltypes.rescale(stored.reshape(shape[::-1])),
        np.array(header.get_affine(), dtype=np.float64),
        notes if is_oriented else (*notes, geometry.NO_ORIENTATION),
    )
