"""Pre-training: the crops (`corpus`), the recipe (`config`), the run folder (`run`) and the loop (`trainer`)."""

from MAESILCore.training.config import PretrainConfig, load_config
from MAESILCore.training.run import Run
from MAESILCore.training.trainer import pretrain

__all__ = ["PretrainConfig", "Run", "load_config", "pretrain"]
