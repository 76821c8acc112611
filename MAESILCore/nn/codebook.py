"""The codebook of a VQ-VAE: look-up, moving averages, and revival of dead codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from MAESILCore.nn.collectives import collected
from MAESILCore.nn.draws import draw_words
from MAESILCore.nn.sharded import part_like
from MAESILCore.nn.sums import sum_over_processes

#: Sites whose distances to all codes are computed at once, to limit the memory.
_SITES = 2**14
#: Most codes that are revived in one step.
_REVIVED = 128
_NO_KEY = torch.iinfo(torch.int64).max


class Gathered(NamedTuple):
    """What the encodings of one or more passes tell.

    Attributes:
        counts: (K,), encodings per code.
        totals: (K, d), their sums.
        keys: (M,) ascending, random numbers of the encodings in `drawn`.
        drawn: (M, d), the encodings with the smallest keys.
    """

    counts: torch.Tensor
    totals: torch.Tensor
    keys: torch.Tensor
    drawn: torch.Tensor

    def with_more(self, other: Gathered) -> Gathered:
        """This and what further passes tell."""
        drawn = _smallest(torch.cat([self.keys, other.keys]), torch.cat([self.drawn, other.drawn]))
        return Gathered(self.counts + other.counts, self.totals + other.totals, *drawn)

    def of_all_processes(self) -> Gathered:
        """This and what the other processes tell; all must call it."""
        room = _REVIVED - len(self.keys)  # shapes must be equal
        keys = torch.cat([self.keys, self.keys.new_full((room,), _NO_KEY)])
        drawn = torch.cat([self.drawn, self.drawn.new_zeros(room, self.drawn.shape[1])])
        drawn_of_all = _smallest(collected(keys), collected(drawn))
        counts, totals = sum_over_processes(self.counts), sum_over_processes(self.totals)
        return Gathered(counts, totals, *drawn_of_all)


class Codebook(nn.Module):
    """K codes of width d.

    With `by_gradient`, the codes are weights and need `losses.quantisation.codebook_error`. Else they are buffers, the
    moving averages of their encodings (van den Oord et al. 2017, appendix A.1): per step, with n_k encodings z of code
    k over all passes and processes,

        N_k <- decay N_k + (1 - decay) n_k,    m_k <- decay m_k + (1 - decay) sum z,    e_k <- m_k / N_k.

    A code with N_k below `revive_below` times the mean of N is dead. It becomes an encoding drawn from the step, as
    in Jukebox (Dhariwal et al. 2020, arXiv:2005.00341), and has the time to be chosen until N_k has halved. At the
    start all codes are dead, so the codebook is soon one of real encodings. The draw depends on the seeds of the
    samples alone, so it is the same however the samples are shared among passes and processes.

    Args:
        codes: K.
        width: d.
        by_gradient: whether the optimiser moves the codes.
        decay: of the moving averages.
        revive_below: share of the mean use below which a code is dead; 0 revives none.
    """

    vectors: torch.Tensor
    usage: torch.Tensor
    sums: torch.Tensor

    def __init__(self, codes: int, width: int, by_gradient: bool, decay: float, revive_below: float) -> None:
        super().__init__()
        self.by_gradient, self.decay, self.revive_below = by_gradient, decay, revive_below
        start = torch.randn(1, codes, width)
        if by_gradient:
            self.vectors = nn.Parameter(start)  # as of a token, its first axis of 1 spares it weight decay
        else:
            self.register_buffer("vectors", start)
            self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("usage", torch.zeros(codes))
        self.begin_step()

    def forward(self, encoded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest code of each encoding.

        Args:
            encoded: (..., d).

        Returns:
            The codes, (..., d), and their numbers, (...).
        """
        codes, flat = self.vectors[0].float(), encoded.detach().float().flatten(0, -2)
        with torch.no_grad(), torch.autocast(encoded.device.type, enabled=False):
            # |z - e|^2 without |z|^2, which is the same for all codes.
            lengths = codes.square().sum(dim=1)
            parts = [(lengths - 2.0 * part @ codes.T).argmin(dim=1) for part in torch.split(flat, _SITES)]
        numbers = torch.cat(parts).view(encoded.shape[:-1])
        return codes[numbers], numbers

    def begin_step(self) -> None:
        """Forget what was gathered, as by a step that was not finished."""
        self._gathered: Gathered | None = None

    @torch.no_grad()
    def gather(self, encoded: torch.Tensor, numbers: torch.Tensor, seeds: torch.Tensor | None) -> None:
        """Add the encodings of a pass to the statistics of the step.

        Args:
            encoded: (B, S, d).
            numbers: (B, S), the code of each.
            seeds: (B,) see `Batch.seeds`; None draws them from PyTorch's global generator.
        """
        encoded, (batch, sites, width) = encoded.detach().float(), encoded.shape
        flat, codes = numbers.flatten(), len(self.usage)
        counts = torch.bincount(flat, minlength=codes).float()
        totals = encoded.new_zeros(codes, width).index_add_(0, flat, encoded.flatten(0, 1))
        if seeds is None:
            seeds = torch.randint(2**62, (batch,), device=encoded.device)
        # The word decides; the bits of the seed order equal words of two samples.
        keys = (draw_words(seeds, sites) << 31) | (seeds[:, None] & 0x7FFFFFFF)
        new = Gathered(counts, totals, *_smallest(keys.flatten(), encoded.flatten(0, 1)))
        self._gathered = new if self._gathered is None else self._gathered.with_more(new)

    @torch.no_grad()
    def end_step(self) -> None:
        """Update the codes from all that the processes have gathered; all must call it."""
        assert self._gathered is not None
        found = self._gathered.of_all_processes()
        self.usage.lerp_(found.counts, 1.0 - self.decay)
        if not self.by_gradient:
            self.sums.lerp_(found.totals, 1.0 - self.decay)
            # The mean of a code without encodings stays, while both its parts fade.
            chosen = (found.counts > 0)[:, None]
            means = self.sums / self.usage.clamp_min(1e-12)[:, None]
            self.vectors.copy_(torch.where(chosen, means, self.vectors[0]))
        self._revive(found)
        self.begin_step()

    def perplexity(self) -> torch.Tensor:
        """exp of the entropy of the codes' moving use: 1 if one code has all encodings, K if all are used alike."""
        shares = self.usage / self.usage.sum().clamp_min(1e-12)
        return torch.special.entr(shares).sum().exp()

    def _revive(self, found: Gathered) -> None:
        limit = self.revive_below * self.usage.mean()
        dead = self.usage < limit
        turn = dead.cumsum(0) - 1
        revived = dead & (turn < (found.keys != _NO_KEY).sum())
        fresh = found.drawn[turn.clamp(0, len(found.drawn) - 1)]
        self.usage.copy_(torch.where(revived, 2.0 * limit, self.usage))
        if not self.by_gradient:
            self.sums.copy_(torch.where(revived[:, None], fresh * self.usage[:, None], self.sums))
        # Sharded codes are replaced by parts of whole tensors of their shape.
        chosen, codes = (
            part_like(one.expand(self.vectors.shape).contiguous(), self.vectors)
            for one in (revived[None, :, None], fresh[None])
        )
        self.vectors.copy_(torch.where(chosen, codes, self.vectors))


def _smallest(keys: torch.Tensor, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The encodings with the smallest keys, in ascending order."""
    keys, places = keys.topk(min(_REVIVED, len(keys)), largest=False, sorted=True)
    return keys, drawn[places]
