"""The runs of one request, and what they come to."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from k2core.concurrency import gather
from k2core.types import Problem, Result, ToolCall

from ..admission.keys import Key
from ..pipelines.serving import Lease, Serving
from .asked import Asked
from .errors import ApiError
from .narrator import Narrator, diverged, said_in
from .outbox import Kind, Outbox
from .schemas import Schema, misfit
from .usage import Spent, spent

FINISH = {"stop": "stop", "length": "length", "filter": "content_filter", "tool": "tool_calls"}


@dataclass(frozen=True)
class Answer:
    """One choice, whole."""

    result: Result
    text: str
    finish: str
    tokens: int
    """Of the text alone."""
    progress: str
    reasoning: str
    calls: tuple[ToolCall, ...] = ()
    """Of the client's tools, for the client to execute."""


class Request:
    """One request that has been admitted, on its lease."""

    def __init__(self, id: str, asked: Asked, problem: Problem, key: Key, lease: Lease, commit: str) -> None:
        self.id, self.asked, self.problem, self.key, self.lease = id, asked, problem, key, lease
        runtime = lease.runtime
        self.direct = commit == "auto" and asked.schema is None and runtime.one_candidate and not runtime.may_veto
        """Whether answer text may be sent as it comes; an answer that must fit a schema is checked first."""

    def seeds(self) -> Sequence[int]:
        """One for each choice."""
        base = self.asked.seed
        if base is None:
            known = self.lease.runtime.config.seed
            base = secrets.randbits(31) if known is None else known
        return [(base + i) % 2**31 for i in range(self.asked.n)]

    async def whole(self, serving: Serving) -> tuple[list[Answer], Spent]:
        """All choices, once they are there."""
        return await self._all(serving, lambda choice: _Kept())

    async def streamed(self, serving: Serving, outbox: Outbox) -> tuple[list[Answer], Spent]:
        """All choices, told to the outbox on the way. A failure goes to the outbox, too."""
        return await self._all(serving, lambda choice: _Sent(outbox, choice))

    async def _all(self, serving: Serving, sink: Callable[[int], _Kept]) -> tuple[list[Answer], Spent]:
        runs = [self._one(serving, choice, seed, sink(choice)) for choice, seed in enumerate(self.seeds())]
        answers = [await runs[0]] if len(runs) == 1 else await gather(runs)
        return answers, spent((answer.result, answer.tokens) for answer in answers)

    async def _one(self, serving: Serving, choice: int, seed: int, sink: _Kept) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        # a run whose words can no longer be sent is stopped: what it would still write only costs
        narrator = Narrator(sink.put, direct=self.direct, on_diverged=task.cancel)
        record = f"{self.id}-{choice}" if choice else self.id
        try:
            result = await serving.run(self.lease, self.problem, key=self.key, seed=seed, observer=narrator, id=record)
        except asyncio.CancelledError:
            if narrator.diverged and not task.uncancel():  # it was the narrator, and nobody else, who cancelled it
                raise diverged() from None
            raise
        completion = result.candidate.completion
        finish, calls = (FINISH[completion.finish], completion.tool_calls) if completion else ("stop", ())
        if self.asked.schema is not None and not calls:
            result = _fitting(result, self.asked.schema, finish)
        narrator.finish(result)
        sink.put("finish", finish)
        progress, reasoning = sink.of("progress"), sink.of("reasoning")
        return Answer(result, said_in(result), finish, narrator.visible(result), progress, reasoning, calls)


class _Kept:
    """Keeps what a run tells, by kind."""

    def __init__(self) -> None:
        self._texts: dict[Kind, list[str]] = {"progress": [], "reasoning": [], "text": [], "finish": []}

    def put(self, kind: Kind, text: str) -> None:
        if text:
            self._texts[kind].append(text)

    def of(self, kind: Kind) -> str:
        return "".join(self._texts[kind])


class _Sent(_Kept):
    """Passes it on, too."""

    def __init__(self, outbox: Outbox, choice: int) -> None:
        super().__init__()
        self._outbox, self._choice = outbox, choice

    def put(self, kind: Kind, text: str) -> None:
        if text or kind == "finish":
            self._texts[kind].append(text)
            self._outbox.put(self._choice, kind, text)


def _fitting(result: Result, schema: Schema, finish: str) -> Result:
    """With the candidate's JSON alone, out of a fence if it stands in one. Raises `ApiError` when it does not fit the schema."""
    text = unfenced(result.candidate.text)
    if finish != "length":
        try:
            fault = misfit(json.loads(text), schema)
        except ValueError:
            fault = "it is no JSON"
        if fault:
            said = f"the answer does not fit the schema: {fault:.300}"
            raise ApiError(502, said, type="server_error", code="schema_mismatch")
    return result.model_copy(update={"candidate": result.candidate.model_copy(update={"text": text})})


def unfenced(text: str) -> str:
    """The inside of the one code block that the text consists of, or the text."""
    lines = text.strip().splitlines()
    fenced = len(lines) > 2 and lines[0].rstrip() in ("```", "```json") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else text.strip()
