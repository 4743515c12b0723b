"""What may be served to one run: stored candidates, and the other calls that were recorded beside them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from k2core_hooks.reader import RecordedCall, RecordedRun

from k2core.errors import K2Error
from k2core.types import DecodeRequest

from .stored import Slot

SETTINGS = ("temperature", "top_p", "max_tokens", "stop", "json_schema", "tools", "continue_last")
"""What a stored text was drawn with and cannot be changed afterwards."""


class NotRecorded(K2Error):
    """Something is asked for that no stored call answers."""


class Bank:
    """Serves each stored candidate and each recorded call once."""

    def __init__(self, slots: Sequence[Slot], calls: Iterable[RecordedCall]) -> None:
        self._slots = list(slots)
        self._free = dict(enumerate(slots))
        self._tried: dict[int, int] = defaultdict(int)
        self._calls: dict[Any, deque[RecordedCall]] = defaultdict(deque)
        for call in calls:
            if call.ended and call.ended.status != "cancelled":
                self._calls[_key(call.started.request)].append(call)
        self.missing: list[str] = []
        """What was asked for and is not there."""

    def candidates(self, request: DecodeRequest) -> list[Slot]:
        """As many stored candidates as are asked for, drawn with this very prompt and these settings. Raises `NotRecorded`."""
        fitting = [place for place, slot in self._free.items() if not _differing(slot.request, request)]
        if request.n > 1:
            fitting = [place for place in fitting if self._free[place].status == "served"]
        if len(fitting) < request.n:
            raise self._lacks(self._why(request, len(fitting)))
        named = _number(request)
        first = [named] if named in fitting else []
        chosen = [*first, *(place for place in fitting if place not in first)][: request.n]
        return [self._taken(place) for place in chosen]

    def _taken(self, place: int) -> Slot:
        """The next attempt at a candidate; the last one takes it out."""
        slot = self._free[place]
        self._tried[place] += 1
        if self._tried[place] >= len(slot.attempts):
            return self._free.pop(place)
        return Slot(slot.attempts[: self._tried[place]], slot.choice)

    def call(self, request: DecodeRequest) -> RecordedCall | None:
        """The next recorded call of another role with this very prompt, or None."""
        waiting = self._calls.get(_key(request))
        return waiting.popleft() if waiting else None

    def lacks(self, request: DecodeRequest) -> NotRecorded:
        """The error for a call of another role that is not recorded."""
        asked = " ".join(request.messages[-1].content.split())[:80] if request.messages else ""
        return self._lacks(f"a {request.role} call to the decoder {request.decoder!r} was not recorded with this prompt ({asked}…)")

    def _lacks(self, what: str) -> NotRecorded:
        self.missing.append(what)
        return NotRecorded(what)

    def _why(self, request: DecodeRequest, fitting: int) -> str:
        wanted = f"{request.n} candidate{'s are' if request.n > 1 else ' is'} asked for"
        if not self._slots:
            return f"{wanted}, and no candidate is stored"
        if any(not _differing(slot.request, request) for slot in self._slots):
            return f"{wanted}, and {fitting} of {len(self._slots)} stored ones are left"
        name = _differing(self._slots[0].request, request)[0]
        if name == "messages":
            return f"{wanted} with a prompt that the stored ones were not drawn with"
        old, new = getattr(self._slots[0].request, name), getattr(request, name)
        return f"{wanted} with {name} = {new!r}, and the stored ones were drawn with {old!r}"


def _differing(stored: DecodeRequest, asked: DecodeRequest) -> list[str]:
    """The parts of a request by which a stored text would not be an answer to it; seeds are chance, and not among them."""
    found = [name for name in ("decoder", *SETTINGS, "messages") if getattr(stored, name) != getattr(asked, name)]
    return [*found, "logprobs"] if asked.logprobs > stored.logprobs else found


def _number(request: DecodeRequest) -> int | None:
    label = request.candidates[0] if request.candidates else ""
    return int(label) if label.isascii() and label.isdigit() else None


def _key(request: DecodeRequest) -> tuple[Any, ...]:
    settings = [repr(getattr(request, name)) for name in SETTINGS]
    return (request.decoder, request.role, request.n, request.messages, *settings)


def other_calls(run: RecordedRun) -> Iterator[RecordedCall]:
    """The calls that made no candidates: plans, judgements."""
    return (call for call in run.calls if call.started.request.role != "solve")
