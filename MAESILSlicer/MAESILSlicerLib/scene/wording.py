"""Messages and titles of the scene, by code."""

from __future__ import annotations

from MAESILCore.wording import Texts
from MAESILCore.wording import marked as _

TEXTS = Texts(
    {
        "volume.none": _("Choose a volume."),
        "volume.sequence": _(
            '"{volume}" is a 4D sequence, and MAESIL works on 3D volumes; '
            "choose a frame, clone it in the Data module, and use the clone."
        ),
        "volume.label-map": _('"{volume}" is a label map; choose the image from which it was made.'),
        "volume.several-values": _(
            '"{volume}" has colours or several values in each voxel; '
            "choose a volume with one number per voxel, such as a CT."
        ),
        "volume.not-scalar": _(
            '"{volume}" is not an image with one number per voxel; choose a scalar volume, such as a CT.'
        ),
        "volume.no-voxels": _('"{volume}" has no voxels; load an image into it, or choose another volume.'),
        "volume.extent": _(
            'The voxels of "{volume}" are not counted from 0; crop or resample it, and use the result.'
        ),
        "volume.not-finite": _('"{volume}" has no voxel with a finite number; choose another volume.'),
        "volume.degenerate": _(
            'The geometry of "{volume}" is degenerate: an axis has no length, or two are parallel; '
            "correct it in the Volumes module."
        ),
        "volume.modality": _(
            "The modality is {modality}, and the model has seen CT only: expect poor results."
        ),
        "volume.8-bit": _(
            "The 8-bit values from {low:g} to {high:g} are not HU, on which the model was trained: "
            "expect poor results."
        ),
        "volume.not-hu": _(
            "The values from {low:g} to {high:g} are not HU, on which the model was trained: "
            "expect poor results."
        ),
        "volume.sheared": _(
            "The axes are sheared, {degrees:.1f} degrees from perpendicular; this is kept exactly."
        ),
        "volume.no-memory": _(
            'There is not enough memory to copy "{volume}"; crop it, or close other volumes.'
        ),
        "scene.no-memory": _(
            'There is not enough memory to add "{volume}" to the scene; close other volumes.'
        ),
        "transform.not-linear": _(
            '"{node}" lies under a transform that is not linear ("{transform}"); '
            "harden or remove the transform in the Transforms module."
        ),
        "transform.flat": _(
            '"{node}" lies under a transform that flattens space ("{transform}"); '
            "correct its matrix in the Transforms module."
        ),
        "region.no-choice": _("Choose the segment to hide."),
        "region.other-node": _('"{node}" is not a region; choose a ROI or a segment.'),
        "region.roi-not-placed": _('The ROI "{region}" has no extent yet; place it in a view first.'),
        "region.roi-inverted": _(
            'The ROI "{region}" is turned inside out; switch that off in the Markups module.'
        ),
        "region.roi-outside": _(
            'The ROI "{region}" contains no voxel of "{volume}"; move it or make it larger.'
        ),
        "region.no-segment": _('"{segmentation}" has no segment "{segment}"; choose one that it has.'),
        "region.segment-outside": _(
            'The segment "{region}" is empty, or contains no voxel of "{volume}"; '
            "choose another segment or make it larger."
        ),
        "region.segment-not-converted": _(
            'The segment "{region}" cannot be converted to a label map; '
            "convert it in the Segmentations module."
        ),
        "segmentation.no-segments": _(
            '"{segmentation}" has no segments; outline a structure in the Segment Editor, or choose another one.'
        ),
        "segmentation.outside": _(
            'All segments of "{segmentation}" are outside of "{volume}"; choose the segmentation of this volume.'
        ),
        "segmentation.other-grid": _('The labels are on another grid than "{volume}"; compute them again.'),
        "rendering.no-memory": _('There is not enough memory to render "{volume}"; close other volumes.'),
        # Presets of the volume rendering, by their name in Slicer.
        "preset.CT-Chest-Contrast-Enhanced": _("Bones and contrast"),
        "preset.CT-Bones": _("Bones, red"),
        "preset.CT-AAA": _("Bones, white"),
        "preset.CT-Muscle": _("Muscle"),
        "preset.CT-Lung": _("Lung"),
        "preset.CT-Pulmonary-Arteries": _("Pulmonary vessels"),
        "preset.CT-Cardiac3": _("Heart"),
        "preset.CT-Soft-Tissue": _("Skin"),
        "preset.CT-Air": _("Air"),
        "preset.CT-MIP": _("Brightest along the ray"),
        "preset.CT-X-ray": _("X-ray"),
    }
)
sentence = TEXTS.sentence
