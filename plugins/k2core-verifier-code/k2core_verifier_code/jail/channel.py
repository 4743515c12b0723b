"""Messages over a socket: 4 bytes, big-endian, the length of the JSON that follows."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from json import dumps, loads  # the functions, as a program may put something else into the module
from typing import Any

Message = dict[str, Any]

LONGEST = 16 << 20
"""Bytes of the longest message between judge and program."""


def send(channel: socket.socket, message: Message) -> None:
    """Write one message. Raises `OSError`; `ValueError` for an integer of more digits than Python converts."""
    body = dumps(message).encode()
    channel.sendall(struct.pack(">I", len(body)) + body)


def receive(channel: socket.socket, wait: Callable[[], None] = lambda: None, longest: int = 1 << 30) -> Message | None:
    """The next message; None at the end of the input. `wait` returns when there may be something to read, or raises."""
    head = _exactly(channel, 4, wait)
    if len(head) < 4:
        return None
    [length] = struct.unpack(">I", head)
    if length > longest:
        raise OverflowError(f"a message of {length} bytes, more than {longest}")
    body = _exactly(channel, length, wait)
    message = loads(body) if len(body) == length else None
    if message is not None and not isinstance(message, dict):
        raise ValueError("malformed message")
    return message


def _exactly(channel: socket.socket, count: int, wait: Callable[[], None]) -> bytes:
    data = bytearray()
    while len(data) < count:
        wait()
        chunk = channel.recv(min(1 << 20, count - len(data)))
        if not chunk:
            break
        data += chunk
    return bytes(data)
