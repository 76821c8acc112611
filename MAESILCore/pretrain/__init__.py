"""Pre-training: scans to crops (`corpus`), the recipe (`config`), the run folder (`run`) and the loop (`loop`)."""

from MAESILCore.pretrain.config import PretrainConfig, load_config
from MAESILCore.pretrain.loop import Progress, pretrain
from MAESILCore.pretrain.run import Run

__all__ = ["PretrainConfig", "Progress", "Run", "load_config", "pretrain"]
