"""The text of "Copy diagnostics": versions, devices and the last error, without personal data."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from MAESILCore import __version__
from MAESILSlicerLib.system.report import SystemReport

_LONGEST_ERROR = 6000
_SHORTEST_WORD = 3

#: Addresses and paths, replaced in one pass so that no placeholder is replaced again. A path begins at a root, has a
#: backslash or several slashes, or ends in a file name; it may contain spaces only in quotes.
_PLACES = re.compile(
    r"(?P<url>\b\w+://[^\s'\"<>]+)"
    r"|(?P<quote>['\"])(?P<quoted>(?:[A-Za-z]:[\\/]|\\\\|/|~)(?:(?!(?P=quote)).)*)(?P=quote)"
    r"|(?<![\w<>])(?:[A-Za-z]:[\\/]|\\\\|~?/)[^\s'\",;)\]]*"
    r"|[^\s'\"<>]*\\[^\s'\"]*"
    r"|[^\s'\"/<>]+(?:/[^\s'\"/]+){2,}"
    r"|[^\s'\"/<>]+/[^\s'\"/]+\.\w+"
)
#: Folders of programs; paths below them are kept.
_PROGRAM_FOLDERS = re.compile(
    r".*[\\/](?:site-packages|dist-packages|MAESILCore|MAESILSlicerLib|lib[\\/]python3\.\d+)[\\/](.*)",
    re.DOTALL,
)
#: Image files, whose names may contain the patient's name.
_IMAGE_FILE = re.compile(
    r"[^\s'\"/\\<>]+\.(nii(?:\.gz)?|nrrd|nhdr|mha|mhd|dcm|mrb|mrml|npy|vtk)\b", re.IGNORECASE
)
_REDACTIONS = (
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "<mail>"),
    (re.compile(r"\b\d+(\.\d+){5,}\b"), "<identifier>"),
    (re.compile(r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.])"), "<address>"),
    # DICOM names, such as DOE^JOHN.
    (re.compile(r"[^\s'\"^]+(?:\^+[^\s'\"^]*)+"), "<name>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d\d?[./]\d\d?[./]\d{4}\b"), "<date>"),
    (re.compile(r"(?<![\w.])\d{6,}(?![\w.])"), "<number>"),
)
_QUOTED = re.compile(r"(?<!\w)(['\"])((?:(?!\1).)+)\1(?!\w)")
#: Quoted technical words, which are kept.
_TECHNICAL = re.compile(
    r"(?:torch|numpy|nibabel|psutil|pydantic|pydicom|safetensors|scipy|SimpleITK|slicer|vtk|qt|ctk|MAESIL|PyTorchUtils"
    r"|cuda|cpu|mps)[\w.:+-]*|<path>[\w./\\+-]*|<\w+>"
)
_BEFORE_AN_IDENTIFIER = re.compile(r"(?:No module named|module|import name|attribute|argument|object) $")


def diagnosticsText(
    report: SystemReport, lastError: str = "", hidden: Iterable[str] = (), installLog: str = ""
) -> str:
    """The diagnostics to paste into an issue.

    Args:
        report: report of the system check.
        lastError: the last error shown by MAESIL.
        hidden: words to remove, for example the names of all nodes.
        installLog: output of the last failed installation.
    """
    rows = [("MAESIL", __version__), *report.details]
    width = max(len(label) for label, _ in rows)
    said = [report.line, "", *(f"{label:<{width}}  {text}" for label, text in rows)]
    if report.problem is not None:
        said += ["", f"Problem: {report.problem.id}"]
    for title, text in (
        ("Errors of the check", report.errors),
        ("Last installation", installLog),
        ("Last error", lastError),
    ):
        if text.strip():
            # Truncate after redaction: a truncated name would not be recognized.
            said += ["", f"{title}:", redact(text.strip(), hidden)[-_LONGEST_ERROR:]]
    return "\n".join(said) + "\n"


def redact(text: str, hidden: Iterable[str] = ()) -> str:
    """Remove paths, addresses, names and numbers that could identify a person.

    Args:
        text: output of pip, PyTorch, the system or MAESIL.
        hidden: further words to remove.
    """
    text = _PLACES.sub(_shortened, text)
    text = _IMAGE_FILE.sub(r"<file>", text)
    for word in sorted({*hidden, *_ownWords()}, key=len, reverse=True):
        if len(word) >= _SHORTEST_WORD:
            text = re.sub(rf"(?<![\w<]){re.escape(word)}(?![\w>])", "<name>", text, flags=re.IGNORECASE)
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return _QUOTED.sub(_unquoted, text)


def _ownWords() -> set[str]:
    """The names of the user, the home folder and the computer."""
    words = {Path.home().name, platform.node(), platform.node().partition(".")[0]}
    # Some containers have no user name.
    with suppress(KeyError, ImportError, OSError):
        words.add(getpass.getuser())
    return words


def _shortened(match: re.Match[str]) -> str:
    """The placeholder of an address or path; a program's path keeps its known part."""
    if match["url"]:
        return "<url>"
    quote = match["quote"] or ""
    program = _PROGRAM_FOLDERS.match(match["quoted"] or match[0])
    path = f"<path>/{program[1]}".replace("\\", "/") if program else "<path>"
    return f"{quote}{path}{quote}"


def _unquoted(match: re.Match[str]) -> str:
    if _TECHNICAL.fullmatch(match[2]) or _BEFORE_AN_IDENTIFIER.search(match.string[: match.start()]):
        return match[0]
    return f"{match[1]}<name>{match[1]}"
