"""The encoder as the transformer of Primus in nnU-Net v2 (Wald et al. 2025, arXiv:2503.01835).

Plans name networks that take `input_channels`, `num_classes` and `deep_supervision`, which no transformer does. The
transformer of nnU-Net itself, Primus, comes through a trainer class, and so does ours. It gives Primus the blocks of
nnU-Net's library with a plain MLP in place of the gated one. Keys have no bias there. Ours is left out, as it adds the
same to all scores of a query, which the softmax ignores.
"""

from __future__ import annotations

import math
from pathlib import Path
from string import Template
from typing import Any

import torch

from MAESILCore.errors import ConfigError
from MAESILCore.methods.abilities import Triple
from MAESILCore.models.checkpoint import LoadedModel
from MAESILCore.models.export.folder import WEIGHTS, write_tensors
from MAESILCore.models.export.parts import Export, TokenEncoder, fitting_size, times, token_encoder

TRAINER = "nnUNetTrainerMAESIL"

_TRAINER = Template('''\
"""A trainer for nnU-Net v2: Primus with a pre-trained encoder.

Training reads `encoder.safetensors` beside this file; inference needs this file alone.
"""
# The model is called $name.

from pathlib import Path

from dynamic_network_architectures.architectures.primus import Primus
from dynamic_network_architectures.building_blocks.eva import Eva
from nnunetv2.training.nnUNetTrainer.primus.primus_trainers import AbstractPrimus
from safetensors.torch import load_file

SIZE, PATCH = $size, $patch
WIDTH, DEPTH, HEADS = $width, $depth, $heads


class nnUNetTrainerMAESIL(AbstractPrimus):
    @staticmethod
    def build_network_architecture(
        plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision=True
    ):
        if tuple(configuration_manager.patch_size) != SIZE or num_input_channels != 1:
            raise ValueError(f"This encoder needs one channel and the patch size {list(SIZE)} in the plans.")
        model = Primus(
            1, WIDTH, PATCH, num_output_channels, eva_depth=1, eva_numheads=HEADS, input_shape=SIZE,
            num_register_tokens=1, use_rot_pos_emb=False,
        )
        model.eva = Eva(
            WIDTH, DEPTH, HEADS, mlp_ratio=4, swiglu_mlp=False, scale_mlp=False, use_rot_pos_emb=False,
            ref_feat_shape=tuple(edge // patch for edge, patch in zip(SIZE, PATCH)), num_reg_tokens=1,
        )
        return model

    def initialize(self):
        super().initialize()
        network = getattr(self.network, "module", self.network)
        network = getattr(network, "_orig_mod", network)
        left = network.load_state_dict(load_file(Path(__file__).with_name("encoder.safetensors")), strict=False)
        missing = [name for name in left.missing_keys if not name.startswith(("up_projection.", "mask_token"))]
        if missing or left.unexpected_keys:
            raise RuntimeError(f"The encoder does not fit: {missing} are missing, {left.unexpected_keys} left over.")
''')

_GUIDE = Template("""\
It needs nnU-Net 2.8 or newer (`nnunetv2`) and `safetensors`. nnU-Net gets transformers through trainer classes alone,
even its own Primus; the class in `nnUNetTrainerMAESIL.py` uses nothing but nnU-Net. `-pretrained_weights` is not used,
as it wants a pickle and the decoder's weights: the trainer reads the encoder when a training starts.

1. Write plans with the size and the intensities of this encoder, here for dataset 1:

   ```python
   import json, os
   from pathlib import Path

   facts = json.loads(Path("encoder.json").read_text())
   folder = Path(os.environ["nnUNet_preprocessed"], "Dataset001_Name")
   plans = json.loads((folder / "nnUNetPlans.json").read_text()) | {"plans_name": "nnUNetPlansMAESIL"}
   plans["configurations"]["3d_fullres"] |= facts["plans"]
   $properties
   (folder / "nnUNetPlansMAESIL.json").write_text(json.dumps(plans, indent=4))
   ```

2. Preprocess and train with them. `THIS` is the folder of this file; inference needs the variable, too.

   ```
   export nnUNet_extTrainer=THIS
   nnUNetv2_preprocess -d 1 -plans_name nnUNetPlansMAESIL -c 3d_fullres
   nnUNetv2_train 1 3d_fullres 0 -p nnUNetPlansMAESIL -tr nnUNetTrainerMAESIL
   ```

The encoder is pre-trained, the decoder is new. nnU-Net puts the axis with the largest spacing first; for most scans
this is k, as the model expects. $note
""")
_HU = 'plans["foreground_intensity_properties_per_channel"]["0"] |= facts["intensity_properties"]'
_HU_NOTE = """\
`CTNormalization` of nnU-Net clips to two percentiles, subtracts a mean and divides by a deviation. The numbers of
`intensity_properties` make this the map of the model's window to [0, 1]."""
_OTHER = "# The intensity of this model is no normalisation of nnU-Net: give scans that are mapped already."
_OTHER_NOTE = """\
nnU-Net has no normalisation like that of this model: map the scans to [0, 1] before they become a data set. The plans
then say `NoNormalization`."""


