"""Answers on their way in: lines of JSON become deltas, counts and, in the end, completions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from k2core import Completion, Run, TransientError
from k2core.types import Timing, TokenLogprob

from .failure import clean, inside

LONGEST_LINE = 16 * 2**20
"""Bytes; a server that sends more without a line's end is broken."""


class Lines:
    """Cuts what a connection brings into lines."""

    def __init__(self, url: str) -> None:
        self._url, self._rest = url, b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each line that `data` completes. Raises `TransientError` on one that does not end."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise TransientError(f"{self._url} sent a line of more than {LONGEST_LINE} bytes")
        yield from (line for line in whole if line.strip())

    def end(self) -> Iterator[bytes]:
        """The last line, which may lack its end."""
        if self._rest.strip():
            yield self._rest


class Choice:
    """Collects one choice; each has a connection of its own."""

    def __init__(self, run: Run, index: int, url: str, model: str) -> None:
        self._run, self._index, self._url, self._model = run, index, url, model
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._began = time.monotonic()
        self._first: float | None = None
        self._last: Mapping[str, Any] = {}
        self.tokens = 0
        """Tokens until now: one a line, and in the end what the server says."""

    @property
    def done(self) -> bool:
        return bool(self._last)

    @property
    def prompt_tokens(self) -> int | None:
        """Of the prompt; None before the end, and where the server does not say, as for a prompt that it had in its cache."""
        count = self._last.get("prompt_eval_count")
        return count if isinstance(count, int) and count > 0 else None

    def take(self, line: bytes) -> None:
        """Take one line. Raises what the server's error means, or `TransientError` on what is no answer."""
        try:
            answer = json.loads(line)
            error = answer.get("error")
            if not error:
                self._take(answer)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise TransientError(f"{self._url} sent a broken answer: {clean(line[:300].decode('utf-8', 'replace'))!r}") from None
        if error:
            raise inside(error, self._url)

    def _take(self, answer: Mapping[str, Any]) -> None:
        message = answer.get("message") or {}
        for key, reasoning, parts in (("thinking", True, self._reasoning), ("content", False, self._text)):
            if text := message.get(key):
                parts.append(text)
                self._grow(text, reasoning)
        self._logprobs += map(_logprob, answer.get("logprobs") or ())
        if answer.get("done"):
            self._last = answer
            self._model = answer.get("model") or self._model
            count = answer.get("eval_count")
            self.tokens = count if isinstance(count, int) else self.tokens

    def _grow(self, text: str, reasoning: bool) -> None:
        if self._first is None:
            self._first = time.monotonic()
        self.tokens += 1
        self._run.delta(text, self._index, reasoning=reasoning)

    def completion(self) -> Completion:
        """What has become of it. Raises `TransientError` when the answer broke off."""
        if not self.done:
            raise TransientError(f"{self._url} ended its answer after {self.tokens} tokens without saying that it was done")
        last = self._last
        return Completion(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tokens=self.tokens,
            finish="length" if last.get("done_reason") == "length" else "stop",
            logprobs=tuple(self._logprobs) or None,
            model=self._model,
            timing=Timing(
                first_token=None if self._first is None else self._first - self._began,
                total=time.monotonic() - self._began,
                queue=_seconds(last, "load_duration"),
                prompt=_seconds(last, "prompt_eval_duration"),
                completion=_seconds(last, "eval_duration"),
            ),
        )


def _seconds(last: Mapping[str, Any], name: str) -> float | None:
    """The API counts nanoseconds."""
    value = last.get(name)
    return value / 1e9 if isinstance(value, int | float) else None


def _logprob(token: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((other["token"], float(other["logprob"])) for other in token.get("top_logprobs") or ())
    return TokenLogprob(token=token["token"], logprob=float(token["logprob"]), top=top)
