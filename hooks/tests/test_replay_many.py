"""`k2 replay` of many runs: a whole evaluation, a file with several."""

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
from k2core_hooks import read_runs, read_trace
from k2core_hooks.budget import Budget
from k2core_hooks.digest import digest
from k2core_hooks.jsonl import to_line
from k2core_hooks.many import Tally, holds_many, replay_all
from k2core_hooks.reader import TraceError
from k2core_hooks.replayer import Replayer

from k2core import (
    Candidate,
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
from k2core.events import CallEnded, Delta, Event, RunEnded, RunStarted, Tuned
from k2core.testing import FakePlanner, FakeSampler, FakeVerifier, fake_decoder
from k2core.types import Verdict

POINTS = {
    "k2core.planner.v1": {"fake-plan": "k2core.testing:FakePlanner"},
    "k2core.sampler.v1": {"fake-n": "k2core.testing:FakeSampler"},
    "k2core.verifier.v1": {"fake-verify": "k2core.testing:FakeVerifier"},
}
TABLES: dict[str, Any] = {
    "planner": {"use": "fake-plan"},
    "sampler": {"use": "fake-n", "n": 3},
    "verifiers": {"check": {"use": "fake-verify"}},
    "decoders": {"solver": {"use": "fake"}},
    "retry": {"base": 0},
}


class NoConfig(PluginConfig):
    pass


def _request(name: str) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content=name),), max_tokens=100_000, candidates=(name,))


class Race(Plugin):
    """Asks four at once, takes the first and cancels the others."""

    config: NoConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        calls = {asyncio.ensure_future(run.decode(_request(f"{problem.id} {i}"))): i for i in range(4)}
        try:
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        first = min(done, key=lambda call: calls[call])
        return [Candidate(id=str(calls[first]), text=first.result()[0].text)]


class Eager(Plugin):
    """Draws one at a time, verifies it at leisure, and gives in when the soft deadline has passed."""

    config: NoConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        made: list[Candidate] = []
        while not run.hurry:
            text = (await run.decode(_request(f"{problem.id} {len(made)}")))[0].text
            made.append(Candidate(id=str(len(made)), text=text))
            await run.verify(made)
        return made


class LearningConfig(PluginConfig):
    n: int = 1
    """Raised by one in every run; a fresh plugin has to be told."""


class Learning(Plugin):
    """Draws more candidates from run to run, and says so in every run or only `quietly`."""

    config: LearningConfig
    runs = 0

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem) -> list[Candidate]:
        n = self.config.n + self.runs
        self.runs += 1
        run.emit(Tuned(plugin=self.path, options={"n": n}))
        made = [(await run.decode(_request(f"{problem.id} {i}")))[0] for i in range(n)]
        return [Candidate(id=str(i), text=completion.text) for i, completion in enumerate(made)]


class Slow(Plugin):
    """A verifier that takes longer than a replaying call waits for its turn."""

    config: NoConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: list[Candidate]) -> list[Verdict]:
        await asyncio.sleep(0.4)
        return [Verdict(candidate_id=c.id, status="undecided", score=0.5) for c in candidates]


def _registry(respond: Any = None) -> Registry:
    registry = Registry()
    registry.add("planner", "fake-plan", FakePlanner)
    for name, sampler in {"fake-n": FakeSampler, "race": Race, "eager": Eager, "learning": Learning}.items():
        registry.add("sampler", name, sampler)
    registry.add("verifier", "fake-verify", FakeVerifier)
    registry.add("verifier", "slow", Slow)
    registry.add("hook", "budget", Budget)
    if respond:
        registry.add("decoder", "fake", fake_decoder(respond))
    return registry


def _lines(events: list[Event], *, bare: bool = True) -> bytes:
    """As an evaluation writes them: no pipeline, no deltas but those of calls that did not end well."""
    open_calls = {e.call_id for e in events if isinstance(e, CallEnded) and e.status not in {"cancelled", "failed"}}
    kept = [e for e in events if not (isinstance(e, Delta) and e.call_id in open_calls)]
    changes = {"config": {}, "plugins": {}} if bare else {}
    return b"".join(to_line(e.model_copy(update=changes) if isinstance(e, RunStarted) else e) for e in kept)


