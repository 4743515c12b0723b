"""An answer on its way in: objects of the API become deltas, counts and, in the end, completions."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from k2core.ports import Run
from k2core.types import Completion, DecodeRequest, Timing

from .choice import Choice
from .config import OpenAIConfig
from .failure import Failures
from .sse import BrokenStream, SSEParser

LONGEST_BODY = 64 * 2**20
"""Bytes of an answer that is no stream."""

_GIVEN_UP = ("error", "abort")
"""Finish reasons by which a server says that it failed."""


class Reply:
    """Collects the answer to one request, from a stream or from one piece."""

    def __init__(self, run: Run, request: DecodeRequest, config: OpenAIConfig, fail: Failures) -> None:
        self._run, self._request, self._config, self._fail = run, request, config, fail
        self._choices: dict[int, Choice] = {}
        self._model = config.model
        self._usage = Usage(request.n)
        self._began = time.monotonic()
        self.received = 0
        """Bytes that have come in."""

    @property
    def tokens(self) -> int:
        """Tokens until now, as counted here."""
        return sum(choice.tokens for choice in self._choices.values())

    def sent(self) -> None:
        """The request is on its way: the server may know of it, whatever becomes of the call."""
        self._run.meter(unsent=0)

    def take(self, data: bytes, *, streamed: bool) -> None:
        """Take one JSON object. Raises what the server's error means, or `TransientError` on anything that is no answer."""
        try:
            answer = json.loads(data)
            error = answer.get("error")
            if not error:
                return self._answer(answer, streamed)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            kind = "no JSON" if isinstance(problem, ValueError) else "no chat completion"
            raise self._fail.transient(f"sent a broken answer, {kind}: {self._fail.clean(data[:500])!r}") from None
        raise self._fail.inside(error)

    def _answer(self, answer: Mapping[str, Any], streamed: bool) -> None:
        self._model = answer.get("model") or self._model
        choices, usage = answer.get("choices") or (), answer.get("usage")
        if streamed:
            for choice in choices:
                self._choice(choice.get("index") or 0).chunk(choice)
        else:
            if usage and len(choices) > 1 and "timings" in answer:  # llama.cpp's server, which reports its first choice only
                usage = {**usage, "completion_tokens": None}
            lengths = [len(str(choice.get("message"))) for choice in choices]
            for choice, tokens in zip(choices, spread((usage or {}).get("completion_tokens"), lengths), strict=True):
                self._choice(choice.get("index") or 0).whole(choice, tokens)
        if usage:
            self._usage.report(usage, self.tokens, last=not choices)

    def _choice(self, index: int) -> Choice:
        known = self._choices.get(index)
        if known is not None:
            return known
        if not 0 <= index < self._request.n:
            raise TypeError(f"a choice {index} that nobody asked for")
        return self._choices.setdefault(index, Choice(self._config, self._run, index))

    def settle(self) -> None:
        """Tell the run what the server counted, whether the answer is complete or not; our own count is an estimate."""
        total = self._usage.completion(self.tokens)
        guessed = total is None and self.tokens > 0
        self._run.meter(prompt_tokens=self._usage.prompt, completion_tokens=total, estimated=guessed)
        if self._usage.speculation is not None:
            drafted, accepted = self._usage.speculation
            self._run.meter(drafted=drafted, accepted=accepted)

    def completions(self, stray: bytes = b"") -> Sequence[Completion]:
        """All choices by index. Raises `TransientError` on a truncated answer and `ValueError` on one with too few choices."""
        choices = list(self._choices.values())
        if not choices or any(choice.finish is None for choice in choices):
            hint = f"; it says: {self._fail.clean(stray)!r}" if stray else ""
            raise self._fail.transient(f"ended its answer after {self.tokens} tokens without a finish reason{hint}")
        if any(choice.finish in _GIVEN_UP for choice in choices):
            raise self._fail.transient(f"gave up after {self.tokens} tokens without saying why")
        if len(choices) < self._request.n:
            raise self._fail.plain(
                f"sent {len(choices)} of the {self._request.n} choices asked for: it does not support n > 1; ask for one at a time"
            )
        if self._config.stream and any(choice.stray_closing for choice in choices):
            tag = self._config.think_tags[1]
            self._run.warn("decoder openai", f'the text holds {tag} but does not begin with its opening tag: set think = "open"')
        first = min((choice.first - self._began for choice in choices if choice.first is not None), default=None)
        timing = Timing(first_token=first, total=time.monotonic() - self._began)
        ordered = [self._choices[index] for index in range(self._request.n)]
        shares = spread(self._usage.completion(self.tokens), [choice.tokens for choice in ordered])
        return [
            choice.completion(choice.tokens if share is None else share, self._model, timing)
            for choice, share in zip(ordered, shares, strict=True)
        ]


