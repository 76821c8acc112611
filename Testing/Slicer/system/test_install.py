"""Installing: asked for, explained, bounded, checked afterwards; with stand-ins for Slicer, and with a real pip."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from MAESILSlicerLib.system import requirements
from MAESILSlicerLib.system.install import InstallError, Outcome, install, installPyTorchExtension
from MAESILSlicerLib.system.installers import Installers
from MAESILSlicerLib.system.messages import explanation
from MAESILSlicerLib.system.plan import InstallPlan, makePlan, torchRequirement
from MAESILSlicerLib.system.report import SystemReport

NEEDS = requirements.needed()
READY = SystemReport("PyTorch 2.6.0 is ready.", True, hasTorch=True, torchVersion="2.6.0", system="Linux")
NOTHING = SystemReport(
    "PyTorch is not installed.",
    False,
    explanation("torch-missing"),
    missing=NEEDS,
    system="Linux",
    hasPyTorchExtension=True,
)
UNUSED = replace(
    READY, problem=explanation("gpu-unused"), gpus=("NVIDIA RTX A4000",), hasPyTorchExtension=True
)
PLENTY = 10**12


@dataclass
class Recorder:
    """Stands in for Slicer's ways to install and notes what it was asked for, and under which settings of pip."""

    prints: str = ""
    raises: Exception | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def installers(self, **changes: Any) -> Installers:  # noqa: ANN401 - fields of Installers
        made = Installers(
            ensure=lambda needs, constraints: self.note("ensure", needs),
            pip=lambda arguments: self.note("pip", arguments),
            uninstall=lambda names: self.note("uninstall", names),
            installTorch=lambda bounds: self.note("torch", bounds),
            installExtension=lambda name: bool(self.note("extension", name)),
        )
        return replace(made, **changes)

    def note(self, name: str, value: object) -> bool:
        self.calls.append((name, value))
        self.settings = {key: text for key, text in os.environ.items() if key.startswith("PIP_")}
        if "PIP_CONSTRAINT" in self.settings:
            file = Path(self.settings["PIP_CONSTRAINT"].split()[-1].removeprefix("file://"))
            self.constraints.append(file.read_text(encoding="utf-8"))
        if self.prints:
            print(self.prints)
        if self.raises is not None:
            raise self.raises
        return True


def yes(text: str) -> bool:
    return True


def no(text: str) -> bool:
    return False


def run(plan: InstallPlan, recorder: Recorder, **changes: Any) -> Outcome:  # noqa: ANN401 - arguments of install
    return install(plan, recorder.installers(), **{"confirm": yes, "check": lambda: READY, **changes})


# The plan


def test_everything_is_planned_for_where_nothing_is() -> None:
    plan = makePlan(NOTHING, freeBytes=PLENTY)
    assert (plan.torch, plan.removesTorch, plan.packages) == (Requirement("torch>=2.2"), False, NEEDS)
    assert plan.obstacle is None
    assert "PyTorch, nibabel, psutil, pydantic, safetensors and scipy" in plan.text
    assert "about 345 MB to download, 1.2 GB on disk" in plan.text


def test_a_gpu_makes_pytorch_large() -> None:
    plan = makePlan(replace(NOTHING, gpus=("NVIDIA RTX A4000",)), freeBytes=PLENTY)
    assert plan.downloadBytes > 3 * 10**9
    assert "7.2 GB on disk" in plan.text


def test_where_everything_is_nothing_is_planned() -> None:
    plan = makePlan(READY, freeBytes=PLENTY)
    assert plan.isEmpty
    assert plan.text == "Everything that MAESIL needs is installed."
    assert run(plan, Recorder()) == Outcome(plan.text)


def test_a_gpu_that_is_unused_has_pytorch_replaced() -> None:
    plan = makePlan(UNUSED, freeBytes=PLENTY)
    assert (plan.torch, plan.removesTorch) == (Requirement("torch>=2.2"), True)
    assert "is removed first" in plan.text


