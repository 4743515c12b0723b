"""One problem's votes: launched in stages, counted one at a time, decided by a rule, the rest cancelled at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from k2core.errors import LimitExceeded
from k2core.events import SamplerStopped
from k2core.ports import Run
from k2core.types import Candidate

from .drawing import Drawing
from .stopping import Rule, Said, Standing, leading, standing, votes_needed
from .stragglers import Durations
from .voting import Vote, scored, votes_of

T = TypeVar("T")

AT_ONCE = 12
"""Votes up to which a learning rule is quick enough for the event loop."""


async def computed(work: Callable[[], T], rule_name: str, n: int) -> T:
    """The result of `work`, computed in a thread where a rule that learns can take long over `n` votes."""
    return work() if rule_name == "exact" or n <= AT_ONCE else await asyncio.to_thread(work)


@dataclass(frozen=True)
class Ballot:
    """How a poll is held."""

    n: int
    verifier: str
    rule: Rule
    rule_name: str
    first: int
    """Calls to start with; 0 leaves it to the rule."""
    spare: int
    """Calls under way beyond those that could decide."""
    order: Literal["arrival", "launch"]
    hedge: float
    """Seconds without a vote after which one more call is started; 0 for never."""


@dataclass
class Poll:
    """The poll of one run.

    What is launched and when it ends depends on the votes counted so far only, in the order of counting: so that a recorded run
    can be repeated from its calls and the order in which they ended.
    """

    run: Run
    drawing: Drawing
    ballot: Ballot
    durations: Durations
    counted: list[int] = field(default_factory=list)
    """Numbers of the candidates counted, failed ones among them."""
    votes: dict[int, Vote] = field(default_factory=dict)
    """Of the counted candidates, by number."""
    _calls: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _ended: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)
    _early: set[int] = field(default_factory=set)
    _limited: bool = False

    async def hold(self) -> list[Candidate]:
        """Candidates with their shares of the votes. Raises when there is none."""
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch())
            reason, confidence = await self._decided(group)
            await self._let_in()
            cancelled = [task for task in self._calls.values() if not task.done()]
            for task in (*cancelled, watcher):
                task.cancel()
        self.drawing.need_one(len(self._calls))
        return await self._outcome(reason, confidence, len(cancelled))

    async def _watch(self) -> None:
        await self.run.wait_hurry()
        self._ended.put_nowait(None)

    # counting

    async def _decided(self, group: asyncio.TaskGroup) -> tuple[str, float | None]:
        """Launch and count until there is a decision. Why it was made, and the confidence in it."""
        while True:
            now = standing(self.said(), self.ballot.n)
            if len(self.counted) == self.ballot.n:
                return f"all {self.ballot.n} are counted", 1.0
            confidence, needed = await self._judged(now)
            if confidence is not None:
                surely = "certain" if confidence == 1 else f"confidence {confidence:.3f}"
                return f"{now.lead} of the first {len(self.counted)} candidates agree, {surely}", confidence
            if self.run.hurry and self.drawing.made:
                return "the soft deadline passed", None
            self._launch(group, self._wanted(needed))
            if not self._in_flight():
                return "a limit allows no more calls", None
            await self._count(group)

    async def _judged(self, now: Standing) -> tuple[float | None, int]:
        """What the rule says, and how many votes it still needs at least."""
        rule = self.ballot.rule
        return await computed(lambda: (rule.confidence(now), votes_needed(rule, now)), self.ballot.rule_name, self.ballot.n)

    def _wanted(self, needed: int) -> int:
        """How many calls should be under way."""
        if self._limited or self.run.hurry:
            return 0 if self._limited or self._in_flight() else 1
        if not self._calls and self.ballot.first:
            return self.ballot.first
        return needed + self.ballot.spare

    def _launch(self, group: asyncio.TaskGroup, wanted: int) -> None:
        start = len(self._calls)
        for number in range(start, min(self.ballot.n, start + wanted - self._in_flight())):
            self._calls[number] = group.create_task(self._call(number))

    def _in_flight(self) -> int:
        """Calls whose votes are not counted yet."""
        return len(self._calls) - len(self.counted)

    async def _call(self, number: int) -> None:
        began = time.monotonic()
        try:
            await self.drawing.draw(number)
            self._ended.put_nowait(number)
        finally:
            if number not in self.drawing.failed:
                self.durations.add(time.monotonic() - began, number in self.drawing.made)

    async def _count(self, group: asyncio.TaskGroup) -> None:
        """Wait for the next to be counted; or for the soft deadline, or a reason to start one more."""
        number = await self._next(group)
        if number is None:
            return
        self.counted.append(number)
        self._limited |= isinstance(self.drawing.failed.get(number), LimitExceeded)
        await self._ask([number for number in self.counted if number in self.drawing.made])

    async def _next(self, group: asyncio.TaskGroup) -> int | None:
        following = len(self.counted)
        if self.ballot.order == "launch" and following in self._early:
            self._early.remove(following)
            return following
        number = await self._arrived(group)
        if number is None or self.ballot.order == "arrival" or number == following:
            return number
        self._early.add(number)
        return None

    async def _arrived(self, group: asyncio.TaskGroup) -> int | None:
        if not self.ballot.hedge:
            return await self._ended.get()
        try:
            async with asyncio.timeout(self.ballot.hedge):
                return await self._ended.get()
        except TimeoutError:
            if not self._limited and not self.run.hurry:
                self._launch(group, self._in_flight() + 1)
            return None

    async def _ask(self, numbers: Sequence[int]) -> None:
        """Let the verifier say who agrees with whom."""
        if numbers:
            votes = await votes_of(self.run, [self.drawing.made[number] for number in sorted(numbers)], self.ballot.verifier)
            self.votes = dict(zip(sorted(numbers), votes, strict=True))

    def said(self) -> dict[int, Said]:
        """What each counted candidate says, in the order of counting."""
        return {number: self._said(number) for number in self.counted}

    def _said(self, number: int) -> Said:
        if number not in self.votes:
            return Said(None)
        vote = self.votes[number]
        return Said(vote.key, vote.source, self.ballot.rule.weight(vote.source))

    # the end

    async def _let_in(self) -> None:
        """Give calls whose answers are here the few turns of the loop that they need to end as served ones.

        Without it, what a replay cancels and what it serves would hang on the order in which the loop wakes its tasks.
        """
        quiet, known = 0, self._ended.qsize()
        while quiet < 8 + 2 * self._in_flight():
            await asyncio.sleep(0)
            quiet, known = (quiet + 1, known) if self._ended.qsize() == known else (0, self._ended.qsize())

    async def _outcome(self, reason: str, confidence: float | None, cancelled: int) -> list[Candidate]:
        """The candidates, with shares of the counted votes; where no rule has decided, all that are here are counted."""
        decided, first = confidence is not None, leading(self.said())
        if not decided:
            self.counted += sorted(set(self.drawing.made) - set(self.counted))
        await self._ask(list(self.drawing.made))
        winner = self.votes[first].key if decided and first is not None else None
        if not decided:
            confidence, first = self.ballot.rule.stated(standing(self.said(), self.ballot.n)), leading(self.said())
        counted = [replace(self.votes[n], weight=said.weight) for n, said in self.said().items() if n in self.votes]
        self.run.emit(
            SamplerStopped(
                reason=reason,
                confidence=confidence,
                rule=self.ballot.rule_name,
                answer=None if first is None else self.votes[first].answer,
                counted=len(self.counted),
                launched=len(self._calls),
                cancelled=cancelled,
                n=self.ballot.n,
            )
        )
        return scored(list(self.votes.values()), counted, winner)
