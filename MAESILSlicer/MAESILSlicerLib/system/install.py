"""Installs the packages for reconstruction: PyTorch through its extension, the rest through Slicer's pip.

Runs on the main thread, never at import, and only after consent. The output of pip is captured, so that a failure can
be explained in a sentence instead of an exit status.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import MaesilError
from MAESILCore.wording import Sentence, joined
from MAESILSlicerLib.system import requirements, wheels
from MAESILSlicerLib.system.check import SystemCheck
from MAESILSlicerLib.system.installers import PYTORCH_EXTENSION, Installers
from MAESILSlicerLib.system.listening import Output
from MAESILSlicerLib.system.messages import explain, explanation, lastWords
from MAESILSlicerLib.system.plan import InstallPlan
from MAESILSlicerLib.system.report import SystemReport

Confirm = Callable[[str], bool]
Check = Callable[[], SystemReport]

_NOT_NOW = Sentence("install.not-now", "Not now: nothing was changed.")
#: The PyTorch extension also installs torchvision.
_TORCH = ("torch", "torchvision")


class InstallError(MaesilError):
    """An installation failed; the message can be shown to the user.

    Attributes:
        log: output of pip for the diagnostics; "" if pip was not started.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Outcome:
    """The outcome of an installation.

    Attributes:
        sentence: text of the status line; declining is not an error.
        report: report of the check afterwards; None if nothing was changed.
    """

    sentence: str
    report: SystemReport | None = None


def install(
    plan: InstallPlan,
    installers: Installers,
    confirm: Confirm,
    folder: Path | None = None,
    onLine: Callable[[str], None] | None = None,
    check: Check = lambda: SystemCheck().wait(),
) -> Outcome:
    """Execute a plan after consent, and verify it in a new process.

    Args:
        plan: a plan by `makePlan`.
        installers: the installers of the running Slicer, `Installers.fromSlicer()`.
        confirm: shows a text and returns whether the user agrees.
        folder: folder of wheels for an installation without internet; None uses the internet.
        onLine: called with each line of pip's output.
        check: the system check afterwards.

    Raises:
        InstallError: the installation cannot start, failed, or its result does not work.
    """
    if plan.isEmpty and plan.obstacle is None:
        return Outcome(plan.text)
    if installers.isTesting:
        return Outcome(Sentence("install.testing", "Slicer runs in testing mode and installs nothing."))
    _checkPlan(plan, installers, folder)
    if not confirm(plan.text):
        return Outcome(_NOT_NOW)
    output = Output(onLine)
    try:
        with output.captured():
            agreed = _carryOut(plan, installers, folder)
    except Exception as error:  # Pip, the PyTorch extension and a broken PyTorch may raise any exception.
        raise _failure(error, output.log) from error
    importlib.invalidate_caches()
    return _verified(plan, check(), output.log) if agreed else Outcome(_NOT_NOW)


def installPyTorchExtension(
    installers: Installers, confirm: Confirm, remember: Callable[[], None] = lambda: None
) -> Outcome:
    """Install the PyTorch extension; Slicer must be restarted afterwards.

    Args:
        installers: the installers of the running Slicer.
        confirm: shows a text and returns whether the user agrees.
        remember: called before any change, to store that the installation resumes after the restart.

    Raises:
        InstallError: the Extensions Manager could not install it.
    """
    if installers.isTesting or installers.installExtension is None:
        return Outcome(Sentence("install.no-extensions", "Extensions cannot be installed in this Slicer."))
    question = Sentence(
        "install.extension-question",
        "MAESIL installs PyTorch with the extension PyTorch (a few kB). Install this extension now?",
    )
    if not confirm(question):
        return Outcome(_NOT_NOW)
    remember()
    if not installers.installExtension(PYTORCH_EXTENSION):
        message = Sentence(
            "install.extension-failed",
            "The extension PyTorch could not be installed; install it in the Extensions Manager, "
            "which shows the reason, or install from a folder of wheels.",
        )
        raise InstallError(message)
    return Outcome(
        Sentence("install.restart", "The extension PyTorch was installed; restart Slicer to continue.")
    )


def _checkPlan(plan: InstallPlan, installers: Installers, folder: Path | None) -> None:
    """Raise `InstallError` before any question or change if the plan cannot work."""
    if threading.current_thread() is not threading.main_thread():
        raise InstallError(explanation("pip-thread").text)
    if plan.obstacle is not None:
        raise InstallError(plan.obstacle.text)
    if plan.torch and folder is None and installers.installTorch is None:
        raise InstallError(explanation("extension-missing").text)
    if plan.removesTorch and "torch" in sys.modules:
        message = Sentence(
            "install.torch-in-use",
            "This Slicer uses PyTorch; restart Slicer and install first.",
        )
        raise InstallError(message)
    if folder is not None:
        lacking = wheels.shortcoming(folder, [need for need in (plan.torch, *plan.packages) if need])
        if lacking is not None:
            raise InstallError(lacking)


def _carryOut(plan: InstallPlan, installers: Installers, folder: Path | None) -> bool:
    """Install; return False if an installer asked again and was declined."""
    if plan.removesTorch:
        installers.uninstall(list(_TORCH))
    free = _TORCH if plan.torch else ()
    needs = [str(need) for need in plan.packages]
    with requirements.constraintsFile(free) as constraints, _pipSettings(constraints):
        if folder is not None:
            torch = [str(plan.torch)] if plan.torch else []
            installers.pip(["--no-index", "--find-links", str(folder), *torch, *needs])
            return True
        if plan.torch and installers.installTorch(str(plan.torch.specifier)) is None:
            return False
    if needs:
        with requirements.constraintsFile() as constraints, _pipSettings(constraints):
            try:
                installers.ensure(needs, constraints)
            except RuntimeError as error:
                if "declined" in str(error):
                    return False
                raise
    return True


@contextmanager
def _pipSettings(constraints: Path) -> Iterator[None]:
    """Make every pip started within the block use the constraints and neither compile nor prompt.

    Environment variables are used because the PyTorch extension forwards no options. The constraints are given as a
    URL, because pip splits a variable at spaces, which Slicer's paths often contain.
    """
    others = os.environ.get("PIP_CONSTRAINT", "")
    settings = {
        "PIP_CONSTRAINT": f"{others} {constraints.as_uri()}".strip(),
        "PIP_ONLY_BINARY": ":all:",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    before = {name: os.environ[name] for name in settings if name in os.environ}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            del os.environ[name]
        os.environ.update(before)


def _verified(plan: InstallPlan, report: SystemReport, log: str) -> Outcome:
    """The outcome, if the installed packages exist and work; else raises `InstallError`."""
    if (plan.torch and report.torchVersion is None) or (plan.packages and report.missing):
        problem = report.problem or explanation("torch-broken")
        message = Sentence(
            "install.does-not-work",
            "The installation has ended, but PyTorch does not work: {problem}",
            problem=problem.text,
        )
        raise InstallError(message, f"{log}\n{report.errors}".strip())
    return Outcome(joined(Sentence("install.done", "Installed."), report.line), report)


def _failure(error: Exception, log: str) -> InstallError:
    """The error to show for any exception."""
    text = f"{log}\n{type(error).__name__}: {error}"
    reason = explain(text)
    if reason is not None:
        return InstallError(reason.text, text)
    message = Sentence(
        "install.failed",
        "The installation failed. Its last output: {words}",
        words=lastWords(text),
    )
    return InstallError(message, text)
