"""Running a stored request again, offline, as `k2 replay` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.errors import ConfigError
from k2core.registry import Registry

from ..store import StoredTrace

if TYPE_CHECKING:
    from k2core_hooks.compare import Item

SHOWN = 20
"""Differences that are told of one thing."""


class Replays:
    """One at a time, each in a thread with an event loop of its own, so that a verifier that computes holds up no reader."""

    def __init__(self, registry: Callable[[], Registry], limit: float | None = None) -> None:
        self._registry, self._limit = registry, limit
        self._turn = asyncio.Semaphore(1)

    async def replay(self, trace: StoredTrace) -> dict[str, Any]:
        """What is the same and what is not. Raises `ConfigError` for what cannot be replayed."""
        async with self._turn:
            return await asyncio.to_thread(self._replayed, trace)

    def _replayed(self, trace: StoredTrace) -> dict[str, Any]:
        from k2core_hooks.compare import compare
        from k2core_hooks.reader import Block, parse_block
        from k2core_hooks.replay import replay

        if not trace.events or trace.damage:
            raise ConfigError(f"this request cannot be replayed: {trace.damage or 'its trace is empty'}", "trace")
        lines = trace.jsonl().splitlines(keepends=True)
        try:
            run = parse_block(Block(0, 1, {}, lines), Path(str(trace.row["id"])))
        except ValueError as error:  # a TraceError is one, too
            raise ConfigError(f"this request cannot be replayed: {' '.join(str(error).split())[:300]}", "trace") from error
        items = compare(run.ended, asyncio.run(replay(run, (), self._limit, self._registry())))
        return {"same": all(item.same for item in items), "items": [_told(item) for item in items]}


def _told(item: Item) -> dict[str, Any]:
    from k2core_hooks.compare import differences

    return {"name": item.name, "same": item.same, "differences": differences(item)[:SHOWN]}
