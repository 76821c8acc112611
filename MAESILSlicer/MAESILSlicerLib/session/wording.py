"""Messages and titles of the session, by code."""

from __future__ import annotations

from MAESILCore.wording import Texts
from MAESILCore.wording import marked as _

TEXTS = Texts(
    {
        # The modes of `MAESILCore.lattice.MaskStrategy`, then the kinds of region.
        "mode.nested": _("Two stages (nested)"),
        "mode.random": _("Single patches at random"),
        "mode.block": _("Blocks of patches"),
        "mode.plane": _("Whole planes"),
        "mode.axis": _("Whole columns"),
        "mode.product": _("Planes and columns"),
        "mode.roi": _("A region (ROI)"),
        "mode.segment": _("A segment"),
        "coverage.mask": _("Only the mask shown"),
        "coverage.all": _("Cover all patches"),
        "model.file": _("{name} ({method}), {megabytes:.0f} MB"),
        "model.small-file": _("{name} ({method}), {megabytes:.1f} MB"),
        "model.sizes": _(
            "Superpatch {superpatch}, patch {patch} voxels, {intensity}, {steps} training steps"
        ),
        "intensity.window": _("window {low:g} to {high:g} HU"),
        "intensity.windows": _("{first} and {count} more"),
        "intensity.percentiles": _("percentiles {low:g} to {high:g} of each scan"),
        "intensity.z-score": _("mean and {deviations:g} standard deviations of each scan"),
        "window.plain": _("{low:g} to {high:g} HU"),
        "window.soft-tissue": _("{low:g} to {high:g} HU (soft tissue)"),
        "window.own": _("{window}, the model's own"),
        "model.data": _("Trained on {data}"),
        "level.deepest": _("{number} of {count} (deepest): {width} values per {stride} voxels"),
        "level.plain": _("{number} of {count}: {width} values per {stride} voxels"),
        "model.no-data": _("Its card does not say what it was trained on."),
        "mask.nothing-hidden": _(
            "These shares hide none of the volume's patches ({count}); raise them, or choose a larger volume."
        ),
        "study.sees-all": _("The model {name} sees all patches, so there is no mask."),
        "features.others": _("These results are no features, or are no longer in the scene."),
        "features.none": _("This volume has no features yet."),
        "features.no-point": _("Pick a point first: its similarity is then shown."),
        "features.picking": _("Click in a slice view; Esc ends it."),
        "features.colours-mean": _("Places of like colours have like features."),
        "features.similarity-means": _(
            "Shown is where the features agree with those at the point, which can be dragged."
        ),
        "features.outside": _("This point lies outside the volume; pick one inside."),
        "features.as-above": _("As above ({name})"),
        "features.layer.nothing": _("The volume alone"),
        "features.layer.colours": _("Feature colours"),
        "features.layer.similarity": _("Similarity to the point"),
        "segment.not-outlined": _("not outlined yet"),
        "segment.one": _("{segmentation}: {segment}"),
        "segment.several": _("{segmentation}: {count} segments"),
        "segment.no-case": _("Outline a structure in the Segment Editor first, and tick its scan."),
        "segment.no-model": _("There is no learned model yet; learn one, or choose its file."),
        "segment.nothing-to-undo": _("This volume has no segmentation by a model."),
        "segment.undone": _("The newest segmentation of {volume} was removed."),
        "segment.reading": _("Reading the scan."),
        "segment.series": _("Scan {number} of {total}, {volume}: {message}"),
        "segment.series-done": _("Segmented {done} of {total} scans."),
        "segment.series-cancelled": _("Cancelled; what was done is kept: {done} of {total} scans."),
        "segment.series-skipped": _("{volume} was left out: {reason}"),
        "segment.series-skipped-more": _("{volume} and {others} more were left out: {reason}"),
        "segment.no-others": _("All scans have labels; open or upload one without."),
        "segment.still-read": _("The scan is still being read; wait until it is shown."),
        "segment.gone": _("The volume is no longer in the scene."),
        "segment.learning": _("{name} is learning: step {step:,} of {total:,}."),
        "segment.learning-left": _("{name} is learning: step {step:,} of {total:,}, {left}."),
        "similar.no-point": _("Pick a point first: places that look like it are then found."),
        "similar.air": _("There is only air at the point; pick one inside the body."),
        "similar.other-model": _(
            "The index was made with another model or level than these features; compute them with {model}."
        ),
        "similar.running": _("Searching similar places ..."),
        "similar.means": _("Choose a place to go there. It looks alike to the model; this is no diagnosis."),
        "similar.deleted": _("The volume {volume} is no longer in the scene; search again."),
        "similar.load": _("{scan} is not loaded. Load it?"),
        "segment.labels-first": _("Upload the labels of a scan first."),
        "segment.no-result": _("This scan has no segmentation by a model yet."),
        "segment.labelled": _("{name} can now be learned from."),
        "study.no-mask": _("There is no mask; choose a mask first."),
        "study.region-coverage": _("A region is a single mask; choose no coverage."),
        "study.running": _("A {job} is already running; wait for it, or cancel it."),
        "study.volume-changed": _(
            "The volume was cropped, moved or otherwise changed, so its {job} was stopped; nothing was kept."
        ),
        "study.volume-deleted": _("The volume was deleted, so its {job} was stopped; nothing was kept."),
        "study.region-deleted": _("The hidden region was deleted; choose what to hide."),
        "study.result-deleted": _(
            '"{node}" was deleted; the {job} that it was part of can no longer be shown.'
        ),
        "task.voxels-edited": _(
            "Voxels of the volume were edited meanwhile; the results are of the earlier voxels."
        ),
        "task.import-failed": _("The results cannot be shown because of an error in MAESIL; see the log."),
    }
)
sentence = TEXTS.sentence
