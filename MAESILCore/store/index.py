"""The index of a store: one line of JSON per source file, appended while scans are added."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from MAESILCore.errors import ConfigError
from MAESILCore.files import write_whole
from MAESILCore.store.layout import INDEX, Shape, sync

State = Literal["stored", "duplicate", "quarantined"]

_CRC = ', "crc": "'


@dataclass(frozen=True)
class Source:
    """A scan file or DICOM folder.

    Attributes:
        file: its path below the folder that was given to `maesil prepare`; displayable, unique in the store.
        place: hash of its absolute path, which is not stored itself.
        size: bytes of its files.
        modified: latest modification time of its files in ns.
    """

    file: str
    place: str
    size: int = 0
    modified: int = 0


@dataclass(frozen=True)
class Scan:
    """A scan of the store.

    Attributes:
        identity: hash of voxels and geometry; the name of its folder.
        shape: voxels along k, j, i.
        ijk_to_ras: (4, 4) rows.
        body: share of voxels above -500 HU.
        mean: mean HU of the body.
        std: standard deviation of the body's HU.
        content: hash of the source's voxels, the same for all orientations of its axes.
        source_shape: voxels of the source along k, j, i, with axes turned to run nearest to R, A, S.
        source_ijk_to_ras: (4, 4) rows, the geometry of this grid.
        metadata: hash of the files that describe the Zarr arrays.
    """

    identity: str
    shape: Shape
    ijk_to_ras: tuple[tuple[float, ...], ...]
    body: float
    mean: float
    std: float
    content: str
    source_shape: Shape
    source_ijk_to_ras: tuple[tuple[float, ...], ...]
    metadata: str

    @property
    def bytes(self) -> int:
        """Bytes of its voxels before compression."""
        return 2 * math.prod(self.shape)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Scan:
        """From JSON."""
        shapes = {name: tuple(fields[name]) for name in ("shape", "source_shape")}
        matrices = {name: tuple(map(tuple, fields[name])) for name in ("ijk_to_ras", "source_ijk_to_ras")}
        return cls(**{**fields, **shapes, **matrices})


@dataclass(frozen=True)
class Entry:
    """What became of a source.

    Attributes:
        source: the source.
        state: stored, duplicate or quarantined.
        reason: why it is not stored.
        twin: identity of the stored scan of a duplicate.
        scan: the stored scan.
    """

    source: Source
    state: State
    reason: str = ""
    twin: str = ""
    scan: Scan | None = None

    def line(self) -> str:
        """One line of the index; its last field is a CRC-32 of the others."""
        fields = {name: value for name, value in asdict(self).items() if value}
        text = json.dumps(fields, ensure_ascii=False)[:-1]
        return f'{text}{_CRC}{zlib.crc32(text.encode()):08x}"}}\n'

    @classmethod
    def of(cls, line: str) -> Entry:
        """From a line.

        Raises:
            ValueError: the line is damaged.
        """
        text, _, crc = line.rpartition(_CRC)
        if crc != f'{zlib.crc32(text.encode()):08x}"}}':
            raise ValueError("another checksum")
        fields = json.loads(text + "}")
        scan = fields.pop("scan", None)
        return cls(**{**fields, "source": Source(**fields["source"])}, scan=Scan.of(scan) if scan else None)


class Index:
    """All entries of a store.

    Args:
        folder: the store.

    Attributes:
        damaged: numbers of damaged lines, from 1.
        is_torn: whether the last line has no end, because a process was killed while it wrote it.

    Raises:
        OSError: the index cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / INDEX
        self.damaged: list[int] = []
        self._entries: dict[str, Entry] = {}
        text = self.path.read_bytes().decode("utf-8", "replace") if self.path.exists() else ""
        *lines, rest = text.split("\n")
        self.is_torn = bool(rest)
        for number, line in enumerate(lines, start=1):
            try:
                entry = Entry.of(line)
            except (ValueError, TypeError, KeyError):
                self.damaged.append(number)
                continue
            self._entries[entry.source.place] = entry

    def entries(self) -> list[Entry]:
        """All entries, sorted by file."""
        return sorted(self._entries.values(), key=lambda entry: (entry.source.file, entry.source.place))

    def scans(self) -> list[tuple[str, Scan]]:
        """(file, scan) of the stored scans, sorted by file."""
        return [(entry.source.file, entry.scan) for entry in self.entries() if entry.scan is not None]

    def at(self, place: str) -> Entry | None:
        """The entry of a source's place."""
        return self._entries.get(place)

    def append(self, entry: Entry) -> None:
        """Add an entry, or replace that of the same place.

        Raises:
            OSError: the index cannot be written; a part of the line may remain, which the next `Index` skips.
        """
        with open(self.path, "ab") as file:
            file.write(entry.line().encode())
            file.flush()
            os.fsync(file.fileno())
        self._entries[entry.source.place] = entry

    def compact(self, drop: Iterable[str] = ()) -> None:
        """Rewrite the file with one line per source, sorted, without the places to drop."""
        for place in drop:
            self._entries.pop(place, None)
        with write_whole(self.path) as unfinished:
            unfinished.write_bytes("".join(entry.line() for entry in self.entries()).encode())
            sync(unfinished)
        self.is_torn = False

    def refuse_damage(self) -> None:
        """Raise ConfigError if a line is damaged."""
        if self.damaged:
            lines = ", ".join(map(str, self.damaged[:3]))
            raise ConfigError(
                f"{self.path} is damaged in line {lines}: run maesil prepare again with the folders of the scans, "
                "which adds those of damaged lines anew."
            )
