"""The installers of a running Slicer as plain functions, which tests can replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

REQUESTER = "MAESIL"
PYTORCH_EXTENSION = "PyTorch"


@dataclass(frozen=True)
class Installers:
    """Functions that install packages; all block the main thread.

    Attributes:
        ensure: called with requirements and the path of a constraints file; installs missing ones.
        pip: called with the arguments of `pip install`.
        uninstall: called with the names of distributions.
        installTorch: called with a version specifier (">=2.2"); None without the PyTorch extension.
        installExtension: called with the name of an extension; returns whether it was installed.
        isTesting: whether Slicer is in testing mode, in which nothing may be installed.
    """

    ensure: Callable[[list[str], Path], object]
    pip: Callable[[list[str]], object]
    uninstall: Callable[[list[str]], object]
    installTorch: Callable[[str], object] | None = None
    installExtension: Callable[[str], bool] | None = None
    isTesting: bool = False

    @classmethod
    def fromSlicer(cls) -> Installers:
        """The installers of the running Slicer."""
        import slicer

        ensure, pip, uninstall = _slicerPip()
        return cls(
            ensure=ensure,
            pip=pip,
            uninstall=uninstall,
            installTorch=_torchInstaller(),
            installExtension=_installExtension,
            isTesting=bool(slicer.app.testingEnabled()),
        )


def _slicerPip() -> tuple[Callable[..., object], Callable[..., object], Callable[..., object]]:
    """Slicer's pip: `slicer.packaging`, or its predecessor in older versions."""
    import slicer.util

    try:
        packaging = import_module("slicer.packaging")
    except ModuleNotFoundError:
        return (
            lambda needs, constraints: slicer.util.pip_install([*needs, "-c", str(constraints)]),
            slicer.util.pip_install,
            slicer.util.pip_uninstall,
        )

    def ensure(needs: list[str], constraints: Path) -> object:
        # Consent was already given, with the sizes, which Slicer does not show.
        return packaging.pip_ensure(
            needs, constraints=str(constraints), prompt_install=False, requester=REQUESTER
        )

    return ensure, partial(packaging.pip_install, requester=REQUESTER), packaging.pip_uninstall


def _torchInstaller() -> Callable[[str], object] | None:
    """The PyTorch extension's installer, which chooses the build for the driver; None if not installed."""
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        return None

    return lambda bounds: PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=False, torchVersionRequirement=bounds
    )


def _installExtension(name: str) -> bool:
    import slicer

    manager = slicer.app.extensionsManagerModel()
    wasInteractive = manager.interactive
    # No second question, and no restart during the user's work.
    manager.interactive = False
    try:
        return bool(manager.installExtensionFromServer(name, False))
    finally:
        manager.interactive = wasInteractive
