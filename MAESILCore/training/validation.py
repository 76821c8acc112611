"""A fixed set of masked crops from held-out scans that says how a pre-training is doing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from MAESILCore.data.window import Window
from MAESILCore.methods import Method, MethodConfig
from MAESILCore.nn.fill import smooth_fill
from MAESILCore.nn.tokens import expand_patches
from MAESILCore.training.config import PretrainConfig
from MAESILCore.training.corpus import Corpus, CropConfig, Sample

CROPS_PER_SCAN = 4


@dataclass(frozen=True)
class Validation:
    """Crops that never change during a run.

    Attributes:
        samples: the crops, each with something hidden; none where no scan is held out or all are of a single patch.
        left_out: (path, reason) of the held-out scans that are not used.
    """

    samples: tuple[Sample, ...] = ()
    left_out: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def build(
        cls,
        scans: list[Path],
        config: PretrainConfig,
        sizes: MethodConfig,
        before_scan: Callable[[int], None] = lambda _: None,
        names: Mapping[Path, str] | None = None,
    ) -> Validation:
        """Draw the crops, unstretched and unflipped; no scans, no crops.

        Raises:
            ConfigError: there are held-out scans, and none can be used.
        """
        if not scans:
            return cls()
        corpus = Corpus(scans, int(config.cache_gib * 2**30), before_scan, "validation", names)
        # Neither stretched nor mirrored: what is measured is the scan as it is.
        crop = CropConfig(
            size=config.crop.size,
            minimum_body=0.5,
            zoom=(1.0, 1.0),
            zoom_probability=0.0,
            flip=False,
            swap_probability=0.0,
        )
        fixed = config.mask.strategy()
        count = CROPS_PER_SCAN * len(corpus.paths)
        samples = (
            corpus.sample(
                crop,
                lambda _: fixed,
                Window(*config.window),
                sizes.patch_size,
                sizes.superpatch_size,
                (0, 0, index),
            )
            for index in range(count)
        )
        # In a crop of a single patch nothing is hidden, and nothing can be measured.
        return cls(tuple(sample for sample in samples if sample.hidden.any()), tuple(corpus.left_out))

    def __len__(self) -> int:
        return len(self.samples)

    def score(self, method: Method, device: torch.device) -> dict[str, float]:
        """Mean PSNR in dB over hidden voxels, of the method and of the smooth fill it starts from."""
        predict: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            "psnr_hidden": method.reconstruct,
            "psnr_hidden_fill": lambda voxels, hidden: smooth_fill(voxels, hidden, method.config.patch_size),
        }
        totals = dict.fromkeys(predict, 0.0)
        with torch.inference_mode():
            for sample in self.samples:
                voxels = torch.from_numpy(sample.voxels)[None, None].to(device)
                hidden = torch.from_numpy(sample.hidden)[None].to(device)
                inside = expand_patches(hidden[:, None], method.config.patch_size)
                for name, function in predict.items():
                    error = (function(voxels, hidden).float().clamp(0, 1) - voxels)[inside].square().mean()
                    totals[name] += -10.0 * math.log10(max(float(error), 1e-10))
        return {name: round(total / len(self.samples), 4) for name, total in totals.items()}
