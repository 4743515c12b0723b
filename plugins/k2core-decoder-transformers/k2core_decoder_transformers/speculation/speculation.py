"""What the engine calls: a drafter, its pace, and a guard around both, so that speculation can cost speed but never a token."""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .pace import LARGE_PURSE, PURSE, Ask, Pace
from .records import Draft, Drafter, Step, View

log = logging.getLogger(__name__)


class Speculation:
    """Drafts for a batch of sequences. For one thread. No method raises: a drafter that does is switched off with a warning.

    `vocab`: tokens at or above it are cut off. `most`: tokens drafted at most for a sequence in a step; without `adaptive`, always
    that many.
    """

    def __init__(
        self, drafter: Drafter, vocab: int, *, most: int = 16, adaptive: bool = True, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.drafted = self.accepted = 0
        self.seconds = 0.0
        """Seconds that drafting and indexing have taken."""
        self._drafter: Drafter | None = drafter
        self._passes = bool(getattr(drafter, "passes", False))
        self.pace = Pace(LARGE_PURSE if self._passes else PURSE)
        self._vocab, self._most, self._adaptive, self._clock = vocab, most, adaptive, clock
        self._told: dict[int, int] = {}
        self._plans: dict[int, Draft] = {}
        self._shadows: dict[int, tuple[Draft, int]] = {}
        self._drafting = 0.0

    @property
    def active(self) -> bool:
        """Whether there still is a drafter."""
        return self._drafter is not None

    def open(self, view: View) -> None:
        """A sequence begins. The drafter hears of it when it is first asked, so that it costs nothing while at rest."""

    def plan(self, views: Sequence[View]) -> list[list[int]]:
        """A draft for each of the step's sequences, many of them empty. All decoding sequences belong into one call."""
        nothing: list[list[int]] = [[] for _ in views]
        self._plans.clear()
        if self._drafter is None or not views or (self._adaptive and self.pace.resting):
            return nothing
        started = self._clock()
        drafts = self._guarded(lambda drafter: self._drafts(drafter, views), None)
        self._drafting += self._clock() - started
        if drafts is None:
            return nothing
        self._plans = {view.id: draft for view, draft in zip(views, drafts, strict=True) if draft.tokens}
        return [draft.tokens for draft in drafts]

    def done(self, steps: Sequence[Step], rows: int, seconds: float, prefill: int = 0) -> None:
        """What the step did: `rows` are its decoding rows, `prefill` the prompts' that shared the pass, `seconds` its wall time
        without `plan` and `done`. Every sequence's new tokens must be told, also one that had no draft."""
        for step in steps:
            self._learn(step)
        drafted, accepted = sum(step.drafted for step in steps), sum(step.accepted for step in steps)
        self.drafted, self.accepted = self.drafted + drafted, self.accepted + accepted
        self.seconds += self._drafting
        if prefill or rows <= drafted:
            self.pace.spent(self._drafting)
        else:
            self.pace.stepped(rows - drafted, drafted, accepted, seconds, self._drafting)
        self._drafting = 0.0

    def close(self, view: View) -> None:
        """The sequence has ended, in whatever way."""
        self._shadows.pop(view.id, None)
        self._plans.pop(view.id, None)
        self.pace.acceptance.forget(view.id)
        if view.id in self._told:
            started = self._clock()
            self._guarded(lambda drafter: self._close(drafter, view), None)
            self._told.pop(view.id, None)
            self._drafting += self._clock() - started

    def _close(self, drafter: Drafter, view: View) -> None:
        try:
            if not self.pace.resting:
                self._tell(drafter, view)
        finally:
            drafter.close(view)

    def _drafts(self, drafter: Drafter, views: Sequence[View]) -> list[Draft]:
        for view in views:
            self._tell(drafter, view)
        most = [max(0, min(self._most, view.room - 1)) for view in views]
        if self._passes and self._adaptive:
            most = self.pace.lengths([Ask(view.id, limit) for view, limit in zip(views, most, strict=True)])
        if not any(most):
            return [Draft() for _ in views]
        started = self._clock()
        drafts = [_clean(draft, limit, self._vocab) for draft, limit in zip(drafter.draft(views, most), most, strict=True)]
        if self._passes:
            self.pace.passed(max(most), self._clock() - started)
            drafts = [Draft(draft.tokens) for draft in drafts]  # lengths were chosen without knowing the match
        return drafts if self._passes or not self._adaptive else self._cut(views, drafts)

    def _tell(self, drafter: Drafter, view: View) -> None:
        if view.id not in self._told:
            self._told[view.id] = 0
            drafter.open(view)
        told = self._told[view.id]
        if told < len(view.ids):
            self._told[view.id] = len(view.ids)
            drafter.grew(view, view.ids[told:])

    def _cut(self, views: Sequence[View], drafts: Sequence[Draft]) -> list[Draft]:
        """Drafts at the lengths that pay. Those that are not tried are remembered: since the text does not depend on speculation,
        what comes shows whether they would have been right, at no cost."""
        lengths = self.pace.lengths(
            [Ask(view.id, len(draft.tokens), draft.match) for view, draft in zip(views, drafts, strict=True)]
        )
        for view, draft, length in zip(views, drafts, lengths, strict=True):
            if length:
                self._shadows.pop(view.id, None)
            elif draft.tokens:
                self._shadows.setdefault(view.id, (draft, 0))
        return [Draft(draft.tokens[:length], draft.match) for draft, length in zip(drafts, lengths, strict=True)]

    def _learn(self, step: Step) -> None:
        learn, id = self.pace.acceptance.learn, step.view.id
        if step.drafted:
            plan = self._plans.get(id)
            learn(id, plan.match if plan else 0, step.drafted, step.accepted)
        shadow = self._shadows.pop(id, None)
        if shadow is None:
            return
        draft, right = shadow
        for token in step.new:
            if right < len(draft.tokens) and draft.tokens[right] == token:
                right += 1
            else:
                break
        else:
            if right < len(draft.tokens):
                self._shadows[id] = (draft, right)
                return
        learn(id, draft.match, len(draft.tokens), right)

    def _guarded(self, work: Callable[[Drafter], Any], instead: Any) -> Any:
        drafter = self._drafter
        if drafter is None:
            return instead
        try:
            return work(drafter)
        except Exception as error:
            log.warning("speculation is switched off, the drafter %s failed: %r", type(drafter).__name__, error)
            self._drafter = None
            self._shadows.clear()
            return instead


def _clean(draft: Draft, most: int, vocab: int) -> Draft:
    """The draft up to its first token that is none, and not longer than allowed."""
    return Draft(list(_tokens(draft.tokens[:most], vocab)), max(0, operator.index(draft.match)))


def _tokens(tokens: Iterable[Any], vocab: int) -> Iterable[int]:
    for token in tokens:
        try:
            id = operator.index(token)
        except TypeError:
            return
        if not 0 <= id < vocab:
            return
        yield id
