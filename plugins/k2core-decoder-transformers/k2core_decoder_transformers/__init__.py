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
        held, self._engine = self._engine, None
        if held is not None:
            from .engine.pool import release
            from .threads import in_thread

            await in_thread(lambda: release(held), threading.Event())

    @hookimpl
    async def k2_load_weights(self, weights: Mapping[str, Any] | str) -> None:
        """Decode with these from now on, in an engine that no other runtime shares any more.

        Requests that run end with the old weights first; those that come meanwhile wait. Raises `ValueError` for weights that do
        not fit the model, and nothing has changed.
        """
        from .engine.pool import detach
        from .engine.weights import swap
        from .threads import in_thread

        self._running()
        async with self._loading:
            held, stop = self._running(), threading.Event()

            def own() -> None:
                self._engine = detach(held, self.config, stop) or held

            await in_thread(own, stop)
            await swap(self._running(), weights)

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        from .engine.request import check
        from .engine.stream import Stream

        engine = self._running()
        check(request)
        completions = await Stream(run, request, self.config, self._think(request, engine)).run(engine, self._outbox)
        short = [c.tokens for c in completions if c.finish == "length" and c.tokens < request.max_tokens]
        if short:
            run.warn(
                f"decoders.{request.decoder}",
                f"the context of {engine.context:,} tokens was full after {short[0]:,} of max_tokens {request.max_tokens:,}",
            )
        return completions

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
