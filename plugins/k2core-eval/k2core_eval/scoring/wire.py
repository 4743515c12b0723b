"""Messages between the evaluation and its scorer, over a socket: two lengths (big-endian, 4 bytes each), JSON, raw bytes."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic_core import from_json, to_json

Message: TypeAlias = dict[str, Any]

_HEAD = struct.Struct(">II")
_TOGETHER = 0.001
"""Seconds for which messages are collected, so that they go out, and wake the other process, together."""


def encoded(message: Message) -> bytes:
    """JSON. Lone surrogates, which a model's byte tokens can leave behind, survive."""
    try:
        return to_json(message)
    except ValueError:
        return json.dumps(message).encode()


def decoded(body: bytes | bytearray) -> Message:
    message: Message
    try:
        message = from_json(body)
    except ValueError:
        message = json.loads(body)
    return message


class Wire(asyncio.Protocol):
    """One end. `told(message, payload)` is called for each message that arrives, `lost()` once, when the other end has gone."""

    def __init__(self, told: Callable[[Message, bytes], None], lost: Callable[[], None]) -> None:
        self._told, self._lost = told, lost
        self._input, self._output = bytearray(), list[bytes]()
        self._transport: asyncio.Transport | None = None
        self._free = asyncio.Event()
        self._free.set()
        self.broken = False

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Queue a message; after the other end has gone it goes nowhere."""
        body = encoded(message)
        if not self._output:
            asyncio.get_running_loop().call_later(_TOGETHER, self._flush)
        self._output += (_HEAD.pack(len(body), len(payload)), body, payload)

    def _flush(self) -> None:
        output, self._output = self._output, []
        if self._transport and output and not self.broken:
            self._transport.write(b"".join(output))

    async def drain(self) -> None:
        """Wait until the other end has taken most of what was sent."""
        await self._free.wait()

    def close(self) -> None:
        """Send what is queued, then hang up."""
        self._flush()
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._input += data
        start, held = 0, len(self._input)
        while held - start >= _HEAD.size:
            length, extra = _HEAD.unpack_from(self._input, start)
            begin = start + _HEAD.size
            if held - begin < length + extra:
                break
            start = begin + length + extra
            self._told(decoded(self._input[begin : begin + length]), bytes(self._input[begin + length : start]))
        del self._input[:start]

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        self._free.set()
        self._lost()