def primus_weights(found: TokenEncoder) -> dict[str, torch.Tensor]:
    """The state of `Primus` without its decoder."""
    encoder, width = found.encoder, found.encoder.config.encoder.width
    kernel, bias = found.embedding()
    weights = {
        "down_projection.proj.weight": kernel,
        "down_projection.proj.bias": bias,
        "register_tokens": encoder.summary_token.detach(),
        # The summary token comes first, and has no position.
        "eva.pos_embed": torch.cat([torch.zeros(1, 1, width), found.positions()], dim=1),
    }
    for name, weight in encoder.encoder.state_dict().items():
        place, _, kind = name.rpartition(".qkv.")
        if not place:
            weights["eva." + name.replace(".attention.", ".attn.")] = weight
            continue
        for projection, part in zip("qkv", weight.chunk(3), strict=True):
            if (projection, kind) != ("k", "bias"):
                name = f"{place.replace('.attention', '.attn')}.{projection}_proj.{kind}"
                weights[f"eva.{name}"] = part
    return weights


def export(model: LoadedModel, size: Triple | None) -> Export:
    """The encoder for nnU-Net, equal to the model's features at the deepest level.

    Raises:
        ConfigError: the model has no transformer, its patch size is no power of two, or the size does not fit.
    """
    patch = model.patch_size
    if any(edge & (edge - 1) for edge in patch) or math.prod(patch) == 1:
        raise ConfigError(
            f"nnU-Net's decoder needs patches of powers of two, not of {times(patch)}: export the model to monai-vit."
        )
    size = fitting_size(model, size, patch)
    found = token_encoder(model, "nnunet", size)
    sizes = found.encoder.config.encoder
    trainer = _TRAINER.substitute(
        name=ascii(model.name),
        size=size,
        patch=patch,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
    )

    def write(folder: Path) -> None:
        write_tensors(folder / WEIGHTS, primus_weights(found), model.card)
        (folder / f"{TRAINER}.py").write_text(trainer, encoding="utf-8")

    is_hu = model.intensity.is_hu
    guide = _GUIDE.substitute(
        properties=_HU if is_hu else _OTHER,
        note=_HU_NOTE if is_hu else _OTHER_NOTE,
    )
    return Export(write, _plans(model, size) | {"lattice": list(found.lattice)}, guide, size)


def _plans(model: LoadedModel, size: Triple) -> dict[str, Any]:
    """What the plans of nnU-Net must say."""
    plans: dict[str, Any] = {
        "patch_size": list(size),
        "normalization_schemes": ["NoNormalization"],
        # The folder of the preprocessed scans, whose intensities are not those of the usual plans.
        "data_identifier": "nnUNetPlansMAESIL_3d_fullres",
    }
    if not model.intensity.is_hu:
        return {"plans": plans}
    low, high = model.window.low, model.window.high
    plans["normalization_schemes"] = ["CTNormalization"]
    properties = {"mean": low, "std": high - low, "percentile_00_5": low, "percentile_99_5": high}
    return {"plans": plans, "intensity_properties": properties}
