"""vLLM in this process as a decoder of k2core. Importing this module does not import vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .config import VllmConfig

if TYPE_CHECKING:
    from .engine import Engine
    from .stream import Piecewise, Stream

__all__ = ["Vllm", "VllmConfig"]


class Vllm(Plugin):
    """Decodes with vLLM's engine. Runtimes that ask for the same model and options share one engine."""

    config: VllmConfig

    def __init__(self, config: VllmConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None

    @hookimpl
    async def k2_start(self) -> None:
        """Start the engine, or share the one that runs. Raises `ImportError`, saying what to do, where vLLM is absent."""
        from .engine import acquire

        def start() -> None:
            self._engine = acquire(self.config)

        await _in_thread(start)

    @hookimpl
    async def k2_stop(self) -> None:
        from .engine import release

        held, self._engine = self._engine, None
        if held is not None:
            await _in_thread(lambda: release(held))

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        """One request of the engine a choice. Raises `ValueError` for what the engine refuses, a prompt too long included."""
        from . import request as requests
        from .stream import Stream

        engine = self._engine
        if engine is None:
            raise RuntimeError("the decoder has not been started; open a Runtime")
        requests.check(request, engine.most_logprobs)
        ids = await asyncio.to_thread(requests.prompt, request, self.config, engine.tokenizer)
        if len(ids) >= engine.context:
            raise requests.too_long(len(ids), engine.context)
        think = requests.thinking(request, self.config, engine.tokenizer.decode(ids[-8:]))
        stream = Stream(run, request, think, len(ids))
        try:
            await self._generate(engine, request, ids, stream)
        finally:
            stream.settle()
        completions = stream.completions(self.config.adapter or engine.name)
        _warn_if_full(run, request, completions, engine.context)
        return completions

    async def _generate(self, engine: Engine, request: DecodeRequest, ids: list[int], stream: Stream) -> None:
        """Ends only when the engine has ended every choice, also when cancelled; outputs that came by then are in the stream."""
        from .request import sampling

        loop, names = asyncio.get_running_loop(), engine.new_ids(request.n)

        def put(index: int, piece: Piecewise) -> None:
            loop.call_soon_threadsafe(stream.choices[index].take, piece)

        params = [sampling(request, self.config, index, engine.context - len(ids)) for index in range(request.n)]
        work = asyncio.ensure_future(engine.call(engine.serve(names, ids, params, request.logprobs, self.config.adapter, put)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await _to_the_end(engine.call(engine.abort(names)))
            raise
        except Exception as error:
            raise _plain(error) from error
        finally:
            await _to_the_end(asyncio.wait([work]))
            if not work.cancelled():
                work.exception()  # looked at, so that nobody misses it


async def _to_the_end(work: Awaitable[object]) -> None:
    """Await it, however often we are cancelled meanwhile. Its own failure is the engine's end, which others report."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.exception()
    if cancelled is not None:
        raise cancelled


async def _in_thread(work: Callable[[], None]) -> None:
    """Run blocking work in a thread; when cancelled, wait for its end all the same: vLLM cannot be stopped while it starts."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _to_the_end(task)
        raise


def _plain(error: Exception) -> Exception:
    """vLLM's error as a plain one: what it says of the request is a `ValueError`, all else a `RuntimeError`."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    cause = error.__cause__ if type(error).__name__ == "EngineGenerateError" and error.__cause__ else error
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    if isinstance(cause, ValueError) or "VLLMClientError" in kinds:
        return ValueError(f"vLLM refuses the request: {cause}")
    if "EngineDeadError" in kinds:
        return RuntimeError("vLLM's engine process has died; set verbose = true to see why, and open a new Runtime")
    return RuntimeError(f"vLLM failed: {type(cause).__name__}: {cause}")


def _warn_if_full(run: Run, request: DecodeRequest, completions: Sequence[Completion], context: int) -> None:
    short = [c.tokens for c in completions if c.finish == "length" and c.tokens < request.max_tokens]
    if short:
        where = f"decoders.{request.decoder}"
        run.warn(where, f"the context of {context:,} tokens was full after {short[0]:,} of max_tokens {request.max_tokens:,}")
