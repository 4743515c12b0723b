"""What all runs of a runtime share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pluggy

from .config import PipelineConfig
from .errors import ConfigError, PluginError
from .registry import Slot
from .spec import Specs


class Pipeline:
    """The configuration, the plugins in their places, and pluggy's callers for each of them alone."""

    def __init__(self, config: PipelineConfig, slots: Sequence[Slot], manager: pluggy.PluginManager) -> None:
        self.config, self.manager = config, manager
        by_role = {slot.role: slot for slot in slots}
        self.planner, self.sampler, self.trainer = map(by_role.get, ("planner", "sampler", "trainer"))
        self.verifiers = [s for s in slots if s.role == "verifier"]
        self.consulted = set(self.sampler.plugin.config.named("verifiers").values()) if self.sampler else set[str]()
        """Verifiers that the sampler asks itself."""
        self.decoders = {s.name: s for s in slots if s.role == "decoder"}
        self.solvers = (
            [self.decoder(name) for name in self.sampler.plugin.config.named("decoders").values()] if self.sampler else []
        )
        """Decoders that the sampler names."""
        self.tasks = {s.name: s for s in slots if s.role == "tasks"}
        self.slots = list(slots)
        everyone = manager.get_plugins()
        self.callers = {
            (slot.path, hook): manager.subset_hook_caller(hook, everyone - {slot.plugin})
            for slot in slots
            for hook in vars(Specs)
            if hook.startswith("k2_") and hasattr(slot.plugin, hook)
        }
        """By path and hook: what every plugin implements, through pluggy."""
        self.observers = self._all("k2_event")
        self.wrappers = self._all("k2_around")
        """Outermost first."""

    def _all(self, hook: str) -> list[tuple[str, Callable[..., Any]]]:
        """Path and caller of every plugin that implements a hook, by rank, those of equal rank in the configuration's order."""
        ranked = sorted(self.slots, key=lambda slot: slot.plugin.rank)
        return [(slot.path, self.callers[slot.path, hook]) for slot in ranked if (slot.path, hook) in self.callers]

    def caller(self, slot: Slot, hook: str) -> Callable[..., Any]:
        """The hook of one plugin alone, through pluggy. Raises `ConfigError` when the plugin does not implement it."""
        if (slot.path, hook) not in self.callers:
            raise ConfigError(f"the {slot.role} {slot.use!r} does not implement {hook}", slot.path)
        return self.callers[slot.path, hook]

    def check_tools(self, solvers: Sequence[Slot]) -> None:
        """Raise `PluginError` when there are solvers and none of them can call tools."""
        if solvers and not any(slot.plugin.calls_tools for slot in solvers):
            raise PluginError("it cannot call tools; leave them out, or name a decoder that can", "decoder", solvers[0].use)

    def decoder(self, name: str) -> Slot:
        """The decoder under `[decoders.<name>]`. Raises `ConfigError` when there is none."""
        return _named(name, "decoder", self.decoders)

    def verifier(self, name: str) -> Slot:
        """The verifier under `[verifiers.<name>]`. Raises `ConfigError` when there is none."""
        return _named(name, "verifier", {slot.name: slot for slot in self.verifiers})


def _named(name: str, role: str, slots: Mapping[str, Slot]) -> Slot:
    if name in slots:
        return slots[name]
    raise ConfigError(f"there is no {role} {name!r}; [{role}s] has: {', '.join(slots) or 'none'}", f"{role}s.{name}")
