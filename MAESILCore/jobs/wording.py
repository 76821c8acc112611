"""Messages about runs, by code."""

from __future__ import annotations

from MAESILCore.wording import Texts
from MAESILCore.wording import marked as _

TEXTS = Texts(
    {
        "pretraining.steps": _("The number of steps must be at least 1, but it is {steps}."),
        "pretraining.processes": _("The number of processes must be at least 1, but it is {processes}."),
        "pretraining.processes-ended": _(
            "One of the {processes} processes ended without a message; see the log, then resume the run."
        ),
        "pretraining.method": _("There is no method {method}; choose one of {methods}."),
        "pretraining.no-scans": _("Choose a folder of scans, or a store."),
        "pretraining.scans-missing": _("{path} does not exist; choose a folder of scans, or a store."),
        "pretraining.damaged": _(
            "The run's description job.json cannot be used ({reason}); update MAESIL, or start a new run."
        ),
        "pretraining.other-kind": _("The folder {folder} holds a job of the kind {kind}, not a run."),
        "pretraining.looking": _("Looking for the scans."),
        "pretraining.all-taken": _(
            "The run has taken all {steps} steps; give more steps to extend it. Its model is {model}."
        ),
        "features.loading": _("Loading PyTorch and the model."),
        "features.writing": _("Writing the features."),
        "features.computing": _("Computing features on {device}."),
        "features.passes": _("Computed the features of {done} of {total} passes."),
        "features.done": _("Computed the features of {model} on {device} in {seconds:.0f} s."),
        "features.damaged": _("The job's file {name} is damaged; start the job again."),
        "features.request": _(
            "The job's description job.json cannot be read ({reason}); start the job again."
        ),
        "segmentation.no-scans": _("A segmentation training keeps its cases; start a new run with others."),
        "segmentation.no-copy": _(
            "The run {name} learns a segmentation; start a new one from its labelled scans."
        ),
        "segmentation.one-process": _("A segmentation training runs in one process; leave out the number."),
        "segmentation.learned": _("The segmentation model is {model}."),
        "segmentation.loading": _("Loading PyTorch and the model."),
        "segmentation.computing": _("Segmenting on {device}."),
        "segmentation.passes": _("Segmented {done} of {total} tiles."),
        "segmentation.writing": _("Writing the segmentation."),
        "segmentation.done": _("Segmented with {model} on {device} in {seconds:.0f} s."),
        "segmentation.nothing": _(
            "Segmented with {model} on {device} in {seconds:.0f} s; no structure was found."
        ),
        "trial.cost": _(
            "A step takes about {step} s on {device}, so {steps:,} steps take {duration}; "
            "{memory} GiB of memory are needed."
        ),
        "trial.done": _("Measured: {seconds} s per step."),
        "run.dead": _(
            "The run was interrupted, for example by a power cut; resume it to continue from its last checkpoint."
        ),
        "run.none": _("{folder} holds no run; choose the folder of a run."),
        "run.running": _("The run {name} is already running."),
        "run.complete": _("The run {name} has taken all {steps} steps; give more steps to extend it."),
        "run.other-options": _(
            "{folder} holds a run with other options ({options}); give the same ones, or another folder."
        ),
        "run.unknown-scans": _(
            "The run {name} does not know its scans, because an older version made it; give them."
        ),
        "run.not-writable": _("The folder {folder} cannot be written ({reason}); check its permissions."),
        "run.delete-running": _("The run {name} is running; stop it before you delete it."),
        "run.delete-failed": _(
            "The run {name} cannot be deleted completely ({reason}); close programs that use its files."
        ),
    }
)
sentence = TEXTS.sentence
