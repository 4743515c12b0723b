"""The evaluation's side of its scorer: asks it, and starts it again when it dies."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from k2core.errors import ConfigError, K2Error

from .wire import Message, Wire

_RESTARTS = 8
"""So often in a row, without anything graded in between, a scorer may die."""
_SUSPECT = 2
"""A sample that was being graded alone when the scorer died so many times is not graded."""
_PATIENCE = 10.0
"""Seconds that a scorer gets to end."""


class ScorerError(K2Error):
    """The scorer cannot go on."""


class DiskError(ScorerError):
    """The scorer could not write."""


@dataclass(eq=False)
class _Asked:
    message: Message
    payload: bytes
    answer: asyncio.Future[tuple[Message, bytes]]
    number: int
    sent: bool = False
    alone: int = 0
    """How often it was asked with nothing else under way."""


class Scorer:
    """A scorer's process. `async with` starts and ends it."""

    def __init__(self, inherit: int = -1, restarted: Callable[[str], None] = lambda reason: None) -> None:
        """The process keeps the descriptor `inherit` open, the folder's lock. `restarted` is told when another takes over."""
        self._inherit, self._restarted = inherit, restarted
        self._process: subprocess.Popen[bytes]
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._setup: list[tuple[Message, bytes]] = []
        self._up = self._closing = False
        self._in_a_row = 0
        self._revival: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Scorer:
        await self._start()
        self._up = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        if self._revival:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)
        for asked in self._asked.values():
            asked.answer.cancel()
        self._wire.close()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _start(self) -> None:
        mine, its = socket.socketpair()
        keep = [self._inherit] if self._inherit >= 0 else []
        command = [sys.executable, "-P", "-m", "k2core_eval.scoring.server", str(os.getpid()), *map(str, keep)]
        with its:
            self._process = _spawned(command, its.fileno(), keep)
        mine.setblocking(False)
        self._died = asyncio.get_running_loop().create_future()
        self._wire = wire = Wire(self._told, lambda: self._lost(wire))
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=mine)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Questions that have no answer yet."""
        return len(self._asked)

    async def setup(self, message: Message, payload: bytes = b"", again: Message | None = None) -> tuple[Message, bytes]:
        """Ask something that a process which takes over must be asked first, too, then as `again` says."""
        answer = await self.ask(message, payload)
        self._setup.append((again or message, payload))
        return answer

    async def ask(self, message: Message, payload: bytes = b"") -> tuple[Message, bytes]:
        """The answer. Raises `ConfigError`, `DiskError` or `ScorerError` with what the scorer says is wrong."""
        return await self.tell(message, payload)

    def tell(self, message: Message, payload: bytes = b"") -> asyncio.Future[tuple[Message, bytes]]:
        """As `ask`, without waiting."""
        asked = self._put(message, payload)
        if self._up:
            self._send(asked)
        return asked.answer

    def _put(self, message: Message, payload: bytes) -> _Asked:
        number = next(self._numbers)
        asked = _Asked(message, payload, asyncio.get_running_loop().create_future(), number)
        self._asked[number] = asked
        return asked

    def _send(self, asked: _Asked) -> None:
        asked.sent = True
        self._wire.send({**asked.message, "id": asked.number}, asked.payload)

    async def drain(self) -> None:
        """Wait until the scorer has taken most of what it was sent."""
        await self._wire.drain()

    def _told(self, message: Message, payload: bytes) -> None:
        asked = self._asked.pop(message["id"], None)
        if asked is None:
            return
        if asked.message["do"] == "sample":
            self._in_a_row = 0
        if asked.answer.done():
            return
        if "fault" in message:
            asked.answer.set_exception(_error(message))
        else:
            asked.answer.set_result((message, payload))

    # when the process dies

    def _lost(self, wire: Wire) -> None:
        if self._closing or wire is not self._wire:
            return
        self._up = False
        self._in_a_row += 1
        self._died.set_result(None)
        if self._revival is None or self._revival.done():
            self._revival = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        try:
            while not await self._taken_over():
                pass
        except Exception as error:
            for asked in self._asked.values():
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            self._asked.clear()

    async def _taken_over(self) -> bool:
        """Start another process and ask it what is unanswered; False when it has died, too."""
        reason = f"the scorer died ({_how(await asyncio.to_thread(self._process.wait))})"
        if self._in_a_row > _RESTARTS or not self._setup:
            raise ScorerError(f"{reason}, {self._in_a_row} times in a row" if self._setup else reason)
        self._restarted(reason)
        unanswered = list(self._asked.values())
        await self._start()
        for message, payload in self._setup:
            if not await self._answered(asked := self._put(message, payload)):
                del self._asked[asked.number]
                return False
            asked.answer.result()
        for asked in unanswered:
            if asked.sent and not asked.answer.done() and not await self._asked_alone(asked, reason):
                return False
        if self._died.done():
            return False
        self._up = True
        for asked in self._asked.values():
            self._send(asked)
        return True

    async def _asked_alone(self, asked: _Asked, reason: str) -> bool:
        """One by one, so that it shows what the scorer does not survive; that is then written without having been graded."""
        if asked.alone >= _SUSPECT:
            asked.message["ungradable"] = f"{reason} whenever it graded this"
        asked.alone += 1
        return await self._answered(asked)

    async def _answered(self, asked: _Asked) -> bool:
        self._send(asked)
        await asyncio.wait((asked.answer, self._died), return_when=asyncio.FIRST_COMPLETED)
        return asked.answer.done()


def _spawned(command: list[str], channel: int, keep: list[int]) -> subprocess.Popen[bytes]:
    """By the loop's own thread: the scorer dies with the thread that has started it."""
    return subprocess.Popen(command, stdin=channel, pass_fds=keep, start_new_session=True)


def _error(message: Message) -> Exception:
    text: Any = message["fault"]
    if message["kind"] == "config":
        return ConfigError(text, message["path"])
    return DiskError(text) if message["kind"] == "disk" else ScorerError(f"the scorer failed: {text}")


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
