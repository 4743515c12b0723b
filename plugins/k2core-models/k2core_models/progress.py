"""Progress of a fetch, on stderr: a bar on a terminal, elsewhere a plain line every tenth of the way."""

from __future__ import annotations

import sys
from typing import TextIO


class Progress:
    """Bytes of a known total. It is shown at most once a percent."""

    def __init__(self, what: str, out: TextIO | None = None) -> None:
        self._what, self._out = what, out or sys.stderr
        self._live = self._out.isatty()
        self._last = ("", -1)

    def say(self, line: str) -> None:
        """A line of its own."""
        print(f"{self._what}: {line}", file=self._out, flush=True)

    def show(self, done: int, total: int, verb: str = "fetching") -> None:
        """Tell how far it is."""
        percent = 100 * done // max(total, 1)
        step = percent if self._live else percent // 10 * 10
        if self._last == (verb, step):
            return
        self._last = (verb, step)
        amount = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
        if not self._live:
            self.say(f"{verb}, {step} % ({amount})")
            return
        bar = "#" * (percent * 30 // 100)
        self._out.write(f"\r{self._what}: {verb} [{bar:<30}] {amount} ")
        self._out.flush()

    def close(self, line: str) -> None:
        """End the bar and say how it came out."""
        if self._live and self._last[1] >= 0:
            self._out.write("\r\x1b[K")
        self.say(line)
