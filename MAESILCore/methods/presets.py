"""The named sizes of the built-in methods. Needs no PyTorch, so that faces can list them before it is installed."""

from __future__ import annotations

from collections.abc import Mapping

_ENCODERS: Mapping[str, Mapping[str, int]] = {
    "tiny": {"width": 48, "depth": 2, "heads": 3},
    "small": {"width": 256, "depth": 6, "heads": 4},
    "base": {"width": 512, "depth": 8, "heads": 8},
}
_VIT_B: Mapping[str, int] = {"width": 768, "depth": 12, "heads": 12}

#: The sizes of `maesil`. `tiny` is for tests, `small` for a CPU, `base` for one GPU; the last two decode a quarter of
#: the hidden tokens in training, which saves most of the decoder's work. `paper` has the published shape and voxel
#: targets, and decodes all tokens (docs/methods.md, MAESIL).
_MAESIL: Mapping[str, Mapping[str, object]] = {
    "tiny": {"encoder": _ENCODERS["tiny"], "decoder": {"width": 48, "depth": 1, "heads": 3}},
    "small": {
        "encoder": _ENCODERS["small"],
        "decoder": {"width": 192, "depth": 2, "heads": 3},
        "decode_fraction": 0.25,
    },
    "base": {
        "encoder": _ENCODERS["base"],
        "decoder": {"width": 256, "depth": 3, "heads": 4},
        "decode_fraction": 0.25,
    },
    "paper": {
        "encoder": {"width": 768, "depth": 6, "heads": 12},
        "decoder": {"width": 384, "depth": 3, "heads": 6},
    },
}

#: The trunk of all auto-encoders: `tiny` is for tests, `small` for a CPU, `base` for one GPU.
_TRUNKS: Mapping[str, Mapping[str, object]] = {
    "tiny": {"width": 8, "blocks": 1, "latent_channels": 4},
    "small": {"width": 16},
    "base": {"width": 32},
}

#: Fields of the configuration by preset name, by method.
PRESETS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "maesil": _MAESIL,
    # A control at equal compute: it differs from `maesil` by its mask alone.
    "mae": _MAESIL,
    # The spectral loss needs all voxels, so `small` and `base` decode all tokens. `paper` is ViT-B with a decoder of 8
    # blocks; its largest crops have 160^3 voxels.
    "sl-mae": {
        **{
            name: {part: sizes for part, sizes in fields.items() if part != "decode_fraction"}
            for name, fields in _MAESIL.items()
        },
        "paper": {
            "superpatch_size": (160, 160, 160),
            "encoder": _VIT_B,
            "decoder": {"width": 384, "depth": 8, "heads": 6},
        },
    },
    # `paper` is ViT-B with a predictor of 6 blocks.
    "jepa-vcr": {
        "tiny": {"encoder": _ENCODERS["tiny"], "predictor": {"width": 48, "depth": 1, "heads": 3}},
        "small": {"encoder": _ENCODERS["small"], "predictor": {"width": 192, "depth": 3, "heads": 3}},
        "base": {"encoder": _ENCODERS["base"], "predictor": {"width": 256, "depth": 4, "heads": 4}},
        "paper": {"encoder": _VIT_B, "predictor": {"width": 384, "depth": 6, "heads": 6}},
    },
    # Encoders as of `maesil`, except for `tiny`; the layers lie at about a third, a half and five sixths of the depth.
    # `paper` has the published shape, with a decoder of 512 for 528.
    "hi-end-mae": {
        "tiny": {
            "encoder": {"width": 48, "depth": 3, "heads": 3},
            "layers": (0, 1),
            "decoder": {"width": 48, "depth": 1, "heads": 3},
        },
        "small": {
            "encoder": _ENCODERS["small"],
            "layers": (1, 3, 4),
            "decoder": {"width": 192, "depth": 1, "heads": 3},
        },
        "base": {
            "encoder": _ENCODERS["base"],
            "layers": (2, 4, 6),
            "decoder": {"width": 256, "depth": 2, "heads": 4},
        },
        "paper": {
            "superpatch_size": (96, 96, 96),
            "patch_size": (12, 12, 12),
            "encoder": {"width": 1536, "depth": 12, "heads": 16},
            "layers": (3, 6, 9),
            "decoder": {"width": 512, "depth": 2, "heads": 16},
        },
    },
    # Of the published auto-encoders no sizes are known. `wide` has as many values per patch as a token of the preset
    # `paper` of `maesil`, for a comparison at equal size (docs/methods.md, AE, VAE and VQ-VAE).
    "ae": {**_TRUNKS, "wide": {"width": 32, "deep_width": 768, "latent_channels": 768}},
    "vae": _TRUNKS,
    "vq-vae": {**_TRUNKS, "tiny": {**_TRUNKS["tiny"], "latent_channels": 8, "codes": 32}},
}


def preset_names(method: str) -> tuple[str, ...]:
    """The presets of a method, smallest first; empty for a method without presets.

    Args:
        method: a name in `METHODS`. A method of another package is imported, which may need PyTorch.

    Raises:
        ConfigError: there is no method of this name.
    """
    if method in PRESETS:
        return tuple(PRESETS[method])
    from MAESILCore.methods import find

    return tuple(find(method).presets)
