"""A trained classifier on other scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MAESILCore.data.scans import read_scan
from MAESILCore.data.volume import Volume
from MAESILCore.downstream.classification.cases import counts_of, read_table
from MAESILCore.downstream.classification.encoder import Encoder, encoder_for
from MAESILCore.downstream.classification.finetune import FinetunedHead
from MAESILCore.downstream.classification.folds import patients_of
from MAESILCore.downstream.classification.linear import LinearHead
from MAESILCore.downstream.classification.progress import FEATURES, Progress
from MAESILCore.downstream.classification.results import Row, scored, setup_of, write_files, writing
from MAESILCore.downstream.classification.scans import examine_all
from MAESILCore.downstream.classification.scores import DRAWS, scores_of
from MAESILCore.downstream.classification.stored import Description, Head, load_heads
from MAESILCore.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier with its encoder.

    Attributes:
        description: what it is.
        heads: the head, or one for each structure.
        encoder: the frozen encoder that it was trained on, or the fine-tuned one.
    """

    description: Description
    heads: tuple[Head, ...]
    encoder: Encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or structures."""
        return self.description.classes


def load_classifier(
    path: str | Path,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> Classifier:
    """Load a classifier and its encoder.

    Args:
        path: the file, or the output folder of the training.
        model: where the encoder is now; None is where it was at the training.
        device: auto, cpu, cuda, cuda:N or mps, for the features.
        batch_size: superpatches per pass; None is the default of the device.

    Raises:
        CheckpointError: it is missing or damaged, or the encoder is another one than that of the training.
        ConfigError: a model is given for a fine-tuned encoder, which is part of the classifier.
    """
    description, heads = load_heads(Path(path))
    if isinstance(heads[0], FinetunedHead):
        if model is not None:
            raise ConfigError("The classifier brings its own fine-tuned encoder: leave out the model.")
        tuned = replace(heads[0].encoder, device=device, batch_size=batch_size)
        return Classifier(description, (replace(heads[0], encoder=tuned),), tuned)
    encoder = encoder_for(description.encoder, model, device=device, batch_size=batch_size)
    return Classifier(description, tuple(heads), encoder)


def classify(
    volume: Volume, classifier: Classifier, *, cancelled: Callable[[], bool] | None = None
) -> dict[str, float]:
    """The probability of each class for a scan.

    Args:
        volume: the scan.
        classifier: see `load_classifier`.
        cancelled: called before each pass; True stops the work.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the classifier is for superpatches.
    """
    if classifier.description.task != "scan":
        raise ConfigError("This classifier finds structures in superpatches, and classifies no scans.")
    stop = cancelled or (lambda: False)
    head, level = classifier.heads[0], classifier.description.level
    if isinstance(head, LinearHead):
        vector = classifier.encoder.superpatches(volume, stop).pooled()[level]
        found = head.probabilities(vector[None])[0]
    elif isinstance(head, FinetunedHead):
        found = head.probabilities(volume, stop)
    else:
        found = head.probabilities(classifier.encoder.tokens(volume, level, stop))
    return dict(zip(classifier.classes, found.tolist(), strict=True))


def evaluate_classifier(
    classifier: Classifier,
    table: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    command: str = "",
    progress: Callable[[int, int, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Score a classifier on scans that it has not seen; writes `metrics.json` and `predictions.csv` to `out`.

    Args:
        classifier: see `load_classifier`.
        table: CSV file as for a training; folds are ignored.
        out: output folder, created if missing.
        seed: of the bootstrap.
        draws: draws of the bootstrap.
        command: the command line, for the results.
        progress: callback with (done, total, message).
        cancelled: True stops the work; nothing is written.

    Returns:
        The content of `metrics.json`.

    Raises:
        Cancelled: `cancelled` returned True.
        ConfigError: the table is invalid, has other classes, or lists a scan that the classifier learned from.
        VolumeError: a scan cannot be read, or the folder cannot be written.
    """
    cases = read_table(table)
    names = classifier.classes
    other = sorted({case.target for case in cases.cases} - set(names))
    if other:
        raise ConfigError(
            f"The classifier knows the labels {', '.join(names)}, but {cases.path.name} has {other[0]}."
        )
    classes = np.array([names.index(case.target) for case in cases.cases])
    watch = Progress((1 + FEATURES) * len(cases.cases) + 1, progress, cancelled)
    examined = examine_all(cases, watch.step, watch.cancelled)
    refuse_known(
        classifier, {one.content: case.name for case, one in zip(cases.cases, examined, strict=True)}
    )
    found = []
    for case in cases.cases:
        watch.step(f"Classifying {case.name}", FEATURES)
        found.append(list(classify(read_scan(case.path), classifier, cancelled=watch.cancelled).values()))
    probabilities, patients = np.array(found), patients_of(cases.cases)
    shares = np.bincount(classes, minlength=len(names)) / len(classes)
    description = classifier.description
    watch.step("Scoring")
    rows = [
        Row(f"{description.head}, {description.encoder['name']}", probabilities),
        Row("most frequent class", np.tile(shares, (len(classes), 1))),
    ]
    setup = setup_of(
        description,
        cases,
        (),
        command=command,
        cases_scored=np.arange(len(classes)),
        notes=classifier.encoder.note_on(sum(not one.looks_like_hu for one in examined), len(examined)),
        seed=seed,
        draws=draws,
        more={"classes": counts_of(case.target for case in cases.cases), "f1": "mean over classes"},
    )
    scores = scored(
        rows,
        lambda given, some: scores_of(given[some], classes[some]),
        patients,
        seed=seed,
        cancelled=watch.cancelled,
        draws=draws,
    )
    results = {"setup": setup, "rows": scores}
    lines = [
        [case.name, case.target, *row] for case, row in zip(cases.cases, probabilities.tolist(), strict=True)
    ]
    watch.check()
    with writing(Path(out)) as unfinished:
        write_files(unfinished, results, ["scan", "label", *(f"p({name})" for name in names)], lines)
    return results


def refuse_known(classifier: Classifier, names: Mapping[str, str]) -> None:
    """Refuse scans that the classifier learned from.

    Args:
        classifier: the classifier.
        names: names of scans by the hash of their voxels.

    Raises:
        ConfigError: one of them was in the training.
    """
    known = [names[content] for content in classifier.description.learned_from if content in names]
    if known:
        raise ConfigError(
            f"The classifier learned from {len(known)} of these scans, such as {known[0]}, so scores would be too "
            "good: leave them out."
        )
