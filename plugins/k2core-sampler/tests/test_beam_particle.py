"""Step-level search through a real runtime: a lock whose digits are written one a step, and a verifier that hears them click."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import read_trace
from k2core_hooks.compare import compare
from k2core_hooks.replay import replay
from k2core_sampler.beam import BeamConfig

from k2core import Candidate, LimitExceeded, PipelineConfig, PluginConfig, Problem, Registry, Result, Run, Runtime, Verdict
from k2core.events import CandidateMade, Delta
from k2core.plugin import Plugin, hookimpl
from k2core.testing import EventRecorder
from k2core.types import Completion, DecodeRequest

DIGITS, LENGTH = 4, 4
PROBLEM = Problem(prompt="Open the lock.")
CODE = [2, 0, 3, 1]


def opened(text: str) -> int:
    """How many leading digits are right."""
    said = [line.removeprefix("turn ") for line in text.split("\n\n") if line.startswith("turn ")]
    return next((i for i, digit in enumerate(said) if digit != str(CODE[i])), len(said))


def guess(request: DecodeRequest, index: int) -> str:
    """A whole solution, or the rest of the one that was begun; the digits are drawn from the request's seed."""
    last = request.messages[-1]
    begun = last.content if last.role == "assistant" else last.content.partition("<solution>\n")[2].partition("\n</solution>")[0]
    done = begun.count("turn ")
    dice = random.Random((request.seed or 0) + index)
    lines = [f"turn {dice.randrange(DIGITS)}" for _ in range(LENGTH - done)]
    return "\n\n".join([*lines, "\\boxed{open}"])


