"""What pip installs: built as a release is, and started where nothing but its own dependencies can be imported."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="builds with hatchling"),
]

#: Runs a program with an installed wheel and the packages of this Python, except those that are named.
RUN = """
import runpy, sys
installed, packages, *arguments = sys.argv[1:]
missing = set(arguments.pop(0).split(","))
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
sys.path[:0] = [installed]
sys.path.extend(packages.split(","))
sys.argv = arguments
runpy.run_path(arguments[0], run_name="__main__")
"""

RunInstalled = Callable[..., "subprocess.CompletedProcess[str]"]


def build(source: Path, target: str, folder: Path) -> Path:
    """Build one distribution without a network, and return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    packed = build(repository, "sdist", tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as pip builds it."""
    return build(sdist, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """The files of the wheel that are no metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder into which pip has installed the wheel alone."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    return folder


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    """What the wheel says about itself."""
    (path,) = installed.glob("*.dist-info/METADATA")
    return Parser().parsestr(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run_installed(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> RunInstalled:
    """Runs a program with the wheel; `extras` chooses what else was installed."""
    packages = dict.fromkeys(
        entry
        for entry in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path)
        if Path(entry).name == "site-packages"
    )

    def run(*program: str, extras: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        present = with_their_dependencies("maesil", extras)
        homes = packages_distributions()
        missing = [name for name, of in homes.items() if not present & {canonical(one) for one in of}]
        arguments = [str(installed), ",".join(packages), ",".join(missing), *program]
        # Without site, whose .pth files lead to the checkout, and far from the checkout.
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUN, *arguments],
            cwd=tmp_path_factory.mktemp("elsewhere"),
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            capture_output=True,
            text=True,
        )

    return run


def canonical(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def with_their_dependencies(name: str, extras: tuple[str, ...]) -> set[str]:
    """The names of all distributions that installing one brings, of those installed here."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    seen: set[tuple[str, tuple[str, ...]]] = set()
    todo = [(canonical(name), extras)]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        found.add(one[0])
        for line in distribution(one[0]).requires or ():
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *one[1])):
                todo.append((canonical(need.name), tuple(sorted(need.extras))))
    return found


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes a program into a file."""

    def write(text: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_wheel_holds_the_library_and_the_browser_face_and_nothing_else(
    contents: set[str], repository: Path
) -> None:
    def files(folder: str, name: str) -> set[str]:
        top = repository / folder
        paths = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
        return {
            f"{name}/{path.as_posix()}"
            for path in paths
            if "__pycache__" not in path.parts and path.name != "CMakeLists.txt"
        }

    scene = files("MAESILSlicer/MAESILSlicerLib", "MAESILSlicerLib")
    of_slicer = {name for name in scene if name.split("/")[1] in ("desktop", "system")}
    resources = files("Resources/Models", "MAESILCore/Models")
    assert contents == files("MAESILCore", "MAESILCore") | resources | (scene - of_slicer)
    assert len(of_slicer) > 30
    assert {
        "MAESILCore/methods/recipes/maesil.yaml",
        "MAESILCore/py.typed",
        "MAESILCore/Models/maesil-plus.safetensors",
        "MAESILSlicerLib/web/static/gate/main.js",
        "MAESILSlicerLib/web/static/page.html",
    } <= contents


def test_the_source_distribution_holds_what_its_tests_need(sdist: Path) -> None:
    for name in (
        "Testing/Core/test_wheel.py",
        "Makefile",
        "requirements/lock.txt",
        "CITATION.cff",
        "LICENSE",
    ):
        assert (sdist / name).is_file(), name


def test_an_index_shows_links_pythons_and_the_licence(metadata: Message) -> None:
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert urls["Repository"] == "https://github.com/SlicerMAESIL/SlicerMAESIL"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Programming Language :: Python :: 3.12" in metadata.get_all("Classifier")


def test_every_link_of_the_readme_works_on_an_index(metadata: Message, repository: Path) -> None:
    homepage = re.search(
        r'EXTENSION_HOMEPAGE "https://github.com/(\S+)"', (repository / "CMakeLists.txt").read_text()
    )
    assert homepage
    ours = re.compile(
        rf"https://(?:raw\.githubusercontent\.com/{homepage[1]}|github\.com/{homepage[1]}/blob)/main/(\S+)"
    )
    links = re.findall(r"\]\(([^)\s]+)\)", metadata.get_payload())
    assert len(links) > 5
    for link in links:
        assert link.startswith("https://"), link
        of_ours = ours.fullmatch(link)
        assert of_ours is None or (repository / of_ours[1]).is_file(), link
    assert sum(link.startswith("https://raw.") for link in links) >= 4


def test_the_base_alone_gives_a_command_that_says_what_it_lacks(
    run_installed: RunInstalled, installed: Path
) -> None:
    done = run_installed(str(installed / "bin" / "maesil"), "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: The maesil command needs the package typer; install it with: python -m pip install typer\n"
    )


def test_the_base_alone_finds_all_public_names_and_the_bundled_model(
    run_installed: RunInstalled, installed: Path, program: Callable[[str], str]
) -> None:
    done = run_installed(
        program(
            "import MAESILCore\n"
            "assert all(getattr(MAESILCore, name) is not None for name in MAESILCore.__all__)\n"
            "from MAESILCore.models.bundled import models_folder\n"
            "print(MAESILCore.load_checkpoint().card.name, models_folder(), sep='\\n')\n"
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["maesil-plus", str(installed / "MAESILCore" / "Models")]


def test_the_extra_cli_gives_all_commands(
    run_installed: RunInstalled, installed: Path, tmp_path: Path
) -> None:
    maesil = str(installed / "bin" / "maesil")
    shown = run_installed(maesil, "--help", extras=("cli",))
    assert shown.returncode == 0, shown.stderr
    listed = set(re.findall(r"^. (\w+) {2,}", shown.stdout, re.MULTILINE))
    scans = {"app", "compare", "demo", "evaluate", "features", "info", "phantom", "prepare", "reconstruct"}
    scans |= {"index", "search"}
    trainings = {"classify", "export", "pretrain", "resume", "runs", "segment", "stop", "watch"}
    assert listed == scans | trainings
    scan = str(tmp_path / "torso.nii.gz")
    made = run_installed(maesil, "phantom", scan, "--shape", "16", "32", "32", extras=("cli",))
    assert made.returncode == 0, made.stderr
    page = run_installed(maesil, "app", scan, extras=("cli",))
    assert (page.returncode, page.stderr) == (
        2,
        "Error: The page needs the package trame-slicer[standalone]; "
        "install it with: python -m pip install 'trame-slicer[standalone]'\n",
    )


def test_the_extra_app_loads_the_whole_browser_face_and_leaves_the_path_alone(
    run_installed: RunInstalled, contents: set[str], program: Callable[[str], str]
) -> None:
    pytest.importorskip("trame_slicer")
    names = [name.removesuffix(".py") for name in contents if re.match(r"MAESILSlicerLib/.*\.py$", name)]
    modules = sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)
    done = run_installed(
        program(
            "import importlib, sys\n"
            "path = list(sys.path)\n"
            "import MAESILSlicerLib\n"
            "assert sys.path == path\n"
            "import MAESILCore.cli  # which loads the modules of its entry points\n"
            f"for name in {modules!r}:\n"
            "    importlib.import_module(name)\n"
            "assert 'qt' not in sys.modules\n"
        ),
        extras=("app", "cli"),
    )
    assert done.returncode == 0, done.stderr
