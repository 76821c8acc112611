"""The available models: bundled models, files and runs. Needs no PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.errors import CheckpointError
from MAESILCore.models.bundled import models_folder
from MAESILCore.models.card import SUFFIX, read_card
from MAESILCore.wording import displayable

#: Name of the default model.
BUNDLED = "maesil-plus"

#: Folder of the checkpoints of a run, and the final model beside it.
CHECKPOINTS, FINAL = "checkpoints", f"model{SUFFIX}"


def resolve(path: str | Path | None) -> Path:
    """The file for a path, a run folder or a bundled name; None and "" are the default bundled model.

    Raises:
        CheckpointError: the file does not exist.
    """
    path = place_of(path) if path else models_folder() / (BUNDLED + SUFFIX)
    if path.is_dir():
        found = model_of_run(path)
        if found is None:
            raise CheckpointError(
                f"The folder {path} has no checkpoint; give a run folder made by `maesil pretrain`, or a file."
            )
        path = found
    if path.is_file():
        return path
    known = ", ".join(bundled_models()) or "none is bundled"
    raise CheckpointError(
        f"There is no checkpoint {path}; give a file, a run folder or a bundled name ({known})."
    )


def hash_of_model(path: Path) -> str:
    """A hash of a checkpoint file.

    Raises:
        CheckpointError: it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def place_of(path: str | Path) -> Path:
    """The path of the bundled model with this name; any other path, also of a file with this name, as given."""
    path = Path(path)
    if path.parent != Path() or path.exists():
        return path
    return bundled_models().get(path.name, path)


def bundled_models() -> dict[str, Path]:
    """The bundled models by name; empty if this installation has none."""
    try:
        folder = models_folder()
    except CheckpointError:
        return {}
    return {model.stem: model for model in sorted(folder.glob("*" + SUFFIX))}


def model_of_run(folder: str | Path) -> Path | None:
    """The model of a run: the final one, else the best checkpoint by validation, else the newest; None without any.

    The final model of a run that was extended later is older than the newest checkpoint, and is passed over.
    """
    folder = Path(folder)
    final, best = folder / FINAL, folder / CHECKPOINTS / f"best{SUFFIX}"
    newest = sorted((folder / CHECKPOINTS).glob("step-*" + SUFFIX))[-1:]
    is_current = final.is_file() and not (newest and _step_of(final) < _step_of(newest[0]))
    return next((path for path in (*([final] if is_current else []), best, *newest) if path.is_file()), None)


def _step_of(checkpoint: Path) -> int:
    try:
        return read_card(checkpoint).step
    except CheckpointError:  # reading its weights will say why
        return 0


@dataclass(frozen=True)
class ListedModel:
    """A model in a list.

    Attributes:
        title: name of a bundled model, or path below the listed folder without the extension.
        path: the file, or the folder of an unfinished run.
        obstacle: sentence on why the model cannot reconstruct; "" if it can.
        no_features: sentence on why the model gives no features; "" if it does.
    """

    title: str
    path: Path
    obstacle: str = ""
    no_features: str = ""


def list_models(folders: Sequence[Path] = ()) -> list[ListedModel]:
    """The bundled models, then the models and runs in and below folders, without duplicates."""
    places = [(name, path) for name, path in bundled_models().items()]
    for folder in folders:
        for path in sorted(_found(folder)):
            title = path.relative_to(folder)
            places.append((displayable(str(title.with_suffix("") if path.is_file() else title)), path))
    once = {path.resolve(): ListedModel(title, path, *obstacles(path)) for title, path in reversed(places)}
    return list(once.values())[::-1]


def obstacles(path: Path) -> tuple[str, str]:
    """Why a model cannot reconstruct, and why it gives no features, as sentences; "" if it can."""
    try:
        card = read_card(resolve(path))
    except CheckpointError as error:
        return str(error), str(error)
    if card.task:
        reason = f"{card.name} is a model for {card.task.get('kind', 'a task')}: choose a pre-trained model."
        return reason, reason
    return card.can.why_no_voxels(card.name), card.can.why_no_features(card.name)


def _found(folder: Path) -> Iterator[Path]:
    """Models in and below a folder; unfinished runs give their folder."""
    for path in folder.rglob("*" + SUFFIX):
        if path.is_file() and path.parent.name != CHECKPOINTS:
            yield path
    for checkpoints in folder.rglob(CHECKPOINTS):
        run = checkpoints.parent
        if any(checkpoints.glob("step-*" + SUFFIX)) and not (run / FINAL).exists():
            yield run