class Usage:
    """The server's own counts, over all choices."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.prompt: int | None = None
        self.speculation: tuple[int, int] | None = None
        """Tokens of the prediction that were tried, and that were taken."""
        self._total: int | None = None
        self._at = 0
        self._reports = 0

    def report(self, usage: Mapping[str, Any], counted: int, *, last: bool) -> None:
        """Take a `usage` object that came when `counted` tokens had. It belongs to the end of the answer if `last`.

        llama.cpp ends an answer of n choices with n reports, each of one choice; all others count all choices in one.
        """
        prompt, total = usage.get("prompt_tokens"), usage.get("completion_tokens")
        details = usage.get("completion_tokens_details") or {}
        accepted, rejected = details.get("accepted_prediction_tokens"), details.get("rejected_prediction_tokens")
        if isinstance(accepted, int) and isinstance(rejected, int):
            self.speculation = accepted + rejected, accepted
        if isinstance(prompt, int):
            self.prompt = max(prompt, self.prompt or 0)
        if isinstance(total, int):
            self._reports += last
            more = last and 1 < self._reports <= self._n
            self._total, self._at = total + (self._total or 0) * more, counted

    def completion(self, counted: int) -> int | None:
        """Tokens generated: what was reported, and what has come since."""
        return None if self._total is None else self._total + counted - self._at


def spread(total: int | None, weights: Sequence[int]) -> Sequence[int | None]:
    """A total as whole numbers in proportion to `weights`: the weights themselves where they add up to it. None gives Nones."""
    if total is None:
        return [None] * len(weights)
    whole, ends = sum(weights) or 1, list(itertools.accumulate(weights))
    bounds = [0, *(round(total * end / whole) for end in ends[:-1]), total]
    return [after - before for before, after in itertools.pairwise(bounds)]


class EventSink:
    """Takes the bytes of a stream of events."""

    def __init__(self, reply: Reply, fail: Failures) -> None:
        self._reply, self._fail = reply, fail
        self._parser = SSEParser()
        self.done = False

    def feed(self, data: bytes) -> None:
        self._reply.received += len(data)
        try:
            for event in self._parser.feed(data):
                self._event(event)
        except BrokenStream as problem:
            raise self._fail.transient(f"sent a broken stream: {problem}") from None

    def end(self) -> bytes:
        """The connection has closed. Returns a line that did not belong into the stream, if there was one."""
        for event in self._parser.end():
            self._event(event)
        return self._parser.stray

    def _event(self, event: bytes) -> None:
        if event.strip() == b"[DONE]":
            self.done = True
        elif event.strip() and not self.done:
            self._reply.take(event, streamed=True)


class JsonSink:
    """Takes the bytes of an answer in one piece."""

    def __init__(self, reply: Reply, fail: Failures) -> None:
        self._reply, self._fail = reply, fail
        self._parts: list[bytes] = []
        self.done = False

    def feed(self, data: bytes) -> None:
        self._reply.received += len(data)
        self._parts.append(data)
        if self._reply.received > LONGEST_BODY:
            raise self._fail.plain(f"sent an answer of more than {LONGEST_BODY} bytes")

    def end(self) -> bytes:
        self._reply.take(b"".join(self._parts), streamed=False)
        return b""