@dataclass
class Lock:
    """The model, the verifier and what they were asked."""

    reply: Callable[[DecodeRequest, int], str | Exception] = guess
    score: Callable[[str], float] = lambda text: opened(text) / LENGTH
    tells: bool = False
    """Whether the back end says what stopped it."""
    stall: Callable[[DecodeRequest], bool] = lambda request: False
    """Which calls are never answered."""
    requests: list[DecodeRequest] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    cancelled: int = 0
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    events: EventRecorder = field(default_factory=EventRecorder)

    def registry(self) -> Registry:
        lock = self

        class Model(Plugin):
            config: PluginConfig

            @hookimpl
            async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
                return await lock.decode(run, request)

        class Clicks(Plugin):
            config: PluginConfig
            listwise = False

            @hookimpl
            async def k2_verify(self, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
                lock.judged += [candidate.text for candidate in candidates]
                return [Verdict(candidate_id=c.id, status="undecided", score=lock.score(c.text)) for c in candidates]

        class Recorder(Plugin):
            config: PluginConfig

            @hookimpl
            def k2_event(self, event: Any) -> None:
                lock.events.events.append(event)

        registry = Registry()
        registry.add("decoder", "model", Model)
        registry.add("verifier", "clicks", Clicks)
        registry.add("hook", "recorder", Recorder)
        return registry

    async def decode(self, run: Run, request: DecodeRequest) -> list[Completion]:
        self.requests.append(request)
        try:
            if self.stall(request):
                run.delta("turn")
                self.stalled.set()
                await asyncio.Event().wait()
            return [self._choice(run, request, index) for index in range(request.n)]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
        reply = self.reply(request, index)
        if isinstance(reply, Exception):
            raise reply
        ends = {reply.find(stop): stop for stop in request.stop if stop in reply}
        text = reply[: min(ends, default=len(reply))]
        pieces = [text[i : i + 4] for i in range(0, len(text), 4)][: request.max_tokens]
        for piece in pieces:
            run.delta(piece, index)
        whole = "".join(pieces) == text
        stopped = (ends[min(ends)] if ends else "") if self.tells and whole else None
        return Completion(text="".join(pieces), tokens=len(pieces), finish="stop" if whole else "length", stopped=stopped)


def pipeline(use: str, limits: dict[str, float] | None = None, **options: Any) -> PipelineConfig:
    tables = {
        "sampler": {"use": use, **options},
        "verifiers": {"process": {"use": "clicks"}},
        "decoders": {"solver": {"use": "model"}},
        "hooks": {"recorder": {"use": "recorder"}},
        "limits": limits or {},
    }
    return PipelineConfig.from_dict(tables)


def solve(lock: Lock, config: PipelineConfig, seed: int = 1) -> Result:
    return solve_each(lock, config, [seed])[0]


def solve_each(lock: Lock, config: PipelineConfig, seeds: Sequence[int]) -> list[Result]:
    async def main() -> list[Result]:
        async with Runtime(config, registry=lock.registry()) as runtime:
            results = [await runtime.solve(PROBLEM, seed=seed) for seed in seeds]
            usage = runtime.ledger.total
            assert usage.started == len(lock.requests) == usage.served + usage.cancelled + usage.failed
            assert usage.cancelled == lock.cancelled
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return results

    return asyncio.run(main())


SEARCHES = {"beam": {"width": 2, "expand": 4}, "particle": {"n": 8, "ess": 1.0}}
both = pytest.mark.parametrize("use", SEARCHES)


@both
def test_search_finds_what_drawing_whole_solutions_misses(use: str) -> None:
    """The chance of a random code is 1 in 256; with a verifier that hears each digit, step-wise search opens most locks."""
    arms = {use: {"width": 4, "expand": 4} if use == "beam" else {"n": 16, "ess": 1.0}, "best-of-n": {"n": 16}}
    found, spent = Counter[str](), Counter[str]()
    for name, options in arms.items():
        for result in solve_each(Lock(), pipeline(name, **options), range(25)):
            spent[name] += result.usage["solve"].completion_tokens
            found[name] += opened(result.candidate.text) == LENGTH
    assert found[use] >= 15  # the chance of a beam of 4 by 4 is 80 %
    assert found["best-of-n"] <= 6
    assert spent[use] <= 1.1 * spent["best-of-n"]


@both
def test_what_is_asked_for(use: str) -> None:
    lock = Lock()
    result = solve(lock, pipeline(use, **SEARCHES[use], max_tokens=40))
    first, *later = lock.requests
    assert (first.n, first.continue_last, first.candidates) == (8, False, ())
    assert all(request.stop == ("\n\n",) and request.continue_last for request in later)
    assert all(request.messages[-1].role == "assistant" for request in later)
    assert all(request.messages[-1].content.endswith("\n\n") for request in later)
    assert all(request.messages[:-1] == first.messages for request in later)
    by_depth = Counter(request.messages[-1].content.count("turn ") for request in later)
    assert max(by_depth.values()) <= (2 if use == "beam" else 8)
    prefixes = [request.messages[-1].content for request in later]
    assert len(set(prefixes)) == len(prefixes)  # equal prefixes share a call
    assert len(set(lock.judged)) == len(lock.judged)  # and nothing is judged twice
    for candidate in result.candidates:
        assert candidate.completion is not None
        assert candidate.completion.tokens == sum(-(-len(step) // 4) for step in candidate.text.split("\n\n"))
        assert candidate.score == opened(candidate.text) / LENGTH
    assert all(delta.candidate is None for delta in lock.events.of(Delta))


@both
def test_same_seed_same_search_and_another_seed_another(use: str) -> None:
    def ids(seed: int) -> list[tuple[str, str]]:
        return [(c.id, c.text) for c in solve(Lock(), pipeline(use, **SEARCHES[use]), seed).candidates]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


@both
def test_it_replays(use: str, tmp_path: Path) -> None:
    config = pipeline(use, **SEARCHES[use])
    tables = {**config.model_dump(exclude_unset=True), "hooks": {"trace": {"file": str(tmp_path / "t.jsonl")}}}
    solve(Lock(), PipelineConfig.from_dict(tables))
    run = read_trace(tmp_path / "t.jsonl")
    ended = asyncio.run(replay(run, (), None, Lock().registry()))
    assert [item.name for item in compare(run.ended, ended) if not item.same] == []


@both
def test_quoted_work_for_back_ends_that_cannot_continue(use: str) -> None:
    lock = Lock()
    result = solve(lock, pipeline(use, **SEARCHES[use], prefix="prompt"))
    assert not any(request.continue_last for request in lock.requests)
    last = lock.requests[-1].messages
    assert len(last) == 1
    assert last[0].content.startswith("Open the lock.")
    assert "<solution>\nturn " in last[0].content
    assert opened(result.candidate.text) >= 3


def test_work_that_is_repeated_is_not_taken_twice() -> None:
    def repeating(request: DecodeRequest, index: int) -> str:
        begun = request.messages[-1].content.partition("<solution>\n")[2].partition("\n</solution>")[0]
        return f"{begun}\n\n{guess(request, index)}" if begun else guess(request, index)

    lock = Lock(reply=repeating)
    result = solve(lock, pipeline("beam", width=1, expand=2, prefix="prompt", step_stop="", step_tokens=100))
    assert result.candidate.text.count("turn ") == LENGTH


@both
@pytest.mark.parametrize("tells", [True, False])
def test_a_model_that_ends_without_an_answer_mark(use: str, tells: bool) -> None:
    """Where the back end tells what stopped it, the end is the end; where not, an empty step is."""

    def brief(request: DecodeRequest, index: int) -> str:
        return "" if request.continue_last else "I give up."

    lock = Lock(reply=brief, tells=tells)
    result = solve(lock, pipeline(use, **SEARCHES[use]))
    assert {c.text for c in result.candidates} == {"I give up."}
    assert all(c.completion is not None and c.completion.finish == "stop" for c in result.candidates)
    assert len(lock.requests) == (1 if tells else 2)


@both
def test_steps_of_a_fixed_length_need_no_separator(use: str) -> None:
    lock = Lock()
    result = solve(lock, pipeline(use, **SEARCHES[use], step_stop="", step_tokens=3))
    assert all(request.stop == () and request.max_tokens <= 3 for request in lock.requests)
    assert result.candidate.text.endswith("\\boxed{open}")


@both
def test_tokens_and_steps_are_limited(use: str) -> None:
    lock = Lock()
    result = solve(lock, pipeline(use, **SEARCHES[use], max_tokens=5))
    for candidate in result.candidates:
        assert candidate.completion is not None
        assert (candidate.completion.tokens, candidate.completion.finish) == (5, "length")
    assert "no candidate was finished within 16 steps and 5 tokens" in result.warnings[0]
    assert not lock.events.of(CandidateMade) or {e.candidate.id for e in lock.events.of(CandidateMade)} <= {
        c.id for c in result.candidates
    }
    shallow = solve(Lock(), pipeline(use, **SEARCHES[use], max_steps=2))
    assert {c.text.count("turn ") for c in shallow.candidates} == {2}


@both
def test_soft_deadline_with_nothing_finished_gives_what_there_is(use: str) -> None:
    lock = Lock(stall=lambda request: request.messages[-1].content.count("turn ") == 2)
    result = solve(lock, pipeline(use, {"soft_deadline": 0.1}, **SEARCHES[use]))
    assert lock.cancelled > 0
    assert {c.text.count("turn ") for c in result.candidates} == {2}
    assert all(c.completion is not None and c.completion.finish == "length" for c in result.candidates)
    assert "the soft deadline passed" in result.warnings[0]


@both
def test_soft_deadline_keeps_the_finished(use: str) -> None:
    def uneven(request: DecodeRequest, index: int) -> str:
        return "\\boxed{quick}" if index == 0 and not request.continue_last else guess(request, index)

    lock = Lock(reply=uneven, stall=lambda request: request.continue_last)
    result = solve(lock, pipeline(use, {"soft_deadline": 0.1}, **SEARCHES[use]))
    assert [c.text for c in result.candidates] == ["\\boxed{quick}"]
    assert lock.cancelled > 0


@both
def test_the_soft_deadline_waits_for_the_first_steps(use: str) -> None:
    class Slow(Lock):
        async def decode(self, run: Run, request: DecodeRequest) -> list[Completion]:
            await run.wait_hurry()
            return await super().decode(run, request)

    lock = Slow()
    result = solve(lock, pipeline(use, {"soft_deadline": 0.01}, **SEARCHES[use]))
    assert len(lock.requests) == 1
    assert {c.text.count("turn ") for c in result.candidates} == {1}


@both
def test_a_failed_call_does_not_end_the_others(use: str) -> None:
    def broken(request: DecodeRequest, index: int) -> str | Exception:
        return RuntimeError("cannot") if "turn 3" in request.messages[-1].content else guess(request, index)

    result = solve(
        Lock(reply=broken, score=lambda text: 0.5), pipeline(use, **(SEARCHES[use] | {"width": 8} if use == "beam" else {}))
    )
    assert any("failed: model (decoder): RuntimeError: cannot" in warning for warning in result.warnings)
    assert result.candidate.text.endswith("\\boxed{open}")


@both
def test_without_any_step_the_error_comes_out(use: str) -> None:
    with pytest.raises(Exception, match="no lock here"):
        solve(Lock(reply=lambda request, index: RuntimeError("no lock here")), pipeline(use, **SEARCHES[use]))


@both
def test_a_limit_ends_the_search_with_what_there_is(use: str) -> None:
    def spent(request: DecodeRequest, index: int) -> str | Exception:
        if request.messages[-1].content.count("turn ") == 2:
            return LimitExceeded("all is spent", "hooks.budget.tokens")
        return guess(request, index)

    lock = Lock(reply=spent)
    result = solve(lock, pipeline(use, **SEARCHES[use]))
    assert {c.text.count("turn ") for c in result.candidates} == {2}
    assert max(request.messages[-1].content.count("turn ") for request in lock.requests) == 2


@both
def test_a_verifier_that_fails_is_no_evidence(use: str) -> None:
    def silent(text: str) -> float:
        raise RuntimeError("deaf")

    result = solve(Lock(score=silent), pipeline(use, **SEARCHES[use]))
    assert result.candidate.text.endswith("\\boxed{open}")
    assert all(candidate.score is None for candidate in result.candidates)


@both
def test_cancellation_leaves_nothing_and_the_books_add_up(use: str) -> None:
    async def main() -> None:
        lock = Lock(stall=lambda request: request.messages[-1].content.count("turn ") == 1)
        async with Runtime(pipeline(use, **SEARCHES[use]), registry=lock.registry()) as runtime:
            task = asyncio.create_task(runtime.solve(PROBLEM, seed=1))
            async with asyncio.timeout(10):
                await lock.stalled.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            usage = runtime.ledger.total
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (usage.started, usage.served) == (len(lock.requests), 1)
        assert usage.cancelled == lock.cancelled == len(lock.requests) - 1
        assert usage.completion_tokens >= 8 + lock.cancelled

    asyncio.run(main())


def test_trees_do_not_compete() -> None:
    """As many trees as beams: each keeps its own best continuation, so that different first digits survive."""
    seen = set()
    for trees in (1, 4):
        result = solve(Lock(), pipeline("beam", width=4, expand=2, trees=trees))
        roots = {candidate.id.split(".")[0] for candidate in result.candidates}
        seen.add((trees, len({int(root) % 4 for root in roots})))
    assert (4, 4) in seen
    with pytest.raises(ValueError, match="need a width of at least 3"):
        BeamConfig(width=2, trees=3)


def test_a_finished_beam_is_kept_and_takes_its_slot() -> None:
    """One beam ends at once with a full score; the other one goes on."""

    def uneven(request: DecodeRequest, index: int) -> str:
        return "\\boxed{quick}" if index == 0 and not request.continue_last else guess(request, index)

    lock = Lock(reply=uneven, score=lambda text: 1.0 if "quick" in text else 0.5)
    result = solve(lock, pipeline("beam", width=2, expand=2))
    assert [request.n for request in lock.requests] == [4, *[2] * LENGTH]
    assert result.candidates[0].id == "0"
    assert len(result.candidates) == len({c.text for c in result.candidates}) > 1
    assert result.candidate.text == "\\boxed{quick}"
    assert [event.candidate.id for event in lock.events.of(CandidateMade)] == [c.id for c in result.candidates]


def test_particles_that_died_out_are_gone_and_copies_are_numbered() -> None:
    result = solve(Lock(), pipeline("particle", n=8, ess=1.0, resample_temperature=0.01))
    assert len(result.candidates) == 8
    ids = [candidate.id for candidate in result.candidates]
    assert len(set(ids)) == 8
    assert len({name.split(".")[0] for name in ids}) == 1  # all descend from one first digit
    assert {c.text.split("\n\n")[0] for c in result.candidates} == {f"turn {CODE[0]}"}


def test_particles_without_resampling_are_independent_solutions() -> None:
    result = solve(Lock(), pipeline("particle", n=8, ess=0.0))
    assert [candidate.id.split(".")[0] for candidate in result.candidates] == [str(i) for i in range(8)]


def test_reasoning_is_carried_along() -> None:
    """A turn that is still within its reasoning is continued within it, and judged by it."""

    class Thinker(Lock):
        def _choice(self, run: Run, request: DecodeRequest, index: int) -> Completion:
            begun = request.messages[-1].content
            if not request.continue_last:
                return Completion(reasoning="I think", text="", tokens=2)
            if "</think>" not in begun:
                return Completion(reasoning="and think.", text="So", tokens=3)
            return Completion(text="\\boxed{1}", tokens=1)

    lock = Thinker(tells=True)
    result = solve(lock, pipeline("beam", width=1, expand=1))
    assert [request.messages[-1].content for request in lock.requests[1:]] == [
        "<think>I think\n\n",
        "<think>I think\n\nand think.</think>\n\nSo\n\n",
    ]
    assert lock.judged[0] == "I think"
    completion = result.candidate.completion
    assert completion is not None
    assert (completion.text, completion.reasoning, completion.tokens) == ("So\n\n\\boxed{1}", "I think\n\nand think.", 6)
