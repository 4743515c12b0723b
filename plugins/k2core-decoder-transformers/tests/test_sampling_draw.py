"""Warped distributions against transformers' own, and the race against them."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from k2core_decoder_transformers.sampling.drawing import NONE, draw, draw_together
from k2core_decoder_transformers.sampling.noise import Noise, exponential, hashed, hashed_all, log_exponential
from k2core_decoder_transformers.sampling.warp import Warp, kept, warped


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


@pytest.mark.parametrize("spread", [0.1, 3.0, 12.0])
def test_one_row_at_a_time_keeps_the_same_set(spread: float):
    for seed in range(5):
        logits = torch.randn(len(WARPS), 1000, generator=torch.Generator().manual_seed(seed)) * spread
        together = warped(logits, WARPS)
        for row, warp in enumerate(WARPS):
            alone = kept((logits[row] / warp.temperature).numpy(), warp)
            assert len(set(alone.tolist()) ^ set(together[row].isfinite().nonzero()[:, 0].tolist())) <= (1 if warp.top_p < 1 else 0)


def test_logits_stay_as_they_were_and_are_not_copied_in_vain():
    logits = torch.randn(2, 50)
    kept = logits.clone()
    assert warped(logits, [Warp(1.0)] * 2) is logits
    warped(logits, [Warp(0.0), Warp(1.0, top_p=0.3)])
    assert torch.equal(logits, kept)


def keys(count: int, position: int = 0) -> list[tuple[int, int]]:
    return [Noise(seed).key(position) for seed in range(count)]


@pytest.mark.parametrize("way", [draw, draw_together])
def test_a_greedy_row_takes_the_largest_logit_whatever_the_noise(way):
    logits = torch.randn(3, 500)
    for warps in ([Warp(0.0), Warp(1.0), Warp(0.0)], [Warp(0.0)] * 3):
        drawn = way(logits, warps, keys(3))
        assert drawn[0] == logits[0].argmax()
        assert drawn[2] == logits[2].argmax()


@pytest.mark.parametrize("way", [draw, draw_together])
@pytest.mark.parametrize("warp", [Warp(0.0), *WARPS])
def test_a_row_whose_scores_are_no_numbers_has_no_token_and_the_others_have_theirs(way, warp: Warp):
    logits = torch.randn(3, 500)
    expected = way(logits, [warp] * 3, keys(3))
    logits[1] = math.nan
    assert way(logits, [warp] * 3, keys(3)) == [expected[0], NONE, expected[2]]


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0, 12.0])
def test_the_shortened_race_has_the_winner_of_the_whole_one(spread: float):
    """The whole race computes every token's noise; the shortened one only that of tokens which can win."""
    warps = [warp for warp in WARPS for _ in range(40)]
    logits = torch.randn(len(warps), 3000, generator=torch.Generator().manual_seed(1)) * spread
    logits[::7, 5:900] = -math.inf  # as a schema's mask leaves it
    for position in range(4):
        row_keys = keys(len(warps), position)
        assert draw(logits, warps, row_keys) == draw_together(logits, warps, row_keys)


def test_drawing_leaves_the_logits_as_they_were():
    logits = torch.randn(len(WARPS), 300)
    before = logits.clone()
    draw(logits, WARPS, keys(len(WARPS)))
    assert torch.equal(logits, before)


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


@pytest.mark.parametrize("way", [draw, draw_together])
@pytest.mark.parametrize("warp", [Warp(1.0), Warp(0.6), Warp(1.3, top_p=0.8), Warp(1.0, top_k=4, min_p=0.05)])
def test_the_race_draws_from_the_warped_distribution(warp: Warp, way):
    """Fixed seeds, so it never flickers; a correct race fails one choice of seeds in 10,000."""
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(4)) * 3
    share = warped(logits, [warp])[0].softmax(0)
    row_keys = [Noise(seed).key(position) for seed in range(100) for position in range(50)]
    drawn = torch.tensor(way(logits.expand(5000, -1), [warp] * 5000, row_keys))
    counts = torch.bincount(drawn, minlength=12).double()
    assert counts[share == 0].sum() == 0
    kept = share > 0
    assert chi_square(counts[kept], share[kept].double() * 5000) > 1e-4


def test_unlikely_tokens_win_as_often_as_they_should():
    """A million rare tokens of 1e-7 each: exponentials that are coarse near 0 would miss this."""
    rare, rows = 1_000_000, 40
    least = np.array([exponential(hashed_all(rare, key)).min() for key in keys(rows)]) * rare  # of n Exp(1) is Exp(1) / n
    assert abs(float(least.mean()) - 1) < 4 / math.sqrt(rows)
    assert len(set(least)) == rows
    assert (least > 0).all()


def test_tokens_far_below_the_likeliest_are_drawn_too():
    """One token of 99.9 %, and 50,000 that share the rest: drawn one time in a thousand, and each of them alike."""
    logits = torch.full((4000, 50_001), math.log(1e-3 / 50_000))
    logits[:, 7] = math.log(0.999)
    drawn = draw(logits, [Warp(1.0)] * 4000, keys(4000))
    rare = [token for token in drawn if token != 7]
    assert 0 < len(rare) < 15  # 4 are expected; P(0) = 0.018, fixed by the seeds
    assert len(set(rare)) == len(rare)


