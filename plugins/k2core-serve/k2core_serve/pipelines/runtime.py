"""Runtimes for serving: observed from outside, steered by requests, and sharing plugins that are configured alike."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace

from k2core.config import PipelineConfig
from k2core.registry import Registry, Slot
from k2core.run import Observer
from k2core.runtime import Runtime
from k2core.types import Problem, Result

from .steering import SteeredRun

PASSIVE_HOOKS = frozenset({"trace", "budget", "progress", "otel"})
"""Hooks that change and veto no answer after it has been streamed."""


class ServedRuntime(Runtime):
    """A runtime whose runs heed `Problem.meta["asked"]` and may be watched by whoever asks."""

    async def solve_watched(self, problem: Problem, *, seed: int | None, observers: Sequence[Observer]) -> Result:
        """As `solve`; `observers` are told every event, in the loop's thread."""
        return await self._solve(problem, seed, observers)

    def _new_run(self, problem: Problem, seed: int | None, observers: Sequence[Observer]) -> SteeredRun:
        if seed is None:
            seed = secrets.randbits(31) if self.config.seed is None else self.config.seed
        return SteeredRun(self._pipeline, problem, self.ledger, secrets.token_hex(8), seed, [*self._observers, *observers])

    @property
    def slots(self) -> Sequence[Slot]:
        """The plugins in their places."""
        return self._pipeline.slots

    @property
    def calls_tools(self) -> bool:
        """Whether a decoder that the sampler names can call tools; a sampler that names none has to find out."""
        solvers = self._pipeline.solvers
        return not solvers or any(slot.plugin.calls_tools for slot in solvers)

    @property
    def one_candidate(self) -> bool:
        """Whether the sampler can make only one candidate, so that what it writes is the answer whatever anybody says of it."""
        sampler = self._pipeline.sampler
        if sampler is None:
            return False
        return sampler.use == "single" or (sampler.use in {"best-of-n", "majority"} and getattr(sampler.plugin.config, "n", 0) == 1)

    @property
    def may_veto(self) -> bool:
        """Whether some hook wraps calls of which it is not known that it lets every answer pass as it is."""
        wrapping = {path for path, _ in self._pipeline.wrappers}
        return any(slot.path in wrapping and slot.use not in PASSIVE_HOOKS for slot in self._pipeline.slots)


class Preset(ServedRuntime):
    """Another configuration on top of a runtime: plugins that both configure alike are shared, and belong to the base."""

    def __init__(self, base: ServedRuntime, config: PipelineConfig, registry: Registry) -> None:
        super().__init__(config, registry=_Sharing(registry, base.slots))
        self.ledger = base.ledger
        shared = {id(slot.plugin) for slot in base.slots}
        self.all_slots = self._pipeline.slots
        self._pipeline.slots = [slot for slot in self.all_slots if id(slot.plugin) not in shared]  # those it starts and stops

    @property
    def slots(self) -> Sequence[Slot]:
        return self.all_slots

    @property
    def may_veto(self) -> bool:
        wrapping = {path for path, _ in self._pipeline.wrappers}
        return any(slot.path in wrapping and slot.use not in PASSIVE_HOOKS for slot in self.all_slots)


class _Sharing(Registry):
    """Assembles with the plugins of other slots where path, plugin and options are the same."""

    def __init__(self, registry: Registry, slots: Iterable[Slot]) -> None:
        super().__init__()
        self._registry, self._known = registry, {slot.path: slot for slot in slots}

    def assemble(self, config: PipelineConfig) -> list[Slot]:
        return [self._same(slot) for slot in self._registry.assemble(config)]

    def _same(self, slot: Slot) -> Slot:
        known = self._known.get(slot.path)
        alike = known and (known.role, known.use, known.plugin.config) == (slot.role, slot.use, slot.plugin.config)
        return replace(slot, plugin=known.plugin) if known and alike else slot
