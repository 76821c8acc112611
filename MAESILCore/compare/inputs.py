"""The scans of a comparison, checked before the first training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MAESILCore.compare.config import CompareConfig
from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.formats.found import FoundScan, listed
from MAESILCore.errors import ConfigError
from MAESILCore.scoring.evaluate.selection import Selection
from MAESILCore.training.scans import data_at
from MAESILCore.training.split import split


def training_data(
    config: CompareConfig, scans: Sequence[Path], tests: Sequence[Path]
) -> Discovery | Sequence[Path]:
    """The training scans as `pretrain` takes them.

    Args:
        config: the comparison.
        scans: scans or a store for training.
        tests: scans for the scores.

    Raises:
        ConfigError: a pattern matches no scan, or a test scan is trained on. Of a store neither is known here.
        VolumeError: a path is not there, or there is no scan.
    """
    scored = Selection.of(tests, config.evaluation.exclude, include_not_hu=True)
    data = data_at(scans)
    if isinstance(data, Discovery):
        for row in config.methods:
            trained, _ = split(data.scans, config.recipe(row, config.seeds[0], config.steps).hold_out)
            _check_apart(trained, [scan for scan in scored.scans if scored.excluded_by(scan) is None])
    return data


def _check_apart(trained: Sequence[FoundScan], scored: Sequence[FoundScan]) -> None:
    paths = {scan.path.resolve() for scan in trained}
    both = [scan.file for scan in scored if scan.path.resolve() in paths]
    if both:
        raise ConfigError(
            f"The methods would be scored on scans that they were trained on ({listed(both)}): give --tests of other "
            "subjects, or hold these scans out."
        )