def test_hashes_are_uniform_and_independent_of_their_neighbours():
    """Bytes of the hashes, and of the differences between neighbouring ids, positions and seeds, by chi-square."""
    for seed in (0, 1, 2**62):
        for position in (0, 1, 1000):
            row = hashed_all(40_000, Noise(seed).key(position))
            near = (Noise(seed).key(position + 1), Noise(seed + 1).key(position))
            others = [np.roll(row, 1), *(hashed_all(40_000, key) for key in near)]
            for values in (row, *(row ^ other for other in others)):
                for shift in (0, 8, 16, 24):
                    counts = torch.from_numpy(np.bincount(values >> np.uint32(shift) & np.uint32(255), minlength=256))
                    assert chi_square(counts.double(), torch.full((256,), 40_000 / 256).double()) > 1e-5


def test_the_same_tokens_position_by_position_are_independent():
    """Of 64 ids over 20,000 positions: no correlation between any two, nor between a position and the next."""
    rows = np.stack([hashed_all(64, Noise(5).key(position)) for position in range(20_000)]).astype(np.float64)
    rows = (rows - rows.mean(0)) / rows.std(0)
    across, along = rows.T @ rows / len(rows), rows[1:].T @ rows[:-1] / len(rows)
    np.fill_diagonal(across, 0.0)
    assert max(np.abs(across).max(), np.abs(along).max()) * math.sqrt(len(rows)) < 5.0  # of 6,000 normal deviates


def test_noise_is_a_pure_function_of_seed_position_and_token():
    assert Noise(7).key(3) == Noise(7).key(3)
    assert len({Noise(seed).key(position) for seed in (-1, 0, 7, 8, 2**63) for position in range(200)}) == 1000
    key, some = Noise(7).key(3), np.array([3, 4, 999], dtype=np.uint32)
    assert (hashed(some, key) == hashed_all(1000, key)[some]).all()
    assert (hashed_all(1000, key)[:500] == hashed_all(500, key)).all()


def test_both_ways_of_making_it_make_the_same():
    some = keys(5, position=9)
    made = log_exponential(2000, some, torch.device("cpu"))
    expected = np.stack([np.log(exponential(hashed_all(2000, key))) for key in some])
    torch.testing.assert_close(made, torch.from_numpy(expected).float())


@dataclass
class Drawn:
    """As much of a choice as drawing looks at."""

    warp: Warp
    noise: Noise
    ids: list[int]
    constraint: object = None


class Allows:
    """A constraint that allows one token, or none of them all."""

    def __init__(self, token: int | None) -> None:
        self.token = token

    def allowed(self, draft: list[int]) -> torch.Tensor:
        if self.token is None:
            raise ValueError("it cannot be followed")
        return (torch.arange(50) == self.token).expand(1 + len(draft), -1)


def test_all_choices_drawn_together_are_as_each_alone_and_one_that_fails_is_no_others_trouble():
    """Together is how it is done on a GPU."""
    from k2core_decoder_transformers.engine import job

    constraints = [None, Allows(3), Allows(None), None]
    asked = [(Drawn(Warp(1.0), Noise(place), [1], each), []) for place, each in enumerate(constraints)]
    parts = [torch.randn(1, 50) for _ in asked]
    alone = job.draw(asked, parts)  # type: ignore[arg-type] # reason: stand-ins for choices
    allowed = [job._tried(job._allowed, *each, part) for each, part in zip(asked, parts, strict=True)]  # type: ignore[arg-type]
    together = job._together(asked, parts, allowed)  # type: ignore[arg-type] # reason: as above
    for found in (together, alone):
        assert isinstance(found.pop(2), ValueError)
    assert together == alone
    assert alone[1] == [3]


def test_what_follows_a_draft_that_failed_is_not_drawn(monkeypatch: pytest.MonkeyPatch):
    from k2core_decoder_transformers.engine import job
    from k2core_decoder_transformers.sampling import drawing

    logits, choice = torch.randn(6, 50), Drawn(Warp(1.0), Noise(7), [1, 2])
    keys = [choice.noise.key(2 + place) for place in range(6)]
    whole = draw(logits, [choice.warp] * 6, keys)
    rows = list[int]()

    def counted(logits: torch.Tensor, warps: list[Warp], keys: list[tuple[int, int]]) -> list[int]:
        rows.append(len(logits))
        return draw(logits, warps, keys)

    monkeypatch.setattr(drawing, "draw", counted)
    assert job.draw([(choice, whole[:5])], [logits]) == [whole]  # type: ignore[list-item] # reason: a stand-in for a choice
    assert sum(rows) == 6
    rows.clear()
    wrong = [*whole[:2], (whole[2] + 1) % 50, *whole[3:5]]
    assert job.draw([(choice, wrong)], [logits]) == [whole[:3]]  # type: ignore[list-item] # reason: as above
    assert sum(rows) == 3
