"""Joins the boxes of all scans to the arrays that a search compares with."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from MAESILCore.downstream.search.layout import INDEX, PLACES, PROJECTION, VECTORS, Description, ScanFile
from MAESILCore.errors import Cancelled
from MAESILCore.files import write_json, write_together
from MAESILCore.lattice.whitening import Projection

#: Most boxes of which the covariance is made, spread evenly; more change it little.
_SAMPLE = 200_000


def join(
    index: Path,
    description: Description,
    files: Sequence[ScanFile],
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Description:
    """Write the arrays of an index and then its description, unless it holds just these scans already.

    Args:
        index: folder of the index.
        description: its description before.
        files: the scans that it shall hold, at least one.
        cancelled: called before each scan; True stops the work, and the arrays before stay.
        progress: callback with readings of scans that are done, and all of them; each scan is read twice.

    Returns:
        Its description.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: a file is damaged.
        OSError: the index cannot be written; the arrays before stay.
    """
    scans = tuple(file.scan for file in files)
    before = description.identity
    is_whole = all((index / name.format(before)).is_file() for name in (PROJECTION, VECTORS, PLACES))
    if before and is_whole and scans == description.scans:
        write_json(index / INDEX, description.to_json())
        return description
    rows = sum(scan.rows for scan in scans)
    mean = np.sum([file.mean * file.scan.rows for file in files], axis=0) / rows
    identity = uuid.uuid4().hex[:12]
    description = replace(description, mean=tuple(mean.tolist()), scans=scans, identity=identity)
    projection = _projection(files, mean, rows, cancelled, progress)
    # New names, as another process may search the arrays before.
    with write_together(index, last=INDEX) as unfinished:
        vectors = np.lib.format.open_memmap(
            unfinished / VECTORS.format(identity), "w+", np.float16, (rows, projection.axes.shape[1])
        )
        places = np.empty((rows, 2), dtype=np.int32)
        start = 0
        for number, file in enumerate(files):
            _check(cancelled)
            deviations, numbers = file.deviations_from(mean)
            stop = start + len(numbers)
            vectors[start:stop] = projection.directions_of_deviations(deviations)
            places[start:stop, 0], places[start:stop, 1] = number, numbers
            start = stop
            progress(len(files) + number + 1, 2 * len(files))
        vectors.flush()
        del vectors
        np.save(unfinished / PROJECTION.format(identity), projection.axes, allow_pickle=False)
        np.save(unfinished / PLACES.format(identity), places, allow_pickle=False)
        write_json(unfinished / INDEX, description.to_json())
    for name in (PROJECTION, VECTORS, PLACES):
        for old in index.glob(name.format("*")):
            if old.name != name.format(identity):
                with suppress(
                    PermissionError
                ):  # Windows keeps files that are mapped; the next call removes them
                    old.unlink()
    return description


def _projection(
    files: Sequence[ScanFile],
    mean: np.ndarray,
    rows: int,
    cancelled: Callable[[], bool] | None,
    progress: Callable[[int, int], None],
) -> Projection:
    """The projection of the boxes of all scans."""
    step, before, count = -(-rows // _SAMPLE), 0, 0
    products = np.zeros((len(mean), len(mean)))
    for number, file in enumerate(files, start=1):
        _check(cancelled)
        deviations, _ = file.deviations_from(mean)
        chosen = deviations[-before % step :: step].astype(np.float64)
        products += chosen.T @ chosen
        count += len(chosen)
        before += len(deviations)
        progress(number, 2 * len(files))
    return Projection.of_moments(mean, products / count, count)


def _check(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("Stopped; run again to go on.")
