"""The decoder `recorded`."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest, Finish

from .store import Stored, load


class RecordedConfig(PluginConfig):
    """Options of the decoder."""

    path: str | tuple[str, ...] = ()
    """File or files of stored completions, JSONL or gzipped JSONL; a problem's completions of all files are joined."""
    id_field: str = "pid"
    """Field of a row that holds the id of its problem."""
    order: Literal["file", "shuffle"] = "file"
    """Candidate 0 is a problem's first completion in the files, or the first of a shuffle by the run's seed."""
    tokens_field: str = "tokens"
    """Field with a completion's token count; where it is missing, a token for every four characters is assumed."""
    delay: float = Field(default=0.0, ge=0)
    """Seconds before each token; with 0 a completion arrives in one piece."""


class Recorded(Plugin):
    """Stored completions by problem id."""

    config: RecordedConfig
    calls_tools: ClassVar[bool] = True

    def __init__(self, config: RecordedConfig | None = None) -> None:
        super().__init__(config)
        self._stored: dict[str, list[Stored]] = {}

    @hookimpl
    async def k2_start(self) -> None:
        paths = [self.config.path] if isinstance(self.config.path, str) else self.config.path
        if not paths:
            raise ValueError("`path` is missing: name a file of stored completions (JSONL or gzipped JSONL)")
        stop = threading.Event()
        try:
            self._stored = await asyncio.to_thread(load, paths, self.config.id_field, self.config.tokens_field, stop)
        except asyncio.CancelledError:
            stop.set()
            raise

    @hookimpl
    async def k2_stop(self) -> None:
        self._stored = {}

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        if request.role != "solve":
            raise ValueError(f"only solutions are recorded; give the {request.role!r} calls a decoder of their own")
        if request.continue_last:
            raise ValueError(
                "recorded completions are whole, so an unfinished turn cannot be continued; step-level search (beam, particle) "
                "needs a decoder with a model"
            )
        if request.json_schema is not None:
            raise ValueError("recorded completions are what they are, and cannot be made to fit a JSON schema")
        places = self._places(run, request)
        chosen = self._chosen(run, places)
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(self._played(run, request, index, stored)) for index, stored in enumerate(chosen)]
        return [task.result() for task in playing]

    def _places(self, run: Run, request: DecodeRequest) -> list[int]:
        """Which completion each choice gets: the one its candidate id numbers, else the next of the run."""
        labels = request.candidates
        if len(labels) == request.n and all(label.isascii() and label.isdigit() for label in labels):
            return [int(label) for label in labels]
        start = run.state.get("served", 0)
        run.state["served"] = start + request.n
        return list(range(start, start + request.n))

    def _chosen(self, run: Run, places: Sequence[int]) -> list[Stored]:
        problem = run.problem.id
        if problem not in self._stored:
            some = ", ".join(list(self._stored)[:3])
            raise ValueError(
                f"no completions are recorded for problem {problem!r}; there are {len(self._stored)} problems: {some}, …"
            )
        stored = self._stored[problem]
        if max(places) >= len(stored):
            raise ValueError(
                f"problem {problem!r} has {len(stored)} recorded completions; number {max(places)} (from 0) is not there"
            )
        order = list(range(len(stored)))
        if self.config.order == "shuffle":
            random.Random(run.seed_for("recorded", problem)).shuffle(order)
        return [stored[order[place]] for place in places]

    async def _played(self, run: Run, request: DecodeRequest, index: int, stored: Stored) -> Completion:
        text, tokens, cut = cut_to(stored, request.max_tokens, request.stop)
        pieces = 1 if self.config.delay == 0 else max(1, tokens)
        for place in range(pieces):
            await asyncio.sleep(self.config.delay)
            piece = text[place * len(text) // pieces : (place + 1) * len(text) // pieces]
            run.delta(piece, index, tokens=tokens // pieces)
        calls = () if cut or text != stored.text else stored.calls  # a model that was stopped has not come to them
        finish: Finish = "length" if cut else "tool" if calls else "stop"
        return Completion(text=text, tokens=tokens, finish=finish, tool_calls=calls, model=stored.model)


def cut_to(stored: Stored, max_tokens: int, stop: Sequence[str]) -> tuple[str, int, bool]:
    """Text, tokens, and whether it was cut for length, as a model with that limit and those stop strings would have ended.

    Tokens are taken to be equally long, so a cut text counts in proportion.
    """
    text, tokens = stored.text, stored.tokens
    ends = [place for mark in stop if mark and (place := text.find(mark)) >= 0]
    if ends and text:
        tokens = -(-tokens * min(ends) // len(text))
        text = text[: min(ends)]
    if tokens > max_tokens:
        return text[: len(text) * max_tokens // tokens], max_tokens, True
    return text, tokens, False
