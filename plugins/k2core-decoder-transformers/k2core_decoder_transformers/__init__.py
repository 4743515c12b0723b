"""A decoder in this process on PyTorch. Importing this module loads neither torch nor a model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .config import LoraAdapter, TransformersConfig

if TYPE_CHECKING:
    from .engine.core import Engine

__all__ = ["LoraAdapter", "Transformers", "TransformersConfig"]


class Transformers(Plugin):
    """Decodes with a model of transformers in this process. Runtimes that ask for the same model and options share it."""

    config: TransformersConfig

    def __init__(self, config: TransformersConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None

    @hookimpl
    async def k2_start(self) -> None:
        from .threads import in_thread

        stop = threading.Event()

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
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        from .engine.request import check
        from .engine.stream import Stream

        engine = self._engine
        if engine is None:
            raise RuntimeError("the decoder has not been started; open a Runtime")
        check(request)
        completions = await Stream(run, request, self.config, self._think(request, engine)).run(engine)
        short = [c.tokens for c in completions if c.finish == "length" and c.tokens < request.max_tokens]
        if short:
            run.warn(
                f"decoders.{request.decoder}",
                f"the context of {engine.context:,} tokens was full after {short[0]:,} of max_tokens {request.max_tokens:,}",
            )
        return completions

    def _think(self, request: DecodeRequest, engine: Engine) -> Literal["auto", "open", "off"]:
        """Where in the reasoning the text begins. What is continued says it itself, whatever the template opens."""
        text = request.messages[-1].content
        if self.config.think != "off" and request.continue_last and text:
            return "open" if text.rfind("<think>") > text.rfind("</think>") else "off"
        return "open" if self.config.think == "auto" and engine.loaded.opens_thinking else self.config.think
