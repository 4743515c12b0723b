"""The executor that runs the pipeline in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Self

from k2core.config import PipelineConfig
from k2core.errors import TransientError, explain
from k2core.registry import Registry
from k2core.runtime import Runtime
from k2core.types import Problem

from ..records import Spent
from .executor import Solved
from .recording import Recorder, add_recorder


class LocalExecutor:
    """One `Runtime` in the caller's event loop."""

    def __init__(self, config: PipelineConfig, registry: Registry | None = None) -> None:
        registry = registry or Registry()
        self._runtime = Runtime(add_recorder(config, registry), registry=registry)
        self.abandoned: list[Spent] = []
        """What runs had spent that were cancelled."""

    async def __aenter__(self) -> Self:
        await self._runtime.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runtime.stop()

    async def solve(self, problem: Problem, seed: int) -> Solved:
        """One run. A run that went on without an answer it should have got from a model counts as failed: it may pass."""
        began, recorder = time.monotonic(), Recorder()
        result, error, passing = None, "", False
        try:
            with recorder:
                result = await self._runtime.solve(problem, seed=seed)
        except asyncio.CancelledError:
            self.abandoned += recorder.spent()
            raise
        except Exception as caught:
            error, passing = explain(caught), may_pass(caught)
        if recorder.lost:
            passing, error = True, error or f"a model did not answer: {recorder.lost}"
        seconds = time.monotonic() - began
        return Solved(result, recorder.spent(), recorder.trace(), seconds, recorder.first_token, error, passing)


def may_pass(error: BaseException) -> bool:
    """Whether a `TransientError` is at the bottom of it."""
    return any(isinstance(one, TransientError) for one in _chain(error, set()))


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for one in (error.__cause__, error.__context__, *inner):
        yield from _chain(one, seen)
