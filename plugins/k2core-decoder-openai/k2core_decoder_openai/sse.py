"""A parser for server-sent events: bytes in, the data of complete events out."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST_EVENT = 16 * 2**20
"""Bytes of one event, or of one line; a server that sends more is broken."""

_COMMENT_OR_FIELD = (b":", b"event", b"id", b"retry")


class BrokenStream(Exception):
    """What came is no stream of events."""


class SSEParser:
    """Fed whatever a read returns. Lines may end in LF, CRLF or CR; a text is decoded only once its line is whole.

    An event of type `error`, and the `error:` field that older llama.cpp servers send, come out as `{"error": …}`.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = self._data_size = 0
        self._data: list[bytes] = []
        self._is_error = False
        self.stray = b""
        """The first line that is no field of the protocol, for error messages."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of every event that `chunk` completes. Raises `BrokenStream` on an event beyond `LONGEST_EVENT`."""
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > LONGEST_EVENT:
            raise BrokenStream(f"an event of more than {LONGEST_EVENT} bytes")
        if b"\n" in chunk or b"\r" in chunk:
            yield from self._lines(b"".join(self._parts))

    def _lines(self, text: bytes) -> Iterator[bytes]:
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # the LF that belongs to it may be in the next read
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._parts = [rest + held]
        self._size = self._data_size + len(rest) + len(held)
        for line in lines:
            if line:
                self._line(line)
            elif self._data:
                yield self._event()

    def end(self) -> Iterator[bytes]:
        """Yield the last event when the connection closed without the empty line after it, or without any line end."""
        last = b"".join(self._parts).rstrip(b"\r")
        self._parts = []
        if last:
            yield from self._lines(last + b"\n")
        if self._data:
            yield self._event()

    def _line(self, line: bytes) -> None:
        line = line.removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"data:"):
            self._add(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"error:"):
            self._is_error = True
            self._add(line[6:])
        elif line.startswith(b"event:"):
            self._is_error = line[6:].strip() == b"error"
        elif not line.startswith(_COMMENT_OR_FIELD) and not self.stray:
            self.stray = line[:200]

    def _add(self, data: bytes) -> None:
        self._data.append(data)
        self._data_size += len(data)
        self._size += len(data)

    def _event(self) -> bytes:
        data, self._data = b"\n".join(self._data), []
        self._size -= self._data_size
        self._data_size = 0
        if self._is_error:
            self._is_error = False
            return b'{"error":' + data + b"}"
        return data
