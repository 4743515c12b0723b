"""How many threads compute: as many as others leave cores free. And that none of them stands about where it is not needed."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

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
        own = default_threads()  # asked for before a number is set
        self._most = threads or own
        self._adapts = threads == 0 and self._most > 1
        torch.set_num_threads(self._most)
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

    def stay(self) -> None:
        """Compute with all threads from now on, whatever others do: how many there are changes the rounding."""
        if self._adapts:
            torch.set_num_threads(self._most)
        self._seen = None


@cache
def default_threads() -> int:
    """The number of threads before any crew set one: what a thread sets is what later threads of the process begin with."""
    return torch.get_num_threads()


def disband() -> None:
    """End the threads that have computed for the calling thread; its next operation makes new ones.

    OpenMP gives each thread that computes a team of its own, and keeps it. Where all teams together have more threads than there
    are cores, GNU's lets those that wait sleep at once instead of spinning, and waking them for each of the hundreds of
    operations in a small model's step costs more than the operation. So whoever is about to wait for another thread's computing
    disbands his. Without GNU's OpenMP nothing is done.
    """
    if (pause := _pause()) is not None:
        pause(_SOFT)


_SOFT = 1
"""`omp_pause_soft`: what the program has set stays as it is."""


@cache
def _pause() -> Callable[[int], int] | None:
    try:
        maps = Path("/proc/self/maps").read_text()
        path = next(line.split(maxsplit=5)[5] for line in maps.splitlines() if "libgomp" in line)
        pause: Callable[[int], int] = ctypes.CDLL(path).omp_pause_resource_all
    except (OSError, StopIteration, AttributeError):
        return None
    return pause
