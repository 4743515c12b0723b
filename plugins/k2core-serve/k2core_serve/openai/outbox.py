"""What waits to be sent to one client: text that belongs together is joined, and there is never more than so much of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from ..http import ClientStalled

Kind = Literal["progress", "reasoning", "text", "finish"]


@dataclass
class Piece:
    """Some text of one choice. A `finish` is the end of the choice, and its text why it ended."""

    choice: int
    kind: Kind
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Outbox:
    """Filled by observers, who cannot wait, and emptied by whoever sends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[Piece] = []
        self._size = 0
        self._ready = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, choice: int, kind: Kind, text: str) -> None:
        """Add text. When more waits than may, everything is dropped and the reader gets `ClientStalled`."""
        if self._closed or not (text or kind == "finish"):
            return
        if self._size > self._most:
            return self.fail(ClientStalled(f"more than {self._most} characters wait for the client"))
        last = self._pieces[-1] if self._pieces else None
        if last is None or kind == "finish" or (last.choice, last.kind) != (choice, kind):
            self._pieces.append(last := Piece(choice, kind))
        last.texts.append(text)
        self._size += len(text)
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        """Let the reader have an error, at once. The first one stays."""
        if not self._closed:
            self._error = error
            self._pieces, self._size = [], 0
            self.close()

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self._ready.set()

    async def take(self) -> list[Piece]:
        """All that waits, once something does; nothing when it is closed and empty. Raises what `fail` was given."""
        await self._ready.wait()
        if self._error:
            raise self._error
        pieces, self._pieces, self._size = self._pieces, [], 0
        if not self._closed:
            self._ready.clear()
        return pieces
