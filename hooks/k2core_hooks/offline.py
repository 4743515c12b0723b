"""The configuration of a replay, from the recorded one."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from k2core.events import CandidateFailed, Tuned, Warned

from .reader import RecordedRun

DROPPED = {"trace", "progress", "otel"}
WITNESS = "replay-witness"
BRISK = 1.0
"""Seconds that a soft deadline takes at most where many runs are replayed; what came after it is served after it all the same."""


def as_tuned(run: RecordedRun) -> dict[str, Any]:
    """The recorded configuration with what plugins had learnt before that run, which a fresh one cannot know."""
    tuned = [event for event in run.events if isinstance(event, Tuned)]
    config = copy.deepcopy(dict(run.started.config)) if tuned else dict(run.started.config)
    for event in tuned:
        table = config
        for part in event.plugin.split("."):
            table = table.setdefault(part, {})
        table.update(event.options)
    return config


def offline(config: Any) -> dict[str, Any]:
    """The recorded configuration without models, views and clocks.

    Budgets stay, as they may have shaped the run, but for their caps on seconds, which a replay cannot meet alike.
    """
    kept = {name: value for name, value in config.items() if name not in {"trainer", "tasks"}}
    kept["decoders"] = {name: {"use": table["use"]} for name, table in config.get("decoders", {}).items()}
    kept["retry"] = {**config.get("retry", {}), "base": 0}
    hooks = {name: _clockless(table) for name, table in config.get("hooks", {}).items() if table["use"] not in DROPPED}
    kept["hooks"] = {**hooks, WITNESS: {"use": WITNESS}}
    return kept


def _clockless(table: Any) -> dict[str, Any]:
    if table["use"] != "budget":
        return dict(table)
    problem = {name: cap for name, cap in table.get("problem", {}).items() if name != "seconds"}
    return {**{name: cap for name, cap in table.items() if name != "seconds"}, "problem": problem}


def own_config(run: RecordedRun) -> dict[str, Any]:
    """What a run is replayed with on its own. Only the time limits that it reached when recorded pass, and those in real time."""
    config = offline(as_tuned(run))
    config["limits"] = _reached(run)
    return config


def shared_config(run: RecordedRun) -> dict[str, Any]:
    """The same for a runtime that replays many runs: soft deadlines pass quickly, and budgets of all runs together, which the
    others had spent, stay only where the run met one."""
    config = own_config(run)
    if "soft_deadline" in config["limits"]:
        config["limits"]["soft_deadline"] = min(BRISK, config["limits"]["soft_deadline"])
    config["hooks"] = {name: _uncapped(name, table, run) for name, table in config["hooks"].items()}
    return config


def _uncapped(name: str, table: Mapping[str, Any], run: RecordedRun) -> dict[str, Any]:
    if table["use"] != "budget" or any(f"hooks.{name}." in text for text in _troubles(run)):
        return dict(table)
    return {option: value for option, value in table.items() if option in {"use", "problem"}}


def _troubles(run: RecordedRun) -> Iterator[str]:
    yield run.ended.error if run.ended else ""
    for event in run.events:
        if isinstance(event, CandidateFailed):
            yield event.error
        elif isinstance(event, Warned):
            yield event.message


def timed_out(run: RecordedRun) -> bool:
    """Whether the recorded run ended by `limits.timeout`."""
    return bool(run.ended and run.ended.error.endswith("(limits.timeout)"))


def hurried(run: RecordedRun) -> float | None:
    """The soft deadline in seconds, if the recorded run lasted until then."""
    deadline = run.started.config.get("limits", {}).get("soft_deadline")
    return deadline if deadline is not None and run.events[-1].at >= deadline else None


def _reached(run: RecordedRun) -> dict[str, float]:
    limits, deadline = dict[str, float](), hurried(run)
    if timed_out(run):
        limits["timeout"] = run.started.config["limits"]["timeout"]
    if deadline is not None:
        limits["soft_deadline"] = deadline
    return limits