def _evaluation(folder: Path, respond: Any, problems: int = 5, repeats: int = 2, **changes: Any) -> Path:
    """Record an evaluation's folder: `traces.jsonl` and what a replay reads of `samples.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)

    async def main() -> None:
        config = PipelineConfig.from_dict({**TABLES, **changes})
        async with Runtime(config, registry=_registry(respond)) as runtime:
            head = {"kind": "pipeline", "config": runtime.effective, "plugins": {}}
            (folder / "traces.jsonl").write_text(json.dumps(head) + "\n")
            for place in range(problems):
                for repeat in range(repeats):
                    await _sample(runtime, folder, place, repeat)

    asyncio.run(main())
    return folder


async def _sample(runtime: Runtime, folder: Path, place: int, repeat: int) -> None:
    events: list[Event] = []
    with suppress(K2Error):
        async for event in runtime.stream(Problem(id=f"p{place}", prompt=f"{place}?"), seed=100 * place + repeat):
            events.append(event)
    key, ended = {"task": "sums", "place": place, "repeat": repeat}, events[-1]
    assert isinstance(ended, RunEnded)
    with (folder / "traces.jsonl").open("ab") as file:
        file.write(json.dumps({"kind": "sample", **key, "run_id": ended.run_id}).encode() + b"\n" + _lines(events))
    with (folder / "samples.jsonl").open("a") as file:
        file.write(json.dumps({**key, "digest": digest(ended.result, ended.usage, ended.error)}) + "\n")


def _replay(path: Path, *overrides: str, **options: Any) -> Tally:
    replayer = Replayer(overrides, options.pop("longest", None), _registry())
    return asyncio.run(replay_all(str(path), overrides, replayer=replayer, **options))


def _answers(request: DecodeRequest, index: int) -> str:
    return f"{request.messages[-1].content} of {request.seed}: {42 if (request.seed or 0) % 3 else 41}"


def test_an_evaluation_replays_the_same_hash_for_hash(tmp_path: Path) -> None:
    tally = _replay(_evaluation(tmp_path, _answers))
    assert (tally.runs, tally.same, tally.again, tally.good) == (10, 10, 0, True)


def test_a_run_that_was_tampered_with_differs(tmp_path: Path) -> None:
    folder = _evaluation(tmp_path, _answers)
    samples = (folder / "samples.jsonl").read_text().splitlines()
    row = json.loads(samples[3])
    samples[3] = json.dumps({**row, "digest": "0" * 64})
    (folder / "samples.jsonl").write_text("\n".join(samples) + "\n")
    tally = _replay(folder)
    assert [outcome.name for outcome in tally.differing] == ["sums/1/1"]
    assert "digest" in tally.differing[0].differing
    traces = (folder / "traces.jsonl").read_text()
    (folder / "traces.jsonl").write_text(traces.replace('"decision": "candidate c0', '"decision": "candidate c9'))
    assert not _replay(folder).good


def test_calls_cancelled_when_recorded_are_cancelled_again_in_every_run(tmp_path: Path) -> None:
    """Whichever of the four was first, at different lengths, with all runs side by side."""
    lengths = {f"p{p} {i}": 2_000 if i != p % 4 else 3 for p in range(12) for i in range(4)}
    respond = lambda r, i: "word " * lengths[r.messages[0].content] + "42"  # noqa: E731 # shorter than a function
    folder = _evaluation(tmp_path, respond, problems=12, repeats=1, sampler={"use": "race"})
    ended = [run.ended for run in read_runs(folder)]
    assert [e.usage["solve"].cancelled for e in ended if e] == [3] * 12
    tally = _replay(folder, jobs=12)
    assert (tally.same, tally.again) == (12, 0)


def test_failed_runs_and_retries_replay_too(tmp_path: Path) -> None:
    def respond(request: DecodeRequest, index: int) -> Any:
        seed = request.seed or 0
        if seed % 2:
            return ValueError(f"bad prompt {seed}")
        return _answers(request, index)

    folder = _evaluation(tmp_path, respond)
    errors = [run.ended.error for run in read_runs(folder) if run.ended]
    assert any(errors)
    assert _replay(folder).good
    calls = iter(range(10_000))
    busy = lambda r, i: TransientError("busy") if next(calls) % 3 == 0 else _answers(r, i)  # noqa: E731 # shorter than a function
    folder = _evaluation(tmp_path / "busy", busy)
    assert any(run.ended.usage["solve"].failed for run in read_runs(folder) if run.ended)
    assert _replay(folder).good


def test_what_plugins_had_learnt_is_each_run_s_own(tmp_path: Path) -> None:
    """Runs share a runtime only as long as they come out the same there."""
    folder = _evaluation(tmp_path, _answers, sampler={"use": "learning"})
    counts = [run.ended.usage["solve"].served for run in read_runs(folder) if run.ended]
    assert counts == list(range(1, 11))
    assert _replay(folder, jobs=3).good


def test_time_outs_take_no_longer_than_it_takes_to_see_them(tmp_path: Path) -> None:
    endless = lambda r, i: "word " * 1_000_000  # noqa: E731 # shorter than a function
    folder = _evaluation(tmp_path, endless, 1, 2, sampler={"use": "race"}, limits={"timeout": 0.2})
    traces = (folder / "traces.jsonl").read_text().replace('"timeout": 0.2', '"timeout": 900.0').replace("0.2 s", "900 s")
    (folder / "traces.jsonl").write_text(traces)
    (folder / "samples.jsonl").unlink()
    tally = _replay(folder)
    assert tally.good
    assert tally.seconds < 60


def test_time_limits_that_were_not_reached_do_not_pass(tmp_path: Path) -> None:
    """A verifier that is slower than it was does not run into a time-out of then."""
    folder = _evaluation(tmp_path, _answers, 1, 1, limits={"timeout": 50.0, "soft_deadline": 40.0})
    traces = (folder / "traces.jsonl").read_text().replace('"timeout": 50.0', '"timeout": 0.000001')
    (folder / "traces.jsonl").write_text(traces.replace('"soft_deadline": 40.0', '"soft_deadline": 39.0'))
    assert _replay(folder).good


def test_a_soft_deadline_passes_quickly_and_in_its_place(tmp_path: Path) -> None:
    changes = {"sampler": {"use": "eager"}, "verifiers": {"slow": {"use": "slow"}}, "limits": {"soft_deadline": 0.6}}
    folder = _evaluation(tmp_path, _answers, 2, 1, **changes)
    assert [run.ended.usage["solve"].served for run in read_runs(folder) if run.ended] == [2, 2]
    assert _replay(folder).good


def test_budgets_of_a_run_bind_again_and_those_of_all_runs_do_not(tmp_path: Path) -> None:
    hooks = {"budget": {"calls": 31, "problem": {"calls": 2}}}
    folder = _evaluation(tmp_path, _answers, hooks=hooks)
    assert all("hooks.budget.problem.calls" in run.ended.error for run in read_runs(folder) if run.ended)
    assert _replay(folder).good
    folder = _evaluation(tmp_path / "more", _answers, hooks={"budget": {"calls": 31}})
    twice = (folder / "traces.jsonl").read_bytes()
    (folder / "traces.jsonl").write_bytes(twice + twice)
    assert _replay(folder).same == 20


def test_slow_verifiers_do_not_use_up_the_patience_of_calls(tmp_path: Path) -> None:
    """The second call of the slow run must not end before its first, whatever else goes on in the loop."""
    folder = _evaluation(tmp_path, _answers, 2, 1, sampler={"use": "fake-n", "n": 2}, verifiers={"slow": {"use": "slow"}})
    assert _replay(folder).good


def test_another_configuration_differs_where_it_should(tmp_path: Path) -> None:
    folder = _evaluation(tmp_path, _answers)
    tally = _replay(folder, "verifiers.check.right='41'")
    assert {item for outcome in tally.differing for item in outcome.differing} <= {"verdicts", "chosen", "decision", "answer"}
    assert len(tally.differing) == 10


def test_a_block_that_never_became_a_sample_is_left_out(tmp_path: Path) -> None:
    folder = _evaluation(tmp_path, _answers)
    samples = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(b"".join(samples[:-1]) + samples[-1][:20])
    tally = _replay(folder)
    assert tally.good
    assert tally.runs == 9
    assert "interrupted" in tally.skipped[0]


@pytest.mark.parametrize("cut", [10, 500, 3000])
def test_damaged_and_incomplete_blocks_are_reported_and_skipped(tmp_path: Path, cut: int) -> None:
    folder = _evaluation(tmp_path, _answers)
    traces = (folder / "traces.jsonl").read_bytes()
    (folder / "traces.jsonl").write_bytes(traces[:-cut])
    tally = _replay(folder)
    assert tally.runs + len(tally.missing) == 10
    assert 0 < len(tally.missing) < 4
    assert not tally.good, "a sample without a trace cannot be shown to be the same"
    assert any(folder.name in told and "left out" in told for told in tally.skipped)
    middle = len(traces) // 2
    (folder / "traces.jsonl").write_bytes(traces[:middle] + b"\xff\0{" + traces[middle + 40 :])
    assert 8 <= _replay(folder).runs <= 9


def test_one_run_is_held_at_a_time(tmp_path: Path) -> None:
    folder = _evaluation(tmp_path, _answers, 2, 1)
    head, *rest = (folder / "traces.jsonl").read_bytes().splitlines(keepends=True)
    with (folder / "traces.jsonl").open("wb") as file:
        file.write(head)
        for _ in range(100):
            file.writelines(rest)
    runs = read_runs(folder)
    first = next(runs)
    assert first.sample == ("sums", 0, 0)
    assert first.started.config["sampler"]["n"] == 3
    assert sum(1 for _ in runs) == 199


def test_a_file_of_several_whole_traces(tmp_path: Path) -> None:
    async def record() -> list[Event]:
        async with Runtime(PipelineConfig.from_dict(TABLES), registry=_registry(_answers)) as runtime:
            return [event for seed in (1, 2) async for event in runtime.stream(Problem(prompt="6*7?"), seed=seed)]

    file = tmp_path / "several.jsonl"
    file.write_bytes(_lines(asyncio.run(record()), bare=False))
    assert holds_many(str(file))
    with pytest.raises(TraceError, match="more than one run"):
        read_trace(file)
    assert _replay(file).same == 2
    assert _replay(tmp_path).same == 2, "a folder of traces"
    assert _replay(tmp_path, limit=1).runs == 1


def test_runs_without_a_configuration_say_so(tmp_path: Path) -> None:
    folder = _evaluation(tmp_path, _answers, 1, 1)
    lines = (folder / "traces.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "traces.jsonl").write_bytes(b"".join(lines[1:]))
    tally = _replay(folder)
    assert "no configuration" in tally.skipped[0]
    (folder / "traces.jsonl").write_text("this is none\n")
    with pytest.raises(TraceError, match="is no trace"):
        _replay(folder)


def _k2(*arguments: str, dist: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(dist), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "k2core", "replay", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """The fakes, installed as plugins."""
    plugin_dirs = pytest.importorskip("plugin_dirs", reason="tests/ is not on the path")
    made: Path = plugin_dirs.make_distribution(tmp_path / "dist", "acme-fakes", "1.0", POINTS)
    return made


def test_the_command_replays_a_folder(tmp_path: Path, dist: Path) -> None:
    folder = _evaluation(tmp_path / "eval", _answers)
    done = _k2(str(folder), dist=dist)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10 of 10 runs are the same (")
    told = json.loads(_k2(str(folder), "--json", "--limit", "3", "--jobs", "2", dist=dist).stdout)
    assert (told["runs"], told["same"], told["differing"]) == (3, 3, [])
    done = _k2(str(folder), "--set", "verifiers.check.right='41'", dist=dist)
    assert done.returncode == 1
    assert "differs  sums/0/0\n" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    done = _k2(str(empty), dist=dist)
    assert done.returncode == 2
    assert "holds no traces" in done.stderr
