"""The encoder as the transformer within `monai.networks.nets.UNETR`.

UNETR fixes a patch size of 16, asks the states after blocks 4, 7 and 10 of 12, and has no summary token. A kernel of 16
voxels can do what ours does to means over blocks, a hook of PyTorch leaves out the summary token and picks the blocks.
"""

from __future__ import annotations

from pathlib import Path

from MAESILCore.errors import ConfigError
from MAESILCore.methods.abilities import Triple
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.export.folder import WEIGHTS, write_tensors
from MAESILCore.models.export.monai_vit import vit_arguments, vit_weights
from MAESILCore.models.export.parts import Export, average_kernel, fitting_size, times, token_encoder

#: What UNETR fixes.
_PATCH, _DEPTH = 16, 12

_GUIDE = """\
It needs MONAI 1.6 or newer with `einops`, and `safetensors`. Older versions have weights that they do not use, and take
the file with `strict=False`.

```python
import json
from pathlib import Path
import torch
from monai.networks.nets import UNETR, ViT
from safetensors.torch import load_file

facts = json.loads(Path("encoder.json").read_text())
unetr = UNETR(out_channels=2, **facts["unetr"])
unetr.vit = ViT(**facts["vit"])
unetr.vit.load_state_dict(load_file("encoder.safetensors"))


def without_summary_token(vit, _, found):
    states = [state[:, 1:] for state in found[1]]
    return vit.norm(states[-1]), [states[level] for level in facts["levels"]]


unetr.vit.register_forward_hook(without_summary_token)
scan = torch.zeros(1, 1, *facts["input"]["size"])  # (B, 1, k, j, i) in [0, 1]
tokens, states = unetr.vit(scan)  # (B, N, E), patches row-major in k, j, i, and the states that UNETR asks
outputs = unetr(scan)  # (B, 2, k, j, i)
```

The encoder is pre-trained, the decoder is new. UNETR has no summary token of its own; the hook keeps ours among the
tokens of the transformer and hides it from the decoder.
"""
_MEANS = """
UNETR fixes patches of 16 voxels, and the model has patches of {patch}. The features of a scan here are exactly those
that the model gives of the scan's means over blocks of {blocks} voxels: give scans at as many times the resolution.
"""


def export(model: LoadedModel, size: Triple | None) -> Export:
    """The encoder for `UNETR`, equal to the model's features of the block means of the input.

    Raises:
        ConfigError: the model has no transformer, its patch size does not divide 16, or the size does not fit.
    """
    patch = model.patch_size
    if any(_PATCH % edge for edge in patch):
        raise ConfigError(
            f"UNETR fixes a patch size of {_PATCH}, which {times(patch)} does not divide: "
            "export the model to monai-vit."
        )
    k, j, i = (_PATCH // edge for edge in patch)
    blocks = k, j, i
    size = fitting_size(model, size, (_PATCH,) * 3, blocks)
    k, j, i = (edge // factor for edge, factor in zip(size, blocks, strict=True))
    found = token_encoder(model, "monai-unetr", (k, j, i))
    sizes = found.encoder.config.encoder

    def write(folder: Path) -> None:
        kernel, bias = found.embedding()
        weights = vit_weights(found, average_kernel(kernel, blocks), bias)
        write_tensors(folder / WEIGHTS, weights, model.card)

    facts = {
        "unetr": {
            "in_channels": 1,
            "img_size": list(size),
            "feature_size": 16,
            "hidden_size": sizes.width,
            "mlp_dim": 4 * sizes.width,
            "num_heads": sizes.heads,
            "qkv_bias": True,
        },
        "vit": vit_arguments(found, size, (_PATCH,) * 3),
        "levels": [-(-(block + 1) * sizes.depth // _DEPTH) - 1 for block in range(_DEPTH)],
        "lattice": list(found.lattice),
        "block_means": list(blocks),
    }
    means = _MEANS.format(patch=times(patch), blocks=times(blocks)) if blocks != (1, 1, 1) else ""
    return Export(write, facts, _GUIDE + means, size)
