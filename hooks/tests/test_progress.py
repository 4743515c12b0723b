"""The `progress` hook: what it knows, how it draws, and what it leaves on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from k2core_hooks import progress as progress_module
from k2core_hooks.board import Board, spent_text
from k2core_hooks.progress import Progress, ProgressConfig, describe, is_terminal
from k2core_hooks.terminal import one_line, printable
from k2core_hooks.view import render
from rich.console import Console

from k2core import Candidate, Completion, DecodeRequest, Message, Plan, Problem, Result, Usage, Verdict
from k2core.events import (
    CallEnded,
    CallStarted,
    CandidateFailed,
    CandidateMade,
    Delta,
    Event,
    PlanMade,
    RunEnded,
    RunStarted,
    Verified,
    Warned,
)
from k2core.types import Timing

NASTY = "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202edesrever\u202c \x08\x0cpage\rover tab\tend 中文 \ud800"


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    text = printable(NASTY + "\nnext")
    assert text == "?[31mred?]0;title? ?2J ?desrever? ??page?over tab\tend 中文 ?\nnext"
    assert printable("naïve 中", "latin-1") == "naïve ?"
    assert printable("é", None) == "?"


def test_one_line_is_no_longer_than_asked() -> None:
    assert one_line("a  b\n c", 80) == "a b c"
    assert one_line("abcdefghij", 8) == "abcde..."
    assert len(one_line("x" * 10_000_000, 20)) == 20


def _request(role: Any = "solve", ids: tuple[str, ...] = ()) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content="?"),), role=role, n=max(1, len(ids)), candidates=ids)


def _board(*events: Event) -> Board:
    board = Board(RunStarted(problem=Problem(prompt="2+2?"), seed=1))
    for event in events:
        board.update(event)
    return board


def _deltas(count: int, name: str | None = "a", call: str = "1", text: str = "word ") -> list[Delta]:
    return [Delta(call_id=call, candidate=name, text=text, at=1 + place / 10) for place in range(count)]


def test_candidates_grow_and_their_rate_is_measured_since_the_first_token() -> None:
    board = _board(CallStarted(call_id="1", plugin="decoders.solver", request=_request(ids=("a", "b"))), *_deltas(11))
    assert list(board.candidates) == ["a", "b"]
    stream = board.candidates["a"]
    assert (stream.state, stream.tokens) == ("writing", 11)
    assert stream.rate == pytest.approx(10)
    assert board.candidates["b"].state == "waiting"
    assert board.usage["solve"] == Usage(started=1, completion_tokens=11)


def test_a_retry_starts_the_candidate_afresh() -> None:
    first = CallStarted(call_id="1", plugin="decoders.solver", request=_request(ids=("a",)))
    failed = CallEnded(call_id="1", plugin="decoders.solver", status="failed", usage=Usage(started=1, failed=1), error="busy")
    board = _board(first, *_deltas(3), failed, first.model_copy(update={"call_id": "2"}), *_deltas(2, call="2"))
    assert board.candidates["a"].tokens == 2
    assert spent_text(board.usage) == "solve 2 calls (1 failed) 2 tokens"


def test_drafted_tokens_are_told_by_role() -> None:
    used = Usage(started=1, served=1, completion_tokens=90, drafted=120, accepted=80)
    assert spent_text({"solve": used}) == "solve 1 call 90 tokens (80 of 120 drafted accepted)"


def test_the_speed_of_writing_is_told_where_the_back_end_times_it() -> None:
    def ended(completion: Completion) -> CallEnded:
        return CallEnded(call_id="1", plugin="decoders.solver", status="served", usage=Usage(started=1), completions=(completion,))

    untimed = ended(Completion(text="x", tokens=50, model="slow"))
    timed = [ended(Completion(text="x", tokens=n, model="fast", timing=Timing(completion=0.5))) for n in (900, 950)]
    board = _board(untimed, *timed)
    assert str(board.speeds) == "fast 1,850 tokens/s per answer"
    board.update(RunEnded(error="enough"))
    assert describe(board, RunEnded(error="enough"))[-1] == "speed: fast 1,850 tokens/s per answer"
    assert "speed: fast 1,850 tokens/s per answer" in _drawn(board, 80)
    assert not _board(untimed).speeds


def test_calls_that_make_no_candidate_are_shown_while_they_last() -> None:
    board = _board(
        CallStarted(call_id="7", plugin="decoders.judge", request=_request("judge")), *_deltas(2, None, "7", "A is better")
    )
    assert [(s.name, s.text) for s in board.others.values()] == [("judge", "A is betterA is better")]
    board.update(CallEnded(call_id="7", plugin="decoders.judge", role="judge", status="served", usage=Usage(started=1, served=1)))
    assert board.others == {}


def _whole_run(n: int = 3, text: str = "word ") -> list[Event]:
    ids = tuple(f"c{k}" for k in range(n))
    events: list[Event] = [PlanMade(plan=Plan(prompt="add " * 100, topics=("sums",)))]
    events.append(CallStarted(call_id="1", plugin="decoders.solver", request=_request(ids=ids)))
    events += [delta for name in ids for delta in _deltas(40, name, text=text)]
    done = tuple(Completion(text=text * 40, tokens=40) for _ in ids)
    usage = Usage(started=1, served=1, prompt_tokens=10, completion_tokens=40 * n)
    events.append(CallEnded(call_id="1", plugin="decoders.solver", status="served", usage=usage, completions=done))
    candidates = [Candidate(id=name, text=c.text, completion=c) for name, c in zip(ids, done, strict=True)]
    events += [CandidateMade(candidate=c) for c in candidates]
    verdicts = tuple(Verdict(candidate_id=name, status="correct", score=1, answer="4", verifier="math") for name in ids)
    events += [Verified(verifier="math", verdicts=verdicts), Warned(where="planner", message="careful")]
    result = Result(run_id="r", problem_id="p", answer="4", candidate=candidates[0], decision="c0 is best", usage={"solve": usage})
    return [*events, RunEnded(result=result, usage={"solve": usage}, at=3.0)]


def _drawn(board: Board, width: int, height: int = 24, encoding: str = "utf-8", **options: Any) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None, markup=False, highlight=False)
    console.print(render(board, console, **options))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [12, 25, 40, 80, 200])
@pytest.mark.parametrize("n", [1, 3, 8, 64])
def test_every_stage_fits_any_terminal(width: int, n: int) -> None:
    board = _board()
    for event in _whole_run(n, "w\u00f6rd \x1b[2J"):
        board.update(event)
        if not isinstance(event, Delta):
            lines = _drawn(board, width).splitlines()
            assert len(lines) <= 24
            assert max(map(len, lines)) <= width
            assert "\x1b" not in "".join(lines)


def test_the_view_tells_all_there_is_to_tell() -> None:
    text = _drawn(_board(*_whole_run()), 100)
    for part in (
        "2+2?",
        "plan: [sums] add add",
        "c0:",
        "c2:",
        "40 tok",
        "/s",
        "math: correct 1.00 = 4",
        "warning: planner: careful",
    ):
        assert part in text
    assert "decision: c0 is best" in text
    assert "spent: solve 1 call 130 tokens" in text


def test_candidates_stand_side_by_side_at_80_columns() -> None:
    assert any(all(f"c{k}:" in line for k in range(3)) for line in _drawn(_board(*_whole_run()), 80).splitlines())


def test_a_locale_without_utf_8_gets_ascii() -> None:
    text = _drawn(_board(*_whole_run(text="中文 wörd ")), 80, encoding="ascii")
    assert "?? w?rd" in text
    assert "+-" in text


def test_a_failed_run_says_why() -> None:
    board = _board(CandidateFailed(candidate_id="a", error="server gone"), RunEnded(error="no candidate"))
    text = _drawn(board, 80)
    assert "server gone" in text
    assert "no answer: no candidate" in text


def test_plain_lines_tell_the_story() -> None:
    board, lines = _board(), []
    for event in [board.started, *_whole_run()]:
        board.update(event)
        lines += describe(board, event)
    assert lines[0] == "problem: 2+2?"
    assert lines[2].startswith("plan: add add")
    assert "solve: asking decoders.solver for 3 x 1024 tokens at most" in lines
    assert "candidate c0: 40 tokens, 10/s" in lines
    assert lines[-2:] == ["decision: c0 is best", "spent: solve 1 call 130 tokens; 3.0 s"]


def test_lines_are_printed_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hook = Progress()
    hook.k2_event(RunStarted(run_id="r", problem=Problem(prompt="2+2? " + NASTY.replace("\ud800", "")), seed=1))
    for event in _whole_run():
        hook.k2_event(event.model_copy(update={"run_id": "r"}))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("problem: 2+2? ?[31mred")
    assert "decision: c0 is best" in err
    assert hook._boards == {}


def test_the_summary_can_be_left_to_another(capsys: pytest.CaptureFixture[str]) -> None:
    hook = Progress(ProgressConfig(summary=False))
    hook.k2_event(RunStarted(run_id="r", problem=Problem(prompt="2+2?"), seed=1))
    for event in _whole_run():
        hook.k2_event(event.model_copy(update={"run_id": "r"}))
    assert "decision" not in capsys.readouterr().err
    assert "decision" not in _drawn(_board(*_whole_run()), 80, summary=False)


def test_a_second_view_in_the_process_prints_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "_draws", lambda self: True)
    with progress_module._terminal:
        hook = Progress()
        hook.k2_event(RunStarted(run_id="r", problem=Problem(prompt="2+2?"), seed=1))
    assert capsys.readouterr().err.startswith("problem: 2+2?")
    assert hook._live is None


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not is_terminal(stream)


LIVE = """
import asyncio, sys
from k2core import *
from k2core.testing import fake_decoder
from k2core_hooks.progress import Progress

