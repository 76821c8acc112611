"""What a person sees of the `maesil` command when all goes well, and when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from MAESILCore import cli
from MAESILCore.errors import Cancelled, VolumeError


@pytest.fixture
def a_command() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Registers a command `act` for one test."""
    before = list(cli.app.registered_commands)
    yield lambda function: cli.app.command("act")(function) and None
    cli.app.registered_commands[:] = before


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "maesil 0.1.0\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "info" in capsys.readouterr().out


@pytest.mark.process
def test_help_does_not_wait_for_torch() -> None:
    program = "import sys\nfrom MAESILCore import cli\ncli.main(['--help'])\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


@pytest.mark.process
def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "MAESILCore", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "maesil 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "No such option: --nonsense; see maesil --help."),
        (["nonsense"], "No such command 'nonsense'; see maesil --help."),
        (["info"], "; see maesil info --help."),
        (["info", "a.nii", "--patch-size", "8x"], "'--patch-size': "),
        (["app", "--port", "99999"], "'--port': "),
        (
            ["phantom", "a.nii", "--shape", "1", "2"],
            "Option '--shape' requires 3 arguments; see maesil ",
        ),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_sentence_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert words in said
    assert "Input should" not in said


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) in (0, 2)  # by the version of Typer
    told = capsys.readouterr()
    assert "reconstruct" in told.out + told.err
    assert "Error" not in told.err


def test_a_mistake_of_the_user_is_one_sentence_and_exit_2(
    a_command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def act() -> None:
        raise VolumeError("scan[1].nii has two dimensions; MAESIL needs three.")

    a_command(act)
    assert cli.main(["act"]) == 2
    assert capsys.readouterr().err == "Error: scan[1].nii has two dimensions; MAESIL needs three.\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(13, "Permission denied", "/results/report.png"),
            "Permission denied; check the permissions, or choose another place",
        ),
        (
            IsADirectoryError(
                21, "Is a directory", "/results/.maesil-abc/report.png", None, "/results/report.png"
            ),
            f"{Path('/results/report.png')} is a folder; move it away",
        ),
        (FileNotFoundError(2, "Not there", b"/results/report.png"), "Not there; choose another place"),
    ],
)
def test_a_file_that_the_system_refuses_is_one_sentence(
    error: OSError,
    words: str,
    a_command: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def act() -> None:
        raise error

    a_command(act)
    assert cli.main(["act"]) == 2
    assert capsys.readouterr().err == f"Error: {Path('/results/report.png')} cannot be used: {words}.\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Cancelled("The user stopped the reconstruction.")])
def test_a_stop_is_no_error(
    stop: BaseException, a_command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def act() -> None:
        raise stop

    a_command(act)
    assert cli.main(["act"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_termination_stops_as_ctrl_c_does(
    a_command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    a_command(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main(["act"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_scheduler_that_stops_a_training_before_its_first_step_is_told_to_repeat_it(
    name: str,
    a_command: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {"pretrain", "resume"} == set(cli._RESUMABLE)
    monkeypatch.setattr(cli, "_RESUMABLE", ["act"])
    a_command(lambda: os.kill(os.getpid(), getattr(signal, name)))
    assert cli.main(["act"]) == 75
    assert capsys.readouterr().err == "Stopped before the first step; run the same command again.\n"


def test_a_fault_of_the_program_asks_for_a_report(
    a_command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def act() -> None:
        raise ZeroDivisionError("division by zero")

    a_command(act)
    assert cli.main(["act"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in said
    assert "please report" in said

    assert cli.main(["--debug", "act"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.process
def test_an_installed_package_brings_a_command_of_its_own(tmp_path: Path) -> None:
    """As the browser face does: the library knows the group of entry points, not the package."""
    (tmp_path / "other.py").write_text(
        'def greet(name: str) -> None:\n    """Greet."""\n    print("Hello", name)\n'
    )
    metadata = tmp_path / "other-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[maesil.commands]\ngreet = other:greet\n")
    root = Path(__file__).resolve().parents[3]
    paths = os.pathsep.join(map(str, (root, root / "MAESILSlicer", tmp_path)))
    done = subprocess.run(
        [sys.executable, "-m", "MAESILCore", "greet", "Ada"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello Ada\n", "")
