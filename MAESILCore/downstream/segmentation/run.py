"""The run folder of a segmentation training."""

from __future__ import annotations

from typing import Any, ClassVar

from MAESILCore.downstream.segmentation.config import SegmentationConfig, load_segmentation_config
from MAESILCore.errors import ConfigError
from MAESILCore.jobfolder.folder import CONFIG
from MAESILCore.training.config import read_recipe
from MAESILCore.training.run import Run

#: The kind of job in `job.json`.
KIND = "segmentation-training"


class SegmentationRun(Run):
    """A run folder whose recipe is a `SegmentationConfig`; see `Run`."""

    kind: ClassVar[str] = KIND

    def segmentation_config(self, overrides: dict[str, Any] | None = None) -> SegmentationConfig:
        """The recipe of the run, with top-level fields replaced by `overrides`.

        Raises:
            ConfigError: a value is invalid, or the file is empty.
        """
        path = self.folder / CONFIG
        if not read_recipe(path):
            raise ConfigError(f"{path} is empty: restore it, or start a new run in another folder.")
        return load_segmentation_config(path, overrides)
