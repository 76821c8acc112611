"""Search of similar places over 1,000 indexed scans, made up of one by repetition."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from Testing.Benchmarks.reconstruction import SLICES, WIDTH

_SCANS, _QUERIES, _MOST = 1000, 5, 20


def search_rows(scan: Path | None) -> list[tuple[str, str, str]]:
    """Rows of the table: the joining of the index, and the first and the slowest later search of 20 places."""
    from MAESILCore.data.volume import read_volume
    from MAESILCore.downstream.search import arrays
    from MAESILCore.downstream.search.boxes import PooledBoxes
    from MAESILCore.downstream.search.index import Index
    from MAESILCore.downstream.search.layout import (
        Description,
        IndexedScan,
        ScanFile,
        matrix_of,
        write_scan,
    )
    from MAESILCore.inference import encode
    from MAESILCore.models.checkpoint import load_checkpoint
    from MAESILCore.phantom import make_phantom

    volume = (
        read_volume(scan) if scan else make_phantom((SLICES, WIDTH, WIDTH), spacing=(0.7, 0.7, 2.5)).volume
    )
    features = encode(volume, load_checkpoint())
    started = time.perf_counter()
    boxes = PooledBoxes.of(features)
    pooling = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scan.npz")
        geometry = matrix_of(volume.ijk_to_ras), boxes.shape, matrix_of(boxes.lattice_to_ras)
        entry = IndexedScan("ct", "ct", 0, 0, 0, volume.shape, *geometry, len(boxes.numbers))
        write_scan(path, entry, boxes.vectors, boxes.numbers)
        file = ScanFile.read(path)
        assert file is not None
        files = [replace(file, scan=replace(entry, file=f"ct {number}")) for number in range(_SCANS)]
        started = time.perf_counter()
        arrays.join(Path(folder), Description(folder, "", "", 0, (16, 16, 16)), files)
        joining = time.perf_counter() - started
        size = next(Path(folder).glob("vectors-*.npy")).stat().st_size
        index = Index.open(folder)
        queries = np.linspace(0, len(boxes.numbers) - 1, _QUERIES).astype(int)
        seconds = []
        for row in queries:
            direction = index.directions_of(boxes.vectors[row : row + 1])
            started = time.perf_counter()
            hits = index.search(direction, _MOST)
            seconds.append(time.perf_counter() - started)
            assert len(hits) == _MOST
            assert hits[0].similarity > 0.999
        rows = _SCANS * len(boxes.numbers)
    what = f"Search of {_MOST} places in {_SCANS} scans, {rows / 1e6:.1f} million boxes"
    return [
        ("Pooling of the features of a CT", f"{pooling * 1000:.0f} ms", ""),
        (f"Joining {_SCANS} scans to an index", f"{joining:.1f} s", f"{size / 2**30:.1f} GiB"),
        (f"{what}, the first one", f"{seconds[0] * 1000:.0f} ms", ""),
        ("  the slowest later one", f"{max(seconds[1:]) * 1000:.0f} ms", ""),
    ]
