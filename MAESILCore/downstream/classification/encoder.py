"""The frozen encoder of a classification: which one it is, and its vectors of a scan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool3d, max_pool3d

from MAESILCore.data.intensity import Intensity
from MAESILCore.data.volume import Volume
from MAESILCore.data.window import Window
from MAESILCore.downstream.classification.vectors import SuperpatchVectors
from MAESILCore.errors import CheckpointError, ConfigError, VolumeError
from MAESILCore.inference.air import holds_more_than_air, is_above_air
from MAESILCore.inference.features import encode
from MAESILCore.inference.network import NetworkPasses, expects_hu, window_for
from MAESILCore.inference.walk import Step, walk
from MAESILCore.lattice import SuperpatchGrid, Triple
from MAESILCore.methods import create
from MAESILCore.models.catalogue import BUNDLED, resolve
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint

#: Tokens of a scan that an attentive head sees at most, spread evenly over the body.
MOST_TOKENS = 8192
#: The rule for scans without HU, where an encoder expects HU.
_INSTEAD = Intensity("percentiles")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Identity:
    """Which checkpoint an encoder is.

    Attributes:
        name: the name of its card.
        sha256: hash of the file.
        place: how to find it: a bundled name or an absolute path.
    """

    name: str
    sha256: str
    place: str

    def to_json(self) -> dict[str, str]:
        """The JSON form in a classifier."""
        return {"name": self.name, "sha256": self.sha256, "place": self.place}


@dataclass(frozen=True, eq=False)
class Encoder:
    """A loaded checkpoint that gives features, and how to run it.

    Attributes:
        model: the checkpoint.
        identity: which one it is.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches per pass; None is the default of the device.
        key: short name of the weights for cached features.
    """

    model: LoadedModel
    identity: Identity
    device: str = "auto"
    batch_size: int | None = None
    key: str = ""

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, device: str = "auto", batch_size: int | None = None
    ) -> Encoder:
        """Load a checkpoint by path, run folder or bundled name; None is the bundled one.

        Raises:
            CheckpointError: it cannot be loaded.
            ConfigError: its method gives no features.
        """
        file = resolve(path)
        model = load_checkpoint(file)
        obstacle = model.abilities.why_no_features(model.name)
        if obstacle:
            raise ConfigError(obstacle)
        given = str(path) if path else BUNDLED
        place = given if not Path(given).exists() and resolve(given) == file else str(file.resolve())
        identity = Identity(model.name, _hash_of(file), place)
        return cls(model, identity, device, batch_size, identity.sha256[:12])

    def untrained(self, seed: int = 0) -> Encoder:
        """The same network with random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            method = create(self.model.card.method, self.model.card.config)
        return replace(
            self, model=LoadedModel(method.eval(), self.model.card), key=f"untrained-{seed}-{self.key}"
        )

    @property
    def depth(self) -> int:
        """Number of feature levels."""
        return len(self.model.abilities.levels)

    def level_at(self, level: int) -> int:
        """A level that counts from 0, of one that may count from the deepest.

        Raises:
            ConfigError: there is no such level.
        """
        if not -self.depth <= level < self.depth:
            raise ConfigError(
                f"The model {self.model.name} has no feature level {level}: its levels are 0 to {self.depth - 1}."
            )
        return level % self.depth

    def window(self, volume: Volume) -> Window:
        """The window in which the encoder takes a scan: its own, or percentiles of a scan without HU.

        Raises:
            VolumeError: almost all voxels of the scan have the same value.
        """
        if expects_hu(self.model) and not volume.looks_like_hu:
            return _INSTEAD.window_of(volume.voxels)
        return window_for(self.model, volume.voxels)

    def note_on(self, without_hu: int, of: int) -> tuple[str, ...]:
        """A sentence if scans had no HU, which the encoder expects.

        Args:
            without_hu: number of scans without HU.
            of: number of all scans.
        """
        if not without_hu or not expects_hu(self.model):
            return ()
        return (
            f"{without_hu} of {of} scans do not look like HU, which {self.model.name} was trained on: {_INSTEAD} took "
            "the place of its window.",
        )

    def prepared(self, volume: Volume) -> np.ndarray:
        """The scan as the encoder sees it, (k, j, i) float16 in [0, 1]; partial patches repeat the edge.

        Raises:
            VolumeError: almost all voxels of the scan have the same value.
        """
        grid = self._grid(volume.shape, None)
        seen = self.window(volume).apply(grid.cut_box(volume.voxels, grid.everything))
        return seen.astype(np.float16)

    def tokens(self, volume: Volume, level: int, cancelled: Callable[[], bool]) -> np.ndarray:
        """Feature vectors of the body of a scan at a level, (N, C) float16; at most `MOST_TOKENS`, evenly spread.

        Raises:
            Cancelled: `cancelled` returned True.
        """
        window = self.window(volume)
        found = encode(
            volume,
            self.model,
            level,
            batch_size=self.batch_size,
            device=self.device,
            window=window,
            cancelled=cancelled,
        )
        body = found.body if found.body.any() else np.ones_like(found.body)
        places = np.flatnonzero(body)
        if len(places) > MOST_TOKENS:
            places = places[np.linspace(0, len(places) - 1, MOST_TOKENS).astype(np.int64)]
        vectors = found.vectors.reshape(len(found.vectors), -1)[:, places].T
        return np.ascontiguousarray(np.clip(vectors, -65504.0, 65504.0), dtype=np.float16)

    def superpatches(
        self, volume: Volume, cancelled: Callable[[], bool], size: int | None = None
    ) -> SuperpatchVectors:
        """Pooled features of all levels, one pass per superpatch.

        Args:
            volume: the scan.
            cancelled: True stops the work.
            size: largest edge of a superpatch in voxels; None is that of the model.

        Raises:
            Cancelled: `cancelled` returned True.
            ConfigError: the size is no multiple of the patch size, or larger than the model's superpatch.
            VolumeError: the volume holds values that are not finite.
        """
        if not np.isfinite(volume.value_range).all():
            raise VolumeError("The scan has NaN or infinite voxels: replace them, for example by air.")
        window = self.window(volume)
        grid = self._grid(volume.shape, size)
        present = holds_more_than_air(volume.voxels, window, grid)
        boxes = [box for box in grid.tiles() if present[box.slices].any()] or list(grid.tiles())
        passes = NetworkPasses(self._pooled, self.model, self.device, self.batch_size)
        steps = [Step(box) for box in boxes]
        rows = np.stack(
            [
                row
                for _, row in walk(
                    volume.voxels, grid, steps, passes, prepare=window.apply, cancelled=cancelled
                )
            ]
        )
        slices = [box.voxel_slices(grid.patch_size, grid.shape) for box in boxes]
        bounds = np.array([[[one.start for one in part], [one.stop for one in part]] for part in slices])
        return self.unpack(np.concatenate([bounds.reshape(-1, 6).astype(np.float32), rows], axis=1))

    def unpack(self, rows: np.ndarray) -> SuperpatchVectors:
        """The vectors of a scan from one array; see `SuperpatchVectors.packed`."""
        widths = [level.width for level in self.model.abilities.levels]
        summary = (rows.shape[1] - 7 - sum(widths)) // len(widths)
        ends = np.cumsum([7, *(width + summary for width in widths)])
        levels = tuple(rows[:, start:end] for start, end in pairwise(ends.tolist()))
        return SuperpatchVectors(rows[:, :6].astype(np.int64).reshape(-1, 2, 3), rows[:, 6], levels)

    def _grid(self, shape: Triple, size: int | None) -> SuperpatchGrid:
        largest, patch = self.model.superpatch_size, self.model.patch_size
        if size is None:
            return SuperpatchGrid(shape, largest, patch)
        if not 1 <= size <= min(largest):
            raise ConfigError(
                f"A superpatch of {size} voxels does not fit {self.model.name}, which takes {min(largest)} at most."
            )
        return SuperpatchGrid(shape, size, patch)

    def _pooled(self, superpatches: torch.Tensor) -> torch.Tensor:
        """(B, 1, K, J, I) -> (B, 1 + sum of C + D): the places of body of the first level, and all levels."""
        found = self.model.method.features(superpatches, range(self.depth))
        parts: list[torch.Tensor] = []
        for features in found:
            stride = features.stride
            body = is_above_air(avg_pool3d(superpatches, stride), max_pool3d(superpatches, stride)).float()
            count = body.sum(dim=(2, 3, 4))  # (B, 1)
            weights = torch.where(count[..., None, None, None] > 0, body, torch.ones_like(body))
            mean = (features.map.float() * weights).sum(dim=(2, 3, 4)) / weights.sum(dim=(2, 3, 4))
            parts += [count] if not parts else []
            parts += [mean] if features.summary is None else [mean, features.summary.float()]
        return torch.cat(parts, dim=1)


def encoder_for(
    wanted: Mapping[str, str],
    model: str | Path | None,
    *,
    device: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """The encoder that a classifier was trained on.

    Args:
        wanted: `Identity.to_json` of that encoder.
        model: where it is; None is where it was at the training.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: superpatches per pass; None is the default of the device.

    Raises:
        CheckpointError: there is no such file, or it holds other weights.
    """
    place = model or wanted["place"]
    try:
        file = resolve(place)
    except CheckpointError as error:
        raise CheckpointError(
            f"The encoder {wanted['name']} of the classifier is not at {place}: give its checkpoint with --model."
        ) from error
    if _hash_of(file) != wanted["sha256"]:
        raise CheckpointError(
            f"The classifier was trained on features of {wanted['name']} (SHA-256 {wanted['sha256'][:12]}), and "
            f"{file} holds other weights: give that checkpoint with --model."
        )
    return Encoder.load(place, device=device, batch_size=batch_size)


def _hash_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
