"""Opens the scans of a pre-training: training, held-out and unusable ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.window import Window
from MAESILCore.errors import MaesilError
from MAESILCore.methods.base import MethodConfig
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, CropConfig, Drawing, Inspected, inspect
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData
from MAESILCore.training.split import split

CROPS_PER_SCAN = 4


def open_scans(
    found: Discovery, config: PretrainConfig, sizes: MethodConfig, opening: Opening
) -> TrainingData:
    """Inspect scans and make sources of samples from them.

    Under torchrun only the first process inspects the scans and broadcasts the result. Only it validates, so the others
    get no validation samples.

    Raises:
        ConfigError: no scan can be used, or a pattern of `hold_out` matches none.
    """
    training, held_out = split(found.scans, config.hold_out, opening.before)
    count, memory, report = len(found.scans), int(config.cache_gib * 2**30), opening.report

    def count_from(first: int) -> Callable[[int], None]:
        return lambda number: report(f"reading scan {first + number} of {count}")

    def read() -> tuple[Inspected, Inspected]:
        if found.left_out:
            entries = "1 entry" if len(found.left_out) == 1 else f"{len(found.left_out)} entries"
            report(_left_out(f"{entries} of the folders beside the scans", found.left_out))
        used = inspect(training, count_from(1))
        if not held_out:
            return used, Inspected()
        return used, inspect(held_out, count_from(len(training) + 1), "validation")

    used, validated = _on_first(opening, read)
    left_out = [*used.left_out, *validated.left_out]
    if left_out:
        named = [with_name(*one).rstrip(".") for one in left_out]
        report(_left_out(f"{len(left_out)} of {count} scans", named))
    drawing, samples = drawing_of(config, sizes), list[Sample]()
    if validated.scans and opening.rank == 0:
        samples = validation_samples(Corpus(validated, _still(drawing, config), memory))
        if not samples:
            report(
                "no validation: nothing can be hidden in the held-out scans, which are not larger than a patch"
            )
    unused = [{"scan": name, "reason": reason} for name, reason in left_out]
    unused += [{"entry": other.name, "reason": other.reason} for other in found.left_out]
    return TrainingData(Corpus(used, drawing, memory), samples, unused)


def _left_out(what: str, named: Sequence[object], most: int = 3) -> str:
    """A clause with the first scans and their reasons, and the number of the others."""
    more = [f"and {len(named) - most} more"] if len(named) > most else []
    return f"left out {what} ({'; '.join([*map(str, named[:most]), *more])}); events.jsonl lists all"


def drawing_of(config: PretrainConfig, sizes: MethodConfig) -> Drawing:
    """The drawing settings of a recipe for a method."""
    masks = config.mask.strategy if config.mask else None
    return Drawing(config.crop, masks, Window(*config.window), sizes.patch_size, sizes.superpatch_size)


def validation_samples(corpus: Corpus) -> list[Sample]:
    """`CROPS_PER_SCAN` crops per scan, without those that hide nothing, such as crops of a single patch."""
    drawn = (corpus.draw(SampleKey(0, 0, index)) for index in range(CROPS_PER_SCAN * len(corpus)))
    return [sample for sample in drawn if sample.stages is None or sample.stages.any()]


def _still(drawing: Drawing, config: PretrainConfig) -> Drawing:
    """Drawing for validation: no augmentation, and masks of fixed ratios."""
    crop = CropConfig(
        size=config.crop.size,
        minimum_body=0.5,
        zoom=(1.0, 1.0),
        zoom_probability=0.0,
        flip=False,
        swap_probability=0.0,
    )
    fixed = config.mask.strategy() if config.mask else None
    return replace(drawing, crop=crop, masks=(lambda _: fixed) if fixed else None)


def _on_first(
    opening: Opening, work: Callable[[], tuple[Inspected, Inspected]]
) -> tuple[Inspected, Inspected]:
    """Run `work` in the first process; all processes get its result or raise its error."""
    outcome: object = None
    if opening.rank == 0:
        try:
            outcome = work()
        except MaesilError as error:
            outcome = error
    outcome = opening.share(outcome)
    if isinstance(outcome, MaesilError):
        raise outcome
    assert isinstance(outcome, tuple)
    return outcome
