"""The plugin `refine`: what the verifiers find wrong goes back to the solver, which tries again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import Field

from k2core.errors import LimitExceeded
from k2core.plugin import Plugin, VerifierName, hookimpl
from k2core.ports import Run
from k2core.types import Candidate, Message, Plan, Problem, Verdict

from .config import SamplingConfig
from .deadline import before_hurry
from .drawing import Drawing
from .prompt import instruction


class RefineConfig(SamplingConfig):
    """Options of `refine`."""

    n: int = Field(default=1, ge=1)
    """Chains of attempts, side by side."""
    rounds: int = Field(default=2, ge=0)
    """Most further attempts of each chain."""
    verifier: VerifierName = ""
    """Name under `[verifiers]` of the one whose verdicts are fed back; empty asks all of them."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """An attempt that nobody calls correct or incorrect is good enough with a mean score of at least this."""
    feedback_chars: int = Field(default=2000, ge=100)
    """Most characters of feedback; longer reasons lose their middle."""
    attempt_chars: int = Field(default=16_000, ge=100)
    """Most characters of the previous attempt that are shown; a longer one loses its middle."""


class Refine(Plugin):
    """Attempts with feedback. All of them are candidates: the verifiers choose, and a later one need not be better."""

    config: RefineConfig

    @hookimpl
    async def k2_sample(self, run: Run, problem: Problem, plan: Plan | None) -> Sequence[Candidate]:
        drawing = Drawing(run, problem, plan, self.config)
        await drawing.side_by_side([1] * self.config.n)
        await _Refining(run, problem, self.config, drawing).rounds()
        return drawing.outcome(len(drawing.made) + len(drawing.failed))


@dataclass
class _Refining:
    """The further rounds. Attempt r of chain c is candidate number r * n + c, so that earlier attempts come first."""

    run: Run
    problem: Problem
    config: RefineConfig
    drawing: Drawing

    async def rounds(self) -> None:
        drawing, size = self.drawing, self.config.n
        current = range(size)
        for _ in range(self.config.rounds):
            attempts = [drawing.made[number] for number in current if number in drawing.made]
            if not attempts or self.run.hurry or self._limited():
                return
            wrong = await before_hurry(self.run, partial(self._faults, attempts))
            if not wrong:
                return
            current = range(current.start + size, current.stop + size)
            await self._again(wrong)

    def _limited(self) -> bool:
        return any(isinstance(error, LimitExceeded) for error in self.drawing.failed.values())

    async def _faults(self, attempts: Sequence[Candidate]) -> list[tuple[Candidate, list[Verdict]]]:
        """Which attempts should be made anew, with what was said of them; none as soon as one is good."""
        made = [self.drawing.made[number] for number in sorted(self.drawing.made)]
        verdicts = await self.run.verify(made, only=self.config.verifier or None)
        found = [(attempt, [v for v in verdicts if v.candidate_id == attempt.id]) for attempt in attempts]
        opinions = [(attempt, said, self._opinion(attempt, said)) for attempt, said in found]
        if any(opinion for _, _, opinion in opinions):
            return []
        if blind := [attempt.id for attempt, _, opinion in opinions if opinion is None]:
            self.run.warn("sampler", f"no verifier could judge candidate {', '.join(blind)}, so there is nothing to feed back")
        return [(attempt, said) for attempt, said, opinion in opinions if opinion is False]

    def _opinion(self, attempt: Candidate, verdicts: Sequence[Verdict]) -> bool | None:
        """A call of a tool is to be executed, and not to be bettered."""
        calls = attempt.completion is not None and attempt.completion.tool_calls
        return True if calls else good(verdicts, self.config.threshold, whole=whole(attempt))

    async def _again(self, wrong: Sequence[tuple[Candidate, list[Verdict]]]) -> None:
        """The next attempt of each, side by side; the soft deadline cancels them."""
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._attempt(*fault)) for fault in wrong]
            watcher = group.create_task(self.drawing.cancel_at_soft_deadline(workers))
            await asyncio.wait(workers)
            watcher.cancel()

    async def _attempt(self, last: Candidate, verdicts: Sequence[Verdict]) -> None:
        messages = (
            *await self.drawing.messages(),
            Message(role="assistant", content=shortened(last.text.strip(), self.config.attempt_chars) or "(no text)"),
            Message(role="user", content=feedback(last, verdicts, self.config.feedback_chars, self._instruction())),
        )
        await self.drawing.draw(int(last.id) + self.config.n, messages=messages)

    def _instruction(self) -> str:
        return instruction(self.problem, self.config.instructions)


def whole(attempt: Candidate) -> bool:
    """Whether an attempt was not cut off."""
    return attempt.completion is None or attempt.completion.finish != "length"


def good(verdicts: Sequence[Verdict], threshold: float, *, whole: bool = True) -> bool | None:
    """Whether an attempt may stay as it is; None when no verifier could judge it, and so none can say what to better.

    One that was cut off is not good enough unless a verifier calls it correct.
    """
    said = [verdict for verdict in verdicts if verdict.status != "error"]
    if not said:
        return None
    if any(verdict.status in ("incorrect", "unparsed") for verdict in said):
        return False
    if any(verdict.status == "correct" for verdict in said):
        return True
    return whole and sum(verdict.score for verdict in said) / len(said) >= threshold


_FENCE = re.compile(r"</?\s*feedback\s*>", re.IGNORECASE)


def feedback(last: Candidate, verdicts: Sequence[Verdict], most: int, wanted: str) -> str:
    """What the solver is told about its attempt: the verdicts between tags that they cannot close, and how to answer."""
    lines = [
        f"- {verdict.verifier}: {verdict.status}" + (f": {verdict.reason}" if verdict.reason else "")
        for verdict in verdicts
        if verdict.status not in ("error", "correct")
    ]
    if last.completion is not None and not whole(last):
        lines.insert(0, f"- the answer was cut off after {last.completion.tokens} tokens; it must be shorter")
    text = shortened(_FENCE.sub("", "\n".join(lines)), most)
    parts = (
        f"An automatic check of this answer says:\n<feedback>\n{text}\n</feedback>",
        "The check itself may be wrong. Think again, and write the whole answer anew.",
        wanted,
    )
    return "\n\n".join(filter(None, parts))


GAP = "\n[…]\n"


def shortened(text: str, most: int) -> str:
    """At most so many characters, the middle left out."""
    if len(text) <= most:
        return text
    head = (most - len(GAP)) // 2
    return text[:head] + GAP + text[len(text) - (most - len(GAP) - head) :]
