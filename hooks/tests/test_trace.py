"""The `trace` hook and its reader, through the real runtime."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import RecordedRun, TraceError, read_trace
from k2core_hooks.jsonl import OtherEvent, from_line, to_line
from k2core_hooks.trace import Trace, TraceConfig

from k2core import (
    Completion,
    K2Error,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Result,
    Runtime,
    TransientError,
    hookimpl,
)
from k2core.events import CallEnded, Delta, RunEnded, RunStarted
from k2core.testing import fake_decoder
from k2core.types import TokenLogprob, Usage


class _OnceConfig(PluginConfig):
    pass


class _Once(Plugin):
    """The smallest sampler: one call."""

    config: _OnceConfig

    @hookimpl
    async def k2_sample(self, run: Any, problem: Problem) -> list[Any]:
        from k2core import Candidate, DecodeRequest, Message

        request = DecodeRequest(messages=(Message(role="user", content=problem.text),), max_tokens=50, candidates=("c0",))
        [completion] = await run.decode(request)
        return [Candidate(id="c0", text=completion.text, completion=completion)]


def _registry(respond: Any) -> Registry:
    registry = Registry()
    registry.add("sampler", "once", _Once)
    registry.add("decoder", "fake", fake_decoder(respond))
    registry.add("hook", "trace", Trace)
    return registry


def _config(trace: dict[str, Any], **more: Any) -> PipelineConfig:
    decoder = {"use": "fake", **more.pop("decoder", {})}
    return PipelineConfig.from_dict(
        {"sampler": {"use": "once"}, "decoders": {"solver": decoder}, "hooks": {"trace": trace}, **more}
    )


def _solve(config: PipelineConfig, respond: Any = lambda request, i: "It is \\boxed{4}", prompt: str = "2+2?") -> Result:
    async def main() -> Result:
        async with Runtime(config, registry=_registry(respond)) as runtime:
            return await runtime.solve(prompt, seed=7)

    return asyncio.run(main())


def _only(folder: Path) -> RecordedRun:
    [path] = folder.iterdir()
    return read_trace(path)


def test_a_trace_reads_back_as_the_events_of_its_run(tmp_path: Path) -> None:
    result = _solve(_config({"directory": str(tmp_path)}))
    run = _only(tmp_path)
    assert run.started.problem.prompt == "2+2?"
    assert run.started.seed == 7
    assert run.started.config["sampler"] == {"use": "once"}
    assert run.result == result
    assert run.damage == ""
    assert [e.kind for e in run.events] == ["run_started", "call_started", "call_ended", "candidate_made", "run_ended"]
    [call] = run.calls
    assert call.ended is not None
    assert call.ended.completions[0].text == "It is \\boxed{4}"
    assert call.partial == ()


def test_the_first_line_has_the_version_and_every_line_is_strict_json(tmp_path: Path) -> None:
    _solve(_config({"directory": str(tmp_path)}))
    [path] = tmp_path.iterdir()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["kind"] == "run_started"
    assert lines[0]["version"] == 1


def test_file_names_are_safe_whatever_the_problem_is_called(tmp_path: Path) -> None:
    hook = Trace(TraceConfig(file=str(tmp_path / "{problem_id}-{run_id}.jsonl")))
    started = RunStarted(problem=Problem(id="../../etc/passwd\n$(rm)", prompt="x"), seed=1, run_id="..a/b")
    assert hook.path_for(started).parent == tmp_path
    assert hook.path_for(started).name == "_.._etc_passwd_rm_-a_b.jsonl"


def test_each_run_has_a_file_of_its_own_when_several_go_side_by_side(tmp_path: Path) -> None:
    async def main() -> list[Result]:
        async with Runtime(
            _config({"directory": str(tmp_path)}), registry=_registry(lambda r, i: r.messages[0].content)
        ) as runtime:
            return await asyncio.gather(*(runtime.solve(f"problem {n}") for n in range(10)))

    results = {result.run_id: result for result in asyncio.run(main())}
    runs = [read_trace(path) for path in tmp_path.iterdir()]
    assert {run.started.run_id: run.result for run in runs} == results


def test_deltas_are_kept_when_asked_for(tmp_path: Path) -> None:
    _solve(_config({"directory": str(tmp_path), "deltas": True}))
    deltas = [e for e in _only(tmp_path).events if isinstance(e, Delta)]
    assert "".join(d.text for d in deltas) == "It is \\boxed{4}"
    assert len(deltas) == 3


def test_the_text_of_a_cancelled_call_is_kept(tmp_path: Path) -> None:
    config = _config({"directory": str(tmp_path)}, decoder={"delay": 0.01})

    async def main() -> None:
        async with Runtime(config, registry=_registry(lambda r, i: "word " * 10_000)) as runtime:
            events: Any = runtime.stream("2+2?")
            seen = 0
            async for event in events:
                seen += isinstance(event, Delta)
                if seen == 5:
                    break
            await events.aclose()

    asyncio.run(main())
    run = _only(tmp_path)
    [call] = run.calls
    assert call.ended is not None
    assert call.ended.status == "cancelled"
    [partial] = call.partial
    assert partial.text.split() == ["word"] * partial.tokens
    assert partial.tokens == call.ended.usage.completion_tokens >= 5
    assert run.ended is not None
    assert run.result is None
    assert run.ended.error


def test_failed_attempts_and_their_errors_are_in_the_trace(tmp_path: Path) -> None:
    replies = iter([TransientError("server is busy"), "It is 4"])
    result = _solve(_config({"directory": str(tmp_path)}, retry={"base": 0}), lambda r, i: next(replies))
    first, second = (call.ended for call in _only(tmp_path).calls)
    assert first is not None
    assert (first.status, first.error) == ("failed", "TransientError: server is busy")
    assert second is not None
    assert second.status == "served"
    assert result.usage["solve"].failed == 1


def test_an_unwritable_folder_costs_a_warning_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = _solve(_config({"directory": str(tmp_path / "file" / "traces")}))
    assert result.answer == "It is \\boxed{4}"
    [warning] = result.warnings
    assert "hooks.trace" in warning
    assert "not traced" in warning


def test_a_required_trace_that_cannot_be_written_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(K2Error, match=r"hooks\.trace\.required"):
        _solve(_config({"directory": str(tmp_path / "file"), "required": True}))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_costs_a_warning_not_the_run(tmp_path: Path) -> None:
    result = _solve(_config({"file": "/dev/full", "overwrite": True}))
    assert result.answer == "It is \\boxed{4}"
    assert "No space left" in result.warnings[0]


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    _solve(_config({"file": str(path)}))
    before = path.read_bytes()
    assert "exists" in _solve(_config({"file": str(path)})).warnings[0]
    assert path.read_bytes() == before
    assert _solve(_config({"file": str(path), "overwrite": True})).warnings == ()
    assert read_trace(path).started.run_id != json.loads(before.splitlines()[0])["run_id"]


KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, {tests!r})
from test_trace import _config, _registry, Runtime

async def main():
    config = _config({{"directory": {folder!r}, "deltas": True}})
    async with Runtime(config, registry=_registry(lambda r, i: "word " * 100)) as runtime:
        async for event in runtime.stream("2+2?"):
            if event.kind == "delta":
                os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_killed_process_leaves_a_readable_trace(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    run = _only(tmp_path)
    assert run.ended is None
    assert run.calls[0].ended is None
    assert run.calls[0].partial


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_half_written_last_line_is_tolerated_and_reported(tmp_path: Path) -> None:
    _solve(_config({"directory": str(tmp_path)}))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    run = read_trace(path)
    assert run.ended is None
    assert "incomplete" in run.damage


def test_a_damaged_line_before_the_end_is_an_error_that_names_it(tmp_path: Path) -> None:
    _solve(_config({"directory": str(tmp_path)}))
    [path] = tmp_path.iterdir()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[2] = lines[2][:30] + "\n"
    with pytest.raises(TraceError, match="line 3 is not valid JSON"):
        read_trace(_write(path, "".join(lines)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no trace"),
        ("{}\n", "no trace"),
        ("hello\n", "not valid JSON"),
        ("[1]\n", "no event"),
        ('{"kind": "run_started", "version": 99, "new": true}\n', "version 99"),
        ('{"kind": "run_started", "version": "x"}\n', "version x"),
        ('{"kind": "run_started", "version": 1}\n', "does not fit its kind 'run_started'"),
    ],
)
def test_what_is_no_trace_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_trace(_write(tmp_path / "x.jsonl", text))


def test_two_runs_in_a_file_are_refused(tmp_path: Path) -> None:
    line = to_line(RunStarted(problem=Problem(prompt="x"), seed=1)).decode()
    with pytest.raises(TraceError, match="more than one run"):
        read_trace(_write(tmp_path / "x.jsonl", line + line))


def test_impossible_tokens_and_odd_characters_survive() -> None:
    logprob = TokenLogprob(token="\u2028\x1b[31m", logprob=-0.5, top=(("never", float("-inf")),))
    completion = Completion(text="a\nb\u2029c 中文", tokens=1, logprobs=(logprob,))
    event = CallEnded(call_id="1", plugin="decoders.solver", status="served", usage=Usage(), completions=(completion,))
    line = to_line(event)
    assert line.count(b"\n") == 1
    assert from_line(json.loads(line)) == event


def test_a_lone_surrogate_does_not_stop_the_trace() -> None:
    event = Delta.model_construct(text="ok \ud800", call_id="1")
    assert json.loads(to_line(event))["text"] == "ok ?"


def test_events_of_unknown_kinds_are_kept() -> None:
    event = from_line({"kind": "rollout_scored", "run_id": "r", "at": 1.5, "reward": 0.25})
    assert isinstance(event, OtherEvent)
    assert (event.name, event.run_id, event.at, event.data) == ("rollout_scored", "r", 1.5, {"reward": 0.25})


def test_nothing_stays_open_when_a_runtime_stops_before_its_runs_have_ended(tmp_path: Path) -> None:
    hook = Trace(TraceConfig(directory=str(tmp_path)))
    hook.k2_event(RunStarted(run_id="a", problem=Problem(prompt="x"), seed=1))
    before = len(os.listdir("/dev/fd"))
    asyncio.run(hook.k2_stop())
    assert len(os.listdir("/dev/fd")) < before
    hook.k2_event(RunEnded(run_id="a"))
    assert [e.kind for e in _only(tmp_path).events] == ["run_started"]