def test_pytorch_is_replaced_when_one_asks_for_it() -> None:
    assert makePlan(
        replace(READY, hasPyTorchExtension=True), reinstallTorch=True, freeBytes=PLENTY
    ).removesTorch


def test_on_a_mac_with_numpy_2_pytorch_is_not_replaced_in_vain() -> None:
    report = replace(READY, canCompute=False, system="Darwin", problem=explanation("numpy-mismatch-mac"))
    assert makePlan(report, freeBytes=PLENTY).isEmpty


@pytest.mark.parametrize("name", ["torch-hangs", "memory", "numpy-mismatch-mac"])
def test_nobody_is_told_that_all_is_there_while_nothing_can_run(name: str) -> None:
    report = replace(READY, canCompute=False, problem=explanation(name))
    recorder = Recorder()
    with pytest.raises(InstallError) as raised:
        run(makePlan(report, freeBytes=PLENTY), recorder)
    assert str(raised.value) == explanation(name).text
    assert recorder.calls == []


def test_a_check_that_failed_leads_to_no_plan() -> None:
    report = SystemReport("", False, explanation("check-failed"), hasPyTorchExtension=True)
    plan = makePlan(report, freeBytes=PLENTY)
    assert (plan.torch, plan.obstacle) == (None, explanation("check-failed"))


@pytest.mark.parametrize(
    ("system", "bounds"), [("Windows", "<2.13,>=2.2"), ("Linux", ">=2.2"), ("Darwin", ">=2.2")]
)
def test_windows_gets_a_pytorch_whose_file_names_it_can_bear(system: str, bounds: str) -> None:
    assert str(torchRequirement(system).specifier) == bounds


def test_without_the_extension_the_plan_cannot_be_begun_but_from_a_folder_it_can() -> None:
    report = replace(NOTHING, hasPyTorchExtension=False)
    obstacle = makePlan(report, freeBytes=PLENTY).obstacle
    assert obstacle is not None
    assert obstacle.id == "extension-missing"
    assert makePlan(report, freeBytes=PLENTY, fromFolder=True).obstacle is None


def test_a_disk_without_room_is_told_of_before_anything_is_fetched() -> None:
    recorder = Recorder()
    with pytest.raises(InstallError, match="The disk is full"):
        run(makePlan(NOTHING, freeBytes=10**9), recorder)
    assert recorder.calls == []


# The installation


def test_pytorch_comes_through_its_extension_and_the_rest_through_slicers_pip() -> None:
    recorder = Recorder()
    outcome = run(makePlan(NOTHING, freeBytes=PLENTY), recorder)
    assert recorder.calls == [("torch", ">=2.2"), ("ensure", [str(need) for need in NEEDS])]
    assert outcome == Outcome(f"Installed. {READY.line}", READY)


def test_no_installation_may_replace_what_slicer_is_built_upon() -> None:
    recorder = Recorder()
    run(makePlan(NOTHING, freeBytes=PLENTY), recorder)
    forTorch, forTheRest = recorder.constraints
    for constraints in recorder.constraints:
        assert f"numpy=={version('numpy')}\n" in constraints
        assert "SimpleITK" in constraints
        assert "vtk" in constraints
    assert "torch" not in forTorch
    assert "torch" in forTheRest
    assert recorder.settings["PIP_ONLY_BINARY"] == ":all:"
    assert recorder.settings["PIP_NO_INPUT"] == "1"


def test_the_settings_of_pip_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "theirs.txt")
    monkeypatch.delenv("PIP_ONLY_BINARY", raising=False)
    recorder = Recorder(raises=RuntimeError("stop"))
    with pytest.raises(InstallError):
        run(makePlan(NOTHING, freeBytes=PLENTY), recorder)
    assert recorder.settings["PIP_CONSTRAINT"].startswith("theirs.txt file://")
    assert os.environ["PIP_CONSTRAINT"] == "theirs.txt"
    assert "PIP_ONLY_BINARY" not in os.environ


