"""Asking the judge's model, whose failures never end the run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from k2core import DecodeRequest, DecoderName, LimitExceeded, Message, PluginConfig, Run


class AskingConfig(PluginConfig):
    """What both verifiers have in common."""

    decoder: DecoderName = "solver"
    """Name under `[decoders]` of the model that judges."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature of the judge."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens of one reply, the judge's own reasoning included."""
    max_chars: Annotated[int, Field(ge=100)] = 12_000
    """Characters of a candidate that the judge sees; what is over is left out in the middle, with a mark."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Most calls under way at a time."""
    show_reference: bool = False
    """Show the judge the reference answer when there is one, in evaluation and training."""


class Judging:
    """The calls of one verification: bounded in number, with a common mark for the fences, failures counted."""

    def __init__(self, run: Run, config: AskingConfig, where: str) -> None:
        self._run, self._config, self._where = run, config, where
        self._free = asyncio.Semaphore(config.concurrency)
        self.mark = f"{run.seed_for(where, 'mark'):08x}"
        """The same in the same run, and not to be known to a candidate."""
        self.calls = self.failed = self.skipped = 0

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], *seed: object) -> str | None:
        """The reply, or None when the call failed or time is short. Raises `LimitExceeded`: limits are not the judge's to bend."""
        config = self._config
        request = DecodeRequest(
            messages=messages,
            role="judge",
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=self._run.seed_for(self._where, *seed),
            json_schema=schema,
            decoder=config.decoder,
        )
        async with self._free:
            if self._run.hurry:
                self.skipped += 1
                return None
            self.calls += 1
            try:
                return (await self._run.decode(request))[0].text
            except LimitExceeded:
                raise
            except Exception as error:
                self.failed += 1
                self._run.warn(self._where, f"a call to the judge failed: {' '.join(str(error).split()) or type(error).__name__}")
                return None

    def warn(self, message: str) -> None:
        self._run.warn(self._where, message)
