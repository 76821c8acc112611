"""The encoder as `monai.networks.nets.ViT`.

That network is ours in other words: pre-norm blocks, exact GELU, LayerNorm with the same epsilon, and one map to the
queries, keys and values in this order. With `classification=True` it has a token without a position before the patches,
which is our summary token, and a head on that token, which is the identity here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from MAESILCore.methods.abilities import Triple
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.export.folder import WEIGHTS, write_tensors
from MAESILCore.models.export.parts import Export, TokenEncoder, fitting_size, token_encoder

_GUIDE = """\
It needs MONAI 1.6 or newer with `einops`, and `safetensors`. Older versions have weights that they do not use, and take
the file with `strict=False`.

```python
import json
from pathlib import Path
import torch
from monai.networks.nets import ViT
from safetensors.torch import load_file

facts = json.loads(Path("encoder.json").read_text())
vit = ViT(**facts["vit"]).eval()
vit.load_state_dict(load_file("encoder.safetensors"))
scan = torch.zeros(1, 1, *facts["input"]["size"])  # (B, 1, k, j, i) in [0, 1]
first, states = vit(scan)  # (B, E), and the tokens after each block, (B, 1 + N, E)
tokens = vit.norm(states[-1])[:, 1:]  # (B, N, E), patches row-major in k, j, i
features = tokens.mT.reshape(len(scan), -1, *facts["lattice"])  # (B, E, k, j, i)
summary = {summary}  # (B, E)
```

The first token of each sequence is the summary token. Without it (`classification=False`) the features differ.
"""
_SUMMARIES = {"token": "first", "mean": "tokens.mean(dim=1)"}


def vit_arguments(found: TokenEncoder, size: Triple, patch: Triple) -> dict[str, Any]:
    """The arguments of `ViT`.

    Args:
        found: the encoder.
        size: voxels of the input along k, j, i.
        patch: voxels of a patch of this input.
    """
    sizes = found.encoder.config.encoder
    return {
        "in_channels": 1,
        "img_size": list(size),
        "patch_size": list(patch),
        "hidden_size": sizes.width,
        "mlp_dim": 4 * sizes.width,
        "num_layers": sizes.depth,
        "num_heads": sizes.heads,
        "qkv_bias": True,
        "classification": True,
        "num_classes": sizes.width,
        "post_activation": None,
    }


def vit_weights(found: TokenEncoder, kernel: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    """The state of `ViT`, with the embedding given: (E, 1, pk, pj, pi) and (E,)."""
    encoder, width = found.encoder, found.encoder.config.encoder.width
    weights = {
        "patch_embedding.patch_embeddings.weight": kernel,
        "patch_embedding.patch_embeddings.bias": bias,
        "patch_embedding.position_embeddings": found.positions(),
        "cls_token": encoder.summary_token.detach(),
        "classification_head.weight": torch.eye(width),
        "classification_head.bias": torch.zeros(width),
    }
    for name, weight in encoder.encoder.state_dict().items():
        for ours, theirs in _NAMES:
            name = name.replace(ours, theirs)
        weights[name] = weight
    for number in range(len(encoder.encoder.blocks)):
        # Of an attention to other tokens, which this network does not have.
        weights[f"blocks.{number}.norm_cross_attn.weight"] = torch.ones(width)
        weights[f"blocks.{number}.norm_cross_attn.bias"] = torch.zeros(width)
    return weights


_NAMES = (
    (".attention.qkv.", ".attn.qkv."),
    (".attention.proj.", ".attn.out_proj."),
    (".mlp.fc1.", ".mlp.linear1."),
    (".mlp.fc2.", ".mlp.linear2."),
)


def export(model: LoadedModel, size: Triple | None) -> Export:
    """The encoder for `ViT`, equal to the model's features at all levels.

    Raises:
        ConfigError: the model has no transformer, or the size does not fit.
    """
    size = fitting_size(model, size, model.patch_size)
    found = token_encoder(model, "monai-vit", size)

    def write(folder: Path) -> None:
        write_tensors(folder / WEIGHTS, vit_weights(found, *found.embedding()), model.card)

    facts = {
        "vit": vit_arguments(found, size, model.patch_size),
        "lattice": list(found.lattice),
        "summary": found.summary,
    }
    return Export(write, facts, _GUIDE.replace("{summary}", _SUMMARIES[found.summary]), size)
