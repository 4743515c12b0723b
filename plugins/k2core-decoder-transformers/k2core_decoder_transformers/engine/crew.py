"""How many threads compute: as many as others leave cores free."""

from __future__ import annotations

import time

import torch

from k2core.toolkit import cores

EVERY = 1.0
"""Seconds between two looks at what others use."""


class Crew:
    """Sets the number of threads of the thread that calls it.

    A step has some hundred operations, each of which ends when its slowest thread does: one that shares its core with somebody
    else's work holds the other up, and two take longer than one. `threads` above 0 is a number that stays.
    Where the system does not tell what others use, torch's own number stays.
    """

    def __init__(self, threads: int) -> None:
        self._adapts = threads == 0 and torch.get_num_threads() > 1
        if threads:
            torch.set_num_threads(threads)
        self._most = torch.get_num_threads()
        self._seen = cores.now() if self._adapts else None

    def look(self) -> None:
        """Before a step: take on as many threads as cores were free since the last look, which is at least a second ago."""
        before = self._seen
        if before is None or time.monotonic() - before.at < EVERY:
            return
        self._seen = after = cores.now()
        if after is not None:
            free = cores.free_cores(before, after, cores.logical_cores())
            torch.set_num_threads(min(self._most, cores.threads_for(free, cores.usable_cores(), self._most)))
