"""The executor of a rescoring: runs the pipeline on what is stored for each sample, known by its seed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Self

from k2core.config import PipelineConfig
from k2core.errors import ConfigError
from k2core.registry import Registry
from k2core.types import Problem

from ..records import SampleId
from ..running.executor import Solved
from ..running.local import LocalExecutor
from .clock import Threads
from .dealing import Deal, Lost
from .serving import Playing, Stage
from .stored import Stored


class StoredExecutor:
    """Serves `deal`; a call that nothing is stored for ends the rescoring."""

    def __init__(
        self,
        config: PipelineConfig,
        registry: Registry,
        stage: Stage,
        stored: Stored,
        deal: Deal,
        seeds: Mapping[int, SampleId],
        lost: Mapping[SampleId, Lost],
    ) -> None:
        self._local = LocalExecutor(config, registry)
        self._stage, self._stored, self._deal, self._seeds, self._lost = stage, stored, deal, seeds, lost

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_default_executor(Threads(thread_name_prefix="rescoring"))
        await self._local.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._local.__aexit__(*exception)

    async def solve(self, problem: Problem, seed: int) -> Solved:
        """One run on stored candidates. Raises `ConfigError` when something is asked for that is not there."""
        sample = self._seeds[seed]
        if not self._deal.pooled and sample in self._lost:
            return self._as_it_was(self._lost[sample])
        playing = Playing(self._deal.bank(sample, self._stored))
        self._stage.insert(playing)
        async with playing.clock.running():
            solved = await self._local.solve(problem, seed)
        if playing.bank.missing:
            what = playing.bank.missing[0]
            raise ConfigError(f"cannot rescore sample {sample}: {what}; draw new ones with k2 eval run", "--set")
        return solved

    def _as_it_was(self, lost: Lost) -> Solved:
        """What was recorded of a sample that does not count."""
        events = b"".join(self._stored.lines(lost.id)[1:])
        result = self._stored.read(lost.id).result if events else None
        return Solved(result, lost.spent, events, 0.0, error=lost.error)