def test_the_old_pytorch_is_removed_before_the_new_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    recorder = Recorder()
    run(makePlan(UNUSED, freeBytes=PLENTY), recorder)
    assert recorder.calls == [("uninstall", ["torch", "torchvision"]), ("torch", ">=2.2")]


def test_a_pytorch_in_use_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    recorder = Recorder()
    with pytest.raises(InstallError, match="restart Slicer"):
        run(makePlan(UNUSED, freeBytes=PLENTY), recorder)
    assert recorder.calls == []


def test_a_declined_installation_is_no_error_and_changes_nothing() -> None:
    recorder = Recorder()
    outcome = run(makePlan(NOTHING, freeBytes=PLENTY), recorder, confirm=no)
    assert outcome == Outcome("Not now: nothing was changed.")
    assert recorder.calls == []


def test_declining_what_slicer_asks_is_no_error_either() -> None:
    plan = InstallPlan(packages=NEEDS)
    recorder = Recorder(raises=RuntimeError("User declined package installation"))
    assert run(plan, recorder) == Outcome("Not now: nothing was changed.")


def test_declining_what_the_extension_asks_is_no_error_either() -> None:
    installers = Recorder().installers(installTorch=lambda bounds: None)
    outcome = install(makePlan(NOTHING, freeBytes=PLENTY), installers, yes, check=lambda: READY)
    assert outcome == Outcome("Not now: nothing was changed.")


def test_the_question_names_what_comes_and_how_large_it_is() -> None:
    asked: list[str] = []
    plan = makePlan(NOTHING, freeBytes=PLENTY)
    run(plan, Recorder(), confirm=lambda text: bool(asked.append(text)))
    assert asked == [plan.text]


def test_a_failure_that_is_known_is_explained_from_what_pip_printed() -> None:
    recorder = Recorder(
        prints="Collecting scipy\nERROR: Could not install packages: [Errno 28] No space left on device",
        raises=subprocess.CalledProcessError(1, ["pip", "install"]),
    )
    with pytest.raises(InstallError, match="The disk is full") as raised:
        run(makePlan(NOTHING, freeBytes=PLENTY), recorder)
    assert "Collecting scipy" in raised.value.log


def test_a_failure_that_is_unknown_ends_with_pips_own_last_words() -> None:
    recorder = Recorder(prints="ERROR: the moon is full", raises=subprocess.CalledProcessError(1, "pip"))
    with pytest.raises(InstallError, match="ERROR: the moon is full"):
        run(makePlan(NOTHING, freeBytes=PLENTY), recorder)


def test_what_does_not_work_afterwards_is_a_failure() -> None:
    broken = replace(READY, torchVersion=None, problem=explanation("windows-long-path"))
    with pytest.raises(InstallError, match="does not work: PyTorch is incomplete"):
        run(makePlan(NOTHING, freeBytes=PLENTY), Recorder(), check=lambda: broken)


def test_a_gpu_that_stays_unused_afterwards_is_told_of_without_an_error() -> None:
    outcome = run(
        replace(makePlan(UNUSED, freeBytes=PLENTY), removesTorch=False), Recorder(), check=lambda: UNUSED
    )
    assert outcome.report is UNUSED


def test_every_line_of_pip_is_passed_on_and_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    run(InstallPlan(packages=NEEDS), Recorder(prints="one\ntwo"), onLine=lines.append)
    assert lines == ["one", "two"]
    assert capsys.readouterr().out == "one\ntwo\n"


def test_an_application_without_a_console_installs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(InstallPlan(packages=NEEDS), Recorder(prints="one")).report is READY


def test_nothing_is_installed_beside_the_main_thread() -> None:
    recorder, errors = Recorder(), []

    def work() -> None:
        try:
            run(makePlan(NOTHING, freeBytes=PLENTY), recorder)
        except InstallError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert str(errors[0]) == explanation("pip-thread").text
    assert recorder.calls == []


