"""FreeSurfer MGH (.mgh, .mgz) and Analyze 7.5 pairs through nibabel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.formats import checks, nifti, numbers, voxeldata
from MAESILCore.formats.names import MGH, extension_of
from MAESILCore.formats.scan import Scan


def read(path: Path) -> Scan:
    """Read one MGH file or Analyze pair.

    Raises:
        VolumeError: If the file is damaged, or holds no real-valued 3D volume.
    """
    from nibabel.imageglobals import LoggingOutputSuppressor

    with LoggingOutputSuppressor(), nifti.readable(path), _opened(path) as image:
        checks.refuse_pixel_kind(path, np.dtype(image.get_data_dtype()))
        shape, notes = checks.squeeze_to_3d(path, image.shape)
        _refuse_too_short(path, image)
        stored = np.asarray(image.dataobj.get_unscaled()).reshape(shape, order="F").T
        ijk_to_ras = np.array(image.affine, dtype=np.float64)
        header = image.header
        is_oriented = "goodRASFlag" in header and int(header["goodRASFlag"])
    voxels = numbers.rescale(stored, float(image.dataobj.slope), float(image.dataobj.inter))
    return Scan(voxels, ijk_to_ras, notes if is_oriented else (*notes, nifti.NO_ORIENTATION))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import nibabel
    from nibabel.fileholders import FileHolder
    from nibabel.openers import ImageOpener

    if extension_of(path) not in MGH:
        yield nibabel.load(path, mmap=False)
        return
    # nibabel stops before the checksum.
    with voxeldata.decompressed(path) as stream:
        voxeldata.verify_rest(stream)
    # nibabel leaves MGH files open when it opens them itself.
    with ImageOpener(str(path)) as stream:
        yield nibabel.MGHImage.from_file_map({"image": FileHolder(fileobj=stream.fobj)})


def _refuse_too_short(path: Path, image: Any) -> None:  # noqa: ANN401 - nibabel is untyped
    data = Path(image.file_map["image"].filename or path)
    announced = math.prod(int(length) for length in image.shape) * np.dtype(image.get_data_dtype()).itemsize
    checks.refuse_too_short(data, announced, is_compressed=data.suffix.lower() in (".gz", ".mgz"))
