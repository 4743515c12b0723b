"""The verifier `steps`: no model; claims that arithmetic can refute, step by step."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from k2core import Candidate, Plugin, PluginConfig, Problem, Run, Verdict, hookimpl

from .claims import Claim
from .examine import Progress, guarded, settled
from .memory import prefixes
from .split import Step, split

Seen = tuple[Progress, list[Claim]]
Judged = tuple[Step, list[Claim]]
_LONGEST = 100_000
"""Characters of a candidate that are read."""

COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "product": math.prod,
    "min": min,
    "mean": lambda scores: sum(scores) / len(scores),
}


class StepsConfig(PluginConfig):
    """Options of `steps`."""

    combine: Literal["product", "min", "mean"] = "product"
    """How the scores of the steps become one. A step's score is the share of its settled claims that hold, 1 without any."""


class Steps(Plugin):
    """Checks the arithmetic of every step; a candidate with a claim that is provably false is `incorrect`."""

    config: StepsConfig
    listwise: ClassVar[bool] = False

    @hookimpl
    async def k2_verify(self, run: Run, problem: Problem, candidates: Sequence[Candidate]) -> Sequence[Verdict]:
        memory: dict[bytes, Seen] = run.state.setdefault("steps", {})
        start = Progress(guarded(problem.text))
        return [await asyncio.to_thread(self._verdict, candidate, start, memory) for candidate in candidates]

    def _verdict(self, candidate: Candidate, start: Progress, memory: dict[bytes, Seen]) -> Verdict:
        judged = examined(answer_part(candidate.text)[:_LONGEST], start, memory, open_ended=_cut(candidate))
        if not judged:
            return Verdict(candidate_id=candidate.id, status="unparsed", reason="there are no steps in it")
        scores = [step_score(claims) for _, claims in judged]
        wrong = next(((step, claim) for step, claims in judged for claim in claims if claim.holds is False), None)
        return Verdict(
            candidate_id=candidate.id,
            status="incorrect" if wrong else "undecided",
            score=COMBINE[self.config.combine](scores),
            reason=_told(*wrong) if wrong else _summary(judged),
        )


def examined(text: str, progress: Progress, memory: dict[bytes, Seen], *, open_ended: bool = False) -> list[Judged]:
    """Every step with its claims, from `progress` on. What stood before in `memory` is not read again. With `open_ended` the text
    may be cut within a number, so a claim at its very end is left open."""
    steps = split(text)
    found: list[Judged] = []
    for step, name in zip(steps, prefixes(steps), strict=True):
        last = open_ended and step is steps[-1]
        if last or name not in memory:
            seen = progress.after(step.text)
            if not last:
                memory[name] = seen
        else:
            seen = memory[name]
        progress = seen[0]
        reach = len(step.text.rstrip(" $*\n")) if last and step.text.rstrip(" $*\n")[-1:].isdigit() else len(step.text) + 1
        found.append((step, [claim for claim in seen[1] if claim.end < reach]))
    kept = settled([(step.text, made) for step, made in found])
    return [(step, claims) for (step, _), claims in zip(found, kept, strict=True)]


def step_score(claims: Sequence[Claim]) -> float:
    """The share of the settled claims that hold; 1 without any."""
    settled = [claim.holds for claim in claims if claim.holds is not None]
    return sum(settled) / len(settled) if settled else 1.0


def answer_part(text: str) -> str:
    """The solution after its thinking, which tries what it then rejects; the thinking where there is nothing else."""
    _, closed, after = text.rpartition("</think>")
    return after if closed and after.strip() else text.replace("<think>", "\n").replace("</think>", "\n")


def _cut(candidate: Candidate) -> bool:
    return candidate.completion is not None and candidate.completion.finish == "length"


def _told(step: Step, claim: Claim) -> str:
    if claim.value.startswith(("from ", "the left")):
        return f"step {step.number}: {_short(claim.left)} = {_short(claim.right)}, but {_short(claim.value, 200)}"
    return f"step {step.number}: {_short(claim.left)} is {_short(claim.value)}, not {_short(claim.right)}"


def _summary(judged: Sequence[Judged]) -> str:
    holds = [claim.holds for _, claims in judged for claim in claims]
    open_ones = sum(hold is None for hold in holds)
    rest = f", {open_ones} could not be settled" if open_ones else ""
    return f"{sum(hold is True for hold in holds)} claims in {len(judged)} steps hold{rest}"


def _short(text: str, length: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
