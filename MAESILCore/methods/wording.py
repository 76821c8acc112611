"""A line about each built-in method for people who choose one, by code. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

from MAESILCore.wording import Texts
from MAESILCore.wording import marked as _

TEXTS = Texts(
    {
        "method.maesil": _("Masked autoencoder over superpatches, which are hidden in two stages."),
        "method.mae": _("Masked autoencoder with a plain random mask: the control of all masked methods."),
        "method.hi-end-mae": _("Masked autoencoder whose decoder asks several depths of the encoder."),
        "method.sl-mae": _("Masked autoencoder with a second loss on the frequencies of the picture."),
        "method.jepa-vcr": _("Predicts the features of hidden patches; it gives features, not voxels."),
        "method.ae": _("Auto-encoder: it sees everything and copies it through few numbers per patch."),
        "method.vae": _("Auto-encoder like ae, whose numbers follow a normal distribution."),
        "method.vq-vae": _("Auto-encoder like ae, whose patches are codes of a learnt codebook."),
    }
)

#: The lines by the name of the method.
SUMMARIES: Mapping[str, str] = TEXTS.titles("method")
