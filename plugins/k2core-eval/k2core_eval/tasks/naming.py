"""What a task is called on the command line, and which table of `[tasks]` and which data set that means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from k2core.config import PluginTable
from k2core.errors import ConfigError
from k2core.plugin import Plugin
from k2core.registry import Registry
from k2core.toolkit.benchmark import Benchmark, Grader

FILES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")
"""Endings by which a name is a file's, and so the task source `jsonl`'s."""


@dataclass(frozen=True)
class Named:
    """A task as named on the command line, resolved."""

    text: str
    """As it was given."""
    source: str
    """Name of its table under `[tasks]`."""
    dataset: str
    """What `k2_tasks(name=…)` is asked for."""
    table: Mapping[str, Any]
    """The table, `use` included."""


def parse(name: str, configured: Mapping[str, Any] | None = None, registry: Registry | None = None) -> Named:
    """Resolve `gsm8k`, `reasoning-gym:basic_arithmetic`, `recorded:FILE`, `FILE.jsonl`, or a table of one's own under `[tasks]`.

    `configured` are the tables of `[tasks]`, as dictionaries or `PluginTable`s. What stands before a colon is a table or an
    installed source, what follows is the data set; without a colon the data set is named as the source is. Raises `ConfigError`
    with near names.
    """
    configured, registry = configured or {}, registry or Registry()
    installed = registry.names("tasks")
    source, colon, dataset = name.partition(":")
    if source not in configured and source not in installed:
        if not name.endswith(FILES):
            raise ConfigError(_unknown(name, source, [*configured, *installed]), "tasks")
        source, colon, dataset = "jsonl", ":", name
    table = _plain(source, configured.get(source, {}))
    return Named(name, source, dataset if colon else table["use"], table)


def tables(
    names: Sequence[str],
    configured: Mapping[str, Any] | None = None,
    data: str | Path | None = None,
    registry: Registry | None = None,
) -> dict[str, dict[str, Any]]:
    """The `[tasks]` tables of a pipeline that can yield all of `names`; `data` is the folder that holds local copies.

    A source that has an option `data` and none of its own configured gets the folder. Raises `ConfigError`.
    """
    registry = registry or Registry()
    found = {named.source: dict(named.table) for named in (parse(name, configured, registry) for name in names)}
    if data is not None:
        for table in found.values():
            if "data" in registry.load("tasks", table["use"]).config_type().model_fields:
                table.setdefault("data", str(data))
    return found


def expand(named: Named, plugin: Plugin) -> list[Named]:
    """The tasks that a name stands for: one for each of the plugin's `parts(dataset)`, or itself for a plugin without."""
    parts = getattr(plugin, "parts", None)
    found = list(parts(named.dataset)) if callable(parts) else [named.dataset]
    return [named] if found == [named.dataset] else [replace(named, text=f"{named.source}:{one}", dataset=one) for one in found]


def card_of(plugin: Plugin, dataset: str) -> Benchmark:
    """The card of a data set: what the plugin's `benchmark(name)` says, or the defaults for a plugin without one."""
    describe = getattr(plugin, "benchmark", None)
    card = describe(dataset) if callable(describe) else Benchmark(name=dataset, grader=Grader(use="math"))
    if not isinstance(card, Benchmark):
        raise ConfigError(
            f"benchmark({dataset!r}) of {type(plugin).__qualname__} must return a Benchmark, not {card!r:.80}", plugin.path
        )
    return card


def _plain(source: str, table: Any) -> dict[str, Any]:
    if isinstance(table, PluginTable):
        return {"use": table.use, **table.options}
    return {"use": source, **table}


def _unknown(name: str, source: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(source, known, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(set(known))) or 'none'};"
    also = f"; a file's name ends in {', '.join(FILES)}" if not near or "/" in name else ""
    return f"there is no task {name!r}; {hint} k2 eval tasks lists them{also}"
