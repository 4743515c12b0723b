"""The `progress` hook: a run as it goes, on standard error; redrawn in place on a terminal, else line by line."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from pydantic import Field

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
from k2core.plugin import Plugin, PluginConfig, hookimpl

from .board import Board, spent_text, verdict_text
from .terminal import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_terminal = threading.Lock()
"""Held by the one view of this process that draws on the terminal; others print lines."""


class ProgressConfig(PluginConfig):
    """How much is shown, and how."""

    mode: Literal["auto", "lines"] = "auto"
    """`lines` prints plain lines on a terminal, too."""
    lines: Annotated[int, Field(ge=1, le=50)] = 6
    """Most lines of text shown of each candidate."""
    rate: Annotated[float, Field(gt=0, le=30)] = 10.0
    """Redraws a second, however fast tokens arrive."""
    summary: bool = True
    """Close with the decision and what was spent."""


class Progress(Plugin):
    """Shows the plan, the candidates side by side, their verdicts, the decision and what was spent."""

    config: ProgressConfig

    def __init__(self, config: ProgressConfig | None = None) -> None:
        super().__init__(config)
        self._lock = threading.Lock()  # never held while calling rich, whose drawing thread takes it, too
        self._boards: dict[str, Board] = {}
        self._live: Live | None = None

    @hookimpl
    async def k2_start(self) -> None:
        atexit.register(self._close)  # gives the cursor back even when nobody stops the runtime
        if self._draws():
            import rich.live  # noqa: F401 # now rather than in the middle of the first run

    @hookimpl
    async def k2_stop(self) -> None:
        atexit.unregister(self._close)
        self._close()

    @hookimpl
    def k2_event(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, RunStarted):
                self._boards[event.run_id] = Board(event)
            board = self._boards.get(event.run_id)
            if board is None:
                return
            board.update(event)
        if isinstance(event, Delta):
            return
        if self._live is None and (not self._draws() or not self._open()):
            self._say(board, event)
        if isinstance(event, RunEnded):
            self._finish(board)

    def _draws(self) -> bool:
        return self.config.mode == "auto" and is_terminal(sys.stderr)

    def _open(self) -> bool:
        """Start drawing, unless another view of this process does."""
        if not _terminal.acquire(blocking=False):
            return False
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live = Live(
            get_renderable=lambda: self._render(console),
            console=console,
            refresh_per_second=self.config.rate,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start()
        return True

    def _render(self, console: object) -> RenderableType:
        from rich.console import Console

        from .view import render

        assert isinstance(console, Console)
        with self._lock:
            board = next(iter(self._boards.values()), None)
            if board is None:
                return ""
            others = len(self._boards) - 1
            return render(board, console, lines=self.config.lines, waiting=others, summary=self.config.summary)

    def _finish(self, board: Board) -> None:
        """A run has ended: leave its last picture on the screen; the next one, if any, gets a view of its own."""
        shown = next(iter(self._boards.values()))
        if shown is board:
            self._close()
        with self._lock:
            self._boards.pop(board.started.run_id)

    def _close(self) -> None:
        live, self._live = self._live, None
        if live:
            try:
                live.stop()
            finally:
                _terminal.release()

    def _say(self, board: Board, event: Event) -> None:
        for line in describe(board, event) if self.config.summary or not isinstance(event, RunEnded) else ():
            print(one_line(line, 400, sys.stderr.encoding), file=sys.stderr, flush=True)


def is_terminal(stream: TextIO) -> bool:
    """Whether the stream can be drawn on: a terminal that knows how to move its cursor."""
    try:
        return stream.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
    except ValueError:  # closed
        return False


def describe(board: Board, event: Event) -> list[str]:
    """What a plain log says about an event; nothing for most."""
    match event:
        case RunStarted(problem=problem, seed=seed):
            return [f"problem: {problem.text}", f"seed: {seed}"]
        case CallStarted(plugin=plugin, request=request):
            return [f"{request.role}: asking {plugin} for {request.n} x {request.max_tokens} tokens at most"]
        case CallEnded(status="failed" | "cancelled" as status, role=role, error=error):
            return [f"{role}: {status}: {error}"]
        case PlanMade(plan=plan):
            return [f"plan: {plan.prompt}" if plan else "plan: none"]
        case CandidateMade(candidate=candidate):
            stream = board.candidates[candidate.id]
            return [f"candidate {stream.name}: {stream.tokens} tokens, {stream.rate:.0f}/s"]
        case CandidateFailed(candidate_id=name, error=error):
            return [f"candidate {name}: failed: {error}"]
        case Verified(verifier=verifier, verdicts=verdicts):
            return [f"verdicts: {'; '.join(f'{v.candidate_id} {verdict_text(verifier, v)}' for v in verdicts)}"]
        case Warned(where=where, message=message):
            return [f"warning: {where}: {message}"]
        case RunEnded(error=error, usage=usage):
            end = f"decision: {board.result.decision}" if board.result else f"no answer: {error}"
            speed = [f"speed: {board.speeds}"] if board.speeds else []
            return [end, f"spent: {spent_text(usage)}; {board.seconds:.1f} s", *speed]
    return []
