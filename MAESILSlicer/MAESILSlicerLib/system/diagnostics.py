"""The text of "Copy diagnostics": versions, devices and the last error, without anything of a patient or a person."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Iterable
from pathlib import Path

from MAESILCore import __version__
from MAESILSlicerLib.system.report import SystemReport

_LONGEST_ERROR = 6000
_SHORTEST_WORD = 3

#: Addresses and paths, in one pass so that what stands in for one is not taken for another. A path begins at a root, or
#: has a backslash or several slashes, or ends in the name of a file; only in quotes may it have spaces.
_PLACES = re.compile(
    r"(?P<url>\b\w+://[^\s'\"<>]+)"
    r"|(?P<quote>['\"])(?P<quoted>(?:[A-Za-z]:[\\/]|\\\\|/|~)(?:(?!(?P=quote)).)*)(?P=quote)"
    r"|(?<![\w<>])(?:[A-Za-z]:[\\/]|\\\\|~?/)[^\s'\",;)\]]*"
    r"|[^\s'\"<>]*\\[^\s'\"]*"
    r"|[^\s'\"/<>]+(?:/[^\s'\"/]+){2,}"
    r"|[^\s'\"/<>]+/[^\s'\"/]+\.\w+"
)
#: What lies below one of these folders is known to be a program's, and its name may stay.
_PROGRAM_FOLDERS = re.compile(
    r".*[\\/](?:site-packages|dist-packages|MAESILCore|MAESILSlicerLib|lib[\\/]python3\.\d+)[\\/](.*)",
    re.DOTALL,
)
#: The file of a scan may be called by the patient's name.
_IMAGE_FILE = re.compile(
    r"[^\s'\"/\\<>]+\.(nii(?:\.gz)?|nrrd|nhdr|mha|mhd|dcm|mrb|mrml|npy|vtk)\b", re.IGNORECASE
)
_REDACTIONS = (
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "<mail>"),
    (re.compile(r"\b\d+(\.\d+){5,}\b"), "<identifier>"),
    (re.compile(r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.])"), "<address>"),
    # As DICOM writes names: DOE^JOHN.
    (re.compile(r"[^\s'\"^]+(?:\^+[^\s'\"^]*)+"), "<name>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d\d?[./]\d\d?[./]\d{4}\b"), "<date>"),
    (re.compile(r"(?<![\w.])\d{6,}(?![\w.])"), "<number>"),
)
_QUOTED = re.compile(r"(?<!\w)(['\"])((?:(?!\1).)+)\1(?!\w)")
#: Quoted words that say what went wrong rather than with whose scan.
_TECHNICAL = re.compile(
    r"(?:torch|numpy|nibabel|psutil|pydantic|pydicom|safetensors|scipy|SimpleITK|slicer|vtk|qt|ctk|MAESIL|PyTorchUtils"
    r"|cuda|cpu|mps)[\w.:+-]*|<path>[\w./\\+-]*|<\w+>"
)
_BEFORE_AN_IDENTIFIER = re.compile(r"(?:No module named|module|import name|attribute|argument|object) $")


def diagnosticsText(
    report: SystemReport, lastError: str = "", hidden: Iterable[str] = (), installLog: str = ""
) -> str:
    """What to paste into a question or an issue.

    Args:
        report: of the system check.
        lastError: what MAESIL showed last as an error.
        hidden: words that must not appear, for example the names of everything in the scene.
        installLog: what was said by the last installation that failed.
    """
    rows = [("MAESIL", __version__), *report.details]
    width = max(len(label) for label, _ in rows)
    said = [report.line, "", *(f"{label:<{width}}  {text}" for label, text in rows)]
    if report.problem is not None:
        said += ["", f"Problem: {report.problem.id}"]
    for title, text in (
        ("Complaints of the check", report.errors),
        ("Last installation", installLog),
        ("Last error", lastError),
    ):
        if text.strip():
            # Cut afterwards: half a name would not be known as one.
            said += ["", f"{title}:", redact(text.strip(), hidden)[-_LONGEST_ERROR:]]
    return "\n".join(said) + "\n"


def redact(text: str, hidden: Iterable[str] = ()) -> str:
    """A text without paths, addresses, names and numbers that could point to a person.

    Args:
        text: what pip, PyTorch, the system or MAESIL said.
        hidden: further words to take away.
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
    """The names of the user, of their home folder and of the computer."""
    words = {Path.home().name, platform.node(), platform.node().partition(".")[0]}
    try:
        words.add(getpass.getuser())
    except (KeyError, ImportError, OSError):
        # A process without a user's name, as in some containers, has none to hide.
        return words
    return words


def _shortened(match: re.Match[str]) -> str:
    """Of a path what is known to be a program's; of anything else only what it was."""
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
