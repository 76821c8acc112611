"""Messages and titles of results, by code."""

from __future__ import annotations

from MAESILCore.wording import Texts
from MAESILCore.wording import marked as _

TEXTS = Texts(
    {
        "exports.not-saved": _("The files could not be saved in {folder} ({reason}); choose another folder."),
        "exports.not-kept": _(
            "The results are in the scene, but their files could not be kept ({reason}); "
            "free some disk space and reconstruct again."
        ),
        "results.damaged": _(
            "The results of this job are incomplete ({file} is missing or damaged); start it again."
        ),
        "results.no-volume": _(
            "The volume of this {job} is no longer in the scene; its results cannot be shown."
        ),
        "results.no-memory": _(
            "There is not enough memory to show the results; close other volumes and try again."
        ),
        "comparison.no-views": _(
            "The comparison needs slice views, and none are shown here; open Slicer's main window."
        ),
        "comparison.deleted": _("A volume of this comparison was deleted; repeat the {job}."),
        "preview.incomplete": _("The preview of step {step:,} is incomplete; choose another one."),
        "reconstruction.other-size": _(
            'The size of "{volume}" has changed since its reconstruction was started; reconstruct it again.'
        ),
        "reconstruction.other-mask": _(
            "The mask of this reconstruction does not fit the volume; reconstruct again."
        ),
        "features.colours": _("Feature colours"),
        "features.vectors": _("Features"),
        "features.similarity": _("Similarity"),
        "segmentation.segmentation": _("Segmentation"),
        "segmentation.uncertainty": _("Uncertainty of the segmentation"),
        "segmentation.other-size": _(
            'The size of "{volume}" has changed since its segmentation was started; segment it again.'
        ),
        "reconstruction.input": _("Input, nothing hidden"),
        "reconstruction.scores": _("Scores of the whole volume"),
        "reconstruction.rows": _("Scores of each superpatch; choose a row to go there"),
    }
)
sentence = TEXTS.sentence
