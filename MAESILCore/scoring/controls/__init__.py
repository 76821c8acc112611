"""Controls: fills of hidden voxels without learning, as baselines for trained models."""

from MAESILCore.scoring.controls.fills import CONTROLS, Fill, fill, known_controls

__all__ = ["CONTROLS", "Fill", "fill", "known_controls"]
