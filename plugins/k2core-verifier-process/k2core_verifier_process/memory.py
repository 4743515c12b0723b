"""What a run remembers of the steps that it has seen, so that a longer solution pays for its new steps only."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from .split import Step

T = TypeVar("T")


def prefixes(steps: Sequence[Step]) -> Iterator[bytes]:
    """A name for each step together with all before it. Linear in the length of the text."""
    digest = hashlib.blake2b(digest_size=16)
    for step in steps:
        digest.update(step.text.rstrip().encode("utf-8", "surrogatepass") + b"\0")
        yield digest.copy().digest()


class Once(Generic[T]):
    """Answers by name, each asked for once even when several ask at a time. A failure, which is None, is not remembered."""

    def __init__(self) -> None:
        self.known: dict[bytes, T] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}

    async def get(self, name: bytes, ask: Callable[[], Awaitable[T | None]]) -> T | None:
        """The answer; the cancellation of one who asks leaves the others to ask."""
        if name not in self.known:
            async with self._locks.setdefault(name, asyncio.Lock()):
                if name not in self.known and (found := await ask()) is not None:
                    self.known[name] = found
        return self.known.get(name)
