"""The pace against synthetic machines and recorded patterns of acceptance, with a clock of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import Any, ClassVar

import pytest
from k2core_decoder_transformers.speculation import Draft, Speculation, SpeculationConfig, Step
from k2core_decoder_transformers.speculation.acceptance import Acceptance
from k2core_decoder_transformers.speculation.cost import CostModel
from k2core_decoder_transformers.speculation.pace import PURSE, SHARE, Ask, Pace
from pydantic import ValidationError

Cost = Callable[[int], float]
Truth = Callable[[int, int], int]
"""How many drafted tokens of sequence i would be accepted at its position."""


def cpu(rows: int) -> float:
    return 0.040 + 0.0033 * rows


def gpu(rows: int) -> float:
    return 0.010 + 0.00002 * rows


def serial(rows: int) -> float:
    """A machine on which rows cost as much as steps: speculation can never pay."""
    return 0.010 * rows


@dataclass
class Seq:
    id: int
    group: int = 0
    prompt: tuple[int, ...] = ()
    prediction: tuple[int, ...] = ()
    ids: list[int] = field(default_factory=list)
    warp: Any = None
    noise: Any = None
    room: int = 10**6


class Scripted:
    """Token i of every text is i; a draft is right for as many tokens as the script says. Drafting takes `seconds` of the clock."""

    passes: ClassVar[bool] = False

    def __init__(self, truth: Truth, clock: list[float], seconds: float) -> None:
        self.truth, self.clock, self.seconds = truth, clock, seconds

    def open(self, view: Any) -> None: ...
    def grew(self, view: Any, new: Sequence[int]) -> None: ...
    def close(self, view: Any) -> None: ...

    def draft(self, views: Sequence[Any], most: Sequence[int]) -> list[Draft]:
        self.clock[0] += self.seconds * (max(most) if self.passes else len(views))
        found = []
        for view, limit in zip(views, most, strict=True):
            at, right = len(view.ids), self.truth(view.id, len(view.ids))
            if right >= 0:
                found.append(Draft([at + j if j < right else 0 for j in range(limit)], 8 if right > 2 else 2))
            else:
                found.append(Draft())
        return found


class Model(Scripted):
    passes: ClassVar[bool] = True


def simulate(
    cost: Cost,
    truth: Truth,
    count: int = 1,
    steps: int = 600,
    kind: type[Scripted] = Scripted,
    drafting: float = 1e-5,
    noise: float = 0.0,
) -> tuple[float, Speculation, list[int]]:
    """Tokens a second relative to no speculation on the same machine, the speculation, and the tokens drafted at each step."""
    rng, clock = random.Random(0), [0.0]
    drafter = kind(truth, clock, drafting)
    speculation = Speculation(drafter, 10**9, most=16, clock=lambda: clock[0])
    views, trace, tokens, busy = [Seq(i) for i in range(count)], [], 0, 0.0
    for _ in range(steps):
        drafts = speculation.plan(views)
        done = []
        for view, draft in zip(views, drafts, strict=True):
            at = len(view.ids)
            right = next((j for j, token in enumerate(draft) if token != at + j), len(draft))
            view.ids += range(at, at + right + 1)
            tokens += right + 1
            done.append(Step(view, len(draft), right, view.ids[at:]))
        rows = count + sum(map(len, drafts))
        seconds = cost(rows) * (1.0 + noise * rng.choice([-0.5, -0.2, 0.0, 0.0, 0.2, 2.0]))
        busy += cost(rows)
        trace.append(rows - count)
        speculation.done(done, rows, seconds)
    plain = count / cost(count)
    return tokens / (busy + clock[0]) / plain, speculation, trace


@pytest.mark.parametrize("count", [1, 8, 64])
@pytest.mark.parametrize("cost", [cpu, gpu])
def test_gains_where_text_is_copied(cost: Cost, count: int) -> None:
    faster, _, _ = simulate(cost, lambda i, at: 12 if at % 40 < 36 else 0, count)
    assert faster > (1.1 if count == 64 and cost is cpu else 1.5 if cost is cpu else 3.0)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("cost", [cpu, gpu, serial])
@pytest.mark.parametrize("kind", [Scripted, Model])
def test_loses_little_on_free_text(cost: Cost, count: int, kind: type[Scripted]) -> None:
    """No draft is ever right: at least 0.97 of the speed, and asymptotically within the share that the ledger grants."""
    drafting = 1e-5 if kind is Scripted else 0.2 * cost(count)
    for steps in (800, 2500):
        slower, speculation, _ = simulate(cost, lambda i, at: 0, count, steps, kind, drafting)
        purse = speculation.pace._full + 4.0  # the purse at the start, and the overshoot of a step
        assert 1.0 / slower <= 1.0 + SHARE + purse / steps
    assert slower >= 0.98
    short, _, _ = simulate(cost, lambda i, at: 0, count, 300)
    assert short >= 0.97


def test_a_machine_whose_rows_cost_as_much_as_steps_is_left_alone() -> None:
    ratio, _, trace = simulate(serial, lambda i, at: 12, 4, 2000)
    assert ratio > 0.98
    assert sum(1 for drafted in trace[500:] if drafted) < 30


def test_noise_in_the_clock_does_not_hide_the_gain() -> None:
    faster, _, _ = simulate(cpu, lambda i, at: 12 if at % 40 < 36 else 0, 8, noise=0.3)
    assert faster > 1.3
    slower, _, _ = simulate(cpu, lambda i, at: 0, 8, 2000, noise=0.3)
    assert slower > 0.97


def test_a_slow_drafter_is_switched_off_by_itself() -> None:
    ratio, speculation, _ = simulate(gpu, lambda i, at: 0, 1, 3000, drafting=0.01)
    assert ratio > 0.98
    assert speculation.active


@pytest.mark.parametrize("kind", [Scripted, Model])
def test_comes_back_when_text_turns_repetitive(kind: type[Scripted]) -> None:
    """Free for 1,000 tokens, then copied: within 200 steps it drafts most of the time."""
    drafting = 1e-5 if kind is Scripted else 0.004
    _, _, trace = simulate(cpu, lambda i, at: 0 if at < 1000 else 16, 1, 1800, kind, drafting)
    assert sum(1 for drafted in trace[500:1000] if drafted) < 25
    later = trace[1500:] if kind is Model else trace[1200:]
    assert median(later) >= 4


def test_only_the_sequence_that_gains_is_drafted_for() -> None:
    _, speculation, _ = simulate(cpu, lambda i, at: 16 if i == 2 else 0, 4, 400)
    lengths = speculation.pace.lengths([Ask(i, 16, 8 if i == 2 else 2) for i in range(4)])
    assert lengths[2] >= 4
    assert [lengths[i] for i in (0, 1, 3)] == [0, 0, 0]


def test_lengths_are_the_best_of_all() -> None:
    """Against trying every combination."""
    rng = random.Random(4)
    for _ in range(40):
        pace = Pace()
        for rows in (3, 4, 6, 9, 12, 15):
            for _ in range(5):
                pace.stepped(3, rows - 3, rows - 3, 0.01 + 0.001 * rows * rng.random(), 0.0)
        for i in range(3):
            for _ in range(10):
                pace.acceptance.learn(i, 4, 4, rng.randrange(5))
        asks = [Ask(i, 4, 4) for i in range(3)]

        def rate(lengths: Sequence[int], pace: Pace = pace) -> float:
            tokens = 3.0
            for i, length in enumerate(lengths):
                gain, later = pace.acceptance.chances(i, 4)
                tokens += sum(gain * later**j for j in range(length))
            return tokens / pace.cost.seconds(3 + sum(lengths))

        best = max(product(range(5), repeat=3), key=rate)
        chosen = pace._best(asks)
        if any(chosen):
            assert rate(chosen) == pytest.approx(rate(best))
        else:
            assert rate(best) <= 1.0301 * rate([0, 0, 0])


def test_rows_that_a_pass_is_filled_up_with_are_used() -> None:
    """9 to 16 rows cost the same: of 8 sequences drafting pays for 8 tokens where it does not for one."""
    cost = CostModel(lambda rows: rows if rows <= 8 else -(-rows // 8) * 8)
    for rows, seconds in ((8, 1.0), (13, 1.4), (24, 2.0)):
        for _ in range(3):
            cost.learn(rows, seconds)
    assert cost.seconds(9) == cost.seconds(16) == pytest.approx(1.4 * cost.seconds(8))
    pace = Pace()
    pace.cost = cost
    pace.stepped(8, 0, 0, 1.0, 0.0)
    for i in range(8):
        for _ in range(40):
            pace.acceptance.learn(i, 4, 1, 1)
    assert sum(pace.lengths([Ask(i, 1, 4) for i in range(8)])) == 8
    assert sum(pace.lengths([Ask(i, 1 if i < 2 else 0, 4) for i in range(8)])) == 0


def test_the_ledger_bounds_what_a_run_of_bad_luck_costs() -> None:
    pace = Pace()
    pace.stepped(1, 0, 0, 0.01, 0.0)
    lost = 0
    while not pace.resting:
        pace.stepped(1, 8, 0, 0.02, 0.0)
        lost += 1
    assert lost <= PURSE / 0.3
    assert pace.lengths([Ask(1, 8, 8)]) == [0]


def test_cost_is_learnt_through_outliers_and_a_machine_that_slows_down() -> None:
    rng, cost = random.Random(0), CostModel()
    for scale in (1.0, 3.0):
        for _ in range(150):
            rows = rng.choice([1, 2, 4, 9, 17])
            cost.learn(rows, scale * cpu(rows) * (20.0 if rng.random() < 0.05 else 1.0))
        for rows in (1, 3, 9, 12, 17):
            assert cost.seconds(rows) / cost.seconds(1) == pytest.approx(cpu(rows) / cpu(1), rel=0.15)
    assert cost.seconds(9) == pytest.approx(3 * cpu(9), rel=0.4)
    assert all(cost.shape(rows) <= cost.shape(rows + 1) + 1e-12 for rows in range(1, 40))


def test_acceptance_starts_from_common_experience_and_follows_its_own() -> None:
    acceptance = Acceptance()
    for _ in range(50):
        acceptance.learn(1, 8, 4, 4)
        acceptance.learn(1, 2, 4, 0)
    assert acceptance.chances(2, 9)[0] > 0.9
    assert acceptance.chances(2, 2)[0] < 0.1
    for _ in range(20):
        acceptance.learn(2, 9, 4, 0)
    assert acceptance.chances(2, 9)[0] < 0.2 < acceptance.chances(1, 9)[0]
    acceptance.forget(2)
    assert 2 not in acceptance._own


def test_options_are_checked() -> None:
    with pytest.raises(ValidationError, match="shortest = 9 is greater than longest = 4"):
        SpeculationConfig(shortest=9, longest=4)
    with pytest.raises(ValidationError, match="the drafter draft-model needs `model`"):
        SpeculationConfig(drafter="draft-model")
    assert SpeculationConfig.model_validate(SpeculationConfig().model_dump()) == SpeculationConfig()
