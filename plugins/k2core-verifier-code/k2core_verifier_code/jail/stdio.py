"""Tests as texts: what the program reads from its standard input, and what it must print."""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any

from . import channel
from .compare import same_output
from .session import Session, Stopped, described


def run(job: dict[str, Any], session: Session) -> dict[str, Any]:
    """A fresh program for each test."""
    cases, passed = job["suite"]["cases"], 0
    first: dict[str, Any] = {}
    for index, case in enumerate(cases):
        try:
            printed = _execute(job, session, case["input"].encode())
            text = same_output(printed.decode("utf-8", "replace"), case["output"], job["tolerance"])
            failure = None if text is None else {"kind": "failed", "text": f"failed: {text}"}
        except Stopped as stop:
            failure = {"kind": stop.kind, "text": stop.text}
            if stop.kind == "compile":
                return {"passed": 0, "total": len(cases), "test": None, **failure}
        passed += failure is None
        if failure and not first:
            first = {"test": index, **failure}
        if first and not job["partial"]:
            break
    return {"passed": passed, "total": len(cases), **first}


def _execute(job: dict[str, Any], session: Session, given: bytes) -> bytes:
    """What the program prints. Raises `Stopped` when it fails, is late or prints too much."""
    (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
    ours, theirs = [feed, out, err], [stdin, stdout, stderr]
    try:
        try:
            session.start(main=True, standard=tuple(theirs))
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return _Exchange(job, session, ours, given).run()
    finally:
        for descriptor in ours:
            if descriptor >= 0:
                os.close(descriptor)
        session.close()


class _Exchange:
    """Feeds and listens at the same time."""

    def __init__(self, job: dict[str, Any], session: Session, ends: list[int], given: bytes) -> None:
        self._session, self._limit = session, job["output"]
        self._ends = ends
        self._feed, self._out, self._err = ends
        self._given, self._printed, self._last = memoryview(given), bytearray(), bytearray()
        self._poller = select.poll()
        for end in ends:
            os.set_blocking(end, False)
        if given:
            self._poller.register(self._feed, select.POLLOUT)
        else:
            self._close_feed(registered=False)
        for end in (self._out, self._err):
            self._poller.register(end, select.POLLIN)

    def run(self) -> bytes:
        link = self._session.link
        assert link is not None
        self._session.clock.begin()
        channel.send(link, {"op": "run"})
        self._poller.register(link, select.POLLIN)
        while True:
            ready = {end for end, _ in self._poller.poll(self._session.clock.left() * 1000)}
            self._pass_on(ready)
            if link.fileno() in ready:
                self._end()
                self._pass_on({self._out, self._err})
                return bytes(self._printed)

    def _pass_on(self, ready: set[int]) -> None:
        if self._feed in ready:
            self._write()
        if self._err in ready:
            self._last = (self._last + self._read(self._err))[-2000:]
        if self._out in ready:
            while chunk := self._read(self._out):
                self._printed += chunk
                if len(self._printed) > self._limit:
                    raise Stopped("output", f"prints more than {self._limit // 1000} kB")

    def _write(self) -> None:
        try:
            self._given = self._given[os.write(self._feed, self._given[: 1 << 16]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not read all of it
            self._given = self._given[:0]
        if not self._given:
            self._close_feed(registered=True)

    def _close_feed(self, *, registered: bool) -> None:
        if registered:
            self._poller.unregister(self._feed)
        os.close(self._feed)
        self._feed = self._ends[0] = -1

    def _read(self, end: int) -> bytes:
        try:
            chunk = os.read(end, 1 << 16)
        except BlockingIOError:
            return b""
        if not chunk:
            with contextlib.suppress(KeyError):
                self._poller.unregister(end)
        return chunk

    def _end(self) -> None:
        """The program is through, or gone. Raises `Stopped` unless it ended well."""
        try:
            reply = self._session.reply()
        except Stopped as stop:
            if stop.kind == "exit" and stop.text.endswith("status 0"):
                return
            raise
        if "exception" in reply:
            raise Stopped("raised", f"raises {described(reply['exception'])}")
        if reply.get("exit"):
            raise Stopped("exit", f"ended with exit status {str(reply['exit'])[:20]}")
