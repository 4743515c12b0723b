"""The set of live pipelines: which version a name stands for, and how that changes while requests run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from k2core.errors import explain
from k2core.log import get_logger
from k2core.registry import Registry

from ..openai.errors import ApiError
from ..settings import ModelTable
from .version import Recipe, Version, built, faults_of, recipe_of


@dataclass
class Live:
    """A name and what it stands for now."""

    table: ModelTable
    version: Version
    swaps: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    """Of the last configuration that was refused; empty after one that was taken."""


class SwapRefused(Exception):
    """The new configuration cannot be used; the old one is still there."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Pipelines:
    """All models of a server. Everything here is for the loop's thread."""

    def __init__(self, models: Mapping[str, ModelTable], registry: Registry | None = None) -> None:
        self._tables = models
        self._registry = registry or Registry()
        self._live: dict[str, Live] = {}
        self._numbers: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._live

    def names(self) -> list[str]:
        return list(self._live)

    def live(self, name: str) -> Live:
        """Raises `ApiError` 404."""
        if name not in self._live:
            raise ApiError(404, f"the model {name!r} does not exist; see /v1/models", param="model", code="model_not_found")
        return self._live[name]

    def version(self, name: str) -> Version:
        """The one that new requests get. Lease it in the same turn of the loop."""
        return self.live(name).version

    async def start(self) -> None:
        """Start every configured model. Raises what is wrong with the first that cannot; then none is left running."""
        try:
            for name, table in self._tables.items():
                version = await self._made(name, recipe_of(table.config, table.set, table.presets))
                self._live[name] = Live(table, version)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Cancel all that runs and stop all versions, retired ones too."""
        lives, self._live = list(self._live.values()), {}
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for live in lives:
            await live.version.stop()

    async def swap(self, name: str, recipe: Recipe, table: ModelTable | None = None) -> Version:
        """Let `name` stand for a new version from the next request on. Raises `SwapRefused`, and then nothing has changed.

        Requests in flight keep the version they lease; it stops after the last of them. One swap of a name at a time.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            try:
                version = await self._made(name, recipe)
            except Exception as error:
                raise self._refused(name, error) from error
            old = self._live.get(name)
            self._live[name] = Live(table or (old.table if old else ModelTable()), version, (old.swaps if old else 0) + 1)
            if old:
                self._live[name].refused = old.refused
                self._retire(old.version)
            get_logger(model=name).info("swapped", version=version.digest, number=version.number)
            return version

    def _refused(self, name: str, error: Exception) -> SwapRefused:
        refusal = SwapRefused(faults_of(error))
        if name in self._live:
            self._live[name].refused += 1
            self._live[name].faults = refusal.faults
        get_logger(model=name).error("new configuration refused, the old one stays", error=explain(error))
        return refusal

    async def reread(self, name: str) -> Version:
        """Swap to what the model's file says now. Raises `SwapRefused`."""
        table = self.live(name).table
        try:
            recipe = recipe_of(table.config, table.set, table.presets)
        except Exception as error:
            raise self._refused(name, error) from error
        return await self.swap(name, recipe)

    async def remove(self, name: str) -> None:
        """New requests for it get 404; those in flight finish. Raises `ApiError` 404."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            self._retire(self.live(name).version)
            del self._live[name]

    def _retire(self, version: Version) -> None:
        task = asyncio.create_task(self._ended(version))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _ended(self, version: Version) -> None:
        try:
            await version.retire()
        except asyncio.CancelledError:
            await version.stop()
            raise
        except Exception as error:  # plugins' own failures to stop are logged by the runtime
            get_logger(model=version.name).error("could not retire", error=explain(error), exc_info=error)

    async def _made(self, name: str, recipe: Recipe) -> Version:
        """A started version. Assembling imports modules, so it is done in a thread, and requests go on meanwhile."""
        self._numbers[name] = number = self._numbers.get(name, 0) + 1
        version: Version = await asyncio.to_thread(built, name, number, recipe, self._registry)
        await version.start()
        return version

    def described(self) -> list[dict[str, Any]]:
        """For `/admin/pipelines`: no option of a pipeline holds a secret."""
        return [
            {
                "name": name,
                "file": live.table.config,
                "version": live.version.digest,
                "number": live.version.number,
                "presets": live.version.efforts,
                "in_flight": live.version.leases,
                "swaps": live.swaps,
                "refused": live.refused,
                "faults": live.faults,
            }
            for name, live in self._live.items()
        ]

    @property
    def retiring(self) -> int:
        """Versions that wait for their last lease."""
        return len(self._retiring)
