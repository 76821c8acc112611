"""Translates sentences of MAESILCore and the other packages into the language of the application."""

from __future__ import annotations

from functools import lru_cache

from slicer.i18n import tr as _
from slicer.i18n import translate

from MAESILCore.jobs import wording as jobs
from MAESILCore.methods import wording as methods
from MAESILCore.wording import Sentence
from MAESILSlicerLib.results import wording as results
from MAESILSlicerLib.scene import wording as scene
from MAESILSlicerLib.session import runwords
from MAESILSlicerLib.session import wording as session

#: Modules with a table of texts.
_TABLES = (scene, results, session, runwords, jobs, methods)


def translated(text: str) -> str:
    """Translate a text into the application's language; English if there is no valid translation.

    Args:
        text: a `Sentence` with its parameters; any other text is returned unchanged.
    """
    if not isinstance(text, Sentence):
        return text
    parameters = {
        name: translated(value) if isinstance(value, str) else value
        for name, value in text.parameters.items()
    }
    try:
        return _template(text).format(**parameters)
    except (KeyError, IndexError, ValueError):
        # The translation has other placeholders, or a job of another version made the sentence.
        return str(text)


def _template(sentence: Sentence) -> str:
    for table in _TABLES:
        if sentence.code in table.TEXTS:
            # Slicer's translation tools name the context of a text after its folder and file.
            return translate(".".join(table.__name__.split(".")[-2:]), sentence.template)
    # The system check's explanations come from a file and are looked up by their English text.
    return _templates().get(sentence.code) or _(sentence.template)


@lru_cache(maxsize=1)
def _templates() -> dict[str, str]:
    """Templates by code of the rooms without a table; literals, because translation tools extract those."""
    return {
        "job.cancelled": _("Cancelled; nothing was kept."),
        "job.disk-full": _("The disk is full; free some space, then try again."),
        "job.folder-disk-full": _(
            "The disk that holds the job's folder is full; free some space, then try again."
        ),
        "job.folder-unusable": _(
            "The job's files cannot be used ({reason}); check the folder for temporary files."
        ),
        "job.killed": _(
            "Another program or the system killed the job, most often because the computer ran out of "
            "memory; close other programs, or choose a smaller volume, then try again."
        ),
        "job.lost": _("The job ended without a message; see its log."),
        "job.no-memory": _(
            "The computer ran out of memory; close other programs, or choose a smaller volume, then try "
            "again."
        ),
        "job.no-device-memory": _(
            "The device has too little memory for one superpatch; close other programs that use it, or "
            "choose the CPU or a smaller model."
        ),
        "job.no-pytorch": _(
            "PyTorch is not installed in the Python that runs the model; install it (in 3D Slicer with "
            "the extension PyTorch), then try again."
        ),
        "job.no-package": _(
            "The package {package} is not installed in the Python that runs the model; install it, then "
            "try again."
        ),
        "job.broken-pytorch": _(
            "PyTorch is installed but cannot be loaded ({reason}); reinstall it, then try again."
        ),
        "job.unexpected": _("MAESIL failed unexpectedly ({reason}); see the log of the job."),
        "job.unexpected-end": _("The process ended unexpectedly with status {status} ({reason})."),
        "job.vanished": _("The job's folder was removed while the job ran; start the job again."),
        "job.stopped": _(
            "The job was stopped before it reached a point where it saves its work; what it had saved "
            "before remains."
        ),
        "job.starting": _("Starting."),
        "job.cancelling": _("Cancelling."),
        "job.no-python": _("The Python {python} cannot be started ({reason}); choose another one."),
        "duration.hours": _("about {count} h"),
        "duration.moment": _("a few seconds"),
        "duration.seconds": _("about {count} s"),
        "duration.minutes": _("about {count} min"),
        "job.scoring-fills": _("Scoring the reconstruction and, for comparison, these fills: {fills}."),
        "job.done": _("Reconstructed with {model} on {device} in {seconds:.0f} s."),
        "job.reconstructing": _("Reconstructing on {device}."),
        "job.scoring": _("Scoring the reconstruction."),
        "job.loading": _("Loading PyTorch and the model."),
        "job.first-passes": _("Reconstructing: the first passes."),
        "job.writing": _("Writing the volumes."),
        "job.superpatches": _("Scoring the superpatches."),
        "job.exporting": _("Writing files for other programs and the report."),
        "job.damaged": _("The job's file {name} is damaged; start the job again."),
        "job.no-space": _(
            "This reconstruction needs {needed:.1f} GB on the disk of {folder}, which has {free:.1f} GB "
            "free; free some space, or move the folder for temporary files to another disk."
        ),
        "job.passes": _("Reconstructed {done} of {total} passes."),
        "install.not-now": _("Not now: nothing was changed."),
        "install.extension-question": _(
            "MAESIL installs PyTorch with the extension PyTorch (a few kB). Install this extension now?"
        ),
        "install.failed": _("The installation failed. Its last output: {words}"),
        "install.extension-failed": _(
            "The extension PyTorch could not be installed; install it in the Extensions Manager, "
            "which shows the reason, or install from a folder of wheels."
        ),
        "install.restart": _("The extension PyTorch was installed; restart Slicer to continue."),
        "install.torch-in-use": _("This Slicer uses PyTorch; restart Slicer and install first."),
        "install.does-not-work": _("The installation has ended, but PyTorch does not work: {problem}"),
        "install.testing": _("Slicer runs in testing mode and installs nothing."),
        "install.no-extensions": _("Extensions cannot be installed in this Slicer."),
        "install.done": _("Installed."),
        "plan.names": _("{first} and {last}"),
        "plan.sizes": _(
            "MAESIL needs {names}: about {download} to download, {disk} on disk, in Slicer's own Python."
        ),
        "plan.removal": _("The installed PyTorch, which other extensions may also use, is removed first."),
        "plan.waiting": _(
            "Packages of Slicer are not replaced. Slicer does not respond during the installation."
        ),
        "plan.nothing": _("Everything that MAESIL needs is installed."),
        "storage.not-ours": _("{name} is not in a folder of MAESIL's and is not deleted."),
        "storage.in-use": _("{name} belongs to a running job; cancel the job or wait for it."),
        "storage.not-deleted": _(
            "{name} could not be deleted ({reason}); close programs that use it and try again."
        ),
        "wheels.how-to-fill": _(
            "Fill it on a similar computer with the same Slicer and internet access: {command}"
        ),
        "wheels.no-folder": _('There is no folder "{folder}"; choose the folder of wheels.'),
        "wheels.none": _('The folder "{folder}" has no wheels (.whl files).'),
        "wheels.missing": _('The folder "{folder}" has no wheel of {name}.'),
        "wheels.other-computer": _(
            "{file} in the folder is for another computer or Python; this Slicer has Python {python} "
            "on {system} ({machine})."
        ),
        "wheels.other-version": _("The folder has {name} {version}, but {need} is needed."),
    }