class Counting(Progress):
    drawn = 0
    def _render(self, console):
        Counting.drawn += 1
        return super()._render(console)

class NoConfig(PluginConfig):
    pass

class Two(Plugin):
    config: NoConfig

    @hookimpl
    async def k2_sample(self, run, problem):
        message = Message(role="user", content="x")
        request = DecodeRequest(messages=(message,), n=2, max_tokens={tokens}, candidates=("a", "b"))
        done = await run.decode(request)
        print("READY", file=sys.stderr)
        return [Candidate(id=k, text=c.text, completion=c) for k, c in zip("ab", done)]

async def main():
    registry = Registry()
    registry.add("sampler", "two", Two)
    registry.add("decoder", "fake", fake_decoder(lambda request, i: "w\\x1b[2J\\u4e2d " * {tokens}))
    registry.add("hook", "progress", Counting)
    decoder = {{"use": "fake", "delay": {delay}}}
    tables = {{"sampler": {{"use": "two"}}, "decoders": {{"solver": decoder}}, "hooks": {{"progress": {{}}}}}}
    async with Runtime(PipelineConfig.from_dict(tables), registry=registry) as runtime:
        for _ in range({runs}):
            result = await runtime.solve("2+2?")
    print("ANSWER", len(result.candidate.text), Counting.drawn)

