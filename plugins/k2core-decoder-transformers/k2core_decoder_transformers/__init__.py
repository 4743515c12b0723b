"""A decoder in this process on PyTorch. Importing this module loads neither torch nor a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .config import LoraAdapter, TransformersConfig

if TYPE_CHECKING:
    from .engine.core import Engine
    from .engine.outbox import Outbox

__all__ = ["LoraAdapter", "Transformers", "TransformersConfig"]


class Transformers(Plugin):
    """Decodes with a model of transformers in this process. Runtimes that ask for the same model and options share it."""

    config: TransformersConfig

    def __init__(self, config: TransformersConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None
        self._former: Engine | None = None
        """The shared engine that other weights made it leave, until the last of its requests there has ended."""
        self._owning = threading.Lock()
        """Whoever changes which engines it has, holds this."""
        self._calls: list[Engine] = []
        """The engine of each request at work."""
        self._stop = threading.Event()
        """Set, it ends the loading of a model of its own."""
        self._loading: asyncio.Lock
        self._outbox: Outbox

    @hookimpl
    async def k2_start(self) -> None:
        from .engine.outbox import Outbox
        from .threads import in_thread

        stop, self._loading, self._outbox = threading.Event(), asyncio.Lock(), Outbox()

        def load() -> None:
            from .engine.pool import acquire

            self._engine = acquire(self.config, stop)

        await in_thread(load, stop)

    @hookimpl
    async def k2_stop(self) -> None:
        self._stop.set()
        if self._engine is not None:
            from .threads import in_thread

            await in_thread(self._give_back, threading.Event())

    @hookimpl
    async def k2_load_weights(self, weights: Mapping[str, Any] | str) -> None:
        """Decode with these from now on, in an engine that no other runtime shares any more.

        Requests that run end with the old weights first; those that come meanwhile wait. Raises `ValueError` for weights that do
        not fit the model, and nothing has changed.
        """
        from .engine.weights import swap
        from .threads import in_thread

        self._running()
        async with self._loading:
            held, self._stop = self._running(), threading.Event()
            own = await in_thread(lambda: self._own(held), self._stop)
            await self._part()
            await swap(own, weights)

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        from .engine.request import check
        from .engine.stream import Stream

        engine = self._running()
        check(request)
        self._calls.append(engine)
        try:
            completions = await Stream(run, request, self.config, self._think(request, engine)).run(engine, self._outbox)
        finally:
            self._calls.remove(engine)
            await self._part()
        short = [c.tokens for c in completions if c.finish == "length" and c.tokens < request.max_tokens]
        if short:
            run.warn(
                f"decoders.{request.decoder}",
                f"the context of {engine.context:,} tokens was full after {short[0]:,} of max_tokens {request.max_tokens:,}",
            )
        return completions

    def _own(self, held: Engine) -> Engine:
        """An engine that no other runtime shares, instead of the one held. Blocks, as a model may have to be loaded."""
        from .engine.pool import detach

        with self._owning:
            own = detach(held, self.config, self._stop) if self._engine is held else None
            if own is None:
                raise RuntimeError("the decoder has been stopped")
            if own is not held:
                self._engine, self._former = own, held
            return own

    async def _part(self) -> None:
        """Give the former engine back, if there is one and no request is at work there any more."""
        if self._former is not None and self._former not in self._calls:
            from .threads import in_thread

            await in_thread(self._give_back_former, threading.Event())

    def _give_back_former(self) -> None:
        from .engine.pool import release

        with self._owning:
            former, self._former = self._former, None
        if former is not None:
            release(former)

    def _give_back(self) -> None:
        from .engine.pool import release

        with self._owning:
            held = self._former, self._engine
            self._former = self._engine = None
        for engine in filter(None, held):
            release(engine)

    def _running(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the decoder has not been started; open a Runtime")
        return self._engine

    def _think(self, request: DecodeRequest, engine: Engine) -> Literal["auto", "open", "off"]:
        """Where in the reasoning the text begins. What is continued says it itself, whatever the template opens."""
        text = request.messages[-1].content
        if self.config.think != "off" and request.continue_last and text:
            return "open" if text.rfind("<think>") > text.rfind("</think>") else "off"
        return "open" if self.config.think == "auto" and engine.loaded.opens_thinking else self.config.think
