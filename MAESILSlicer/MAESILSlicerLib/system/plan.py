"""Plans an installation: its packages, its size and any obstacle. Nothing is changed here."""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass

from packaging.requirements import Requirement

from MAESILCore.wording import Sentence, joined
from MAESILSlicerLib.system.messages import Explanation, explanation
from MAESILSlicerLib.system.report import SystemReport
from MAESILSlicerLib.system.wording import sizeText

_MB, _GB = 10**6, 10**9

#: Approximate bytes downloaded and bytes on disk.
_SIZES = {
    "google-crc32c": (1 * _MB, 1 * _MB),
    "highdicom": (4 * _MB, 35 * _MB),
    "joblib": (1 * _MB, 2 * _MB),
    "lightning-fabric": (4 * _MB, 16 * _MB),
    "nibabel": (4 * _MB, 13 * _MB),
    "numcodecs": (9 * _MB, 30 * _MB),
    "psutil": (1 * _MB, 2 * _MB),
    "pydantic": (3 * _MB, 12 * _MB),
    "pyyaml": (1 * _MB, 3 * _MB),
    "safetensors": (1 * _MB, 2 * _MB),
    "scikit-learn": (13 * _MB, 50 * _MB),
    "scipy": (36 * _MB, 143 * _MB),
    "threadpoolctl": (1 * _MB, 1 * _MB),
    "zarr": (1 * _MB, 4 * _MB),
}
_TORCH_FOR_GPU = {"Linux": (3 * _GB, 7 * _GB), "Windows": (3 * _GB, 5 * _GB)}
_TORCH_FOR_PROCESSOR = (300 * _MB, 1 * _GB)
_UNKNOWN = (10 * _MB, 40 * _MB)


@dataclass(frozen=True)
class InstallPlan:
    """The plan of an installation.

    Attributes:
        torch: the required PyTorch; None keeps the installed one.
        removesTorch: whether the installed PyTorch is removed first.
        packages: the other packages.
        downloadBytes: approximate size of the download.
        diskBytes: approximate size on disk.
        obstacle: why the installation cannot start; None if it can.
    """

    torch: Requirement | None = None
    removesTorch: bool = False
    packages: tuple[Requirement, ...] = ()
    downloadBytes: int = 0
    diskBytes: int = 0
    obstacle: Explanation | None = None

    @property
    def isEmpty(self) -> bool:
        """Whether there is nothing to install."""
        return self.torch is None and not self.packages

    @property
    def text(self) -> Sentence:
        """The text to confirm, in a few sentences."""
        if self.isEmpty:
            return Sentence("plan.nothing", "Everything that MAESIL needs is installed.")
        names = [*(["PyTorch"] if self.torch else []), *(need.name for need in self.packages)]
        sizes = Sentence(
            "plan.sizes",
            "MAESIL needs {names}: about {download} to download, {disk} on disk, in Slicer's own Python.",
            names=_enumerated(names),
            download=sizeText(self.downloadBytes),
            disk=sizeText(self.diskBytes),
        )
        removal = Sentence(
            "plan.removal",
            "The installed PyTorch, which other extensions may also use, is removed first.",
        )
        waiting = Sentence(
            "plan.waiting",
            "Packages of Slicer are not replaced. Slicer does not respond during the installation.",
        )
        return joined(sizes, removal if self.removesTorch else "", waiting)


def makePlan(
    report: SystemReport, reinstallTorch: bool = False, freeBytes: int | None = None, fromFolder: bool = False
) -> InstallPlan:
    """Plan the installation that reconstructions need, including use of an existing GPU.

    Args:
        report: report of the system check.
        reinstallTorch: whether to replace a PyTorch that seems to work.
        freeBytes: free space on the disk of Slicer's Python; measured by default.
        fromFolder: whether to install from a folder of wheels, which does not need the PyTorch extension.
    """
    if not report.system:
        # The check failed, so it is unknown whether PyTorch is installed.
        return InstallPlan(obstacle=explanation("check-failed"))
    repairs = report.problem is not None and report.problem.action == "reinstallTorch"
    removes = report.hasTorch and (repairs or reinstallTorch)
    torch = torchRequirement(report.system) if removes or not report.hasTorch else None
    sizes = [_SIZES.get(need.name, _UNKNOWN) for need in report.missing]
    if torch is not None:
        hasGpu = bool(report.gpus) or report.driver is not None
        sizes.append(
            _TORCH_FOR_GPU.get(report.system, _TORCH_FOR_PROCESSOR) if hasGpu else _TORCH_FOR_PROCESSOR
        )
    download, disk = (sum(size[index] for size in sizes) for index in (0, 1))
    free = shutil.disk_usage(sysconfig.get_path("purelib")).free if freeBytes is None else freeBytes
    obstacle = None
    if torch is not None and not fromFolder and not report.hasPyTorchExtension:
        obstacle = explanation("extension-missing")
    elif download + disk > free:
        # Downloads usually take space on the same disk until they are unpacked.
        obstacle = explanation("disk-full")
    elif torch is None and not report.missing and not report.canCompute:
        obstacle = report.problem
    return InstallPlan(torch, removes, report.missing, download, disk, obstacle)


def torchRequirement(system: str) -> Requirement:
    """The PyTorch that MAESIL requires on Linux, Windows or Darwin.

    From 2.13 on, PyTorch's file paths below Slicer's default folder are too long for Windows.
    """
    return Requirement("torch>=2.2,<2.13" if system == "Windows" else "torch>=2.2")


def _enumerated(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return Sentence("plan.names", "{first} and {last}", first=", ".join(names[:-1]), last=names[-1])
