"""What `k2 eval tasks` tells: which tasks there are, whether their data are at hand, and examples."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k2core.config import PipelineConfig
from k2core.errors import K2Error, explain
from k2core.plugin import Plugin
from k2core.registry import Registry, Slot
from k2core.runtime import Runtime
from k2core.toolkit.benchmark import Benchmark
from k2core.types import Record, Task

from .naming import Named, card_of, parse, tables
from .plugin import BenchmarkTasks


class Listed(Record):
    """A line of the list: a task, or a source of many, which has no card before one is named."""

    name: str
    title: str
    available: str
    """Where the data are, or what is missing."""
    about: str = ""
    """What to know before believing a score."""
    card: Benchmark | None = None


def listed(configured: Mapping[str, Any], data: Path | None, registry: Registry | None = None) -> list[Listed]:
    """The installed tasks and those of the configuration, by name. One that cannot be loaded says so under `available`."""
    registry = registry or Registry()
    names = sorted({*registry.names("tasks"), *configured})
    return [_line(name, configured, data, registry) for name in names]


def resolved(name: str, configured: Mapping[str, Any], data: Path | None, registry: Registry | None = None) -> tuple[Named, Slot]:
    """A task and its plugin, configured. Raises `K2Error`."""
    registry = registry or Registry()
    config = PipelineConfig.from_dict({"tasks": tables([name], configured, data, registry)})
    (slot,) = registry.assemble(config)
    return parse(name, configured, registry), slot


def described(name: str, configured: Mapping[str, Any], data: Path | None) -> Listed:
    """One task with its card. Raises `K2Error`."""
    named, slot = resolved(name, configured, data)
    card = card_of(slot.plugin, named.dataset)
    return Listed(name=name, title=card.title, available=available(slot.plugin, card), about=about(slot.plugin), card=card)


def examples(name: str, configured: Mapping[str, Any], data: Path | None, count: int = 2) -> list[Task]:
    """The first tasks, where they may be shown and need not be fetched; else none. Raises `K2Error`."""
    named, slot = resolved(name, configured, data)
    card = card_of(slot.plugin, named.dataset)
    if not card.publishable or not _at_hand(slot.plugin, card):
        return []
    config = PipelineConfig.from_dict({"tasks": tables([name], configured, data)})
    return list(Runtime(config).tasks(named.source, named.dataset, split=card.source.split, limit=count))


def about(plugin: Plugin) -> str:
    return plugin.entry.about if isinstance(plugin, BenchmarkTasks) else ""


def available(plugin: Plugin, card: Benchmark) -> str:
    """Where the data are, or how to get them."""
    if not isinstance(plugin, BenchmarkTasks):
        return "installed"
    try:
        path = plugin.found()
    except K2Error as error:
        return str(error)
    source = card.source
    if path is not None:
        return f"local: {path}"
    if not source.hub:
        return "by path only"
    missing = [] if importlib.util.find_spec("datasets") else ["needs k2core-eval[hub]"]
    missing += ["gated"] if source.gated else []
    missing += [] if source.revision else ["needs a revision"]
    return ", ".join(["hub", *missing])


def _at_hand(plugin: Plugin, card: Benchmark) -> bool:
    return plugin.found() is not None if isinstance(plugin, BenchmarkTasks) else not card.source.hub


def _line(name: str, configured: Mapping[str, Any], data: Path | None, registry: Registry) -> Listed:
    try:
        named, slot = resolved(name, configured, data, registry)
    except K2Error as error:
        return Listed(name=name, title="", available=f"not usable: {explain(error)}")
    if not isinstance(slot.plugin, BenchmarkTasks):
        return _source(name, named, slot)
    card = card_of(slot.plugin, named.dataset)
    return Listed(name=name, title=card.title, available=available(slot.plugin, card), about=about(slot.plugin), card=card)


def _source(name: str, named: Named, slot: Slot) -> Listed:
    """A source of data sets; one that has a card for its own name is a task by itself."""
    title = (inspect.getdoc(type(slot.plugin)) or "").partition("\n")[0]
    try:
        card = card_of(slot.plugin, named.dataset) if callable(getattr(slot.plugin, "benchmark", None)) else None
    except Exception:  # it knows no data set of its own name
        card = None
    if card is None or card.name != name:
        return Listed(name=f"{name}:…", title=title, available="installed")
    return Listed(name=name, title=card.title or title, available="installed", card=card)
