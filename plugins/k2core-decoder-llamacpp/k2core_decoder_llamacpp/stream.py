"""From llama.cpp's chunks, which arrive in a worker thread, to deltas on the loop and completions at the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from k2core.ports import Run
from k2core.toolkit.thinking import Piece, ThinkSplitter
from k2core.types import Completion, DecodeRequest, Finish, Timing, TokenLogprob

from .request import too_long

GATHER = 0.004
"""Seconds in which the chunks of one step, one for each choice, are gathered before the loop looks at them."""
_CLOCKS = {"prompt": "prompt", "completion": "predicted"}
_FINISH: dict[str, Finish] = {"stop": "stop", "length": "length", "tool_calls": "tool", "content_filter": "filter"}


@dataclass
class _Choice:
    index: int
    splitter: ThinkSplitter
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    tokens: int = 0
    """Generated, by llama.cpp's own count."""
    told: int = 0
    """Of which deltas have told."""
    drafted: int = 0
    accepted: int = 0
    timings: Mapping[str, Any] = field(default_factory=dict)
    """llama.cpp's own clock, as last told."""
    finish: Finish = "stop"
    first: float | None = None
    last: float = 0.0

    def clock(self, timings: Mapping[str, Any]) -> None:
        """Take llama.cpp's times and its counts of guesses, which include those of all steps so far."""
        self.timings = timings or self.timings
        self.drafted = max(self.drafted, int(timings.get("draft_n", 0)))
        self.accepted = max(self.accepted, int(timings.get("draft_n_accepted", 0)))


class Stream:
    """The chunks of one `DecodeRequest`, over all its choices. Called from the worker thread, drained on the loop's."""

    def __init__(self, run: Run, request: DecodeRequest, think: Literal["auto", "open", "off"] = "auto") -> None:
        self.stop = threading.Event()
        self._run, self._request = run, request
        self._loop = asyncio.get_running_loop()
        self._sent = time.monotonic()
        self._chunks: deque[tuple[float, int, Mapping[str, Any]]] = deque()
        self._scheduled = False
        self._choices = [_Choice(index, ThinkSplitter(think)) for index in range(request.n)]
        self._finishing = 0
        self._prompt: int | None = None
        self._failure: Exception | None = None
        self.first = 0
        """Index of the choice that llama.cpp counts as its 0th now."""

    def receive(self, chunk: dict[str, Any]) -> bool:
        """Take a chunk, in the worker thread; True tells llama.cpp to stop."""
        self._chunks.append((time.monotonic(), self.first, chunk))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._loop.call_later, GATHER, self.drain)
        return self.stop.is_set()

    def drain(self) -> None:
        """Tell the run what has arrived. A failure stops the generation, and `completions` raises it."""
        self._scheduled = False
        try:
            while self._chunks and self._failure is None:
                self._take(*self._chunks.popleft())
        except Exception as error:
            self._failure = error
            self.stop.set()

    def settle(self) -> None:
        """Drain what is left, and put the exact count of tokens on the meter, however the call ends."""
        self.drain()
        if self._prompt is not None:
            self._run.meter(completion_tokens=sum(choice.tokens for choice in self._choices))
            if drafted := sum(choice.drafted for choice in self._choices):
                self._run.meter(drafted=drafted, accepted=sum(min(choice.accepted, choice.tokens) for choice in self._choices))

    def completions(self, model: str) -> list[Completion]:
        """The results. Raises what went wrong on the way."""
        if self._failure is not None:
            raise self._failure
        return [self._completion(choice, model) for choice in self._choices]

    def _completion(self, choice: _Choice, model: str) -> Completion:
        return Completion(
            text="".join(choice.text),
            reasoning="".join(choice.reasoning),
            tokens=choice.tokens,
            finish=choice.finish,
            stopped="" if choice.finish == "stop" and not self._request.stop else None,  # llama.cpp does not tell in a chat
            logprobs=tuple(choice.logprobs) if self._request.logprobs and not choice.accepted else None,  # else with gaps
            model=model,
            timing=self._timing(choice),
        )

    def _timing(self, choice: _Choice) -> Timing:
        told = {key: float(choice.timings[f"{name}_ms"]) / 1000 for key, name in _CLOCKS.items() if f"{name}_ms" in choice.timings}
        first = None if choice.first is None else choice.first - self._sent
        return Timing(first_token=first, total=max(0.0, choice.last - self._sent), **told)

    def _take(self, at: float, first: int, chunk: Mapping[str, Any]) -> None:
        if error := chunk.get("error"):
            raise _failure(error)
        if progress := chunk.get("prompt_progress"):
            if self._prompt is None:
                self._prompt = int(progress["total"])
                self._run.meter(prompt_tokens=self._prompt)
            return
        for item in chunk.get("choices", ()):
            choice = self._choices[first + item["index"]]
            self._finishing = choice.index
            self._grow(choice, at, item, chunk.get("timings"))
        if usage := chunk.get("usage"):  # comes right after the finish of the choice it counts
            choice = self._choices[self._finishing]
            choice.tokens = int(usage["completion_tokens"])
            choice.clock(chunk.get("timings") or {})

    def _grow(self, choice: _Choice, at: float, item: Mapping[str, Any], timings: Mapping[str, Any] | None) -> None:
        delta = item["delta"]
        choice.last = at
        if timings:
            choice.tokens = max(choice.tokens, int(timings["predicted_n"]))
            choice.clock(timings)
        pieces: list[Piece] = [(delta["reasoning_content"], True)] if delta.get("reasoning_content") else []
        if content := delta.get("content"):
            pieces += choice.splitter.feed(content)
        if item.get("finish_reason"):
            choice.finish = _FINISH.get(item["finish_reason"], "stop")
            pieces += choice.splitter.end()
        if choice.first is None and choice.tokens:
            choice.first = at
        choice.logprobs += [_logprob(entry) for entry in (item.get("logprobs") or {}).get("content", ())]
        self._tell(choice, pieces)

    def _tell(self, choice: _Choice, pieces: list[Piece]) -> None:
        for text, reasoning in pieces:
            (choice.reasoning if reasoning else choice.text).append(text)
            self._run.delta(text, choice.index, reasoning=reasoning, tokens=choice.tokens - choice.told)
            choice.told = choice.tokens


def _logprob(entry: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((other["token"], float(other["logprob"])) for other in entry.get("top_logprobs", ()))
    return TokenLogprob(token=entry["token"], logprob=float(entry["logprob"]), top=top, id=entry.get("id"))


def _failure(error: Mapping[str, Any]) -> Exception:
    """llama.cpp's error as a Python one."""
    if error.get("type") == "exceed_context_size_error":
        return ValueError(too_long(f"{error['n_prompt_tokens']:,}", error["n_ctx"]))
    message = f"llama.cpp: {error.get('message', error)}"
    return ValueError(message) if error.get("code") == 400 else RuntimeError(message)