asyncio.run(main())
"""


class _Terminal:
    """A child process whose stderr is a terminal of ours."""

    def __init__(self, code: str, env: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **(env or {})}
        command = [sys.executable, "-c", code]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, stdin=subprocess.DEVNULL, env=environment)
        os.close(slave)
        self.screen = b""

    def read_until(self, wanted: bytes) -> None:
        while wanted not in self.screen:
            self.screen += os.read(self.master, 65536)

    def finish(self) -> tuple[str, str]:
        while True:
            try:
                more = os.read(self.master, 65536)
            except OSError:  # how Linux says that the last writer has gone
                break
            if not more:
                break
            self.screen += more
        out, _ = self.process.communicate(timeout=60)
        os.close(self.master)
        return out.decode(), self.screen.decode(errors="replace")


def _code(tokens: int = 300, delay: float = 0.0, runs: int = 1) -> str:
    return LIVE.format(tokens=tokens, delay=delay, runs=runs)


def _is_clean(screen: str) -> bool:
    """The cursor is shown at the end, and the alternate screen was never used."""
    return screen.rfind("\x1b[?25h") > screen.rfind("\x1b[?25l") >= 0 and "?1049" not in screen


def test_on_a_terminal_the_view_is_redrawn_in_place() -> None:
    out, screen = (terminal := _Terminal(_code(tokens=100, delay=0.005, runs=2))).finish()
    assert terminal.process.returncode == 0, screen
    assert re.fullmatch(r"ANSWER \d+ \d+\n", out), "stdout must hold the answer alone"
    assert _is_clean(screen)
    assert "\x1b[1A" in screen  # up one line: drawn over
    assert "READY" in screen
    assert screen.count("decision: ") == 2, "each run leaves its last picture"
    assert "?[2J" in screen
    assert "\x1b[2J" not in screen, "the model's escape sequence reached the terminal"


def test_drawing_does_not_follow_the_token_rate() -> None:
    out, _ = _Terminal(_code(tokens=20_000)).finish()
    assert int(out.split()[2]) < 2_000


def test_an_interrupt_leaves_the_terminal_clean() -> None:
    terminal = _Terminal(_code(tokens=100_000, delay=0.001))
    terminal.read_until(b"tok")
    terminal.process.send_signal(signal.SIGINT)
    _, screen = terminal.finish()
    assert terminal.process.returncode != 0
    assert _is_clean(screen)


def test_an_ascii_locale_on_a_terminal_is_no_error() -> None:
    out, screen = _Terminal(_code(), {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}).finish()
    assert out.startswith("ANSWER"), screen
    assert screen.isascii()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_lines(term: str) -> None:
    out, screen = _Terminal(_code(), {"TERM": term}).finish()
    assert out.startswith("ANSWER")
    assert "\x1b" not in screen
    assert "decision: " in screen


def test_the_module_does_not_import_rich(tmp_path: Path) -> None:
    code = "import sys, k2core_hooks.progress, k2core_hooks.replay; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
