"""What the Slicer package brings: every file is listed, and found after a build, an installation and in a checkout."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MAESILSlicer"

#: Stands in for Slicer's own macro: notes what it was given, copies it and installs it as that does.
SLICER = """
cmake_minimum_required(VERSION 3.16)
project(MAESIL NONE)
set(MAESIL_SOURCE_DIR "@REPOSITORY@")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/qt-scripted-modules)
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_SUBDIR;WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  set(folder ${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
  if(MODULE_WITH_SUBDIR)
    get_filename_component(name ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    set(folder ${folder}/${name})
  endif()
  foreach(file ${MODULE_SCRIPTS} ${MODULE_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      set(file ${file}.py)
    endif()
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${MODULE_NAME} lists ${file}, which does not exist")
    endif()
    get_filename_component(below ${file} DIRECTORY)
    file(COPY ${CMAKE_CURRENT_SOURCE_DIR}/${file} DESTINATION ${CMAKE_BINARY_DIR}/${folder}/${below})
    install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/${file} DESTINATION ${folder}/${below})
  endforeach()
endfunction()
function(slicer_add_python_unittest)
endfunction()
add_subdirectory("@REPOSITORY@/MAESILCore" core)
add_subdirectory("@REPOSITORY@/MAESILSlicer" module)
"""


#: What builds the package or draws its pictures, and the browser's face, whose packages Slicer does not have.
NOT_SHIPPED = re.compile(r"/CMakeLists\.txt$|/Resources/.*/draw_\w+\.py$|^/MAESILSlicerLib/web/")


def shipped(folder: Path) -> set[str]:
    """Every file that belongs to the package, relative to its folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = (path.relative_to(folder).as_posix() for path in files)
    return {name for name in names if not NOT_SHIPPED.search(f"/{name}")}


SOURCES = sorted(name for name in shipped(MODULE) if name.endswith(".py"))


def test_slicer_finds_no_module_where_none_is(repository: Path) -> None:
    """Every Python file at the top of a module path is taken for a module."""
    assert [path.name for path in (repository / "MAESILSlicer").glob("*.py")] == ["MAESILSlicer.py"]


#: What may be imported at file scope besides the standard library: Slicer opens a module before anything is installed.
#: Slicer ships packaging, on which its own `slicer.packaging` is built.
EVERYWHERE = {"MAESILCore", "MAESILSlicerLib", "numpy", "packaging", "slicer", "vtk"}


def importedAtFileScope(file: Path) -> set[str]:
    """Top-level names of the packages that are loaded with a file; what only type checkers see is left out."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_opening_the_module_needs_nothing_that_may_be_missing() -> None:
    for name in SOURCES:
        if "/web/" not in name:  # which only the browser face loads
            parts = Path(name).parts
            allowed = EVERYWHERE | (
                {"ctk", "qt"} if parts[0] == "MAESILSlicer.py" or "desktop" in parts else set()
            )
            assert not importedAtFileScope(MODULE / name) - allowed - sys.stdlib_module_names, name


@pytest.mark.process
def test_the_scene_code_loads_no_package_that_may_be_missing() -> None:
    """Through MAESILCore neither: of it only what needs no more than NumPy is imported at file scope."""
    rooms = (Path(name) for name in SOURCES if name.startswith("MAESILSlicerLib/"))
    modules = [
        ".".join(room.with_suffix("").parts) for room in rooms if not {"desktop", "web"} & set(room.parts)
    ]
    program = (
        f"import sys; sys.path.insert(0, {str(MODULE)!r})\n"
        f"import importlib; [importlib.import_module(name) for name in {modules!r}]\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    missing = {
        "torch",
        "nibabel",
        "psutil",
        "pydantic",
        "pydicom",
        "safetensors",
        "scipy",
        "SimpleITK",
        "skimage",
    }
    assert not missing & set(done.stdout.split())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The repository as CMake builds it for Slicer; CMakeLists.txt are the real ones, Slicer's macro is a stand-in."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no CMake on this machine; on Debian and Ubuntu: apt-get install cmake")
    source = tmp_path_factory.mktemp("source")
    build = tmp_path_factory.mktemp("build tree")
    (source / "CMakeLists.txt").write_text(SLICER.replace("@REPOSITORY@", repository.as_posix()))
    done = subprocess.run([cmake, "-S", source, "-B", build], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return build


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, installed elsewhere."""
    target = tmp_path_factory.mktemp("installed")
    subprocess.run(["cmake", "--install", built, "--prefix", target], capture_output=True, check=True)
    return target


def found(folder: Path) -> dict[str, str]:
    """Where a Python that has one folder on its path, and nothing installed, finds the parts of MAESIL."""
    program = (
        "import sys, json\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "import MAESILSlicerLib, MAESILCore\n"
        "from MAESILSlicerLib import paths\n"
        "from MAESILCore.models.bundled import models_folder\n"
        "print(json.dumps({'core': MAESILCore.__file__, 'lib': MAESILSlicerLib.__file__,\n"
        "    'models': str(models_folder()), 'needs': str(paths.resource('requirements.txt'))}))\n"
    )
    # Without site-packages, where a developer's own installation of MAESIL may lie.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, cwd=folder.anchor
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def requireEverythingBelow(modules: Path) -> None:
    files = {path.relative_to(modules).as_posix() for path in modules.rglob("*") if path.is_file()}
    core = {f"MAESILCore/{name}" for name in shipped(MODULE.parent / "MAESILCore")}
    assert {name for name in files if "/Models/" not in name} == shipped(MODULE) | core
    where = found(modules)
    assert Path(where["core"]) == modules / "MAESILCore" / "__init__.py"
    assert Path(where["lib"]) == modules / "MAESILSlicerLib" / "__init__.py"
    assert list(Path(where["models"]).glob("*.safetensors"))
    assert modules in Path(where["models"]).parents
    assert Path(where["needs"]).is_file()
    assert modules in Path(where["needs"]).parents


@pytest.mark.process
def test_the_library_is_found_after_a_build(built: Path) -> None:
    requireEverythingBelow(built / "lib" / "qt-scripted-modules")


@pytest.mark.process
def test_the_library_is_found_after_an_installation(installed: Path) -> None:
    requireEverythingBelow(installed / "lib" / "qt-scripted-modules")


@pytest.mark.process
def test_the_library_is_found_in_a_checkout_whose_module_folder_alone_is_on_the_path(
    repository: Path,
) -> None:
    where = found(repository / "MAESILSlicer")
    assert Path(where["core"]) == repository / "MAESILCore" / "__init__.py"
    assert Path(where["models"]) == repository / "Resources" / "Models"


@pytest.mark.process
def test_a_module_without_its_library_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "MAESILSlicer" / "MAESILSlicerLib", tmp_path / "a" / "MAESILSlicerLib")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'a')!r}); import MAESILSlicerLib"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "install the MAESIL extension again" in done.stderr
