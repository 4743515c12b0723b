"""Error rates and power of the tests on a cheap target: rows of random logits."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from k2core_certify import onesample
from k2core_certify.scoring import Floats, Scores, score_rows

VOCABULARY, ROWS = 400, 4000


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    """Peaked and flat distributions, as a language model makes them: entropies of some 1.4 nats."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(ROWS, 1, generator=generator) * 2.5 + 2.2
    return torch.randn(ROWS, VOCABULARY, generator=generator) * scale


def draw(p: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.multinomial(p, 1, generator=torch.Generator().manual_seed(seed))[:, 0]


def tile(logits: torch.Tensor, p: torch.Tensor, seed: int, times: int = 4) -> Scores:
    """More tokens from the same rows."""
    return Scores.join([score_rows(logits, draw(p, 1000 * seed + i)) for i in range(times)])


def lossy(scores: Scores, seed: int, reported: Floats | None = None, alpha: float = 0.01) -> list[str]:
    """Names of the tests that call it lossy, each at its share of alpha (a little less than Holm would)."""
    found = onesample.tests(scores, reported, [], [], np.random.default_rng(seed))
    level, told = alpha / len(found), reported is not None
    plain = [t.finding.name for t in found if t.finding.p <= level and (t.finding.kind == "sampling" or not told)]
    return plain + [t.finding.name for t in found if told and t.gross <= level]


def mixed(logits: torch.Tensor, share: float, kind: str) -> torch.Tensor:
    """The target's distribution with a share of another one."""
    p = torch.softmax(logits.double(), -1)
    other = {
        "likeliest": torch.nn.functional.one_hot(p.argmax(-1), VOCABULARY).double(),
        "flattened": torch.softmax(logits.double() / 2, -1),
        "uniform": torch.full_like(p, 1 / VOCABULARY),
    }[kind]
    return (1 - share) * p + share * other


def cut(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    p, order = torch.softmax(logits.double(), -1).sort(-1, descending=True)
    kept = torch.where(p.cumsum(-1) - p < top_p, p, torch.zeros_like(p))
    return torch.zeros_like(p).scatter(1, order, kept / kept.sum(-1, keepdim=True))


def naive(logits: torch.Tensor, wrong: str, flatter: float = 0.7) -> torch.Tensor:
    """What speculation emits with a smaller model, noisy and less sure of itself, if its acceptance is wrong."""
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(7))
    p, q = torch.softmax(logits.double(), -1), torch.softmax((flatter * (logits + 0.7 * noise)).double(), -1)
    if wrong == "accepts all":
        return q
    accepted = torch.minimum(p, q)
    return accepted + (1 - accepted.sum(-1, keepdim=True)) * p  # the residual is p itself, not what is left of it


BIASED = {
    "likeliest": lambda logits: mixed(logits, 0.05, "likeliest"),
    "flattened": lambda logits: mixed(logits, 0.05, "flattened"),
    "uniform": lambda logits: mixed(logits, 0.05, "uniform"),
    "temperature 0.95": lambda logits: torch.softmax(logits.double() / 0.95, -1),
    "top-p 0.98": lambda logits: cut(logits, 0.98),
    "draft accepted always": lambda logits: naive(logits, "accepts all"),
    "wrong residual": lambda logits: naive(logits, "residual"),
}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", BIASED)
def test_a_planted_bias_is_found(logits: torch.Tensor, name: str, told: bool) -> None:
    scores = tile(logits, BIASED[name](logits), 1)
    assert lossy(scores, 0, scores.logp if told else None), name


def test_exact_sampling_is_kept(logits: torch.Tensor) -> None:
    """3 of 300 are expected at most; 9 or more have a probability of 0.4 %."""
    p = torch.softmax(logits.double(), -1)
    pool = tile(logits, p, 5, 8)
    whole = {f.name: getattr(pool, f.name).reshape(8, ROWS) for f in fields(Scores)}
    wrong = 0
    for seed in range(300):
        tokens = Scores(**{name: fresh(values, seed) for name, values in whole.items()})
        wrong += bool(lossy(tokens, seed, tokens.logp))
    assert wrong < 9


def fresh(values: Floats, seed: int) -> Floats:
    """For each row one of eight independent draws."""
    return values[np.random.default_rng(seed).integers(8, size=ROWS), np.arange(ROWS)]


def test_arithmetic_is_no_bias(logits: torch.Tensor) -> None:
    """A decoder with slightly different logits that reports its own probabilities samples rightly."""
    noise = 0.1 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(3))
    q = torch.softmax((logits + noise).double(), -1)
    tokens = draw(q, 11)
    scores, reported = score_rows(logits, tokens), q.gather(1, tokens[:, None])[:, 0].log().numpy()
    assert not lossy(scores, 0, reported)
    assert onesample.numerics(scores, reported).rms == pytest.approx(0.1, abs=0.03)


def test_power_is_as_stated(logits: torch.Tensor) -> None:
    """The stated share of likeliest tokens is found in 95 of 100, give or take four standard errors."""
    p = torch.softmax(logits.double(), -1)
    scores = score_rows(logits, draw(p, 0))
    found = onesample.settled(onesample.tests(scores, scores.logp, [], [], np.random.default_rng(0)), 0.01)
    share = onesample.power(scores, [t.finding for t in found]).likeliest
    assert share is not None
    biased = mixed(logits, share, "likeliest")
    exact = scores
    hits = 0
    for seed in range(100):
        tokens = draw(biased, 100 + seed)
        chosen = (tokens == logits.argmax(-1)).double().numpy()
        test = onesample.moment(
            "likeliest token", "", "sampling", chosen - exact.top, exact.top * (1 - exact.top), np.ones(ROWS), 0.0, "share"
        )
        hits += test.finding.p <= found[0].finding.level
    assert hits >= 86


def test_first_tokens_and_a_closed_vocabulary() -> None:
    p = np.array([0.4, 0.3, 0.2, 0.05, 0.03, 0.02])
    rng = np.random.default_rng(0)
    fair = onesample.first_counts(p, list(map(int, rng.choice(6, 400, p=p))), None)
    off = onesample.first_counts(p, list(map(int, rng.choice(6, 400, p=[0.2, 0.5, 0.2, 0.05, 0.03, 0.02]))), None)
    closed = onesample.first_counts(p, list(map(int, rng.choice(6, 400, p=p))), None, only=[1, 2, 3])
    assert closed.expected.sum() == pytest.approx(1)
    assert closed.raw.sum() < 400
    p_values = [onesample.cells("first", "", "model", [c], 0.0).finding.p for c in (fair, off, closed)]
    assert p_values[0] > 0.01
    assert p_values[1] < 1e-6
    assert p_values[2] > 0.01


def test_a_bias_without_direction_shows_where_a_context_is_repeated(logits: torch.Tensor) -> None:
    """A wrong residual of a draft model that errs evenly averages out over contexts, but not in the first tokens of a prompt."""
    row = logits[:1]
    biased, p = naive(row, "residual", flatter=1.0), torch.softmax(row.double(), -1)
    found = []
    for q in (biased, p):
        tokens = torch.multinomial(q[0], 4000, replacement=True, generator=torch.Generator().manual_seed(5)).tolist()
        found.append(onesample.cells("first", "", "model", [onesample.first_counts(p[0].numpy(), tokens, None)], 0.0).finding.p)
    assert found[0] < 1e-4
    assert found[1] > 0.01
