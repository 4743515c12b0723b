"""`k2 replay`: a recorded run again, offline."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import RecordedRun, read_trace
from k2core_hooks.budget import Budget
from k2core_hooks.compare import Item, compare, differences
from k2core_hooks.jsonl import to_line
from k2core_hooks.offline import offline
from k2core_hooks.progress import Progress
from k2core_hooks.replay import _read, replay
from k2core_hooks.trace import Trace

from k2core import (
    Candidate,
    ConfigError,
    DecodeRequest,
    K2Error,
    Message,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Run,
    Runtime,
    TransientError,
    hookimpl,
)
from k2core.events import CandidateMade, Event, RunEnded, SamplerStopped, Tuned
from k2core.testing import EventRecorder, FakePlanner, FakeSampler, FakeVerifier, fake_decoder
from k2core.types import Usage

POINTS = {
    "k2core.planner.v1": {"fake-plan": "k2core.testing:FakePlanner"},
    "k2core.sampler.v1": {"fake-n": "k2core.testing:FakeSampler"},
    "k2core.verifier.v1": {"fake-verify": "k2core.testing:FakeVerifier"},
}


class NoConfig(PluginConfig):
    pass


class Greedy(Plugin):
    """Asks two at once and cancels the one that is not done first."""

    config: NoConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        calls = {asyncio.ensure_future(run.decode(_request(name))): name for name in ("slow", "quick")}
        try:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        [first] = done
        return [Candidate(id=calls[first], text=first.result()[0].text)]


class LearningConfig(PluginConfig):
    n: int = 1
    """Raised by one in every run; a fresh plugin has to be told."""


class Learning(Plugin):
    """Draws more candidates from run to run."""

    config: LearningConfig
    runs = 0

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        n = self.config.n + self.runs
        self.runs += 1
        run.emit(Tuned(plugin=self.path, options={"n": n}))
        made = [(await run.decode(_request(f"c{i}")))[0] for i in range(n)]
        run.emit(SamplerStopped(reason=f"{n} are enough", counted=n))
        return [Candidate(id=f"c{i}", text=completion.text) for i, completion in enumerate(made)]


def _request(name: str) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content=name),), max_tokens=100_000, candidates=(name,))


def _registry(respond: Any = None) -> Registry:
    registry = Registry()
    registry.add("planner", "fake-plan", FakePlanner)
    registry.add("sampler", "fake-n", FakeSampler)
    registry.add("sampler", "greedy", Greedy)
    registry.add("sampler", "learning", Learning)
    registry.add("verifier", "fake-verify", FakeVerifier)
    for name, hook in {"trace": Trace, "budget": Budget, "progress": Progress}.items():
        registry.add("hook", name, hook)
    if respond:
        registry.add("decoder", "fake", fake_decoder(respond))
    return registry


def _record(
    path: Path, respond: Any, sampler: dict[str, Any] | None = None, *, interrupt: bool = False, **more: Any
) -> RecordedRun:
    tables = {
        "planner": {"use": "fake-plan"},
        "sampler": sampler or {"use": "fake-n", "n": 3},
        "verifiers": {"check": {"use": "fake-verify"}},
        "decoders": {"solver": {"use": "fake"}},
        **more,
    }
    tables["hooks"] = {"trace": {"file": str(path)}, "progress": {"mode": "lines"}, **more.get("hooks", {})}

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict(tables), registry=_registry(respond)) as runtime:
            with suppress(K2Error, TimeoutError):
                async with asyncio.timeout(0.1 if interrupt else None):
                    await runtime.solve(Problem(prompt="6*7?"), seed=3)

    asyncio.run(main())
    return read_trace(path)


def _replay(run: RecordedRun, *overrides: str, limit: float | None = None) -> tuple[RunEnded, dict[str, Item]]:
    ended = asyncio.run(replay(run, overrides, limit, _registry()))
    return ended, {item.name: item for item in compare(run.ended, ended)}


def _differing(items: dict[str, Item]) -> list[str]:
    return [name for name, item in items.items() if not item.same]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def _answers(request: DecodeRequest, index: int) -> str:
    return f"candidate {request.candidates[0]}: {42 if request.candidates[0] == 'c1' else 41}"


def test_a_run_replays_the_same(trace: Path) -> None:
    run = _record(trace, _answers)
    assert run.result is not None
    assert run.result.candidate.id == "c1"
    ended, items = _replay(run)
    assert _differing(items) == []
    assert list(items) == ["outcome", "plan", "candidates", "verdicts", "chosen", "decision", "answer", "usage.solve"]
    assert ended.result is not None
    assert ended.result.candidates == run.result.candidates


def test_what_a_plugin_had_learnt_before_is_set_in_the_replay(trace: Path) -> None:
    """The trace holds the second run of a plugin that behaves otherwise in its first."""
    tables = {"sampler": {"use": "learning"}, "decoders": {"solver": {"use": "fake"}}}

    async def second() -> list[Event]:
        async with Runtime(PipelineConfig.from_dict(tables), registry=_registry(_answers)) as runtime:
            await runtime.solve(Problem(prompt="6*7?"), seed=3)
            return [event async for event in runtime.stream(Problem(prompt="6*7?"), seed=3)]

    trace.write_bytes(b"".join(map(to_line, asyncio.run(second()))))
    run = read_trace(trace)
    assert run.result is not None
    assert len(run.result.candidates) == 2
    assert run.result.decision.endswith("; 2 are enough"), "the reason of a sampler that stops is a part of the decision"
    assert _differing(_replay(run)[1]) == []


def test_another_verifier_judges_the_same_completions(trace: Path) -> None:
    run = _record(trace, _answers)
    ended, items = _replay(run, "verifiers.check.right=c2: 41")
    assert ended.result is not None
    assert ended.result.candidate.id == "c2"
    assert _differing(items) == ["verdicts", "chosen", "decision", "answer"]


def test_another_sampler_gets_completions_of_the_same_prompt(trace: Path) -> None:
    run = _record(trace, _answers)
    ended, items = _replay(run, "sampler.n=2")
    assert ended.result is not None
    assert items["usage.solve"].replayed["served"] == 2
    assert [c.text for c in ended.result.candidates] == ["candidate c0: 41", "candidate c1: 42"]


def test_asking_for_more_than_was_recorded_says_so(trace: Path) -> None:
    ended, items = _replay(_record(trace, _answers), "sampler.n=4")
    assert ended.result is None
    assert "the trace holds 0 more completions of this solve prompt for decoder 'solver'" in ended.error
    assert "outcome" in _differing(items)


def test_failures_and_retries_happen_again(trace: Path) -> None:
    replies = iter([TransientError("busy"), TransientError("busy"), "42"])
    run = _record(trace, lambda r, i: next(replies), {"use": "fake-n"}, retry={"base": 0})
    _, items = _replay(run)
    assert _differing(items) == []
    assert items["usage.solve"].replayed["failed"] == 2


@pytest.mark.parametrize(
    "error", [TransientError("still busy"), TransientError("come back later", after=9e9), ValueError("bad prompt")]
)
def test_a_run_that_failed_fails_the_same(trace: Path, error: Exception) -> None:
    run = _record(trace, lambda r, i: error, {"use": "fake-n"}, retry={"base": 0, "attempts": 2})
    assert run.result is None
    ended, items = _replay(run)
    assert _differing(items) == []
    assert str(error) in ended.error


def test_a_call_that_the_sampler_cancelled_is_cancelled_again(trace: Path) -> None:
    respond = lambda r, i: "word " * 50_000 if r.candidates == ("slow",) else "42 it is"  # noqa: E731 # shorter than a function
    run = _record(trace, respond, {"use": "greedy"})
    ended, items = _replay(run)
    assert _differing(items) == []
    assert items["usage.solve"].replayed["cancelled"] == 1
    assert ended.result is not None
    assert ended.result.candidate.id == "quick"


def test_calls_end_in_the_recorded_order(trace: Path) -> None:
    run = _record(trace, lambda r, i: "word " * (30 - 10 * int(r.candidates[0][1:])) + "42")
    recorded = [event.candidate.id for event in run.events if isinstance(event, CandidateMade)]
    assert recorded == ["c2", "c1", "c0"]
    registry = _registry()
    seen: list[EventRecorder] = []

    class Recorder(EventRecorder):
        def __init__(self, config: PluginConfig | None = None) -> None:
            super().__init__(config)
            seen.append(self)

    registry.add("hook", "recorder", Recorder)
    asyncio.run(replay(run, ["hooks.recorder.use=recorder"], None, registry))
    assert [event.candidate.id for event in seen[0].of(CandidateMade)] == recorded


def test_a_time_out_happens_again(trace: Path) -> None:
    run = _record(trace, lambda r, i: "word " * 1_000_000, {"use": "greedy"}, limits={"timeout": 0.1})
    ended, items = _replay(run)
    assert _differing(items) == []
    assert "limits.timeout" in ended.error


def test_an_interrupted_run_is_cut_off_again(trace: Path) -> None:
    run = _record(trace, lambda r, i: "word " * 1_000_000, {"use": "greedy"}, interrupt=True)
    assert run.ended is not None
    assert "CancelledError" in run.ended.error
    _, items = _replay(run)
    assert _differing(items) == []
    assert items["usage.solve"].replayed["cancelled"] == 2


def test_a_trace_without_an_end_is_replayed_as_far_as_it_goes(trace: Path) -> None:
    _record(trace, _answers)
    lines = trace.read_bytes().splitlines(keepends=True)
    trace.write_bytes(b"".join(line for line in lines if b'"run_ended"' not in line))
    ended, items = _replay(read_trace(trace))
    assert ended.result is not None
    assert items["outcome"].recorded == "the trace stops before the run ended"


def test_nothing_hangs_longer_than_the_limit(trace: Path) -> None:
    run = _record(trace, lambda r, i: "word " * 1_000_000, {"use": "greedy"}, limits={"timeout": 0.1})
    ended, _ = _replay(run, "limits.timeout=600", limit=0.3)
    assert ended.error.startswith("CancelledError")


def test_budgets_stay_without_their_clocks_and_watchers_go(trace: Path) -> None:
    budget = {"calls": 2, "seconds": 50.0, "problem": {"tokens": 100_000, "seconds": 40.0}}
    run = _record(trace, _answers, hooks={"budget": budget})
    hooks = offline(run.started.config)["hooks"]
    assert set(hooks) == {"budget", "replay-witness"}
    assert hooks["budget"] == {"use": "budget", "calls": 2, "problem": {"tokens": 100_000}}
    ended, items = _replay(run)
    assert "hooks.budget.calls" in ended.error
    assert _differing(items) == []


def test_a_bare_run_cannot_be_replayed(trace: Path) -> None:
    tables = {"sampler": {"use": "fake-n"}, "decoders": {"solver": {"use": "fake"}}, "hooks": {"trace": {"file": str(trace)}}}

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict(tables), registry=_registry(_answers)) as runtime, runtime.open("x"):
            pass

    asyncio.run(main())
    with pytest.raises(ConfigError, match="bare run"):
        _read(str(trace))


def test_differences_are_told_in_few_words() -> None:
    item = Item("usage.solve", {"served": 3, "failed": 1}, {"served": 2})
    assert differences(item) == ["served: 3 -> 2", "failed: 1 -> nothing"]
    assert differences(Item("answer", "4", "4")) == []
    assert all(len(line) < 140 for line in differences(Item("plan", "x" * 999, "y " * 999)))


def test_seconds_do_not_count() -> None:
    usage = Usage(started=1, served=1, seconds=1.0)
    ours, theirs = (RunEnded(error="e", usage={"solve": usage.model_copy(update={"seconds": s})}) for s in (1.0, 2.0))
    assert all(item.same for item in compare(ours, theirs))


def _k2(trace: Path, *arguments: str, dist: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(dist), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "k2core", "replay", str(trace), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """The fakes, installed as plugins."""
    plugin_dirs = pytest.importorskip("plugin_dirs", reason="tests/ is not on the path")
    made: Path = plugin_dirs.make_distribution(tmp_path / "dist", "acme-fakes", "1.0", POINTS)
    return made


def test_the_command_says_what_is_the_same(trace: Path, dist: Path) -> None:
    run = _record(trace, _answers)
    done = _k2(trace, dist=dist)
    assert (done.returncode, done.stderr) == (0, "")
    assert "same     answer" in done.stdout
    told = json.loads(_k2(trace, "--json", dist=dist).stdout)
    assert told["same"] is True
    assert told["run_id"] == run.started.run_id


def test_the_command_says_what_differs(trace: Path, dist: Path) -> None:
    _record(trace, _answers)
    done = _k2(trace, "--set", "verifiers.check.right=c2: 41", dist=dist)
    assert done.returncode == 1
    assert "differs  chosen\n         c1 -> c2" in done.stdout


@pytest.mark.parametrize("text", ["", "not a trace"])
def test_what_is_no_trace_is_an_error_in_one_line(trace: Path, dist: Path, text: str) -> None:
    trace.write_text(text)
    done = _k2(trace, dist=dist)
    assert done.returncode == 2
    assert done.stderr.startswith("k2: error: cannot replay: ")
    assert done.stderr.count("\n") == 1


def test_a_missing_file_is_an_error_in_one_line(trace: Path, dist: Path) -> None:
    done = _k2(trace, dist=dist)
    assert done.returncode == 2
    assert "No such file" in done.stderr
