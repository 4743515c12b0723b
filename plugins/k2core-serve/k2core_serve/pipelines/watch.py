"""Pipeline files that change on disk are swapped in. Looked at by time and size, which works on every file system."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from k2core.errors import explain
from k2core.log import get_logger

from .live import Pipelines, SwapRefused

Stamp = tuple[int, int, int] | None


class Watch:
    """Looks every so often; a file that has changed is read once it has stayed the same for one look, so not half-written."""

    def __init__(self, pipelines: Pipelines, seconds: float) -> None:
        self._pipelines, self._seconds = pipelines, seconds
        self._taken: dict[str, Stamp] = {}
        self._last: dict[str, Stamp] = {}
        for name in pipelines.names():
            self._taken[name] = self._last[name] = stamp(pipelines.live(name).table.config)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            for name in self._pipelines.names():
                try:
                    await self._look(name)
                except Exception as error:
                    get_logger(model=name).error("cannot watch", error=explain(error), exc_info=error)

    async def _look(self, name: str) -> None:
        file = self._pipelines.live(name).table.config
        if not file:
            return
        now = stamp(file)
        before, self._last[name] = self._last.get(name, now), now
        if now is None or now != before or now == self._taken.setdefault(name, now):
            return
        self._taken[name] = now
        with suppress(SwapRefused):  # logged, and told by /admin/pipelines
            await self._pipelines.reread(name)


def stamp(file: str) -> Stamp:
    """What changes when a file does; None while there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
