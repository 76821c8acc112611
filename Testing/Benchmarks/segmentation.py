"""Outlining a CT with a trained segmentation, beside MONAI's `SlidingWindowInferer`; its tiles and training steps."""

from __future__ import annotations

import copy
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from MAESILCore.data.segmentation import Segment
from MAESILCore.data.volume import Volume, read_volume
from MAESILCore.downstream.segmentation.classes import Classes
from MAESILCore.downstream.segmentation.inference import segment
from MAESILCore.downstream.segmentation.losses import SegmentationLoss
from MAESILCore.downstream.segmentation.model import SegmentationModel, task_of
from MAESILCore.downstream.segmentation.network import (
    SegmentationNetwork,
    Segmenter,
    placed,
    usual_levels,
)
from MAESILCore.lattice import usual_overlap
from MAESILCore.models.card import Card
from MAESILCore.models.checkpoint import load_checkpoint
from MAESILCore.phantom import make_phantom
from Testing.Benchmarks.reconstruction import SLICES, WIDTH

CROP, CHANNELS = (96, 96, 96), 8
#: Extents of the crops of a training step.
LEARNED = (64, 64, 64)


def segmentation_rows(scan: Path | None, rounds: int = 1) -> list[tuple[str, str, str]]:
    """Rows of the table: processor seconds of both, their ratio, and the share of voxels on which they agree.

    Processor time, as a pass takes minutes and other work on the machine would decide between them.
    """
    volume = (
        read_volume(scan) if scan else make_phantom((SLICES, WIDTH, WIDTH), spacing=(0.7, 0.7, 2.5)).volume
    )
    model = random_model()
    ours, theirs = [], []
    for _ in range(rounds):
        started = time.process_time()
        result = segment(volume, model, device="cpu")
        ours.append(time.process_time() - started)
        started = time.process_time()
        labels = with_monai(volume, model)
        theirs.append(time.process_time() - started)
    agreed = float((labels == result.segmentation.labels).mean())
    shape = " x ".join(str(size) for size in volume.shape[::-1])
    return [
        (
            f"Segmentation of {shape} by MONAI's SlidingWindowInferer",
            f"{min(theirs):.0f} s of processor",
            "1.0 x",
        ),
        (
            f"Ours, uncertainty included; equal voxels {agreed:.2%}",
            f"{min(ours):.0f} s of processor",
            f"{min(ours) / min(theirs):.2f} x",
        ),
    ]


def tile_rows(rounds: int = 3) -> list[tuple[str, str, str]]:
    """Rows of the table: milliseconds per tile of a pass of one tile and of two, by the size of the tiles."""
    network, rows = random_model().network, []
    for size in (48, 64, 96):
        alone, paired = (_seconds_per_tile(network, size, count, rounds) for count in (1, 2))
        rows += [
            (f"Tile of {size}^3 voxels alone", f"{1e3 * alone:.0f} ms", "1.0 x"),
            (f"Tile of {size}^3 voxels in a pair", f"{1e3 * paired:.0f} ms", f"{paired / alone:.2f} x"),
        ]
    return rows


def _seconds_per_tile(network: Segmenter, size: int, count: int, rounds: int) -> float:
    """Time per tile of a pass of some cubic tiles, the fastest round after a first one that does not count."""
    tiles = torch.rand(count, 1, size, size, size)
    seconds = []
    with torch.inference_mode():
        for _ in range(1 + rounds):
            started = time.perf_counter()
            network(tiles)
            seconds.append(time.perf_counter() - started)
    return min(seconds[1:]) / count


def learning_rows(rounds: int = 3) -> list[tuple[str, str, str]]:
    """Rows of the table: processor seconds of a training step of two crops, by the memory layout of the weights."""
    usual = random_model().network
    quick = placed(copy.deepcopy(usual), torch.device("cpu"))
    before, after = (_seconds_per_step(network, rounds) for network in (usual, quick))
    return [
        ("Training step of a segmentation, channels first", f"{before:.2f} s of processor", "1.0 x"),
        ("Channels last, as it trains", f"{after:.2f} s of processor", f"{after / before:.2f} x"),
    ]


def _seconds_per_step(network: Segmenter, rounds: int) -> float:
    """Processor time of forward and backward pass, the fastest round after a first one that does not count."""
    crops, labels = torch.rand(2, 1, *LEARNED), torch.randint(3, (2, *LEARNED))
    missing = torch.zeros(2, 3, dtype=torch.bool)
    loss = SegmentationLoss(balance=0.5)
    network.train()
    seconds = []
    for _ in range(1 + rounds):
        started = time.process_time()
        loss(network(crops), labels, missing).total.backward()  # type: ignore[no-untyped-call]
        seconds.append(time.process_time() - started)
    return min(seconds[1:])


def random_model() -> SegmentationModel:
    """The bundled encoder with a decoder of random weights, which take as long as trained ones."""
    encoder = load_checkpoint()
    torch.manual_seed(0)
    classes = Classes((Segment(1, "one", (1.0, 0.0, 0.0)), Segment(2, "two", (0.0, 1.0, 0.0))))
    network = SegmentationNetwork(encoder.method, usual_levels(encoder.method), len(classes), CHANNELS).eval()
    card = Card(
        name="bench",
        method=encoder.card.method,
        config=encoder.card.config,
        window=encoder.card.window,
        mask={},
        step=0,
        abilities=encoder.abilities,
        task=task_of(network, classes, CROP),
    )
    return SegmentationModel(network, classes, CROP, card)


def with_monai(volume: Volume, model: SegmentationModel) -> np.ndarray:
    """The labels (k, j, i) by MONAI, with tiles, overlap and smooth weights like ours."""
    from monai.inferers import SlidingWindowInferer

    overlap = usual_overlap(CROP, model.network.unit, volume.spacing[::-1])
    inferer = SlidingWindowInferer(
        CROP,
        sw_batch_size=1,
        overlap=tuple(shared / size for shared, size in zip(overlap, CROP, strict=True)),
        mode="gaussian",
        padding_mode="replicate",
    )
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its indexing by lists
        voxels = torch.from_numpy(model.window.apply(volume.voxels))[None, None]
        return inferer(voxels, model.network).argmax(dim=1)[0].to(torch.uint8).numpy()
