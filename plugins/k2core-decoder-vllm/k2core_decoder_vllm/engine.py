"""One vLLM engine, shared by all decoders of this process with the same options. It lives in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from .arguments import ABSENT, arguments, known, on_cpu
from .config import VllmConfig
from .owner import environment
from .stream import Piecewise, copied

T = TypeVar("T")
Receive = Callable[[int, Piecewise], None]
_LAST = 2.0
_GRACE = 1.0
"""Seconds in which an aborted request hands over its last tokens."""


@dataclass
class Counts:
    """What the engine itself tells of its steps, over all requests: running and waiting at the last step, speculation in total."""

    running: int = 0
    waiting: int = 0
    drafted: int = 0
    accepted: int = 0


class Engine:
    """A running engine. `serve` and `abort` are coroutines of its own loop; `call` brings them there from any other."""

    def __init__(self, config: VllmConfig) -> None:
        self.config = config
        self.counts = Counts()
        self.context = self.most_logprobs = 0
        self.name = config.model
        self.tokenizer: Any = None
        self._llm: Any = None
        self._ids = itertools.count()
        self._adapters = {name: number for number, name in enumerate(config.lora, 1)}
        self._loop = asyncio.new_event_loop()
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="k2core-vllm", daemon=True)

    # life

    def start(self) -> None:
        """Start the engine; blocks until it can serve. Raises what vLLM raises, and `ImportError` where it is absent."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def close(self) -> None:
        """End the engine and its processes; blocks until they are gone."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._start())
        except BaseException as error:
            self._failure = error
        else:
            self._ready.set()
            self._loop.run_forever()
        finally:
            self._end()
            self._ready.set()

    async def _start(self) -> None:
        with environment(_variables(self.config)):
            try:
                names = known()
            except ImportError as error:
                raise ImportError(f"{ABSENT} ({error})") from error
            from vllm.engine.arg_utils import AsyncEngineArgs  # type: ignore[import-not-found] # lives in an environment of its own
            from vllm.v1.engine.async_llm import AsyncLLM  # type: ignore[import-not-found] # as above

            made = AsyncEngineArgs(**arguments(self.config, names, on_cpu()))
            self._llm = AsyncLLM.from_engine_args(made, stat_loggers=[_logger(self.counts)])
        self.tokenizer = self._llm.get_tokenizer()
        self.context = self._llm.model_config.max_model_len
        self.most_logprobs = self._llm.model_config.max_logprobs
        if self.most_logprobs < 0:
            self.most_logprobs = len(self.tokenizer)

    def _end(self) -> None:
        """Shut vLLM down, then whatever tasks it has left in our loop."""
        if self._llm is not None:
            self._llm.shutdown(timeout=_LAST)  # nothing is generated any more; what does not end in time is killed
            self._llm = None
            multiprocessing.active_children()  # which waits for those that have ended
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    # work

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of this engine, awaited from another loop. A cancellation does not reach it."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(work)))

    def submit(self, work: Coroutine[Any, Any, T]) -> Any:
        """Start a coroutine in this engine's loop. Returns a `concurrent.futures.Future`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def new_ids(self, count: int) -> list[str]:
        """Names for so many requests."""
        return [f"k2-{next(self._ids)}-{secrets.token_hex(4)}" for _ in range(count)]

    async def serve(
        self, names: Sequence[str], ids: list[int], params: Sequence[Mapping[str, Any]], most: int, adapter: str, put: Receive
    ) -> None:
        """Generate one choice a name. `put` gets every output, in this thread. Raises what the first failing one raises."""
        async with asyncio.TaskGroup() as group:
            for index, name in enumerate(names):
                task = group.create_task(self._one(name, ids, params[index], most, adapter, partial(put, index)))
                task.set_name(name)

    async def _one(
        self, name: str, ids: list[int], params: Mapping[str, Any], most: int, adapter: str, put: Callable[[Piecewise], None]
    ) -> None:
        made, lora = _sampling_params(params), self._lora(adapter)
        async for output in self._llm.generate({"prompt_token_ids": ids}, made, name, lora_request=lora):
            put(copied(output, most))

    def _lora(self, adapter: str) -> Any:
        if not adapter:
            return None
        from vllm.lora.request import LoRARequest  # type: ignore[import-not-found] # lives in an environment of its own

        return LoRARequest(adapter, self._adapters[adapter], self.config.lora[adapter])

    async def abort(self, names: Sequence[str]) -> None:
        """End these requests. On return the engine's process has dropped them; what they had generated has been handed over."""
        await self._llm.abort(list(names))
        wanted = set(names)
        tasks = {task for task in asyncio.all_tasks() if task.get_name() in wanted}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_GRACE)  # a request on its way in is not aborted by its name
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)
        await self._llm.is_paused()  # answered in turn, after the abort

    async def busy(self) -> bool:
        """Whether the engine's process has any request, by its own account."""
        return bool(await self._llm.engine_core.call_utility_async("has_work"))

    @property
    def dead(self) -> bool:
        return self._llm is None or bool(self._llm.errored)


def _variables(config: VllmConfig) -> dict[str, str]:
    quiet = {} if config.verbose else {"VLLM_LOGGING_LEVEL": "ERROR"}
    timeout = {"VLLM_ENGINE_READY_TIMEOUT_S": str(max(1, round(config.start_timeout)))}
    # forking a process with threads is not safe; and nobody has agreed to statistics being sent
    return {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "VLLM_NO_USAGE_STATS": "1", **timeout, **quiet, **config.environment}


def _sampling_params(params: Mapping[str, Any]) -> Any:
    from vllm.sampling_params import (  # type: ignore[import-not-found] # lives in an environment of its own
        RequestOutputKind,
        SamplingParams,
        StructuredOutputsParams,
    )

    known = dict(params)
    schema = known.pop("json_schema", None)
    structured = None if schema is None else StructuredOutputsParams(json=dict(schema))
    return SamplingParams(**known, structured_outputs=structured, output_kind=RequestOutputKind.DELTA)


def _logger(counts: Counts) -> Callable[..., Any]:
    """A class of statistics loggers, as vLLM wants one, that keeps `counts`."""
    from vllm.v1.metrics.loggers import StatLoggerBase  # type: ignore[import-not-found] # lives in an environment of its own

    class Logger(StatLoggerBase):  # type: ignore[misc] # the base is untyped where vLLM is absent
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None: ...

        def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is None:
                return
            counts.running, counts.waiting = scheduler_stats.num_running_reqs, scheduler_stats.num_waiting_reqs
            if drafts := scheduler_stats.spec_decoding_stats:
                counts.drafted += drafts.num_draft_tokens
                counts.accepted += drafts.num_accepted_tokens

        def log_engine_initialized(self) -> None: ...

    return Logger


_engines: dict[str, tuple[Engine, int]] = {}
_lock = threading.Lock()


def acquire(config: VllmConfig) -> Engine:
    """A running engine; each one acquired must be released. Blocks."""
    with _lock:
        engine, users = _engines.get(config.shared(), (None, 0))
        if engine is None or engine.dead:  # a dead one stays with its users, until they give it back
            engine, users = Engine(config), 0
            engine.start()
        _engines[config.shared()] = engine, users + 1
        return engine


def release(engine: Engine) -> None:
    """Give an engine back; the last one to do so ends it."""
    with _lock:
        key = engine.config.shared()
        held, users = _engines.get(key, (None, 0))
        if held is engine and users > 1:
            _engines[key] = engine, users - 1
            return
        if held is engine:
            del _engines[key]
    with contextlib.suppress(RuntimeError):  # a dead engine may have been closed by another of its users
        engine.close()
