"""A codebook finds, moves and revives its codes, however the encodings of a step are shared among passes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch

from MAESILCore.nn.codebook import Codebook

CODES, WIDTH, DECAY = 6, 3, 0.9


def a_codebook(by_gradient: bool = False, revive_below: float = 0.0) -> Codebook:
    torch.manual_seed(0)
    return Codebook(CODES, WIDTH, by_gradient, DECAY, revive_below)


def some_encodings(step: int, samples: int = 4) -> torch.Tensor:
    """(B, S, d)."""
    return torch.from_numpy(np.random.default_rng(step).normal(1, 2, (samples, 50, WIDTH)).astype(np.float32))


def take_step(book: Codebook, encoded: torch.Tensor, passes: Sequence[Sequence[int]]) -> None:
    """One step with the samples of `encoded`, each of them a seed of its own."""
    book.begin_step()
    for places in passes:
        seeds = torch.tensor(places) + 2**40
        book.gather(encoded[list(places)], book(encoded[list(places)])[1], seeds)
    book.end_step()


def nearest(encoded: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((encoded[:, None] - codes[None]) ** 2).sum(axis=2).argmin(axis=1)


def test_the_nearest_code_is_found_in_any_shape() -> None:
    book, encoded = a_codebook(), some_encodings(0)
    found, numbers = book(encoded)
    expected = nearest(encoded.flatten(0, 1).numpy(), book.vectors[0].numpy())
    assert numbers.shape == (4, 50)
    assert numbers.flatten().tolist() == expected.tolist()
    assert torch.equal(found, book.vectors[0][numbers])


def test_codes_are_the_moving_averages_of_their_encodings() -> None:
    book = a_codebook()
    codes = book.vectors[0].numpy().copy()
    use, sums = np.zeros(CODES), np.zeros((CODES, WIDTH))
    for step in range(5):
        encoded = some_encodings(step)
        flat = encoded.flatten(0, 1).double().numpy()
        numbers = nearest(flat, codes)
        take_step(book, encoded, [[0, 1, 2, 3]])
        for code in range(CODES):
            mine = flat[numbers == code]
            use[code] = DECAY * use[code] + (1 - DECAY) * len(mine)
            sums[code] = DECAY * sums[code] + (1 - DECAY) * mine.sum(axis=0)
            if use[code] > 0:
                codes[code] = sums[code] / use[code]
        np.testing.assert_allclose(book.vectors[0].numpy(), codes, rtol=1e-4, atol=1e-5)
        shares = use[use > 0] / use.sum()
        assert float(book.perplexity()) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


def test_a_new_codebook_becomes_one_of_real_encodings() -> None:
    book, encoded = a_codebook(revive_below=0.05), some_encodings(0) + 100.0
    take_step(book, encoded, [[0, 1, 2, 3]])
    flat = encoded.flatten(0, 1)
    distances = torch.cdist(book.vectors[0], flat).min(dim=1).values
    assert int((distances < 1e-4).sum()) >= CODES - 1  # one was nearest to all, and is their mean now
    assert len(book.vectors[0].unique(dim=0)) == CODES
    take_step(book, encoded, [[0, 1, 2, 3]])
    assert float(book.perplexity()) > 3.0


def test_a_dead_code_is_revived_and_then_has_time_to_be_chosen() -> None:
    book = a_codebook(revive_below=0.05)
    for step in range(40):  # until the mean use is steady
        take_step(book, some_encodings(step), [[0, 1, 2, 3]])
    revived = []
    for step in range(40, 80):
        with torch.no_grad():
            book.vectors[0, 2] = 1e3  # so far that nothing chooses it
        take_step(book, some_encodings(step), [[0, 1, 2, 3]])
        if book.vectors[0, 2].max() < 1e3:
            revived.append(step)
    # ln 2 / -ln 0.9 = 6.6 steps until its use has halved.
    assert {later - earlier for earlier, later in pairwise(revived)} == {7}


@pytest.mark.parametrize("by_gradient", [False, True])
def test_a_step_is_the_same_however_its_samples_are_passed(by_gradient: bool) -> None:
    ways = ([[0, 1, 2, 3]], [[2], [0, 3], [1]], [[3, 2, 1, 0]])
    books = [a_codebook(by_gradient, revive_below=0.5) for _ in ways]
    for step in range(3):
        for book, passes in zip(books, ways, strict=True):
            take_step(book, some_encodings(step), passes)
    for book in books[1:]:
        for name, tensor in books[0].state_dict().items():
            torch.testing.assert_close(book.state_dict()[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_an_unfinished_step_leaves_nothing_behind() -> None:
    books = [a_codebook(revive_below=0.5) for _ in range(2)]
    encoded = some_encodings(7)
    books[0].begin_step()
    books[0].gather(encoded, books[0](encoded)[1], torch.arange(4))
    for book in books:
        take_step(book, some_encodings(0), [[0, 1, 2, 3]])
    assert all(torch.equal(a, b) for a, b in zip(*(book.buffers() for book in books), strict=True))


def test_codes_by_gradient_move_by_the_optimiser_alone_unless_they_are_dead() -> None:
    book, encoded = a_codebook(by_gradient=True, revive_below=0.05), some_encodings(0)
    before = book.vectors.detach().clone()
    numbers = book(encoded)[1]
    take_step(book, encoded, [[0, 1, 2, 3]])
    used = torch.bincount(numbers.flatten(), minlength=CODES) > 0
    moved = (book.vectors != before)[0].any(dim=1)
    assert not (moved & used).any()
    assert moved.any() == (~used).any()
