"""`k2 think`."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import read_trace

Run = Callable[..., Any]
ENDLESS = 'decoders.solver.replies=["' + "word " * 20_000 + '"]'
SLOW = ["--set", ENDLESS, "--set", "decoders.solver.delay=0.01", "--set", "sampler.n=1"]


def test_the_answer_alone_is_on_stdout(k2: Run, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--seed", "5")
    assert (done.status, done.out) == (0, "The answer is 42.\n")
    for part in ("plan: Work step by step.", "verdicts: ", "decision: candidate c1", "spent: solve 2 calls 18 tokens", "seed: 5"):
        assert part in done.err
    assert done.err.count("decision: ") == 1


def test_json_is_one_object_on_stdout(k2: Run, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--json")
    told = json.loads(done.out)
    assert {"answer", "candidate", "plan", "candidates", "verdicts", "usage", "trace_id", "seed"} <= set(told)
    assert told["answer"] == "The answer is 42."
    assert told["candidate"] == "c1"
    assert told["usage"]["solve"]["served"] == 2
    assert [v["status"] for v in told["verdicts"]] == ["incorrect", "correct"]


def test_options_can_be_set(k2: Run, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--json", "--set", "sampler.n=1", "--set", "seed=9")
    told = json.loads(done.out)
    assert len(told["candidates"]) == 1
    assert told["seed"] == 9


def test_the_problem_may_come_from_stdin(k2: Run, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("6·7?\n".encode())))
    done = k2("think", "-", "--config", pipeline, "--trace", tmp_path / "t.jsonl")
    assert done.status == 0
    assert read_trace(tmp_path / "t.jsonl").started.problem.prompt == "6·7?\n"


def test_a_problem_that_is_no_text_is_an_error(k2: Run, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    done = k2("think", "-", "--config", pipeline)
    assert done.status == 2
    assert "problem: standard input is not UTF-8" in done.err


@pytest.mark.parametrize(("problem", "message"), [("  ", "empty"), ("a\0b", "NUL"), ("\udce9", "Unicode")])
def test_bad_problems_are_errors_in_one_line(k2: Run, pipeline: Path, problem: str, message: str) -> None:
    done = k2("think", problem, "--config", pipeline)
    assert done.status == 2
    assert message in done.err.splitlines()[-1]
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "sampler.m=1"], "sampler.m: unknown option"),
        (["--set", "sampler.n=many"], "sampler.n:"),
        (["--set", "sampler.use=best-of-n-and-more"], "sampler.use: no sampler plugin is named"),
        (["--set", "sampler"], "path=value"),
        (["--seed", "-1"], "seed: must be from 0"),
        (["--config", "/nowhere/pipeline.toml"], "cannot read the configuration /nowhere/pipeline.toml"),
        (["--trace", "/nowhere/trace.jsonl"], "--trace: cannot write the trace"),
    ],
)
def test_wrong_options_are_named_before_anything_runs(k2: Run, pipeline: Path, arguments: list[str], message: str) -> None:
    done = k2("think", "6*7?", "--config", pipeline, *arguments)
    assert done.status == 2
    assert done.err.startswith("k2: error: ")
    assert message in done.err


def test_the_trace_is_written_and_replaced(k2: Run, pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    for _ in range(2):
        done = k2("think", "6*7?", "--config", pipeline, "--trace", path, "--json")
        assert read_trace(path).started.run_id == json.loads(done.out)["trace_id"]
    assert f"trace: {path}" in done.err


def test_a_trace_replays_the_same(k2: Run, pipeline: Path, tmp_path: Path) -> None:
    k2("think", "6*7?", "--config", pipeline, "--trace", tmp_path / "run.jsonl")
    assert k2("replay", tmp_path / "run.jsonl").status == 0


def test_a_pipeline_that_traces_already_keeps_its_options(k2: Run, pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    k2("think", "6*7?", "--config", pipeline, "--set", "hooks.trace.deltas=true", "--trace", path)
    assert any(event.kind == "delta" for event in read_trace(path).events)


def test_without_an_answer_the_spending_is_told(k2: Run, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--set", "hooks.budget.calls=1")
    assert (done.status, done.out) == (1, "")
    assert "k2: no answer; spent: solve 1 call" in done.err
    assert "(hooks.budget.calls)" in done.err.splitlines()[-1]


def test_a_time_out_is_an_error_that_tells_the_spending(k2: Run, pipeline: Path) -> None:
    done = k2("think", "6*7?", "--config", pipeline, "--set", "limits.timeout=0.2", *SLOW)
    assert done.status == 1
    assert "k2: no answer; spent: solve 1 call (1 cancelled)" in done.err
    assert "limits.timeout" in done.err.splitlines()[-1]


def test_a_live_view_that_does_not_load_costs_a_line(
    k2: Run, pipeline: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from k2core import PluginNotFound, Registry

    load = Registry.load

    def refuse(self: Registry, role: str, name: str) -> Any:
        if name == "progress":
            raise PluginNotFound("it is gone")
        return load(self, role, name)

    monkeypatch.setattr(Registry, "load", refuse)
    done = k2("think", "6*7?", "--config", pipeline)
    assert (done.status, done.out) == (0, "The answer is 42.\n")
    assert "no live view: it is gone" in done.err


@pytest.mark.parametrize(("sent", "word", "status"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)])
def test_a_signal_stops_it_cleanly_and_tells_the_spending(
    start: Run, pipeline: Path, sent: signal.Signals, word: str, status: int
) -> None:
    child = start("think", "6*7?", "--config", pipeline, *SLOW)
    for line in child.stderr:
        if "asking" in line:
            break
    child.send_signal(sent)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (status, "")
    assert f"k2: {word}; spent: solve 1 call (1 cancelled)" in err
    assert "Traceback" not in err


def test_a_reader_that_has_gone_is_no_traceback(start: Run, pipeline: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    child = start("think", "6*7?", "--config", pipeline, stdout=write)
    os.close(write)
    _, err = child.communicate(timeout=60)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_a_locale_without_utf_8_is_no_error(k2_process: Run, pipeline: Path, tmp_path: Path) -> None:
    replies = 'decoders.solver.replies=["na\\u00efve \\u4e2d\\u6587 42"]'
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = k2_process("think", "6\u00b77?", "--config", pipeline, "--set", replies, "--trace", tmp_path / "t.jsonl", env=env)
    assert done.status == 0, done.err
    assert done.out == "na\\xefve \\u4e2d\\u6587 42\n"
    assert read_trace(tmp_path / "t.jsonl").started.problem.prompt == "6\u00b77?"


class _OnTerminal:
    """`k2` whose stdout and stderr are one terminal."""

    def __init__(self, start: Run, *arguments: str | Path) -> None:
        self.master, slave = pty.openpty()
        env = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.child: subprocess.Popen[str] = start(*arguments, env=env, stdout=slave, stderr=slave)
        os.close(slave)
        self.screen = b""

    def read(self, until: bytes | None = None) -> str:
        while until is None or until not in self.screen:
            try:
                self.screen += os.read(self.master, 65536)
            except OSError:  # how Linux says that the last writer has gone
                self.child.wait(timeout=60)
                os.close(self.master)
                break
        return self.screen.decode(errors="replace")


def test_on_a_terminal_the_run_is_drawn_and_the_answer_follows(start: Run, pipeline: Path) -> None:
    terminal = _OnTerminal(start, "think", "6*7?", "--config", pipeline, "--set", "decoders.solver.delay=0.05")
    screen = terminal.read()
    assert terminal.child.returncode == 0
    assert "c0:" in screen
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    assert "\x1b[?25hThe answer is 42.\r\n" in screen
    assert screen.count("decision: ") == 1


def test_a_models_escape_sequences_do_not_reach_the_terminal(start: Run, pipeline: Path) -> None:
    replies = 'decoders.solver.replies=["\\u001b[2J\\u001b]0;pwned\\u0007 42"]'
    screen = _OnTerminal(start, "think", "6*7?", "--config", pipeline, "--set", replies).read()
    assert "?[2J?]0;pwned? 42" in screen
    assert "\x1b[2J" not in screen
    assert "\x1b]0" not in screen


def test_ctrl_c_leaves_the_terminal_clean(start: Run, pipeline: Path) -> None:
    terminal = _OnTerminal(start, "think", "6*7?", "--config", pipeline, *SLOW)
    terminal.read(until=b"tok")
    terminal.child.send_signal(signal.SIGINT)
    screen = terminal.read()
    assert terminal.child.returncode == 130
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    assert "?1049" not in screen
    assert "interrupted; spent: solve 1 call (1 cancelled)" in screen
