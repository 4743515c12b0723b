"""A circuit breaker: who keeps failing is left alone, and tried again with one call after a growing pause."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .config import RouteConfig

State: TypeAlias = Literal["closed", "open", "half-open"]


@dataclass(frozen=True)
class Permit:
    """Leave to make one call; given back with its outcome."""

    era: int
    """How often the breaker had opened by then: outcomes of calls from before it opened say nothing new."""
    probe: bool


class Breaker:
    """Closed, open, half-open (M. Nygard, Release It!). For one thread; `moved` is told every change of state."""

    def __init__(
        self, config: RouteConfig, moved: Callable[[State], None] = lambda state: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._moved, self._clock = config, moved, clock
        self.state: State = "closed"
        self.until = 0.0
        """While open: when one call may try again, by the clock."""
        self.last_error = ""
        self._recent: deque[bool] = deque(maxlen=config.window)
        self._row = self._opened = self._era = 0
        self._probing = False

    def admits(self) -> bool:
        """Whether a call may be made now."""
        return self.state == "closed" or (not self._probing and self._clock() >= self.until)

    @property
    def wait(self) -> float:
        """Seconds until a call may be made; a short pause while another call is trying."""
        if self.admits():
            return 0.0
        return max(self.until - self._clock(), min(self._config.pause, 0.1) if self._probing else 0.0)

    def begin(self) -> Permit:
        """A call is made; only after `admits`."""
        if self.state == "closed":
            return Permit(self._era, probe=False)
        self._probing = True
        self._move("half-open")
        return Permit(self._era, probe=True)

    def served(self, permit: Permit) -> None:
        """It was answered, if only with the word that the request was wrong."""
        if permit.era != self._era:
            return
        self._row = 0
        if permit.probe:
            self._probing, self._opened = False, 0
            self._recent.clear()
            self._move("closed")
        self._recent.append(True)

    def released(self, permit: Permit) -> None:
        """It was cancelled: nothing is known."""
        if permit.probe and permit.era == self._era:
            self._probing = False
            self._move("open")

    def failed(self, permit: Permit, error: str, after: float | None = None) -> None:
        """It failed; `after` are the seconds that the back end asked to be left alone for."""
        self.last_error = error
        if permit.era != self._era:
            return
        self._row += 1
        self._recent.append(False)
        if permit.probe or after or self._row >= self._config.failures or self._share() >= self._config.failure_share:
            self._open(after or 0.0)

    def _share(self) -> float:
        """Of failures, once the window is full."""
        full = len(self._recent) == self._recent.maxlen
        return self._recent.count(False) / len(self._recent) if full else 0.0

    def _open(self, after: float) -> None:
        pause = min(self._config.pause_max, self._config.pause * 2.0 ** min(self._opened, 30))
        self.until = self._clock() + max(after, pause)
        self._opened += 1
        self._era += 1
        self._probing = False
        self._recent.clear()
        self._move("open")

    def _move(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._moved(state)
