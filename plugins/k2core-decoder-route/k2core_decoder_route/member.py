"""What is known of one of the decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .breaker import Breaker, State
from .config import RouteConfig
from .pace import Pace


@dataclass(eq=False)
class Member:
    """One of the decoders, its breaker and how fast it has been."""

    name: str
    path: str
    breaker: Breaker
    pace: Pace

    @classmethod
    def of(cls, name: str, config: RouteConfig, moved: Callable[[str, State], None]) -> Member:
        breaker = Breaker(config, lambda state: moved(name, state))
        return cls(name, f"decoders.{name}", breaker, Pace(config.memory))

    def standing(self) -> str:
        """For people: its state, its last error, when it may be tried again."""
        breaker = self.breaker
        text = f"{self.name} ({breaker.state}" + (f", next try in {breaker.wait:.1f} s)" if breaker.wait else ")")
        return f"{text}: {breaker.last_error}" if breaker.last_error else text


@dataclass(frozen=True)
class Price:
    """Per million tokens, by `[prices]`; a decoder without one costs nothing."""

    prompt: float = 0.0
    completion: float = 0.0

    @classmethod
    def of(cls, config: Any, name: str) -> Price:
        table = config.get("prices", {}).get(name, {})
        return cls(float(table.get("prompt", 0.0)), float(table.get("completion", 0.0)))
