"""Pictures and volumes of what a model in training predicts for a part of one scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from MAESILCore.data.formats.found import FoundScan, check_patterns
from MAESILCore.data.formats.voxeltypes import fits_int16, rounded
from MAESILCore.data.volume import Volume, write_volume
from MAESILCore.errors import MaesilError, MissingPackageError
from MAESILCore.inference import Reconstruction, reconstruct
from MAESILCore.jobfolder.folder import PREVIEWS
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods.base import Method
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.training.crops import BODY_HU
from MAESILCore.training.source import Shown

#: The files of all steps.
TRUTH, HIDDEN = "truth.nii.gz", "hidden.nii.gz"

_EVERY = 4
_LONGEST = 1.4


def chosen_scan(
    pattern: str | None, held_out: Sequence[FoundScan], training: Sequence[FoundScan]
) -> FoundScan:
    """The scan of the previews: the first that fits the pattern, held-out ones first.

    Raises:
        ConfigError: none fits.
    """
    scans = [*held_out, *training]
    if pattern is None:
        return scans[0]
    check_patterns(scans, [pattern], "preview_scan")
    return next(scan for scan in scans if scan.fits(pattern))


def middle_part(
    volume: Volume, size: Sequence[int], patch_size: Sequence[int], floor: float = BODY_HU
) -> Volume:
    """A box around the middle of the body, with its own geometry.

    Args:
        volume: a scan.
        size: most voxels along k, j, i. Fewer are taken where the box would be far longer than wide.
        patch_size: voxels along k, j, i; the box has whole patches where the scan is large enough.
        floor: the value above which the body lies.
    """
    size = _compact(np.minimum(volume.shape, size), volume.spacing[::-1], patch_size)
    # Every fourth voxel suffices.
    body = volume.voxels[::_EVERY, ::_EVERY, ::_EVERY] > floor
    slices = []
    for axis, (extent, length) in enumerate(zip(volume.shape, size, strict=True)):
        share = body.sum(axis=tuple(other for other in range(3) if other != axis))
        places = np.arange(len(share)) * _EVERY
        middle = float((places * share).sum() / share.sum()) if share.any() else extent / 2
        start = int(np.clip(round(middle - length / 2), 0, extent - length))
        slices.append(slice(start, start + length))
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in reversed(slices)]
    voxels = np.ascontiguousarray(volume.voxels[tuple(slices)])
    return Volume(_stored(voxels, volume), volume.ijk_to_ras @ shift, volume.name)


def _stored(voxels: np.ndarray, scan: Volume) -> np.ndarray:
    """Voxels as int16 for a scan in HU or whole numbers, else as float32."""
    if scan.looks_like_hu or fits_int16(scan.voxels.dtype, *scan.value_range):
        return rounded(voxels)
    return voxels.astype(np.float32)


def _compact(size: np.ndarray, spacing: Sequence[float], patch_size: Sequence[int]) -> list[int]:
    """A size whose longest edge in mm is about `_LONGEST` times the shortest."""
    most = _LONGEST * float((size * spacing).min())
    wanted = (
        int(np.ceil(most / edge / patch)) * patch for edge, patch in zip(spacing, patch_size, strict=True)
    )
    return [min(int(most), length) for most, length in zip(size, wanted, strict=True)]


class Previews:
    """Writes the previews of a run.

    `previews/` holds per step the picture `step-XXXXXXXX.png` and the volume `step-XXXXXXXX.nii.gz`, in which the model
    has filled in the hidden patches; `truth.nii.gz` is the scan and `hidden.nii.gz` what the model sees of it, unless
    that is all. All volumes are on one grid, int16 for HU and other whole numbers. The mask is the same for all steps.

    Args:
        folder: the run folder.
        shown: the part of a scan.
        strategy: draws the mask; None hides nothing.
        keep: number of steps to keep.
        say: receives a sentence about a preview or a picture that cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        shown: Shown,
        strategy: MaskStrategy | None,
        keep: int,
        say: Callable[[str], None],
    ) -> None:
        (self._volume, self._window), self._strategy = shown, strategy
        self._folder = folder / PREVIEWS
        self._keep, self._say = keep, say
        self._draws = True

    def make(self, method: Method, card: Card, device: torch.device) -> list[str]:
        """Write the preview of a step; returns the files, relative to the run folder.

        A preview that fails ends no training: it is reported, and there are no files.

        Args:
            method: in evaluation mode.
            card: the card of this step.
            device: the device of the method.
        """
        try:
            model = LoadedModel(method, card)
            result = reconstruct(
                self._volume,
                model,
                strategy=self._strategy,
                device=str(device),
                overlap=0,
                batch_size=1,
                window=self._window,
            )
            files = self._write(result, card)
        except (MaesilError, OSError) as error:
            self._say(f"The preview of step {card.step} could not be made. {error}")
            return []
        self._rotate()
        return [f"{PREVIEWS}/{file.name}" for file in files]

    def _write(self, result: Reconstruction, card: Card) -> list[Path]:
        self._folder.mkdir(exist_ok=True)
        if not (self._folder / TRUTH).exists():
            if not result.sees_all:
                seen = np.where(
                    result.grid.expand(result.mask.hidden), result.window.low, self._volume.voxels
                )
                write_volume(self._volume.with_voxels(_stored(seen, self._volume)), self._folder / HIDDEN)
            write_volume(self._volume, self._folder / TRUTH)
        path = self._folder / f"step-{card.step:08d}.nii.gz"
        filled = result.reconstruction if result.sees_all else result.mosaic
        write_volume(filled.with_voxels(_stored(filled.voxels, self._volume)), path)
        picture = self._draw(result, card)
        return [picture, path] if picture else [path]

    def _draw(self, result: Reconstruction, card: Card) -> Path | None:
        if not self._draws:
            return None
        from MAESILCore.report.figure import write_report_png

        path = self._folder / f"step-{card.step:08d}.png"
        try:
            return write_report_png(
                result, self._volume, None, path, model=f"{card.name}, step {card.step}", footer=False
            )
        except MissingPackageError as error:
            self._draws = False
            self._say(f"Previews have no pictures: {error}")
            return None

    def _rotate(self) -> None:
        for old in sorted(self._folder.glob("step-*.nii.gz"))[: -self._keep]:
            old.with_name(old.name.replace(".nii.gz", ".png")).unlink(missing_ok=True)
            old.unlink(missing_ok=True)
