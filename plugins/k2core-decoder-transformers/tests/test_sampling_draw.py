"""Warped distributions against transformers' own, and the race against them."""

import math

import pytest
import torch
from k2core_decoder_transformers.sampling.noise import Noise, draw
from k2core_decoder_transformers.sampling.warp import Warp, warped


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WARPS = [
    Warp(1.0),
    Warp(0.6),
    Warp(1.7, top_p=0.9),
    Warp(1.0, top_p=0.999),
    Warp(0.8, top_k=5),
    Warp(1.0, top_p=0.5, top_k=40, min_p=0.02),
    Warp(1.0, min_p=0.3),
    Warp(0.9, top_p=1e-9),
]


def theirs(logits: torch.Tensor, warp: Warp) -> torch.Tensor:
    import transformers as t

    row = logits / warp.temperature
    if warp.top_k:
        row = t.TopKLogitsWarper(warp.top_k)(None, row)
    if warp.top_p < 1:
        row = t.TopPLogitsWarper(warp.top_p)(None, row)
    return t.MinPLogitsWarper(warp.min_p)(None, row) if warp.min_p else row


@pytest.mark.parametrize("spread", [0.1, 3.0, 12.0])
def test_the_kept_sets_and_scores_are_those_of_transformers(spread: float):
    for seed in range(5):
        logits = torch.randn(len(WARPS), 1000, generator=torch.Generator().manual_seed(seed)) * spread
        mine = warped(logits, WARPS)
        for row, warp in enumerate(WARPS):
            expected = theirs(logits[row : row + 1], warp)[0]
            assert (mine[row].isfinite() ^ expected.isfinite()).sum() <= (1 if warp.top_p < 1 else 0)  # rounding at the border
            both = mine[row].isfinite() & expected.isfinite()
            torch.testing.assert_close(mine[row][both], expected[both])


def test_logits_stay_as_they_were_and_are_not_copied_in_vain():
    logits = torch.randn(2, 50)
    kept = logits.clone()
    assert warped(logits, [Warp(1.0)] * 2) is logits
    warped(logits, [Warp(0.0), Warp(1.0, top_p=0.3)])
    assert torch.equal(logits, kept)


def test_a_greedy_row_takes_the_largest_logit_whatever_the_noise():
    logits = torch.randn(3, 500)
    scores = warped(logits, [Warp(0.0), Warp(1.0), Warp(0.0)])
    drawn = draw(scores, torch.stack([Noise(s, 500).row(0) for s in range(3)]))
    assert drawn[0] == logits[0].argmax()
    assert drawn[2] == logits[2].argmax()


def test_ties_at_the_border_are_kept_together():
    scores = warped(torch.tensor([[2.0, 1.0, 1.0, 0.0]]), [Warp(1.0, top_k=2)])
    assert scores.isfinite().tolist() == [[True, True, True, False]]


def test_a_row_does_not_depend_on_its_neighbours():
    logits = torch.randn(len(WARPS), 3000) * 4
    together = warped(logits, WARPS)
    alone = torch.cat([warped(logits[i : i + 1], [warp]) for i, warp in enumerate(WARPS)])
    assert torch.equal(together, alone)


def test_bfloat16_logits_are_warped_in_float32():
    assert warped(torch.randn(1, 9).bfloat16(), [Warp(0.5, top_p=0.9)]).dtype == torch.float32


def chi_square(counts: torch.Tensor, expected: torch.Tensor) -> float:
    """Upper-tail probability, by Wilson and Hilferty's cube-root approximation."""
    df = len(counts) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    z = ((statistic / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df))
    return 0.5 * math.erfc(z / math.sqrt(2))


@pytest.mark.parametrize("warp", [Warp(1.0), Warp(0.6), Warp(1.3, top_p=0.8), Warp(1.0, top_k=4, min_p=0.05)])
def test_the_race_draws_from_the_warped_distribution(warp: Warp):
    """Fixed seeds, so it never flickers; a correct race fails one choice of seeds in 10,000."""
    scores = warped(torch.randn(1, 12, generator=torch.Generator().manual_seed(4)), [warp])[0]
    share = scores.softmax(0)
    noise = torch.stack([Noise(seed, 12).row(position) for seed in range(100) for position in range(50)])
    drawn = draw(scores.expand(5000, -1), noise)
    counts = torch.bincount(drawn, minlength=12).double()
    assert counts[share == 0].sum() == 0
    kept = share > 0
    assert chi_square(counts[kept], share[kept].double() * 5000) > 1e-4


def test_unlikely_tokens_win_as_often_as_they_should():
    """A million rare tokens of 1e-7 each: float32 exponentials, coarse near 0, would miss this."""
    rare, rows = 1_000_000, 40
    noise = torch.cat([Noise(seed, rare).row(0)[None] for seed in range(rows)])
    least = noise.min(1).values * rare  # the least of n Exp(1) is Exp(1) / n
    assert abs(float(least.mean()) - 1) < 4 / math.sqrt(rows)
    assert len(least.unique()) == rows
    assert bool((noise > 0).all())


def test_noise_is_a_pure_function_of_seed_and_position():
    one, other = Noise(7, 100), Noise(7, 100)
    late = other.row(9)
    assert torch.equal(one.row(0), other.row(0))
    assert torch.equal(one.row(9), late)
    assert not torch.equal(one.row(1), one.row(0))
    assert not torch.equal(Noise(8, 100).row(0), one.row(0))
    one.forget(9)
    assert torch.equal(one.row(0), other.row(0))
    assert Noise(-1, 5).row(0).shape == (5,)


def test_noise_keeps_few_rows():
    noise = Noise(1, 10)
    for position in range(1000):
        noise.row(position)
    assert len(noise._rows) <= 64