def test_nothing_is_installed_while_slicer_tests_itself() -> None:
    recorder = Recorder()
    installers = recorder.installers(isTesting=True)
    outcome = install(makePlan(NOTHING, freeBytes=PLENTY), installers, yes, check=lambda: READY)
    assert outcome.report is None
    assert recorder.calls == []


# The PyTorch extension itself


def test_the_extension_is_installed_after_a_note_for_the_time_after_the_restart() -> None:
    recorder = Recorder()
    outcome = installPyTorchExtension(
        recorder.installers(), yes, lambda: recorder.calls.append(("note", None))
    )
    assert recorder.calls == [("note", None), ("extension", "PyTorch")]
    assert outcome.sentence.endswith("restart Slicer to continue.")


def test_a_declined_extension_leaves_no_note() -> None:
    recorder = Recorder()
    outcome = installPyTorchExtension(
        recorder.installers(), no, lambda: recorder.calls.append(("note", None))
    )
    assert outcome == Outcome("Not now: nothing was changed.")
    assert recorder.calls == []


def test_an_extension_that_cannot_be_had_is_an_error_with_a_way_out() -> None:
    installers = Recorder().installers(installExtension=lambda name: False)
    with pytest.raises(InstallError, match="folder of wheels"):
        installPyTorchExtension(installers, yes)


# What Slicer is asked for, with modules that stand in for its own


