"""The embedded decoder of k2core: llama.cpp in this process. Importing this module loads neither the engine nor a model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from k2core.plugin import Plugin, hookimpl
from k2core.ports import Run
from k2core.types import Completion, DecodeRequest

from .config import LlamaCppConfig, LoraAdapter
from .speculation import Speculation

if TYPE_CHECKING:
    from .engine import Engine
    from .stream import Stream

__all__ = ["LlamaCpp", "LlamaCppConfig", "LoraAdapter", "Speculation"]


class LlamaCpp(Plugin):
    """Decodes with a GGUF model in this process. Runtimes that ask for the same file and options share one loaded model."""

    config: LlamaCppConfig

    def __init__(self, config: LlamaCppConfig | None = None) -> None:
        super().__init__(config)
        self._engine: Engine | None = None
        self._name = ""

    @hookimpl
    async def k2_start(self) -> None:
        from k2core_models import resolve, shipped

        from . import engine
        from .threads import in_thread

        stop = threading.Event()

        def load() -> None:
            config, asked = self.config, shipped.unfolded(self.config.model)
            path, adapters = resolve(asked.model, stop), (*(LoraAdapter(path=name) for name in asked.adapters), *config.lora)
            lora = tuple(a.model_copy(update={"path": str(shipped.adapter_file(a.path, path))}) for a in adapters)
            self._name = next(iter(asked.adapters), "")
            config = config.model_copy(update={"lora": lora})
            if draft := config.speculation.model:
                found = config.speculation.model_copy(update={"model": str(resolve(draft, stop))})
                config = config.model_copy(update={"speculation": found})
            if not stop.is_set():
                self._engine = engine.acquire(path, config)

        await in_thread(load, stop)

    @hookimpl
    async def k2_stop(self) -> None:
        from .engine import release
        from .threads import in_thread

        held, self._engine = self._engine, None
        if held is not None:
            await in_thread(lambda: release(held), threading.Event())

    @hookimpl
    async def k2_decode(self, run: Run, request: DecodeRequest) -> Sequence[Completion]:
        from .request import check, loose_patterns
        from .stream import Stream

        loaded = self._engine
        if loaded is None:
            raise RuntimeError("the decoder has not been started; open a Runtime")
        check(request, loaded.context, loaded.header.longest_token)
        for pattern in loose_patterns(request.json_schema):
            run.warn(
                f"decoders.{request.decoder}", f"the pattern {pattern!r} of the JSON schema is not enforced, for lack of ^ and $"
            )
        stream = Stream(run, request, self._think(request, loaded))
        try:
            await self._generate(loaded, request, stream)
        finally:
            stream.settle()
        completions = stream.completions(self._name or loaded.name)
        if request.logprobs and any(c.logprobs is None for c in completions):
            run.warn(f"decoders.{request.decoder}", "llama.cpp tells no log-probabilities of guessed tokens, so there are none")
        _warn_if_full(run, request, completions, loaded.context)
        return completions

    def _think(self, request: DecodeRequest, loaded: Engine) -> Literal["auto", "open", "off"]:
        """Where in the reasoning the text begins. What is continued says it itself, whatever the template opens."""
        from .think import unclosed

        if self.config.think != "off" and request.continue_last and request.messages[-1].content:
            return "open" if unclosed(request.messages[-1].content) else "off"
        return "open" if self.config.think == "auto" and loaded.opens_thinking else self.config.think

    async def _generate(self, loaded: Engine, request: DecodeRequest, stream: Stream) -> None:
        """All choices, in as many rounds as the engine's slots make necessary. Ends only when the engine has stopped."""
        from .request import body
        from .threads import in_thread

        for first in range(0, request.n, loaded.slots.total):
            count = min(loaded.slots.total, request.n - first)
            asked = body(request, self.config, first, count)
            async with loaded.slots.take(count):
                stream.first = first
                await in_thread(partial(loaded.generate, asked, stream.receive), stream.stop)
            stream.drain()
            if stream.stop.is_set():
                return


def _warn_if_full(run: Run, request: DecodeRequest, completions: Sequence[Completion], context: int) -> None:
    short = [c.tokens for c in completions if c.finish == "length" and c.tokens < request.max_tokens]
    if short:
        run.warn(
            f"decoders.{request.decoder}",
            f"the context of {context:,} tokens was full after {short[0]:,} of max_tokens {request.max_tokens:,}",
        )
