"""Training samples from a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MAESILCore.data.formats.found import FoundScan
from MAESILCore.data.formats.names import stem_of
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError
from MAESILCore.store.decoded import LIMIT, DecodedScans
from MAESILCore.store.opened import Store
from MAESILCore.training.crops import (
    Box,
    Drawing,
    choose_box,
    choose_scan,
    cumulative_weights,
    make_crop,
    sample_of,
)
from MAESILCore.training.source import Sample, SampleKey
from MAESILCore.training.split import inventory


class StoredScans:
    """A `SampleSource` of scans in a store.

    Only the voxels of a crop are read; crops of mostly air are redrawn by the body shares that the store holds.

    Args:
        store: the store.
        numbers: the scans to draw from.
        drawing: settings of the samples.
        memory: limit of the decoded voxels that are kept, in bytes.
    """

    def __init__(self, store: Store, numbers: Sequence[int], drawing: Drawing, memory: int = LIMIT) -> None:
        self.store, self.drawing = store, drawing
        self.numbers = np.asarray(numbers, dtype=np.int64)
        self._decoded = DecodedScans(store, memory)
        self._cumulative = cumulative_weights(store.shapes[self.numbers])
        self._windows: dict[int, Window] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def describe(self) -> str:
        """See `SampleSource.describe`."""
        store, numbers = self.store, self.numbers.tolist()
        return inventory(
            [store.files[number] for number in numbers],
            [store.shape(number) for number in numbers],
            [store.identities[number] for number in numbers],
        )

    def draw(self, key: SampleKey) -> Sample:
        """Draw a crop and its mask; see `SampleSource.draw`.

        Raises:
            DamagedScanError: the scan is missing or damaged; the message names it.
        """
        store, drawing = self.store, self.drawing
        generator = np.random.Generator(np.random.PCG64((key.seed, key.step, key.index)))
        number = int(self.numbers[choose_scan(self._cumulative, generator)])

        def has_body(box: Box) -> bool:
            return store.body_share(number, box.start, box.extents) >= drawing.crop.minimum_body

        shape = store.shape(number)
        box = choose_box(shape, drawing.crop, drawing.patch_size, generator, has_body)
        piece = self._decoded.read(number, box.start, box.extents)
        window = drawing.window_for(self._window(number), generator)
        crop = make_crop(piece, box, drawing.crop, window, generator, store.spacing(number))
        return sample_of(*crop, drawing, generator, store.files[number], box.start)

    def _window(self, number: int) -> Window:
        """The window of a scan; without HU, each process reads the whole scan once for its statistics."""
        if self.drawing.intensity.is_hu:
            return self.drawing.intensity.window
        if number not in self._windows:
            whole = self.store.read(number, (0, 0, 0), self.store.shape(number))
            self._windows[number] = self.drawing.intensity.window_of(whole)
        return self._windows[number]


def scans_of(store: Store) -> list[FoundScan]:
    """The scans of a store, as patterns of `hold_out` match them: by the paths of their sources.

    Raises:
        ConfigError: the store is empty.
    """
    if not len(store):
        raise ConfigError(f"The store {store.folder} holds no scan: add some with maesil prepare.")
    return [
        FoundScan(Path(file), file, file.removesuffix(Path(file).name) + stem_of(Path(file)))
        for file in store.files
    ]
