"""Classification of scans, and presence of structures in superpatches, on frozen features."""

from MAESILCore.downstream.classification.apply import Applied, apply_classifier
from MAESILCore.downstream.classification.attentive import AttentiveTraining
from MAESILCore.downstream.classification.finetune import FinetuneTraining
from MAESILCore.downstream.classification.heads import HEADS
from MAESILCore.downstream.classification.presence import train_presence
from MAESILCore.downstream.classification.presence_use import evaluate_presence, structures_in
from MAESILCore.downstream.classification.train import train_classifier
from MAESILCore.downstream.classification.use import (
    Classifier,
    classify,
    evaluate_classifier,
    load_classifier,
)

__all__ = [
    "HEADS",
    "Applied",
    "AttentiveTraining",
    "Classifier",
    "FinetuneTraining",
    "apply_classifier",
    "classify",
    "evaluate_classifier",
    "evaluate_presence",
    "load_classifier",
    "structures_in",
    "train_classifier",
    "train_presence",
]
