"""What a finished job leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from MAESILCore import __version__
from MAESILCore.errors import MissingPackageError
from MAESILCore.jobs.files import EXPORT, MASK, RESULT, write_array, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from MAESILCore.data.volume import Volume
    from MAESILCore.inference import Reconstruction
    from MAESILCore.jobs.request import ReconstructionRequest


def write_arrays(result: Reconstruction, folder: Path) -> None:
    """Write the volumes (k, j, i), float32, and the stages of the mask's patches."""
    write_array(folder / MASK, result.mask.stages)
    for name, volume in _volumes(result).items():
        write_array(folder / f"{name}.npy", volume.voxels)


def _volumes(result: Reconstruction) -> dict[str, Volume]:
    volumes = {"reconstruction": result.reconstruction, "mosaic": result.mosaic, "error": result.error}
    return volumes if result.uncertainty is None else {**volumes, "uncertainty": result.uncertainty}


def write_export(
    result: Reconstruction, folder: Path, model: str, metrics: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Write the files of `maesil reconstruct` into the folder `export`; notes on what had to be left out."""
    from MAESILCore.inference import save_reconstruction
    from MAESILCore.optional import require
    from MAESILCore.report import write_report_png

    def draw(path: Path) -> object:
        return write_report_png(result, result.volume, metrics, path, model=model)

    try:
        require("matplotlib", "The picture report.png")
    except MissingPackageError as error:
        save_reconstruction(result, folder / EXPORT, metrics=metrics)
        return (f"{error}. Everything else was written.",)
    save_reconstruction(result, folder / EXPORT, metrics=metrics, draw_report=draw)
    return ()


def write_result(
    result: Reconstruction, request: ReconstructionRequest, facts: Mapping[str, Any], notes: tuple[str, ...]
) -> None:
    """Write `result.json`, whose presence says that everything else is there.

    Args:
        result: what was made.
        request: what was asked for.
        facts: on the run, such as the model and the device.
        notes: in addition to those of scan and result.
    """
    content = {
        "name": result.volume.name,
        **facts,
        "window_hu": [result.window.low, result.window.high],
        "arrays": {"mask": MASK, **{name: f"{name}.npy" for name in _volumes(result)}},
        "is_coverage": result.is_coverage,
        "masks": len(result.masks),
        **result.hidden_shares,
        **request.options,
        "superpatch_size_kji": list(result.grid.superpatch_size),
        "patch_size_kji": list(result.grid.patch_size),
        "overlap_kji": list(result.grid.overlap),
        "notes": [*result.volume.notes, *result.notes, *notes],
        "maesil": __version__,
    }
    write_json(request.folder / RESULT, content)
