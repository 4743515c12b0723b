"""Committed streaming: which words of a run a client sees, and when.

A client never sees answer text that is later taken back. Where several candidates compete it is told of the progress as reasoning,
and gets the answer once it is decided. Where there can be only one candidate, nothing competes: its words are the answer as
they come. Should a call that has been passed on break and be tried again, the new words must begin like those already sent;
they are sent from where they go further, and if they differ the stream ends with an error.
"""

from __future__ import annotations

from collections.abc import Callable

from k2core.events import CandidateFailed, CandidateMade, Delta, Event, PlanMade, RunEnded, SamplerStopped, Verified
from k2core.types import Result

from .errors import ApiError
from .outbox import Kind

MOST_LINES = 400
"""Of progress; search samplers ask their verifiers at every step."""
Put = Callable[[Kind, str], None]


class Narrator:
    """Observes one run and tells `put` what may be sent. `direct`: the run can have but one candidate, and nothing can veto it."""

    def __init__(self, put: Put, *, direct: bool, on_diverged: Callable[[], object] = lambda: None) -> None:
        self._put, self._direct, self._on_diverged = put, direct, on_diverged
        self._lines = 0
        self._call = ""
        self._sent: dict[Kind, list[str]] = {"reasoning": [], "text": []}
        self._again: dict[Kind, str] = {"reasoning": "", "text": ""}
        self._counted: dict[str, tuple[str, int]] = {}
        self.diverged = False
        """A second attempt did not begin like the first, whose words were sent."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Delta):
            if event.role == "solve" and event.candidate is not None:
                self._delta(event, event.candidate)
        elif self._lines < MOST_LINES and (line := self._line(event)):
            self._lines += 1
            self._put("progress", line)

    def _line(self, event: Event) -> str:
        if isinstance(event, PlanMade):
            return f"Plan: {event.plan.prompt.strip()}\n\n" if event.plan else ""
        return "" if self._direct else line_of(event)

    # text as it arrives

    def _delta(self, delta: Delta, candidate: str) -> None:
        if not delta.reasoning:
            call, tokens = self._counted.get(candidate, ("", 0))
            self._counted[candidate] = delta.call_id, delta.tokens + (tokens if call == delta.call_id else 0)
        if self._direct and not self.diverged:
            if delta.call_id != self._call:
                self._call = delta.call_id
                self._again = {kind: "".join(texts) for kind, texts in self._sent.items()}
            self._forward("reasoning" if delta.reasoning else "text", delta.text)

    def _forward(self, kind: Kind, text: str) -> None:
        if again := self._again[kind]:
            known = min(len(again), len(text))
            if again[:known] != text[:known]:
                self.diverged = True
                self._on_diverged()
                return
            self._again[kind], text = again[known:], text[known:]
        if text:
            self._sent[kind].append(text)
            self._put(kind, text)

    # the decision

    def finish(self, result: Result) -> None:
        """Send what of the answer has not been sent. Raises `ApiError` if what was sent is not how the answer begins."""
        completion = result.candidate.completion
        reasoning, sent = completion.reasoning if completion else "", "".join(self._sent["reasoning"])
        if reasoning.startswith(sent):
            self._put("reasoning", reasoning[len(sent) :])
        text, sent = said_in(result), "".join(self._sent["text"])
        if self.diverged or not text.startswith(sent):
            raise diverged()
        self._put("text", text[len(sent) :])

    def visible(self, result: Result) -> int:
        """Tokens of the chosen candidate without its reasoning, as its text arrived; by its share of characters if it did not."""
        candidate, completion = result.candidate, result.candidate.completion
        if completion is None:
            return 0
        if not completion.reasoning:
            return completion.tokens
        if candidate.id in self._counted:
            return min(completion.tokens, self._counted[candidate.id][1])
        return round(completion.tokens * len(completion.text) / (len(completion.text) + len(completion.reasoning)))


def said_in(result: Result) -> str:
    """The text of the answer: what the model said beside its calls, if it calls tools, which are sent in their own form."""
    completion = result.candidate.completion
    return completion.text if completion and completion.tool_calls else result.candidate.text


def line_of(event: Event) -> str:
    """An event for people to read, a line; empty for one that need not be told. No error texts: they may name back ends."""
    match event:
        case CandidateMade(candidate=candidate):
            tokens = f" ({candidate.completion.tokens} tokens)" if candidate.completion else ""
            return f"Candidate {candidate.id} is finished{tokens}.\n"
        case CandidateFailed():
            return f"Candidate {event.candidate_id} failed.\n"
        case SamplerStopped():
            return f"No more candidates: {event.reason}.\n"
        case Verified():
            said = (f"{v.candidate_id} {v.status} ({v.score:.2f})" + (f" = {v.answer}" if v.answer else "") for v in event.verdicts)
            return f"{event.verifier}: {', '.join(said)}.\n"
        case RunEnded(result=result) if result:
            return f"Decision: {result.decision}.\n\n"
    return ""


def diverged() -> ApiError:
    said = "the back end broke off after part of the answer had been sent, and its second attempt was another one"
    return ApiError(502, said, type="server_error", code="answer_interrupted")
