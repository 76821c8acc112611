"""The ways in which a running Slicer installs something, behind plain calls that tests can stand in for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

REQUESTER = "MAESIL"
PYTORCH_EXTENSION = "PyTorch"


@dataclass(frozen=True)
class Installers:
    """What can be called to install something; all of it blocks, on the main thread.

    Attributes:
        ensure: called with requirements and the path of a constraints file; installs what is not there.
        pip: called with the arguments of `pip install`.
        uninstall: called with the names of distributions.
        installTorch: called with the bounds of the version (">=2.2"); None without the PyTorch extension.
        installExtension: called with the name of an extension; returns whether that worked.
        isTesting: whether Slicer runs in testing mode, in which nothing may be installed.
    """

    ensure: Callable[[list[str], Path], object]
    pip: Callable[[list[str]], object]
    uninstall: Callable[[list[str]], object]
    installTorch: Callable[[str], object] | None = None
    installExtension: Callable[[str], bool] | None = None
    isTesting: bool = False

    @classmethod
    def fromSlicer(cls) -> Installers:
        """Those of the Slicer that runs this."""
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
    """Slicer's own pip: `slicer.packaging`, or what came before it."""
    import slicer.util

    try:
        packaging = import_module("slicer.packaging")
    except ModuleNotFoundError:

        def ensureWithOlderSlicer(needs: list[str], constraints: Path) -> object:
            return slicer.util.pip_install([*needs, "-c", str(constraints)])

        return ensureWithOlderSlicer, slicer.util.pip_install, slicer.util.pip_uninstall

    def ensure(needs: list[str], constraints: Path) -> object:
        # The question was asked already, with the sizes that Slicer does not tell.
        return packaging.pip_ensure(
            needs, constraints=str(constraints), prompt_install=False, requester=REQUESTER
        )

    def pip(arguments: list[str]) -> object:
        return packaging.pip_install(arguments, requester=REQUESTER)

    return ensure, pip, packaging.pip_uninstall


def _torchInstaller() -> Callable[[str], object] | None:
    """The PyTorch extension, which picks the build for the driver; None where it is not installed."""
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        return None

    def installTorch(bounds: str) -> object:
        return PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=bounds
        )

    return installTorch


def _installExtension(name: str) -> bool:
    import slicer

    manager = slicer.app.extensionsManagerModel()
    wasInteractive = manager.interactive
    # No question beside ours, and no restart in the middle of the person's work.
    manager.interactive = False
    try:
        return bool(manager.installExtensionFromServer(name, False))
    finally:
        manager.interactive = wasInteractive
