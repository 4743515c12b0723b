"""Asking the judges' models, whose failures never end the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from k2core import DecodeRequest, DecoderName, LimitExceeded, Message, PluginConfig, Run

Role = Literal["judge", "verify"]


class AskingConfig(PluginConfig):
    """What both verifiers have in common."""

    decoder: DecoderName | tuple[DecoderName, ...] = "solver"
    """Name under `[decoders]` of the model that judges, or a list of several: each judges by itself."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Sampling temperature of the judge."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens of one reply, the judge's own reasoning included."""
    max_chars: Annotated[int, Field(ge=100)] = 12_000
    """Characters of a candidate that the judge sees; what is over is left out in the middle, with a mark."""
    concurrency: Annotated[int, Field(ge=1)] = 8
    """Most calls of one run under way at a time."""
    show_reference: bool = False
    """Show the judge the reference answer when there is one, in evaluation and training."""
    calibration: str = ""
    """A file that `k2 judge measure` has written: scores become the probabilities measured there. Empty: none."""

    @field_validator("decoder")
    @classmethod
    def _named(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (value,) if isinstance(value, str) else value
        if not names or not all(names) or len(set(names)) < len(names):
            raise ValueError("it names one judge, or several different ones")
        return value

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of all judges."""
        return (self.decoder,) if isinstance(self.decoder, str) else self.decoder


class Judging:
    """The judges as one run sees them: bounded in number, what they said remembered, failures counted.

    Everything is kept in the run's state, so that calls which follow each other, or run at the same time, share it.
    """

    def __init__(self, run: Run, config: AskingConfig, where: str) -> None:
        self._run, self._config, self._where = run, config, where
        self._free: asyncio.Semaphore = run.state.setdefault("free", asyncio.Semaphore(config.concurrency))
        self._said: dict[object, str] = run.state.setdefault("said", {})
        self._locks: dict[object, asyncio.Lock] = run.state.setdefault("locks", {})
        self.models: dict[str, str] = run.state.setdefault("models", {})
        """By judge, the model that answered."""
        self.mark = f"{run.seed_for(where, 'mark'):08x}"
        """The same in the same run, and not to be known to a candidate."""
        self.skipped = 0

    async def ask(self, judge: str, messages: tuple[Message, ...], schema: Mapping[str, Any], *names: object) -> str | None:
        """The reply, or None when the call failed or time is short. What was asked under the same `names` is not asked again.

        Raises `LimitExceeded`: limits are not the judge's to bend.
        """
        return await self._once((judge, *names), lambda: self._call(judge, messages, schema, *names))

    async def _once(self, key: object, ask: Callable[[], Awaitable[str | None]]) -> str | None:
        if key not in self._said:
            async with self._locks.setdefault(key, asyncio.Lock()):
                if key not in self._said and (reply := await ask()) is not None:
                    self._said[key] = reply
        return self._said.get(key)

    async def _call(self, judge: str, messages: tuple[Message, ...], schema: Mapping[str, Any], *names: object) -> str | None:
        request = DecodeRequest(
            messages=messages,
            role="judge",
            max_tokens=self._config.max_tokens,
            temperature=self._config.temperature,
            seed=self._run.seed_for(self._where, *names),
            json_schema=schema,
            decoder=judge,
        )
        async with self._free:
            if self._run.hurry:
                self.skipped += 1
                return None
            try:
                completion = (await self._run.decode(request))[0]
            except LimitExceeded:
                raise
            except Exception as error:
                self.warn(f"a call to the judge {judge} failed: {' '.join(str(error).split()) or type(error).__name__}")
                return None
        self.models[judge] = completion.model
        return completion.text

    def warn(self, message: str) -> None:
        self._run.warn(self._where, message)

    def warn_once(self, message: str) -> None:
        """Unless this was said in this run."""
        told: set[str] = self._run.state.setdefault("told", set())
        if message not in told:
            told.add(message)
            self.warn(message)

    @property
    def counts(self) -> dict[str, int]:
        """Sums over the run: comparisons, flips, …"""
        counts: dict[str, int] = self._run.state.setdefault("counts", {})
        return counts
