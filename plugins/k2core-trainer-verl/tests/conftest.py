"""Recording what a session is told, and a session without a Runtime."""

from __future__ import annotations

from typing import Any

import pytest

from k2core import Event, PipelineConfig, Plugin, Registry, Runtime, hookimpl
from k2core.plugin import PluginConfig


class Recorder(Plugin):
    """Keeps every event."""

    config: PluginConfig
    events: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        type(self).events.append(event)


class Stand:
    """A runtime with the trainer `verl`, one verifier and a recorder."""

    def __init__(self, trainer: dict[str, Any], verifiers: dict[str, Any] | None = None, **tables: Any) -> None:
        self.events: list[Event] = []
        registry = Registry()
        registry.add("hook", "recorder", type("Recorder", (Recorder,), {"events": self.events, "__module__": __name__}))
        pipeline = {
            "trainer": {"use": "verl", **trainer},
            "verifiers": {"math": {}} if verifiers is None else verifiers,
            "hooks": {"recorder": {}},
            **tables,
        }
        self.runtime = Runtime(PipelineConfig.from_dict(pipeline), registry=registry)

    def told(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]


@pytest.fixture(scope="session")
def stand() -> type[Stand]:
    return Stand
