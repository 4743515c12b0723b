"""The real model, fetched once into the user's cache, and GGUF files made to measure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from k2core_decoder_llamacpp import LlamaCppConfig, engine
from k2core_models import resolve
from k2core_models.testing import Tensor
from k2core_models.testing import write_gguf as write_file

from k2core import DecodeRequest, Event, Message, PipelineConfig, Plugin, Problem, Registry, Run, Runtime, hookimpl
from k2core.plugin import PluginConfig

T = TypeVar("T")
SMALL = {"context": 1024, "threads": 1}
"""Options of most tests; an engine with them stays loaded, so that their runtimes start at once."""


@pytest.fixture(scope="session")
def model() -> Path:
    return resolve("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def shared(model: Path) -> Iterator[engine.Engine]:
    loaded = engine.acquire(model, LlamaCppConfig.model_validate(SMALL))
    yield loaded
    engine.release(loaded)
    assert not engine._engines, "an engine was not released"


def ask(text: str = "Write a story about a fox.", **options: Any) -> DecodeRequest:
    messages = (Message(role="user", content=text),)
    return DecodeRequest(**{"messages": messages, "max_tokens": 12, "seed": 5, **options})


class Recorder(Plugin):
    """Keeps every event."""

    config: PluginConfig
    events: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        type(self).events.append(event)


class Stand:
    """A runtime with the decoder in it, and what a test does there."""

    def __init__(self, **options: Any) -> None:
        self.events: list[Event] = []
        registry = Registry()
        registry.add("hook", "recorder", type("Recorder", (Recorder,), {"events": self.events, "__module__": __name__}))
        tables = {
            "sampler": {"use": "single"},
            "decoders": {"solver": {"use": "llamacpp", **SMALL, **options}},
            "verifiers": {},
            "hooks": {"recorder": {}},
        }
        self.runtime = Runtime(PipelineConfig.from_dict(tables), registry=registry)

    def run(self, work: Callable[[Run], Coroutine[Any, Any, T]]) -> T:
        """What `work` makes of an open run."""

        async def main() -> T:
            async with self.runtime, self.runtime.open(Problem(prompt="any"), seed=1) as run:
                return await work(run)

        before = threading.active_count()
        result = asyncio.run(main())
        assert threading.active_count() == before
        return result


@pytest.fixture
def stand(shared: engine.Engine) -> Callable[..., Stand]:
    return Stand


@pytest.fixture
def request_for() -> Callable[..., DecodeRequest]:
    return ask


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """A writer of little GGUF files: keys, and tensors of float32 as (name, shape, values)."""

    def write(name: str, meta: dict[str, Any], tensors: Sequence[Tensor] = ()) -> Path:
        return write_file(tmp_path / name, meta, tensors)

    return write
