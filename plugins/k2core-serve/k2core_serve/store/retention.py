"""What goes when there is too much: the oldest requests with their traces. What was spent stays in the sums by hour."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from .options import StoreOptions

EVERY = 30.0
"""Seconds between two looks."""
AT_ONCE = 100
"""Requests that one transaction removes, so that those that come in the meantime are not kept waiting."""
MERGED = 500
"""Pages of the search index that are written anew after a portion: only so does it let go of what was removed."""


class Retention:
    """For the thread that owns the connection."""

    def __init__(self, connection: sqlite3.Connection, options: StoreOptions, clock: Callable[[], float] = time.time) -> None:
        self._connection, self._options, self._clock = connection, options, clock
        self._next = 0.0

    def due(self) -> None:
        """Look, if it is time to, and remove one portion; if more is left, the next look is at once. Raises `sqlite3.Error`."""
        if time.monotonic() < self._next:
            return
        removed = self.apply()
        self._next = time.monotonic() + (0 if removed == AT_ONCE else EVERY)

    def apply(self) -> int:
        """Remove one portion of what is too much; says how many requests that was."""
        count = min(AT_ONCE, self._too_many())
        if count:
            self._remove(count)
        return count

    def _too_many(self) -> int:
        """How many of the oldest finished requests have to go."""
        options, one = self._options, self._one
        total = int(one("SELECT count(*) FROM requests"))
        excess = max(0, total - options.keep_count) if options.keep_count else 0
        if options.keep_days:
            since = self._clock() - options.keep_days * 86400
            excess = max(excess, int(one("SELECT count(*) FROM requests WHERE state != 'running' AND began < ?", since)))
        if options.keep_bytes and (used := self.used()) > options.keep_bytes and total:
            excess = max(excess, -(-total * (used - options.keep_bytes) // used) + total // 50)  # a little more: not every time
        return min(excess, total)

    def used(self) -> int:
        """Bytes of the file in use; those of removed requests, which the next ones take, are not counted."""
        pages, free, size = (int(self._one(f"PRAGMA {name}")) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _remove(self, count: int) -> None:
        oldest = "SELECT seq FROM requests WHERE state != 'running' ORDER BY began, seq LIMIT ?"
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            going = [row[0] for row in self._connection.execute(oldest, (count,))]
            for table, name in (("search", "rowid"), ("traces", "seq"), ("requests", "seq")):
                self._connection.executemany(f"DELETE FROM {table} WHERE {name} = ?", ((seq,) for seq in going))
            self._connection.execute("DELETE FROM configs WHERE NOT EXISTS (SELECT 1 FROM traces WHERE config = hash)")
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("INSERT INTO search(search, rank) VALUES('merge', ?)", (-MERGED,))
        self._connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()

    def _one(self, query: str, *values: float) -> float:
        found = self._connection.execute(query, values).fetchone()[0]
        return float(found)
