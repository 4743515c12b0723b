"""From the engine's thread to deltas on the loop, and completions at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from k2core.ports import Run
from k2core.toolkit.thinking import Piece, ThinkSplitter
from k2core.types import Completion, DecodeRequest, Timing

from .job import Choice, Job

if TYPE_CHECKING:
    from ..config import TransformersConfig
    from .core import Engine
    from .outbox import Outbox

GATHER = 0.004
"""Seconds in which the texts of a step, one for each choice, are gathered before the loop looks at them."""
_ids = itertools.count()


@dataclass
class _Text:
    splitter: ThinkSplitter
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    untold: int = 0
    """Tokens that no delta has told yet."""


class Stream:
    """One request on its way through an engine. `run` decodes it; all else happens on the loop but for `_tell` and `_ended`."""

    def __init__(self, run: Run, request: DecodeRequest, config: TransformersConfig, think: Literal["auto", "open", "off"]) -> None:
        self.job = Job(next(_ids), request, config.top_k, config.min_p, self._tell, self._ended)
        self._run, self._loop = run, asyncio.get_running_loop()
        self._done: asyncio.Future[Exception | None] = self._loop.create_future()
        self._texts = [_Text(ThinkSplitter(think)) for _ in range(request.n)]
        self._news: deque[tuple[int, str, int]] = deque()
        self._scheduled = False
        self._sent = time.monotonic()

    async def run(self, engine: Engine, outbox: Outbox) -> list[Completion]:
        """The completions. Raises what went wrong; when cancelled, gives way only once the engine has let go of the request."""
        outbox.send(engine, self.job)
        cancelled: asyncio.CancelledError | None = None
        while not self._done.done():
            try:
                await asyncio.wait([self._done])
            except asyncio.CancelledError as error:
                cancelled = error
                engine.cancel(self.job)
        self._settle()
        if cancelled is not None:
            raise cancelled
        if (failure := self._done.result()) is not None:
            raise failure
        return [self._completion(choice, engine.loaded.name) for choice in self.job.choices]

    def _tell(self, index: int, text: str, tokens: int) -> None:
        self._news.append((index, text, tokens))
        if not self._scheduled:
            self._scheduled = True
            with contextlib.suppress(RuntimeError):  # the loop was closed by force; nobody waits any more
                self._loop.call_soon_threadsafe(self._loop.call_later, GATHER, self._drain)

    def _ended(self, error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._done.set_result, error)

    def _drain(self) -> None:
        self._scheduled = False
        while self._news:
            index, text, tokens = self._news.popleft()
            held = self._texts[index]
            held.untold += tokens
            self._deliver(index, held.splitter.feed(text) if text else [])

    def _deliver(self, index: int, pieces: list[Piece]) -> None:
        held = self._texts[index]
        for text, reasoning in pieces:
            (held.reasoning if reasoning else held.text).append(text)
            self._run.delta(text, index, reasoning=reasoning, tokens=held.untold)
            held.untold = 0

    def _settle(self) -> None:
        """Tell what is left, and meter the exact counts, however the call ends."""
        self._drain()
        job = self.job
        for index, held in enumerate(self._texts):
            self._deliver(index, held.splitter.end())
        if job.admitted is not None:
            self._run.meter(prompt_tokens=len(job.prompt), completion_tokens=job.tokens, drafted=job.drafted, accepted=job.accepted)

    def _completion(self, choice: Choice, model: str) -> Completion:
        held, job = self._texts[choice.index], self.job
        assert job.admitted is not None
        assert choice.first is not None
        return Completion(
            text="".join(held.text),
            reasoning="".join(held.reasoning),
            tokens=len(choice.ids),
            finish=choice.finish or "stop",
            stopped=choice.stopped,
            logprobs=tuple(choice.logprobs) if job.request.logprobs else None,
            model=model,
            timing=Timing(
                first_token=choice.first - self._sent,
                total=choice.last - self._sent,
                queue=job.admitted - self._sent,
                prompt=choice.first - job.admitted,
                completion=choice.last - choice.first,
            ),
        )
