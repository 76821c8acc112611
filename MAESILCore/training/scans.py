"""Opens the data of a pre-training, a store or scans: training, held-out and unusable ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.data.formats.names import with_name
from MAESILCore.data.intensity import Intensity, body_floor
from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.data.window import Window
from MAESILCore.errors import ConfigError, MaesilError
from MAESILCore.methods.base import MethodConfig
from MAESILCore.store.decoded import LIMIT
from MAESILCore.store.layout import is_store
from MAESILCore.store.opened import Store
from MAESILCore.store.sources import find_scans
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, Inspected, inspect
from MAESILCore.training.crops import BODY_HU, CropConfig, Drawing
from MAESILCore.training.previews import chosen_scan, middle_part
from MAESILCore.training.source import Opening, Sample, SampleKey, SampleSource, Shown, TrainingData
from MAESILCore.training.split import split
from MAESILCore.training.stored import StoredScans, scans_of

CROPS_PER_SCAN = 4

#: Opens the data of a training; patch and superpatch sizes come from the method's configuration.
DataOpener = Callable[[PretrainConfig, MethodConfig, Opening], TrainingData]

Result = TypeVar("Result")


def data_at(paths: Sequence[Path]) -> Discovery | Sequence[Path]:
    """What `pretrain` takes for paths that a user gave: a store, or the scans at and below them; see `find_scans`.

    Raises:
        VolumeError: a path is not there, or there is no scan.
    """
    return paths if any(map(is_store, paths)) else find_scans(paths)


def opener_of(scans: Discovery | Sequence[Path]) -> DataOpener:
    """The opener of a search's result, of one store, or of scan files and DICOM folders.

    Raises:
        ConfigError: a store is given beside other paths.
    """
    if isinstance(scans, Discovery):
        return partial(open_scans, scans)
    if not any(map(is_store, scans)):
        return partial(open_scans, Discovery.of(scans))
    if len(scans) > 1:
        raise ConfigError(
            "A store must be the only source of a run: add the other scans with maesil prepare."
        )
    return partial(open_store, Path(scans[0]))


def open_store(folder: Path, config: PretrainConfig, sizes: MethodConfig, opening: Opening) -> TrainingData:
    """Open a store; no voxel is read, except for validation in the first process.

    Raises:
        ConfigError: the store is empty or damaged, a pattern of `hold_out` matches no scan, or store and recipe are not
            both for scans in HU, or both for scans without.
    """
    rule = config.intensity_rule()
    # Scans may be added to the store meanwhile, so all processes use the list of the first one.
    store = _on_first(opening, lambda: Store(folder))
    if store.is_hu and not rule.is_hu:
        raise ConfigError(
            f"The store {folder} holds CT in HU, and `intensity: {config.intensity}` is for scans without HU: give "
            "their folder, or a store made with maesil prepare --without-hu."
        )
    if rule.is_hu and not store.is_hu:
        raise ConfigError(
            f"The store {folder} holds scans without HU: set `intensity: percentiles` or `intensity: z-score` in the "
            "recipe."
        )
    scans = scans_of(store)
    numbers = {scan.file: number for number, scan in enumerate(scans)}
    trained, held = split(scans, config.hold_out, opening.before)
    training, held_out = ([numbers[scan.file] for scan in part] for part in (trained, held))
    shown = chosen_scan(config.preview_scan, held, trained)

    def preview() -> Shown:
        number = numbers[shown.file]
        voxels = store.read(number, (0, 0, 0), store.shape(number))
        return _shown(Volume(voxels, store.ijk_to_ras[number], shown.name), rule, sizes)

    drawing, samples = drawing_of(config, sizes), list[Sample]()
    if held_out and opening.rank == 0:
        opening.report("reading crops for validation")
        samples = validation_samples(StoredScans(store, held_out, _still(drawing, config), memory=0))
        _report_no_validation(samples, opening)
    source = StoredScans(store, training, drawing, LIMIT // max(1, config.workers))
    return TrainingData(source, samples, preview=preview)


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
        used = inspect(training, count_from(1), intensity=config.intensity_rule())
        if not held_out:
            return used, Inspected()
        return used, inspect(held_out, count_from(len(training) + 1), "validation", config.intensity_rule())

    used, validated = _on_first(opening, read)
    left_out = [*used.left_out, *validated.left_out]
    if left_out:
        named = [with_name(*one).rstrip(".") for one in left_out]
        report(_left_out(f"{len(left_out)} of {count} scans", named))
    drawing, samples = drawing_of(config, sizes), list[Sample]()
    if validated.scans and opening.rank == 0:
        samples = validation_samples(Corpus(validated, _still(drawing, config), memory))
        _report_no_validation(samples, opening)
    unused = [{"scan": name, "reason": reason} for name, reason in left_out]
    unused += [{"entry": other.name, "reason": other.reason} for other in found.left_out]
    shown = chosen_scan(config.preview_scan, validated.scans, used.scans)

    def preview() -> Shown:
        return _shown(read_volume(shown.path), config.intensity_rule(), sizes)

    return TrainingData(Corpus(used, drawing, memory // max(1, config.workers)), samples, unused, preview)


def _shown(scan: Volume, rule: Intensity, sizes: MethodConfig) -> Shown:
    """The part of a scan for previews."""
    window = None if rule.is_hu else rule.window_of(scan.voxels)
    floor = BODY_HU if window is None else body_floor(scan.voxels, window)
    return Shown(middle_part(scan, sizes.superpatch_size, sizes.patch_size, floor), window)


def _report_no_validation(samples: Sequence[Sample], opening: Opening) -> None:
    if not samples:
        opening.report(
            "no validation: nothing can be hidden in the held-out scans, which are not larger than a patch"
        )


def _left_out(what: str, named: Sequence[object], most: int = 3) -> str:
    """A clause with the first scans and their reasons, and the number of the others."""
    more = [f"and {len(named) - most} more"] if len(named) > most else []
    return f"left out {what} ({'; '.join([*map(str, named[:most]), *more])}); events.jsonl lists all"


def drawing_of(config: PretrainConfig, sizes: MethodConfig) -> Drawing:
    """The drawing settings of a recipe for a method."""
    masks = config.mask.strategy if config.mask else None
    return Drawing(
        config.crop,
        masks,
        config.intensity_rule(),
        sizes.patch_size,
        sizes.superpatch_size,
        tuple(Window(*window) for window in config.more_windows),
        config.more_windows_share,
    )


def validation_samples(corpus: SampleSource) -> list[Sample]:
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


def _on_first(opening: Opening, work: Callable[[], Result]) -> Result:
    """Run `work` in the first process; all processes get its result or raise its error."""
    outcome: Result | MaesilError | None = None
    if opening.rank == 0:
        try:
            outcome = work()
        except MaesilError as error:
            outcome = error
    shared = cast("Result | MaesilError", opening.share(outcome))
    if isinstance(shared, MaesilError):
        raise shared
    return shared
