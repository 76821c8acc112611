"""The `maesil` command: thin commands, one file each, and one policy for error messages."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from MAESILCore import __version__
from MAESILCore.cli.terminal import forgive_code_pages
from MAESILCore.errors import Cancelled, MaesilError, Preempted
from MAESILCore.files import FULL, why_unwritable
from MAESILCore.wording import displayable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Group of entry points for commands of other packages, such as `app` of the browser interface.
_GROUP = "maesil.commands"
#: Modules of this package, one per command, in the order of `maesil --help`.
_COMMANDS = (
    "compare",
    "demo",
    "info",
    "reconstruct",
    "features",
    "index",
    "search",
    "evaluate",
    "classify",
    "prepare",
    "pretrain",
    "runs",
    "export",
    "segment",
    "phantom",
)

#: Commands that a scheduler repeats. They handle its signals themselves once the training has started.
_RESUMABLE = ("pretrain", "resume")
#: Signals of schedulers: SLURM sends SIGTERM on a preemption, and SIGUSR1 before the end of the time if it is asked to.
SCHEDULER = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]

_STOPPED = 130
#: EX_TEMPFAIL of sysexits.h: run the same command again.
_PREEMPTED = 75
_FAILED = 2
_BROKEN = 1

#: Typer's exception for invalid command lines; its name differs by version.
_UsageError: Any = typer.BadParameter.__base__
#: Patterns of technical messages on invalid values, and plainer texts.
_PLAINER = (
    (r"Input should be a valid integer.*", "give a whole number"),
    (r"Input should be a valid number.*", "give a number"),
    (r"Input should be (.*)", r"it must be \1"),
)


class _CommandGroup(TyperGroup):
    """Converts Ctrl-C to our own error, before Typer exits silently."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own context class is private
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            if stop.args and ctx.invoked_subcommand in _RESUMABLE:
                raise Preempted("Stopped before the first step; run the same command again.") from None
            raise Cancelled("Stopped.") from None


app = typer.Typer(
    name="maesil",
    cls=_CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"maesil {__version__}")
        raise typer.Exit


@app.callback(epilog="For research only; not a medical device.")
def _common_options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Reconstruct hidden parts of a CT, and show where prediction and scan differ."""
    context.obj.debug = debug


for _entry in entry_points(group=_GROUP):
    app.command(_entry.name)(_entry.load())
for _command in _COMMANDS:
    import_module(f"{__name__}.{_command}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    The status is 0 for success, 2 for a mistake in the command or its input, 130 for a stop by the user, 75 for a stop
    by a scheduler after which the same command can go on, 1 for a bug.
    """
    options = SimpleNamespace(debug=False)
    forgive_code_pages()
    try:
        with _termination_as_interrupt():
            code = app(args=arguments, prog_name="maesil", obj=options, standalone_mode=False)
    except _UsageError as error:
        return _report_usage(error)
    except Exception as error:
        if options.debug:
            traceback.print_exception(error, file=sys.stderr)
        return _report(error)
    return code if isinstance(code, int) else 0


def _report_usage(error: Any) -> int:  # noqa: ANN401 - see _UsageError
    """Print a usage error in one sentence; without any command, Typer has printed the help."""
    message = displayable(error.format_message().rstrip("."))
    if not message:
        return _FAILED
    for pattern, words in _PLAINER:
        message = re.sub(pattern, words, message)
    command = error.ctx.command_path if error.ctx else "maesil"
    return _say(f"{message}; see {command} --help.", _FAILED)


def _report(error: Exception) -> int:
    """Print an error in one sentence; returns its exit status."""
    if isinstance(error, Preempted):
        return _say(str(error), _PREEMPTED, mark="")
    if isinstance(error, Cancelled):
        return _say("Stopped.", _STOPPED, mark="")
    if isinstance(error, MaesilError):
        return _say(str(error), _FAILED)
    if isinstance(error, OSError) and error.strerror:
        if error.errno in FULL:
            return _say("The disk is full; free some space, then try again.", _FAILED)
        # The second name is the place to which a temporary file was to be moved.
        name = error.filename2 or error.filename
        if not isinstance(name, (str, bytes)):
            return _say(f"{error.strerror}.", _FAILED)
        place = Path(os.fsdecode(name))
        return _say(displayable(f"{place} cannot be used: {why_unwritable(place, error)}."), _FAILED)
    kind = displayable(f"{type(error).__name__}: {error}")
    advice = "please report this with the output of `maesil --debug ...`."
    return _say(f"MAESIL failed unexpectedly ({kind}); {advice}", _BROKEN)


def _say(sentence: str, status: int, mark: str = "[bold red]Error:[/] ") -> int:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True, highlight=False).print(f"{mark}{escape(sentence)}")
    return status


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Handle the signals of schedulers like Ctrl-C during the block, with the signal's number as the argument."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    previous = {number: signal.signal(number, interrupt) for number in SCHEDULER}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
