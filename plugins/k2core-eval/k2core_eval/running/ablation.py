"""The four arms that tell what planning and what several candidates are worth."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from k2core.config import PipelineConfig, PluginTable
from k2core.errors import ConfigError
from k2core.registry import Registry, Slot

from .settings import Settings

ARMS = {"bare": (False, False), "plan": (True, False), "best-of-n": (False, True), "both": (True, True)}
"""By folder: with the planner, with all candidates."""
LABELS = {"bare": "bare", "plan": "+ plan", "best-of-n": "+ best-of-N", "both": "both"}


def arms(settings: Settings, registry: Registry | None = None, *, only: Collection[str] = ()) -> Iterator[Settings]:
    """The settings of each arm, or of those named, in a folder of its own. Raises `ConfigError` for a pipeline that leaves nothing
    out, and for an arm that there is not.

    An arm with one candidate has no verifiers that ask a model: there is nothing to choose, and what they cost would be held
    against it.
    """
    if unknown := [name for name in only if name not in ARMS]:
        raise ConfigError(f"there is no arm {unknown[0]!r}; arms are {', '.join(ARMS)}", "--arm")
    config = settings.config
    slots = (registry or Registry()).assemble(config)
    if config.planner is None:
        raise ConfigError("an ablation needs a pipeline with a planner", "planner")
    if getattr(_sampler(slots).plugin.config, "n", 1) < 2:
        raise ConfigError("an ablation needs a sampler with n > 1", "sampler.n")
    for folder, (plans, chooses) in ARMS.items():
        if only and folder not in only:
            continue
        changed = config if plans else config.model_copy(update={"planner": None})
        changed = changed if chooses else _single(changed, slots)
        label = f"{settings.label}: {LABELS[folder]}" if settings.label else LABELS[folder]
        yield replace(settings, out=settings.out / folder, config=changed, label=label)


def _single(config: PipelineConfig, slots: list[Slot]) -> PipelineConfig:
    consulted = set(_sampler(slots).plugin.config.named("verifiers").values())
    asking = {slot.name for slot in slots if slot.role == "verifier" and slot.plugin.config.named("decoders")} - consulted
    options: dict[str, Any] = {**config.sampler.options, "n": 1}
    sampler = PluginTable(use=config.sampler.use, **options)
    verifiers = {name: table for name, table in config.verifiers.items() if name not in asking}
    return config.model_copy(update={"sampler": sampler, "verifiers": verifiers})


def _sampler(slots: list[Slot]) -> Slot:
    return next(slot for slot in slots if slot.role == "sampler")
