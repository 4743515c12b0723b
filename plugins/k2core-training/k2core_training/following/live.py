"""How a training goes, in one line that renews itself at a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40
SHOWN = ("loss", "reward", "eval_loss", "eval_accuracy", "token_accuracy", "grad_norm", "lr", "skipped")
"""Values that are shown, in this order, where a trainer has them."""


def sparkline(values: list[float], width: int = WIDTH) -> str:
    """The last `width` values as bars between their lowest and their highest."""
    last = [value for value in values[-width:] if value == value]
    if not last:
        return ""
    low, span = min(last), max(last) - min(last)
    return "".join(BARS[min(7, int(8 * (value - low) / span)) if span else 3] for value in last)


def duration(seconds: float) -> str:
    """Such as 12 s, 3:05 min, 2:40 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02} h"


class Live:
    """A context in which `update` shows a step. Silent where standard error is no terminal, or `shown` is false."""

    def __init__(self, steps: int, shown: bool = True, title: str = "training", trend: str = "loss") -> None:
        self._steps, self._title, self._trend = steps, title, trend
        self._values: deque[float] = deque(maxlen=WIDTH)
        self._seconds: deque[float] = deque(maxlen=20)
        self._live: Any = None
        self._shown = shown and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.live import Live as RichLive

            self._live = RichLive("", console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.__enter__()
        self._last = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def say(self, text: str) -> None:
        """What is being done before and between steps."""
        if self._live is not None:
            self._live.update(f"{self._title}: {text}")

    def update(self, step: int, values: Mapping[str, float | None]) -> None:
        """Show a step."""
        now = time.monotonic()
        self._seconds.append(now - self._last)
        self._last = now
        if (value := values.get(self._trend)) is not None:
            self._values.append(value)
        if self._live is not None:
            self._live.update(self.text(step, values))

    def text(self, step: int, values: Mapping[str, float | None]) -> str:
        """The line itself."""
        pace = sum(self._seconds) / len(self._seconds) if self._seconds else 0.0
        parts = [f"{self._title} {step:,}/{self._steps:,}", sparkline(list(self._values))]
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name in SHOWN if (value := values.get(name)) is not None]
        if (rate := values.get("tokens_per_second")) is not None:
            parts.append(f"{rate:,.0f} tokens/s")
        parts.append(f"{duration(pace * max(0, self._steps - step))} left")
        return "  ".join(part for part in parts if part)
