"""The files of a store, and the writing of one scan as Zarr 3.

```
STORE/
  store.json        version, settings, statistics of all scans
  index.jsonl       one line per source file: stored, duplicate or quarantined; see `index`
  scans.csv         the stored scans, for people
  quarantine.csv    the files that are not in the store, with reasons, for people
  zarr.json         makes the store one Zarr group
  scans/ID/         one Zarr group per scan, named by its content; its attributes hold geometry and statistics
    voxels/         int16 HU, (k, j, i)
    body/           uint16, voxels above -500 HU in each chunk of `voxels`
```

A store without HU holds int16 values of no unit instead: whole numbers as they are, others stretched to the range of
int16. Its body lies above `intensity.body_floor`.

A chunk is a cube of 32 voxels, as a crop at a random offset then reads few voxels beside its own. Shards keep the
number of files low. See docs/decisions/0012-store.md for the figures behind the layout.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.optional import require

STORE = "store.json"
INDEX = "index.jsonl"
SCANS_TABLE = "scans.csv"
QUARANTINE_TABLE = "quarantine.csv"
SCANS = "scans"
VOXELS = "voxels"
BODY = "body"
METADATA = "zarr.json"
#: Folder of unfinished scans.
UNFINISHED = ".unfinished"
LOCK = "lock"

#: Latest version of the layout. Stores in HU have version 1; those without have version 2, so that older MAESIL refuses
#: them.
VERSION = 2
#: Edge of a chunk in voxels.
CHUNK = 32
#: Largest extents of a shard along k, j, i in voxels: 128 MiB before compression.
LARGEST_SHARD = (256, 512, 512)
#: Voxels above this HU count as body.
BODY_HU = -500

#: How scans are resampled to a spacing; another way needs another name.
RESAMPLING = "gaussian, linear"

#: Files that describe a scan, below its folder.
METADATA_FILES = (METADATA, f"{VOXELS}/{METADATA}", f"{BODY}/{METADATA}")

Shape = tuple[int, int, int]


def is_hu(settings: Mapping[str, Any]) -> bool:
    """Whether a store with these settings, of its `store.json`, holds HU."""
    return settings.get("unit") != ""


def is_store(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a store."""
    return (Path(folder) / STORE).is_file()


def counts_of(shape: Shape) -> Shape:
    """The number of chunks along k, j, i."""
    k, j, i = (-(-extent // CHUNK) for extent in shape)
    return k, j, i


def shard_of(shape: Shape) -> Shape:
    """The extents of a shard along k, j, i, whole chunks."""
    k, j, i = (min(count * CHUNK, most) for count, most in zip(counts_of(shape), LARGEST_SHARD, strict=True))
    return k, j, i


def body_of(voxels: np.ndarray, floor: float = BODY_HU) -> np.ndarray:
    """Voxels above a value per chunk, uint16, along k, j, i."""
    counts = counts_of(voxels.shape)
    body = np.zeros(counts, dtype=np.uint16)
    starts = [np.arange(0, extent, CHUNK) for extent in voxels.shape[1:]]
    for k in range(counts[0]):
        is_body = voxels[k * CHUNK : (k + 1) * CHUNK] > floor
        plane = is_body.sum(axis=0, dtype=np.uint16)
        body[k] = np.add.reduceat(np.add.reduceat(plane, starts[0], axis=0), starts[1], axis=1)
    return body


def write_scan(folder: Path, voxels: np.ndarray, attributes: dict[str, Any], floor: float = BODY_HU) -> None:
    """Write a scan into a new folder, and wait until the disk has it.

    Args:
        folder: the folder to create; its parent must exist.
        voxels: (k, j, i) int16.
        attributes: attributes of the group, ready for JSON.
        floor: the value above which voxels count as body.

    Raises:
        OSError: the folder cannot be written.
    """
    zarr: Any = require("zarr", "A store")
    codecs: Any = require("zarr.codecs", "A store")
    folder.mkdir()
    group = zarr.create_group(str(folder), zarr_format=3, attributes=attributes)
    # LZ4 decodes two to three times as fast as Zstandard; its slow mode compresses like gzip.
    blosc = codecs.BloscCodec(typesize=2, cname="lz4hc", clevel=5, shuffle="bitshuffle")
    names = ("k", "j", "i")
    # Every chunk is written, so that a missing one is known to be damage.
    with zarr.config.set({"array.write_empty_chunks": True}):
        group.create_array(
            VOXELS,
            shape=voxels.shape,
            dtype=np.int16,
            chunks=(CHUNK,) * 3,
            shards=shard_of(voxels.shape),
            compressors=[blosc, codecs.Crc32cCodec()],
            # Fills chunks beyond the scan's end.
            fill_value=int(voxels.min()),
            dimension_names=names,
        )[...] = voxels
        body = body_of(voxels, floor)
        group.create_array(
            BODY,
            shape=body.shape,
            dtype=np.uint16,
            chunks=body.shape,
            compressors=[codecs.Crc32cCodec()],
            fill_value=0,
            dimension_names=names,
        )[...] = body
    for place, _, files in os.walk(folder):
        for name in files:
            sync(Path(place) / name)
        sync(Path(place))


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the entries of a folder."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
