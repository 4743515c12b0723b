"""How far an evaluation has come, told while it runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..records import Spent

if TYPE_CHECKING:
    from rich.live import Live

_EVERY = 30.0
"""Seconds between plain lines, where there is no terminal."""
_LIVE = 0.25
"""Seconds between changes of the line on a terminal."""


class Progress:
    """Counts of samples, tokens and cost, as a line that changes on a terminal, else as one every half a minute.

    Accuracy is shown only to who asks to peek: to look at it invites stopping when it is high.
    """

    def __init__(self) -> None:
        self.total = self.finished = self._before = 0
        self.tokens: Counter[str] = Counter()
        self.cost = 0.0
        self._outcomes: Counter[str] = Counter()
        self._began = self._told = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def start(self, total: int, done: int) -> None:
        """Begin to measure."""
        self.total, self.finished, self._before = total, done, done
        self._began = self._told = time.monotonic()

    def spent(self, spent: Sequence[Spent]) -> None:
        """A run has ended."""
        for one in spent:
            self.tokens[one.role] += one.usage.prompt_tokens + one.usage.completion_tokens
            self.cost += one.usage.cost

    def done(self, outcome: str | None) -> None:
        """A sample is written; its outcome is known only to those who want to peek."""
        self.finished += 1
        if outcome:
            self._outcomes[outcome] += 1
        now = time.monotonic()
        if now - self._told >= (_LIVE if self._live else _EVERY):
            self._told = now
            if self._live:
                self._show(self._live)
            else:
                self.say(self.line())

    def _show(self, live: Live) -> None:
        from rich.text import Text

        live.update(Text(self.line(), no_wrap=True, overflow="ellipsis"), refresh=True)

    def line(self) -> str:
        seconds = max(1e-9, time.monotonic() - self._began)
        rate = (self.finished - self._before) / seconds
        left = (self.total - self.finished) / rate if rate else float("inf")
        parts = [f"{self.finished}/{self.total} samples", f"{rate:.3g}/s", f"{_span(left)} left"]
        parts.append(", ".join(f"{role} {count:,} tokens" for role, count in sorted(self.tokens.items())) or "no tokens")
        if self.cost:
            parts.append(f"cost {self.cost:.4g}")
        if self._outcomes:
            parts.append(f"correct so far {self._outcomes['correct'] / self._outcomes.total():.1%}")
        return "; ".join(parts)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._live:
            self._live.console.print(f"k2: {text}", markup=False, highlight=False)
        else:
            print(f"k2: {text}", file=sys.stderr, flush=True)


def _span(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
