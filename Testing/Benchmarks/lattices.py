"""A coverage on one lattice against one on several: PSNR and the grid of patches that stays visible."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.inference import reconstruct
from MAESILCore.lattice import Mask, MaskStrategy, SuperpatchGrid, usual_overlap
from MAESILCore.models.checkpoint import LoadedModel, load_checkpoint
from MAESILCore.phantom import make_phantom
from MAESILCore.scoring.metrics import Scorer, body_mask

MASKS = 8
#: Held out from the training of the bundled model, and no test scan.
SCAN = "train/STS_051_CT.nii.gz"


def lattice_rows(data: Path) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, nothing."""
    path, model = data / SCAN, load_checkpoint()
    volume = read_volume(path) if path.is_file() else make_phantom((64, 128, 128)).volume
    several = reconstruct(volume, model, coverage=MASKS, device="cpu").reconstruction.voxels
    rows = [("one lattice", _on_one_lattice(volume, model)), ("several lattices", several)]
    body, _ = body_mask(volume, model.window)
    grid = SuperpatchGrid(volume.shape, model.superpatch_size, model.patch_size)
    scorer = Scorer(volume.voxels, model.window, Mask(np.ones(grid.lattice_shape)), grid, body)
    found = []
    for name, voxels in rows:
        scores = scorer.score(model.window.apply(voxels))
        text = f"{scores['psnr_hidden_body']:.2f} dB in the body, blockiness {scores['blockiness_ratio']:.3f}"
        found.append((f"a coverage of {MASKS} masks on {name}", text, ""))
    return found


def _on_one_lattice(volume: Volume, model: LoadedModel) -> np.ndarray:
    """The mean over masks that share out the patches of one lattice, (k, j, i) in HU."""
    sizes = model.superpatch_size, model.patch_size
    grid = SuperpatchGrid(volume.shape, *sizes, usual_overlap(*sizes, volume.spacing[::-1]))
    total, times = np.zeros(volume.shape), np.zeros(volume.shape)
    for mask in MaskStrategy().coverage(grid, MASKS, 0):
        hidden = grid.expand(mask.hidden)
        total += np.where(
            hidden, reconstruct(volume, model, mask=mask, device="cpu").reconstruction.voxels, 0
        )
        times += hidden
    return (total / times).astype(np.float32)
