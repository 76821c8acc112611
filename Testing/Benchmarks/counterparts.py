"""What each method is timed against: the leanest public implementation of its kind, at the same sizes.

MONAI has the auto-encoders and a masked one, transformers (if it is installed) a leaner masked one. vit-pytorch has a
masked one, too, and cc-vjepa2 a JEPA for videos; both need a torchvision that was built for the same PyTorch, which is
not on PyPI for CPUs, so they are left out. No package with Hi-End-MAE was found. PyTorch's own transformer layers, put
together as each method needs them, stand beside all masked methods.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from monai.losses import JukeboxLoss
from monai.networks.nets import VQVAE, AutoEncoder, AutoencoderKL, MaskedAutoEncoderViT
from torch import nn
from torch.nn import functional as F

from MAESILCore.losses.gaussian import standard_normal_divergence
from MAESILCore.losses.variance_covariance import variance_covariance
from MAESILCore.methods.base import Batch, Method
from MAESILCore.nn.refine import depth_to_space, space_to_depth
from MAESILCore.nn.tokens import TokenSplit, patchify, put_back, take, unpatchify


class Counterpart(nn.Module):
    """A network and its loss, of batches whose samples hide equally many patches.

    Args:
        method: whose sizes it takes.
        side: voxels of a crop along each axis.
        share: of the patches that are hidden.
    """

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__()
        self.config: Any = method.config
        self.side, self.share = side, share
        self.patch: int = self.config.patch_size[0]
        self.count, self.voxels = (side // self.patch) ** 3, self.patch**3

    def loss(self, batch: Batch) -> torch.Tensor:
        """The loss of a batch, a scalar."""
        raise NotImplementedError

    def after_step(self) -> None:
        """What follows the optimiser."""


def counterparts(method: Method, side: int, share: float) -> dict[str, Counterpart]:
    """The counterparts of a method by name; see `Counterpart` for the arguments."""
    kinds = dict(_KINDS[method.name])
    if find_spec("transformers") is None:
        kinds.pop(_VIDEO, None)
    return {name: kind(method, side, share) for name, kind in kinds.items()}


class MonaiMae(Counterpart):
    """Learnable positions, since MONAI's sine-cosine ones refuse a width of 256; it draws its own masks."""

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        encoder, decoder = self.config.encoder, self.config.decoder
        self.network = MaskedAutoEncoderViT(
            in_channels=1,
            img_size=side,
            patch_size=self.patch,
            hidden_size=encoder.width,
            mlp_dim=4 * encoder.width,
            num_layers=encoder.depth,
            num_heads=encoder.heads,
            decoder_hidden_size=decoder.width,
            decoder_mlp_dim=4 * decoder.width,
            decoder_num_layers=decoder.depth,
            decoder_num_heads=decoder.heads,
            masking_ratio=share,
            pos_embed_type="learnable",
            decoder_pos_embed_type="learnable",
            qkv_bias=True,
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        predicted, mask = self.network(batch.superpatches)
        error = (predicted - patchify(batch.superpatches, (self.patch,) * 3)).square().mean(dim=-1)
        return (error * mask).sum() / mask.sum()


class VideoMae(Counterpart):
    """A crop is a video of its slices. One channel goes with standardised targets only."""

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        from transformers import VideoMAEConfig, VideoMAEForPreTraining

        encoder, decoder = self.config.encoder, self.config.decoder
        sizes = VideoMAEConfig(
            image_size=side,
            patch_size=self.patch,
            num_channels=1,
            num_frames=side,
            tubelet_size=self.patch,
            hidden_size=encoder.width,
            num_hidden_layers=encoder.depth,
            num_attention_heads=encoder.heads,
            intermediate_size=4 * encoder.width,
            decoder_hidden_size=decoder.width,
            decoder_num_hidden_layers=decoder.depth,
            decoder_num_attention_heads=decoder.heads,
            decoder_intermediate_size=4 * decoder.width,
            norm_pix_loss=True,
        )
        self.network = VideoMAEForPreTraining(sizes)

    def loss(self, batch: Batch) -> torch.Tensor:
        return self.network(batch.superpatches.transpose(1, 2), batch.hidden.flatten(1)).loss


class TorchMae(Counterpart):
    """A masked autoencoder of `nn.TransformerEncoder`; the head predicts hidden tokens alone."""

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        encoder, decoder = self.config.encoder, self.config.decoder
        self.embed = nn.Linear(self.voxels, encoder.width)
        self.positions = nn.Parameter(torch.randn(1, self.count, encoder.width))
        self.encoder = _stack(encoder)
        self.bridge = nn.Linear(encoder.width, decoder.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.places = nn.Parameter(torch.randn(1, self.count, decoder.width))
        self.decoder = _stack(decoder)
        self.head = nn.Linear(decoder.width, self.voxels)

    def predicted(self, patches: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden patches, (B, H, p^3), and their indices, (B, H)."""
        seen, rest = TokenSplit.of(hidden), TokenSplit.of(~hidden).visible
        tokens = self.embed(take(patches, seen.visible)) + take(self.positions, seen.visible)
        encoded = self.bridge(self.encoder(tokens))
        masked = self.mask_token.expand(len(patches), self.count, -1)
        decoded = self.decoder(put_back(encoded, seen, masked) + self.places)
        return self.head(take(decoded, rest)), rest

    def loss(self, batch: Batch) -> torch.Tensor:
        patches = patchify(batch.superpatches, (self.patch,) * 3)
        predicted, rest = self.predicted(patches, batch.hidden)
        return F.mse_loss(predicted, take(patches, rest))


class TorchSpectralMae(TorchMae):
    """The same, and MONAI's loss of spectra."""

    spectral = JukeboxLoss(3)

    def loss(self, batch: Batch) -> torch.Tensor:
        patches = patchify(batch.superpatches, (self.patch,) * 3)
        predicted, rest = self.predicted(patches, batch.hidden)
        mosaic = patches.scatter(1, rest[..., None].expand_as(predicted), predicted)
        picture = unpatchify(mosaic, (self.side // self.patch,) * 3, (self.patch,) * 3)
        return F.mse_loss(predicted, take(patches, rest)) + self.spectral(picture, batch.superpatches)


class TorchHiEndMae(TorchMae):
    """The same with `nn.TransformerDecoderLayer`, one for each layer of the encoder that is asked."""

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        encoder, decoder, layers = self.config.encoder, self.config.decoder, self.config.layers
        self.layers = layers[::-1]
        self.bridges = nn.ModuleList(nn.Linear(encoder.width, decoder.width) for _ in layers)
        self.crossings = nn.ModuleList(
            nn.TransformerDecoderLayer(decoder.width, decoder.heads, **_layer(decoder)) for _ in layers
        )
        self.norm = nn.LayerNorm(decoder.width)

    def predicted(self, patches: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen, rest = TokenSplit.of(hidden), TokenSplit.of(~hidden).visible
        states = [self.embed(take(patches, seen.visible)) + take(self.positions, seen.visible)]
        for layer in self.encoder.layers:
            states.append(layer(states[-1]))
        last = self.bridge(self.encoder.norm(states[-1]))
        masked = self.mask_token.expand(len(patches), self.count, -1)
        x = self.decoder(put_back(last, seen, masked) + self.places)
        for layer, bridge, crossing in zip(self.layers, self.bridges, self.crossings, strict=True):
            x = crossing(x, bridge(states[1 + layer]))
        return self.head(take(self.norm(x), rest)), rest


class TorchJepa(Counterpart):
    """Student, teacher and predictor of `nn.TransformerEncoder`; the regularisation is MAESIL's."""

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        outer, inner = self.config.encoder, self.config.predictor
        self.positions = nn.Parameter(torch.randn(1, self.count, outer.width))
        self.student = nn.ModuleList([nn.Linear(self.voxels, outer.width), _stack(outer)])
        self.enter = nn.Linear(outer.width, inner.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, inner.width))
        self.places = nn.Parameter(torch.randn(1, self.count, inner.width))
        self.predictor = _stack(inner)
        self.leave = nn.Linear(inner.width, outer.width)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def loss(self, batch: Batch) -> torch.Tensor:
        patches = patchify(batch.superpatches, (self.patch,) * 3)
        seen, rest = TokenSplit.of(batch.hidden), TokenSplit.of(~batch.hidden).visible
        with torch.no_grad():
            embed, encoder = self.teacher
            target = F.layer_norm(encoder(embed(patches) + self.positions), (self.positions.shape[-1],))
        embed, encoder = self.student
        latent = encoder(embed(take(patches, seen.visible)) + take(self.positions, seen.visible))
        masked = self.mask_token.expand(len(patches), self.count, -1)
        places = put_back(self.enter(latent), seen, masked) + self.places
        predicted = self.leave(take(self.predictor(places), rest))
        variance, covariance = variance_covariance(put_back(latent, seen, target), "tokens")
        return F.l1_loss(predicted, take(target, rest)) + 0.25 * (variance + 0.1 * covariance)

    @torch.no_grad()
    def after_step(self) -> None:
        torch._foreach_lerp_(list(self.teacher.parameters()), list(self.student.parameters()), 0.002)


class MonaiAutoencoder(Counterpart):
    """MONAI's AutoEncoder, whose way back has fewer convolutions than ours.

    It stands behind our first step, which makes the voxels of a 2 x 2 x 2 cell its channels: at full resolution it
    would be far slower.
    """

    def __init__(self, method: Method, side: int, share: float) -> None:
        super().__init__(method, side, share)
        self.widths, self.latent = self.config.widths, self.config.latent_channels
        self.network = self.made()

    def made(self) -> nn.Module:
        """The network."""
        # Our residual block has two convolutions.
        return AutoEncoder(
            spatial_dims=3,
            in_channels=8,
            out_channels=8,
            channels=(*self.widths, self.latent),
            strides=(1, *(2 for _ in self.widths[1:]), 1),
            num_res_units=2 * self.config.blocks,
        )

    def passed(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        """The output of the network, and further terms of the loss."""
        return self.network(cells), 0.0

    def loss(self, batch: Batch) -> torch.Tensor:
        cells, terms = self.passed(space_to_depth(batch.superpatches))
        return F.mse_loss(depth_to_space(cells), batch.superpatches) + terms


class MonaiTrunk(MonaiAutoencoder):
    """MONAI's AutoencoderKL without attention and without noise; each side has two residual blocks more than ours."""

    def made(self) -> nn.Module:
        return AutoencoderKL(
            spatial_dims=3,
            in_channels=8,
            out_channels=8,
            num_res_blocks=self.config.blocks,
            channels=self.widths,
            attention_levels=(False,) * len(self.widths),
            latent_channels=self.latent,
            norm_num_groups=8,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )

    def passed(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        return self.network.reconstruct(cells), 0.0


class MonaiVae(MonaiTrunk):
    """The same with noise and divergence."""

    def passed(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        reconstructed, mean, deviation = self.network(cells)
        return reconstructed, self.config.beta * standard_normal_divergence(mean, 2.0 * deviation.log())


class MonaiVqVae(MonaiAutoencoder):
    """MONAI's VQVAE; strides of 1 where ours has none."""

    def made(self) -> nn.Module:
        stages = len(self.widths) - 1
        return VQVAE(
            spatial_dims=3,
            in_channels=8,
            out_channels=8,
            channels=self.widths,
            num_res_layers=self.config.blocks,
            num_res_channels=self.widths,
            downsample_parameters=((1, 3, 1, 1), *((2, 4, 1, 1),) * stages),
            upsample_parameters=(*((2, 4, 1, 1, 0),) * stages, (1, 3, 1, 1, 0)),
            num_embeddings=self.config.codes,
            embedding_dim=self.latent,
            decay=self.config.decay,
        )

    def passed(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        return self.network(cells)


def _layer(size: Any) -> dict[str, Any]:  # noqa: ANN401 - a TransformerSize
    """The options of a pre-norm layer of PyTorch without dropout."""
    return {
        "dim_feedforward": 4 * size.width,
        "dropout": 0.0,
        "activation": "gelu",
        "batch_first": True,
        "norm_first": True,
    }


def _stack(size: Any) -> nn.TransformerEncoder:  # noqa: ANN401 - a TransformerSize
    layer = nn.TransformerEncoderLayer(size.width, size.heads, **_layer(size))
    return nn.TransformerEncoder(layer, size.depth, nn.LayerNorm(size.width), enable_nested_tensor=False)


_VIDEO = "transformers VideoMAEForPreTraining"
_MASKED: Mapping[str, type[Counterpart]] = {
    "MONAI MaskedAutoEncoderViT": MonaiMae,
    _VIDEO: VideoMae,
    "layers of torch.nn": TorchMae,
}
_KINDS: Mapping[str, Mapping[str, type[Counterpart]]] = {
    "maesil": _MASKED,
    "mae": _MASKED,
    "sl-mae": {"layers of torch.nn, MONAI JukeboxLoss": TorchSpectralMae},
    "hi-end-mae": {"layers of torch.nn": TorchHiEndMae},
    "jepa-vcr": {"layers of torch.nn": TorchJepa},
    "ae": {"MONAI AutoEncoder": MonaiAutoencoder, "MONAI AutoencoderKL, no noise": MonaiTrunk},
    "vae": {"MONAI AutoencoderKL": MonaiVae},
    "vq-vae": {"MONAI VQVAE": MonaiVqVae},
}
