"""Tournaments through a real runtime: candidates of known strength, and a judge that compares two at a time."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import read_trace
from k2core_hooks.compare import compare
from k2core_hooks.replay import replay

from k2core import Candidate, LimitExceeded, PipelineConfig, PluginConfig, Problem, Registry, Result, Run, Runtime, Verdict
from k2core.plugin import Plugin, hookimpl
from k2core.testing import fake_decoder
from k2core.types import DecodeRequest, Message

PROBLEM = Problem(prompt="Which is best?")
STRENGTHS = (3, 7, 1, 8, 5, 2, 6, 4)


def strength(text: str) -> int:
    return int(re.findall(r"\d+", text)[0])


@dataclass
class Judge:
    """Compares two; an upset is a game that the weaker one wins."""

    opinion: Callable[[int, int], float] = lambda a, b: 0.5 if a == b else float(a > b)
    games: list[tuple[str, str]] = field(default_factory=list)
    stall: int | None = None
    """From this game on it never answers."""
    through_model: bool = False
    cancelled: int = 0
    seed: int = 0
    """Of the run."""

    def registry(self, strengths: Sequence[int] = STRENGTHS) -> Registry:
        judge = self

        class Compares(Plugin):
            config: PluginConfig

            @hookimpl
            async def k2_verify(self, run: Run, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
                return await judge.verdicts(run, candidates)

        class Keys(Plugin):
            config: PluginConfig
            listwise = False

            @hookimpl
            async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
                return [
                    Verdict(candidate_id=c.id, status="undecided", score=0.5, key=str(strength(c.text) % 3)) for c in candidates
                ]

        def answer(request: DecodeRequest, index: int) -> str:
            if request.role == "judge":
                return "the first"
            return f"I am {strengths[int(request.candidates[index])]}"

        registry = Registry()
        registry.add("verifier", "compares", Compares)
        registry.add("verifier", "keys", Keys)
        registry.add("decoder", "fake", fake_decoder(answer))
        return registry

    async def verdicts(self, run: Run, candidates: Sequence[Candidate]) -> list[Verdict]:
        assert len(candidates) == 2
        first, second = candidates
        self.games.append((first.id, second.id))
        if self.through_model:
            await run.decode(DecodeRequest(messages=(Message(role="user", content=first.text),), role="judge", max_tokens=5))
        if self.stall is not None and len(self.games) > self.stall:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        score = self.opinion(strength(first.text), strength(second.text))
        made = zip((first, second), (score, 1 - score), strict=True)
        return [Verdict(candidate_id=c.id, status="undecided", score=value) for c, value in made]


def pipeline(limits: dict[str, float] | None = None, **options: Any) -> PipelineConfig:
    tables = {
        "sampler": {"use": "tournament", "n": 8, **options},
        "verifiers": {"judge": {"use": "compares"}, "keys": {"use": "keys", "weight": 0.0}},
        "decoders": {"solver": {"use": "fake"}},
        "limits": limits or {},
    }
    return PipelineConfig.from_dict(tables)


def solve(judge: Judge, config: PipelineConfig, seed: int = 1, strengths: Sequence[int] = STRENGTHS) -> Result:
    return solve_each(judge, config, [seed], strengths)[0]


def solve_each(judge: Judge, config: PipelineConfig, seeds: Sequence[int], strengths: Sequence[int] = STRENGTHS) -> list[Result]:
    async def main() -> list[Result]:
        results = []
        async with Runtime(config, registry=judge.registry(strengths)) as runtime:
            for judge.seed in seeds:
                results.append(await runtime.solve(PROBLEM, seed=judge.seed))
            usage = runtime.ledger.total
            assert usage.started == usage.served + usage.cancelled + usage.failed
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return results

    return asyncio.run(main())


def by_strength(result: Result) -> list[int]:
    """Strengths in the order of the scores."""
    ordered = sorted(result.candidates, key=lambda c: -(c.score or 0))
    return [strength(c.text) for c in ordered]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "games"), [(1, 0), (2, 1), (3, 2), (5, 4), (8, 7)])
def test_knockout_finds_the_best_in_one_game_less_than_entrants(n: int, games: int, seed: int) -> None:
    judge = Judge()
    result = solve(judge, pipeline(n=n), seed)
    assert strength(result.candidate.text) == max(STRENGTHS[:n])
    assert len(judge.games) == games
    assert result.candidate.score == 1.0
    assert all(c.score is not None and c.score < 1 for c in result.candidates if c.id != result.candidate.id)
    assert [c.id for c in result.candidates] == [str(i) for i in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_swiss_ranks_by_strength(seed: int) -> None:
    judge = Judge()
    result = solve(judge, pipeline(format="swiss"), seed)
    assert len(judge.games) == 3 * 4
    assert len({frozenset(game) for game in judge.games}) == 12
    assert by_strength(result)[0] == 8
    assert solve(Judge(), pipeline(format="swiss", rounds=7), seed).scores == {
        str(i): pytest.approx(s / 8) for i, s in enumerate(STRENGTHS)
    }


def test_swiss_forgives_what_knockout_does_not() -> None:
    """A judge that is right in three of four games, each decided by lot once and for all."""

    def place_of_the_best(**options: Any) -> float:
        judge = Judge()

        def noisy(a: int, b: int) -> float:
            right = random.Random(f"{judge.seed} {min(a, b)} {max(a, b)}").random() < 0.75
            return float((a > b) == right)

        judge.opinion = noisy
        places = [by_strength(result).index(8) for result in solve_each(judge, pipeline(**options), range(60))]
        return sum(places) / len(places)

    assert place_of_the_best(format="swiss", rounds=7) < place_of_the_best()


def test_the_best_seed_does_not_profit_from_a_judge_that_likes_a_place() -> None:
    """It always prefers the one shown first: who that is must depend on the lot alone."""
    judge = Judge(lambda a, b: 1.0)
    solve_each(judge, pipeline(), range(40))
    forward = sum(int(a) < int(b) for a, b in judge.games)
    assert 0.35 * len(judge.games) < forward < 0.65 * len(judge.games)


def test_equal_answers_are_one_entrant() -> None:
    judge = Judge()
    result = solve(judge, pipeline(group_by="keys"))
    assert len(judge.games) == 2  # three keys
    scores = {c.id: c.score for c in result.candidates}
    groups = [{c.id for c in result.candidates if strength(c.text) % 3 == key} for key in range(3)]
    for group in groups:
        assert len({scores[name] for name in group} - {1.0}) == 1  # only the winner itself is above its equals
    assert sorted(set(scores.values()), reverse=True)[:2] == [1.0, 1 - 0.5 / 3]


def test_equal_texts_need_no_game_and_the_more_frequent_is_seeded_first() -> None:
    judge = Judge(opinion=lambda a, b: 0.5)
    result = solve(judge, pipeline(), strengths=(1, 2, 2, 1, 2, 3, 1, 2))
    assert len(judge.games) == 2
    assert strength(result.candidate.text) == 2  # all is tied: the seed decides, and it has most votes
    scores = {c.id: c.score for c in result.candidates}
    assert scores["1"] == 1.0
    assert scores["2"] == scores["4"] == scores["7"] == 1 - 0.5 / 3
    assert scores["0"] == scores["3"] == scores["6"]


def test_a_tie_can_be_played_again_in_the_other_order() -> None:
    judge = Judge(opinion=lambda a, b: 0.5)
    solve(judge, pipeline(n=2, ties="replay"))
    assert judge.games in ([("0", "1"), ("1", "0")], [("1", "0"), ("0", "1")])


def test_a_judge_that_fails_is_no_evidence() -> None:
    def broken(a: int, b: int) -> float:
        if 8 in (a, b):
            raise RuntimeError("no idea")
        return float(a > b)

    for options in ({}, {"format": "swiss"}):
        result = solve(Judge(broken), pipeline(**options))
        assert any("could not be judged and count as ties" in warning for warning in result.warnings)
        assert sum(c.score == 1.0 for c in result.candidates) == 1


def test_a_limit_in_the_judge_ends_in_ties() -> None:
    def spent(a: int, b: int) -> float:
        raise LimitExceeded("all is spent", "hooks.budget.tokens")

    result = solve(Judge(spent), pipeline())
    assert len(result.candidates) == 8
    assert sum(c.score == 1.0 for c in result.candidates) == 1


@pytest.mark.parametrize("options", [{}, {"format": "swiss"}])
def test_soft_deadline_ranks_by_the_games_so_far(options: dict[str, Any]) -> None:
    judge = Judge(stall=4, through_model=True)
    result = solve(judge, pipeline({"soft_deadline": 0.2}, **options))
    assert judge.cancelled == len(judge.games) - 4 > 0
    played = {name for game in judge.games[:4] for name in game}
    winners = {max(game, key=lambda name: STRENGTHS[int(name)]) for game in judge.games[:4]}
    assert result.candidate.id in winners
    assert played >= winners
    assert result.usage["judge"].started == len(judge.games)


def test_soft_deadline_before_any_game_decides_by_seed() -> None:
    judge = Judge(stall=0)
    result = solve(judge, pipeline({"soft_deadline": 0.1}), strengths=(1, 2, 3, 2, 4, 5, 6, 7))
    assert strength(result.candidate.text) == 2


def test_rounds_are_played_side_by_side() -> None:
    """The four first games are all begun before any of them has ended."""

    class Together(Judge):
        async def verdicts(self, run: Run, candidates: Sequence[Candidate]) -> list[Verdict]:
            self.open = getattr(self, "open", 0) + 1
            self.most = max(getattr(self, "most", 0), self.open)
            await asyncio.sleep(0.01)
            self.open -= 1
            return await super().verdicts(run, candidates)

    judge = Together()
    solve(judge, pipeline())
    assert judge.most == 4


def test_deterministic_and_it_replays(tmp_path: Path) -> None:
    def run_once(seed: int) -> list[tuple[str, float | None]]:
        return [(c.id, c.score) for c in solve(Judge(), pipeline(), seed).candidates]

    assert run_once(3) == run_once(3)
    tables = {**pipeline().model_dump(exclude_unset=True), "hooks": {"trace": {"file": str(tmp_path / "t.jsonl")}}}
    solve(Judge(through_model=True), PipelineConfig.from_dict(tables))
    run = read_trace(tmp_path / "t.jsonl")
    ended = asyncio.run(replay(run, (), None, Judge(through_model=True).registry()))
    assert [item.name for item in compare(run.ended, ended) if not item.same] == []


def test_cancellation_leaves_nothing_and_the_books_add_up() -> None:
    async def main() -> None:
        judge = Judge(stall=2, through_model=True)
        async with Runtime(pipeline(), registry=judge.registry()) as runtime:
            task = asyncio.create_task(runtime.solve(PROBLEM, seed=1))
            async with asyncio.timeout(10):
                while len(judge.games) < 4:  # noqa: ASYNC110 # the script has no event to set
                    await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            usage = runtime.ledger.total
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert usage.started == usage.served + usage.cancelled == 8 + len(judge.games)

    asyncio.run(main())


def test_other_verifiers_still_have_their_say() -> None:
    """The kernel takes the sampler's scores for the judge's, and does not ask the judge about all candidates at once."""
    judge = Judge()
    result = solve(judge, pipeline())
    assert {v.verifier for v in result.verdicts} == {"judge", "keys"}
    assert {v.candidate_id: v.score for v in result.verdicts if v.verifier == "judge"} == {c.id: c.score for c in result.candidates}
