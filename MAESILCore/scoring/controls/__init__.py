"""Controls: fills of the hidden voxels that need no learning, which a trained model has to beat."""

from MAESILCore.scoring.controls.fills import CONTROLS, Fill, fill

__all__ = ["CONTROLS", "Fill", "fill"]