@pytest.fixture
def slicerCalls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """A Slicer with packaging and the PyTorch extension; what is called in them is noted."""
    calls: list[tuple[str, Any]] = []

    def noting(name: str) -> Callable[..., bool]:
        def note(*arguments: object, **options: object) -> bool:
            calls.append((name, (arguments, options)))
            return True

        return note

    slicer, util, packaging, torchUtils = map(
        ModuleType, ("slicer", "slicer.util", "slicer.packaging", "PyTorchUtils")
    )
    manager = SimpleNamespace(interactive=True)
    manager.installExtensionFromServer = lambda *arguments: noting("extension")(
        *arguments, interactive=manager.interactive
    )
    slicer.app = SimpleNamespace(testingEnabled=lambda: False, extensionsManagerModel=lambda: manager)
    slicer.util, slicer.packaging = util, packaging
    util.pip_install, util.pip_uninstall = noting("util.pip_install"), noting("util.pip_uninstall")
    packaging.pip_ensure, packaging.pip_install = noting("pip_ensure"), noting("pip_install")
    packaging.pip_uninstall = noting("pip_uninstall")
    torchUtils.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=noting("installTorch"))
    for module in (slicer, util, packaging, torchUtils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_slicers_own_functions_are_called_as_they_want_it(
    slicerCalls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    found = Installers.fromSlicer()
    assert found.installTorch is not None
    assert found.installExtension is not None
    found.installTorch(">=2.2")
    found.ensure(["scipy>=1.11"], tmp_path)
    found.pip(["--no-index", "torch"])
    found.uninstall(["torch"])
    found.installExtension("PyTorch")
    assert slicerCalls == [
        ("installTorch", ((), {"askConfirmation": False, "torchVersionRequirement": ">=2.2"})),
        (
            "pip_ensure",
            (
                (["scipy>=1.11"],),
                {"constraints": str(tmp_path), "prompt_install": False, "requester": "MAESIL"},
            ),
        ),
        ("pip_install", ((["--no-index", "torch"],), {"requester": "MAESIL"})),
        ("pip_uninstall", ((["torch"],), {})),
        ("extension", (("PyTorch", False), {"interactive": False})),
    ]
    assert sys.modules["slicer"].app.extensionsManagerModel().interactive


def test_an_older_slicer_is_served_through_what_it_has(
    slicerCalls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(sys.modules["slicer"], "packaging")
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    found = Installers.fromSlicer()
    found.ensure(["scipy>=1.11"], tmp_path)
    assert slicerCalls == [("util.pip_install", ((["scipy>=1.11", "-c", str(tmp_path)],), {}))]
    assert found.installTorch is None


# From a folder, with a real pip


def writeWheel(folder: Path, name: str, number: str, needs: str = "") -> None:
    """A wheel of nothing but metadata."""
    stem = name.replace("-", "_")
    information = f"{stem}-{number}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    if needs:
        metadata += f"Requires-Dist: {needs}\n"
    with zipfile.ZipFile(folder / f"{stem}-{number}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{information}/METADATA", metadata)
        wheel.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{information}/RECORD", "")


@pytest.fixture
def wheelFolder(tmp_path: Path) -> Path:
    """A folder, with a space in its name as Windows likes them, with a wheel of everything that MAESIL needs."""
    folder = tmp_path / "my wheels"
    folder.mkdir()
    for need in (Requirement("torch"), *NEEDS):
        writeWheel(folder, need.name, "99.0")
    return folder


@pytest.fixture
def realPip(tmp_path: Path) -> tuple[Callable[[list[str]], object], Callable[[], set[str]]]:
    """A pip that installs into a Python of its own, and a look at what that Python has."""
    home = tmp_path / "python"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def pip(arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout)
        done.check_returncode()

    def installed() -> set[str]:
        return {path.name.partition("-")[0] for path in home.rglob("*.dist-info")}

    return pip, installed


@pytest.mark.process
def test_everything_is_installed_from_a_folder_without_internet(
    wheelFolder: Path, realPip: tuple[Callable[[list[str]], object], Callable[[], set[str]]]
) -> None:
    pip, installed = realPip
    plan = makePlan(replace(NOTHING, hasPyTorchExtension=False), freeBytes=PLENTY, fromFolder=True)
    installers = Recorder().installers(pip=pip, installTorch=None)
    outcome = install(plan, installers, yes, folder=wheelFolder, check=lambda: READY)
    assert outcome.report is READY
    assert installed() == {"nibabel", "psutil", "pydantic", "safetensors", "scipy", "torch"}


@pytest.mark.process
def test_a_wheel_that_would_replace_numpy_is_refused_and_nothing_is_changed(
    wheelFolder: Path, realPip: tuple[Callable[[list[str]], object], Callable[[], set[str]]]
) -> None:
    pip, installed = realPip
    writeWheel(wheelFolder, "scipy", "99.0", needs="numpy>=99")
    writeWheel(wheelFolder, "numpy", "99.0")
    plan = makePlan(NOTHING, freeBytes=PLENTY, fromFolder=True)
    with pytest.raises(InstallError, match="nothing was changed") as raised:
        install(plan, Recorder().installers(pip=pip), yes, folder=wheelFolder, check=lambda: READY)
    assert str(raised.value) == explanation("versions-clash").text
    assert installed() == set()


def test_a_folder_that_lacks_a_wheel_is_refused_before_pytorch_is_removed(
    wheelFolder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (wheelFolder / "torch-99.0-py3-none-any.whl").unlink()
    recorder = Recorder()
    with pytest.raises(InstallError, match="has no wheel of torch"):
        run(makePlan(UNUSED, freeBytes=PLENTY, fromFolder=True), recorder, folder=wheelFolder)
    assert recorder.calls == []


@pytest.mark.process
def test_a_wheel_that_another_one_needs_is_asked_for(
    wheelFolder: Path, realPip: tuple[Callable[[list[str]], object], Callable[[], set[str]]]
) -> None:
    pip, installed = realPip
    writeWheel(wheelFolder, "pydantic", "99.0", needs="pydantic-core")
    plan = makePlan(NOTHING, freeBytes=PLENTY, fromFolder=True)
    with pytest.raises(InstallError, match="There is no version of a package") as raised:
        install(plan, Recorder().installers(pip=pip), yes, folder=wheelFolder, check=lambda: READY)
    assert "pydantic-core" in raised.value.log
    assert installed() == set()
