"""What the live view knows about a run: built from its events alone, and independent of how it is drawn."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from k2core.events import (
    CallEnded,
    CallStarted,
    CandidateFailed,
    CandidateMade,
    Delta,
    Event,
    PlanMade,
    RunEnded,
    RunStarted,
    Verified,
    Warned,
)
from k2core.types import Completion, Plan, Result, Usage, Verdict

TAIL = 2000
"""Characters of a streaming text that are kept."""


@dataclass
class Stream:
    """Text that is being written."""

    name: str
    state: str = "waiting"
    """`waiting`, `writing`, `done`, `failed` or `cancelled`."""
    text: str = ""
    """The end of it."""
    tokens: int = 0
    error: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    """By verifier."""
    _first: tuple[float, int] = (0.0, 0)
    _last: float = 0.0

    def grow(self, delta: Delta) -> None:
        if self.state != "writing":
            self.state, self.text, self.tokens, self._first = "writing", "", 0, (delta.at, delta.tokens)
        self.text = (self.text + delta.text)[-TAIL:]
        self.tokens += delta.tokens
        self._last = delta.at

    def end(self, state: str, completion: Completion | None, error: str) -> None:
        self.state, self.error = state, error
        if completion:
            self.text, self.tokens = completion.text[-TAIL:], completion.tokens or self.tokens

    @property
    def rate(self) -> float:
        """Tokens a second since the first one; 0 when there is nothing to measure."""
        span = self._last - self._first[0]
        return max(0, self.tokens - self._first[1]) / span if span > 0 else 0.0


class Speeds(dict[str, tuple[int, float]]):
    """Tokens and the seconds it took to write them, by model; of back ends that tell the seconds."""

    def add(self, completion: Completion) -> None:
        seconds = completion.timing.completion
        if seconds and completion.tokens:
            tokens, before = self.get(completion.model, (0, 0.0))
            self[completion.model] = tokens + completion.tokens, before + seconds

    def __str__(self) -> str:
        """Such as `k2-think 1,850 tokens/s per answer`; empty when nothing is known."""
        return ", ".join(f"{name} {tokens / spent:,.0f} tokens/s per answer".strip() for name, (tokens, spent) in self.items())


@dataclass
class Board:
    """One run as it stands."""

    started: RunStarted
    began: float = field(default_factory=time.monotonic)
    plan: Plan | None = None
    planned: bool = False
    candidates: dict[str, Stream] = field(default_factory=dict)
    others: dict[str, Stream] = field(default_factory=dict)
    """Calls that make no candidate (plans, judgements), by call id, while they are open."""
    warnings: list[str] = field(default_factory=list)
    settled: dict[str, Usage] = field(default_factory=dict)
    speeds: Speeds = field(default_factory=Speeds)
    ended: RunEnded | None = None
    _open: dict[str, CallStarted] = field(default_factory=dict)

    @property
    def result(self) -> Result | None:
        return self.ended.result if self.ended else None

    @property
    def seconds(self) -> float:
        return self.ended.at if self.ended else time.monotonic() - self.began

    @property
    def usage(self) -> Mapping[str, Usage]:
        """By role; open calls count with the tokens that have streamed."""
        spent = dict(self.settled)
        for call in self._open.values():
            role = call.request.role
            written = sum(stream.tokens for stream in self._streams(call) if stream.state == "writing")
            spent[role] = spent.get(role, Usage()) + Usage(started=1, completion_tokens=written)
        return spent

    def update(self, event: Event) -> None:
        match event:
            case Delta():
                self._grow(event)
            case CallStarted():
                self._start(event)
            case CallEnded():
                self._end(event)
            case PlanMade():
                self.plan, self.planned = event.plan, True
            case CandidateMade(candidate=made):
                self._candidate(made.id).end("done", made.completion or Completion(text=made.text), "")
            case CandidateFailed():
                self._candidate(event.candidate_id).end("failed", None, event.error)
            case Verified():
                for verdict in event.verdicts:
                    self._candidate(verdict.candidate_id).verdicts[event.verifier] = verdict
            case Warned():
                self.warnings.append(f"{event.where}: {event.message}")
            case RunEnded():
                self.ended = event

    def _candidate(self, name: str) -> Stream:
        return self.candidates.setdefault(name, Stream(name))

    def _streams(self, call: CallStarted) -> list[Stream]:
        if call.request.candidates:
            return [self._candidate(name) for name in call.request.candidates]
        return [self.others[call.call_id]] if call.call_id in self.others else []

    def _start(self, call: CallStarted) -> None:
        self._open[call.call_id] = call
        for name in call.request.candidates:
            self._candidate(name).state = "waiting"
        if not call.request.candidates:
            self.others[call.call_id] = Stream(call.request.role)

    def _grow(self, delta: Delta) -> None:
        if delta.candidate is not None:
            self._candidate(delta.candidate).grow(delta)
        elif delta.call_id in self.others:
            self.others[delta.call_id].grow(delta)

    def _end(self, event: CallEnded) -> None:
        self.settled[event.role] = self.settled.get(event.role, Usage()) + event.usage
        for made in event.completions if event.status == "served" else ():
            self.speeds.add(made)
        call = self._open.pop(event.call_id, None)
        if call:
            for index, name in enumerate(call.request.candidates):
                completion = event.completions[index] if index < len(event.completions) else None
                self._candidate(name).end("done" if completion else event.status, completion, event.error)
        self.others.pop(event.call_id, None)


def verdict_text(verifier: str, verdict: Verdict) -> str:
    """Such as `math: correct 1.00 = 42`."""
    found = "" if verdict.answer is None else f" = {verdict.answer}"
    return f"{verifier}: {verdict.status} {verdict.score:.2f}{found}"


def spent_text(usage: Mapping[str, Usage]) -> str:
    """Such as `plan 1 call 80 tokens, solve 3 calls 1,200 tokens`."""
    return ", ".join(_spent(role, use) for role, use in usage.items()) or "nothing"


def _spent(role: str, usage: Usage) -> str:
    calls = usage.started + usage.cached
    lost = "".join(f" ({n} {what})" for what, n in (("cancelled", usage.cancelled), ("failed", usage.failed)) if n)
    drafts = f" ({usage.accepted:,} of {usage.drafted:,} drafted accepted)" if usage.drafted else ""
    return f"{role} {calls} call{'s' * (calls != 1)}{lost} {usage.tokens:,} tokens{drafts}"
