"""One version of a pipeline: its runtimes, who is using them, and when they may go."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from k2core.config import PipelineConfig, read_tables
from k2core.errors import K2Error, PluginNotFound
from k2core.log import get_logger
from k2core.registry import Registry

from .runtime import Preset, ServedRuntime

STANDARD = ""
"""The preset of a request that asks for none."""


@dataclass(frozen=True)
class Recipe:
    """What a version is made of."""

    tables: Mapping[str, object]
    """The pipeline as written."""
    overrides: tuple[str, ...] = ()
    presets: Mapping[str, tuple[str, ...]] | None = None
    source: str = ""
    """Where it was written, for messages."""

    def config(self, more: Sequence[str] = ()) -> PipelineConfig:
        """Raises `ConfigError`."""
        return PipelineConfig.from_dict(self.tables, [*self.overrides, *more], self.source)


def recipe_of(path: str, overrides: Sequence[str], presets: Mapping[str, tuple[str, ...]]) -> Recipe:
    """Of a file, or the embedded pipeline when `path` is empty. Raises `ConfigError`."""
    return Recipe(read_tables(path or None), tuple(overrides), presets, path or "the embedded pipeline")


class Version:
    """A started pipeline with its presets. It stops when it has been retired and the last lease has ended."""

    def __init__(self, name: str, number: int, recipe: Recipe, registry: Registry) -> None:
        """Imports and configures all plugins, and raises what is wrong with them."""
        self.name, self.number, self.recipe = name, number, recipe
        base = ServedRuntime(recipe.config(), registry=registry)
        self.runtimes: dict[str, ServedRuntime] = {STANDARD: base}
        for effort, overrides in (recipe.presets or {}).items():
            self.runtimes[effort] = Preset(base, recipe.config(overrides), registry)
        everything = {effort: runtime.effective for effort, runtime in self.runtimes.items()}
        self.digest = hashlib.sha256(json.dumps(everything, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.leases = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def leased(self) -> Iterator[Version]:
        """The version does not stop within the block."""
        self.leases += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.leases -= 1
            if not self.leases:
                self._idle.set()

    def runtime(self, effort: str = STANDARD) -> ServedRuntime | None:
        return self.runtimes.get(effort)

    @property
    def efforts(self) -> list[str]:
        return [effort for effort in self.runtimes if effort]

    @property
    def calls_tools(self) -> bool:
        """Without a preset."""
        return self.runtimes[STANDARD].calls_tools

    async def start(self) -> None:
        """Start all, or none and raise what failed."""
        try:
            for runtime in self.runtimes.values():
                await runtime.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Cancel what runs, presets first since they use the base's plugins."""
        for runtime in reversed(self.runtimes.values()):
            await runtime.stop()

    async def retire(self) -> None:
        """Wait for the last lease, then stop."""
        await self._idle.wait()
        await self.stop()
        get_logger(model=self.name).info("retired", version=self.digest, number=self.number)


def built(name: str, number: int, recipe: Recipe, registry: Registry) -> Version:
    """A version, not started; with a fresh look at what is installed when a plugin was not found."""
    try:
        return Version(name, number, recipe, registry)
    except PluginNotFound:
        return Version(name, number, recipe, Registry())


def faults_of(error: Exception) -> list[str]:
    """What is wrong with a pipeline, a line each."""
    return list(getattr(error, "faults", ())) or [str(error) if isinstance(error, K2Error) else f"{type(error).__name__}: {error}"]
