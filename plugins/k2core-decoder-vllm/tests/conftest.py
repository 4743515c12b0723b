"""One real engine for all tests that need it; they run in the environment that has vLLM (see the README)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from k2core_decoder_vllm import Vllm, VllmConfig

from k2core import DecodeRequest, Event, Message, PipelineConfig, Plugin, Problem, Registry, Run, Runtime, hookimpl
from k2core.plugin import PluginConfig

T = TypeVar("T")
MODEL = os.environ.get("K2CORE_VLLM_MODEL", "")


class NoSampler(Plugin):
    """The tests decode through open runs."""

    @hookimpl
    async def k2_sample(self) -> None:
        raise NotImplementedError


class Recorder(Plugin):
    """Keeps every event."""

    config: PluginConfig
    events: list[Event]

    @hookimpl
    def k2_event(self, event: Event) -> None:
        type(self).events.append(event)


def options(**more: Any) -> dict[str, Any]:
    """Options of the decoder that all tests share, so that one engine serves them."""
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    if bind := os.environ.get("VLLM_CPU_OMP_THREADS_BIND"):
        environment["VLLM_CPU_OMP_THREADS_BIND"] = bind
    engine = {"enforce_eager": True, "max_num_seqs": 64, "dtype": "bfloat16"}
    return {"model": MODEL, "context": 512, "engine": engine, "environment": environment, **more}


@pytest.fixture(scope="session")
def shared() -> Iterator[Any]:
    """The engine; with it held, the runtimes of the tests start at once."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed here; the README says how to build its environment")
    if not Path(MODEL, "config.json").is_file():
        pytest.skip("set K2CORE_VLLM_MODEL to the folder of a model; `python -m k2core_decoder_vllm.embedded FOLDER` makes one")
    from k2core_decoder_vllm import engine

    held = engine.acquire(VllmConfig.model_validate(options()))
    yield held
    engine.release(held)
    assert not engine._engines, "an engine was not released"


class Stand:
    """A runtime with the decoder in it, and what a test does there."""

    def __init__(self, **more: Any) -> None:
        self.events: list[Event] = []
        registry = Registry()
        registry.add("decoder", "vllm", Vllm)
        registry.add("sampler", "none", NoSampler)
        registry.add("hook", "recorder", type("Recorder", (Recorder,), {"events": self.events, "__module__": __name__}))
        decoder = {"use": "vllm", **options(**more)}
        tables = {"sampler": {"use": "none"}, "decoders": {"solver": decoder}, "hooks": {"recorder": {}}}
        self.runtime = Runtime(PipelineConfig.from_dict(tables), registry=registry)

    def run(self, work: Callable[[Run], Coroutine[Any, Any, T]]) -> T:
        """What `work` makes of an open run."""

        async def main() -> T:
            async with self.runtime, self.runtime.open(Problem(prompt="any"), seed=1) as run:
                return await work(run)

        return asyncio.run(main())


@pytest.fixture
def stand(shared: Any) -> Callable[..., Stand]:
    return Stand


@pytest.fixture
def bare() -> Callable[..., Stand]:
    """The same without an engine that runs."""
    return Stand


@pytest.fixture
def ask() -> Callable[..., DecodeRequest]:
    def make(text: str = "Write a story about a fox.", **fields: Any) -> DecodeRequest:
        return DecodeRequest(**{"messages": (Message(role="user", content=text),), "max_tokens": 12, "seed": 5, **fields})

    return make
