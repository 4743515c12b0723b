"""What a family draws: a problem as a user would type it, its answer, and the steps that lead there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Drawn:
    """One problem with its solution."""

    problem: str
    reference: str
    """The answer in the form in which the trace boxes it; the verifier `math` accepts whatever equals it."""
    steps: tuple[str, ...]
    """The lines of thought; every equation and comparison among them holds."""
    plan: str
    """What to do, without a number: two or three short numbered lines."""
    key: str
    """What makes two problems the same, however they are worded; it decides on the split.

    The order of two fractions and the letters of a formula count, so such twins may be on two sides (`benchmarks/twins.py`).
    """

    @property
    def trace(self) -> str:
        """The reply: the steps as thinking, then the answer in a box."""
        lines = "\n".join(self.steps)
        return f"<think>\n{lines}\n</think>\n\\boxed{{{self.reference}}}"


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of problem. `draw` takes a generator and a difficulty from 1 to 3, and uses nothing else."""

    name: str
    topics: tuple[str, ...]
    draw: Callable[[Random, int], Drawn]
    about: str


LEVELS = (1, 2, 3, 4)
TAUGHT = (1, 2)
"""Levels of which k2-nano is shown worked solutions. The third is harder, which shows how far that carries."""
REWORDED = 4
"""Problems as hard as those of levels 1 and 2, asked in words that no worked solution has: for learning from rewards alone."""


def numbered(*lines: str) -> str:
    """A plan of these lines."""
    return "\n".join(f"{place}. {line}" for place, line in enumerate(lines, 1))
