"""Opens the scans of a pre-training: training, held-out and unusable ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.window import Window
from MAESILCore.errors import MaesilError
from MAESILCore.methods.base import MethodConfig
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, CropConfig, Drawing, Inspected, inspect
from MAESILCore.training.source import Opening, Sample, SampleKey, TrainingData
from MAESILCore.training.split import left_out_sentence, split, unreadable_sentence

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
    names = {scan.path: scan.file for scan in found.scans}
    scans, memory, note = found.scans, int(config.cache_gib * 2**30), opening.note
    training, held_out = split(scans, config.hold_out, opening.before)
    drawing = drawing_of(config, sizes)

    def read() -> tuple[Inspected, Inspected]:
        if found.left_out:
            note(unreadable_sentence(found.left_out))
        used = inspect(training, _counter(note, 0, len(scans)), "training", names)
        if not held_out:
            return used, Inspected()
        return used, inspect(held_out, _counter(note, len(training), len(scans)), "validation", names)

    used, validated = _on_first(opening, read)
    left_out = [*used.left_out, *validated.left_out]
    if left_out:
        note(left_out_sentence(left_out, len(scans), names))
    samples = []
    if validated.paths and opening.rank == 0:
        samples = validation_samples(Corpus(validated, _still(drawing, config), memory))
        if not samples:
            note(
                "no validation: nothing can be hidden in the held-out scans, which are not larger than a patch"
            )
    return TrainingData(
        Corpus(used, drawing, memory, names),
        samples,
        [
            *({"scan": names[path], "reason": reason} for path, reason in left_out),
            *({"entry": other.name, "reason": other.reason} for other in found.left_out),
        ],
    )


def drawing_of(config: PretrainConfig, sizes: MethodConfig) -> Drawing:
    """The drawing settings of a recipe for a method."""
    masks = config.mask.strategy if config.mask else None
    return Drawing(config.crop, masks, Window(*config.window), sizes.patch_size, sizes.superpatch_size)


def validation_samples(corpus: Corpus) -> list[Sample]:
    """`CROPS_PER_SCAN` crops per scan, without those that hide nothing, such as crops of a single patch."""
    drawn = (corpus.draw(SampleKey(0, 0, 0, index)) for index in range(CROPS_PER_SCAN * len(corpus)))
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


def _counter(note: Callable[[str], None], first: int, total: int) -> Callable[[int], None]:
    return lambda number: note(f"reading scan {first + number + 1} of {total}")


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
