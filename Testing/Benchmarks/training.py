"""One pre-training step of preset `small` against MONAI's masked autoencoder of equal widths and depths."""

from __future__ import annotations

import torch
from monai.networks.nets import MaskedAutoEncoderViT

from MAESILCore.devices import computes_in_bf16
from MAESILCore.lattice import MaskStrategy
from MAESILCore.methods import create
from MAESILCore.methods.base import Batch
from MAESILCore.methods.base import Step as TrainingStep
from Testing.Benchmarks.flops import flops_of_pass
from Testing.Benchmarks.timing import best_of

SIZE, PATCH = 128, 8


def training_rows(rounds: int, device: torch.device) -> list[tuple[str, str, str]]:
    """Rows of the table: what, measured, ratio or share."""
    torch.manual_seed(0)
    voxels = torch.rand(1, 1, SIZE, SIZE, SIZE, device=device)
    mask = MaskStrategy(mode="random", ratio=0.75).sample((SIZE // PATCH,) * 3, seed=0)
    hidden = torch.from_numpy(mask.hidden)[None].to(device)
    half = computes_in_bf16(device)
    ours = {
        "preset small (decodes a quarter of the hidden tokens)": {},
        "the same, every token decoded": {"decode_fraction": 1.0},
    }
    steps = {name: Step(fields, voxels, hidden, half) for name, fields in ours.items()}
    contenders = {"MONAI MaskedAutoEncoderViT, fp32": MonaiStep(voxels), **steps}
    seconds = best_of(contenders, rounds)
    peak = matmul_rate(device, half)
    theirs = seconds["MONAI MaskedAutoEncoderViT, fp32"]
    precision = "bf16" if half else "fp32: no bf16 in this hardware"
    rows = [("Training step, MONAI MaskedAutoEncoderViT, fp32", f"{theirs:.2f} s", "1.0 x")]
    for name, step in steps.items():
        share = step.flops() / seconds[name] / peak
        rows.append(
            (
                f"Training step, {name} ({precision})",
                f"{seconds[name]:.2f} s, {share:.0%} of the matmul rate",
                f"{theirs / seconds[name]:.1f} x as fast",
            )
        )
    rows.append(("Matrix product 2048^3", f"{peak / 1e9:.0f} GFLOP/s", ""))
    return rows


class Step:
    """Forward, backward and optimiser step of preset `small`."""

    def __init__(
        self, fields: dict[str, object], voxels: torch.Tensor, hidden: torch.Tensor, half: bool
    ) -> None:
        self.method = create("maesil", fields, "small").to(voxels.device)
        self.optimizer = torch.optim.AdamW(self.method.parameters(), fused=True)
        self.voxels, self.hidden, self.half = voxels, hidden, half

    def loss(self) -> torch.Tensor:
        """The masked loss."""
        with torch.autocast(self.voxels.device.type, torch.bfloat16, enabled=self.half):
            return self.method.training_losses(Batch(self.voxels, self.hidden), TrainingStep(0, 1)).total

    def __call__(self) -> float:
        """Take one step; reading the loss waits for the device."""
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def flops(self) -> float:
        """The operations of the pass."""
        return flops_of_pass(self.loss)


class MonaiStep:
    """The same of MONAI's network as its users run it: fp32; bf16 autocast stops with a dtype mismatch.

    Learnable positions, since its sine-cosine ones refuse a width of 256.
    """

    def __init__(self, voxels: torch.Tensor) -> None:
        self.network = MaskedAutoEncoderViT(
            in_channels=1,
            img_size=SIZE,
            patch_size=PATCH,
            hidden_size=256,
            mlp_dim=1024,
            num_layers=6,
            num_heads=4,
            decoder_hidden_size=192,
            decoder_mlp_dim=768,
            decoder_num_layers=2,
            decoder_num_heads=3,
            masking_ratio=0.75,
            pos_embed_type="learnable",
            decoder_pos_embed_type="learnable",
            qkv_bias=True,
        ).to(voxels.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), fused=True)
        self.voxels = voxels
        count = SIZE // PATCH
        cubes = voxels.reshape(1, count, PATCH, count, PATCH, count, PATCH)
        self.target = cubes.permute(0, 1, 3, 5, 2, 4, 6).reshape(1, count**3, PATCH**3)

    def __call__(self) -> float:
        """Take one step."""
        prediction, mask = self.network(self.voxels)
        loss = ((prediction - self.target).square().mean(dim=-1) * mask).sum() / mask.sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def matmul_rate(device: torch.device, half: bool, size: int = 2048) -> float:
    """Floating-point operations a second of a square matrix product in the precision of the step."""
    kind = torch.bfloat16 if half else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    seconds = best_of({"product": lambda: float((left @ right)[0, 0])}, 10)["product"]
    return 2.0 * size**3 / seconds
