"""The books: every call to a back end is reserved before it starts and settled as served, cancelled or failed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .config import Price
from .ports import Call, Counts
from .types import Completion, DecodeRequest, Usage, uses_tools

Outcome = Literal["served", "cancelled", "failed"]

TEMPLATE_TOKENS = 256
"""Allowance for what a chat template adds: special tokens, a default system prompt, a date."""


def prompt_bound(request: DecodeRequest) -> int:
    """Most tokens the prompt can take: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    text = sum(len(m.content.encode("utf-8", "replace")) + 16 for m in request.messages)
    schema = len(str(request.json_schema)) if request.json_schema else 0
    # templates indent the tools, and add how to call them
    return text + schema + 2 * _tools_size(request) + TEMPLATE_TOKENS * (1 + uses_tools(request))


def _tools_size(request: DecodeRequest) -> int:
    """Bytes of the tools on offer and of earlier calls."""
    parts = (request.tools, *(message.tool_calls for message in request.messages))
    return sum(len(str(part).encode("utf-8", "replace")) for part in parts if part)


def prompt_estimate(request: DecodeRequest) -> int:
    """A likely count, four characters a token, for calls whose back end reported none."""
    return 1 + (sum(len(m.content) for m in request.messages) + _tools_size(request)) // 4


class Meter:
    """Counts of one call while it runs."""

    def __init__(self, call: Call, request: DecodeRequest, price: Price) -> None:
        self.call, self.request, self.price = call, request, price
        self.streamed = 0
        self.counts: dict[str, int] = {}
        self.settled = self.estimated = False
        self.started = time.monotonic()
        prompt, completion = prompt_bound(request), request.n * request.max_tokens
        call.reserve = prompt + completion
        call.reserve_cost = _cost(price, prompt, completion)

    def count(self, estimated: bool, counts: Counts) -> None:
        """What the back end has metered so far. Raises `TypeError` for what is not counted."""
        if unknown := counts.keys() - Counts.__annotations__:
            raise TypeError(f"meter() counts {', '.join(Counts.__annotations__)}, not {', '.join(unknown)}")
        self.estimated |= estimated
        self.counts |= {name: int(count) for name, count in counts.items() if isinstance(count, int)}

    def settle(self, outcome: Outcome, completions: Sequence[Completion] = ()) -> Usage:
        """The final usage. What the back end metered wins over its completions' counts, those over streamed deltas."""
        self.settled = True
        completion, counted = self.counts.get("completion_tokens"), sum(c.tokens for c in completions)
        exact = completion is not None or bool(counted) or outcome == "served"
        if completion is None:
            completion = max(counted, self.streamed)
        prompt = metered = self.counts.get("prompt_tokens")
        if prompt is None:
            # a call that failed or was cancelled before its first token may not have reached the model at all
            prompt = prompt_estimate(self.request) if completion or outcome == "served" else 0
        counts = {**self.counts, "prompt_tokens": prompt, "completion_tokens": completion, outcome: 1}
        return Usage(
            started=1,
            seconds=time.monotonic() - self.started,
            cost=_cost(self.price, prompt, completion),
            estimated=self.estimated or bool(prompt and metered is None) or bool(completion and not exact),
            **counts,
        )


def _cost(price: Price, prompt: int, completion: int) -> float:
    return (prompt * price.prompt + completion * price.completion) / 1e6


class _Sum:
    """Running totals of `Usage` values; cheaper than adding records."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] = dict.fromkeys(Usage.model_fields, 0)

    def add(self, usage: Usage) -> None:
        for name, value in usage.__dict__.items():
            self.usage[name] += value

    def made(self) -> Usage:
        return Usage(**{**self.usage, "estimated": bool(self.usage["estimated"])})


class Ledger:
    """Usage by request role. A run's ledger books into its runtime's too. Safe from several threads."""

    def __init__(self, parent: Ledger | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._sums: dict[str, _Sum] = defaultdict(_Sum)
        self._open: dict[str, str] = {}

    def usage(self) -> Mapping[str, Usage]:
        """By request role; calls still in flight count as started, their tokens not yet."""
        with self._lock:
            books = {role: total.made() for role, total in self._sums.items()}
            for role in self._open.values():
                books[role] = books.get(role, Usage()) + Usage(started=1)
        return books

    @property
    def total(self) -> Usage:
        """All roles together."""
        return sum(self.usage().values(), Usage())

    @property
    def in_flight(self) -> int:
        """Calls started and not yet settled."""
        with self._lock:
            return len(self._open)

    def open(self, call_id: str, role: str) -> None:
        """A call starts: it counts as in flight until it is settled."""
        with self._lock:
            self._open[call_id] = role
        if self._parent:
            self._parent.open(call_id, role)

    def settle(self, call_id: str, role: str, usage: Usage) -> None:
        """A call has ended with what it used; one answered by a hook is settled without having been opened."""
        with self._lock:
            self._open.pop(call_id, None)
            self._sums[role].add(usage)
        if self._parent:
            self._parent.settle(call_id, role, usage)
