"""The thread that writes: whatever waits becomes one transaction, so that many requests cost one commit."""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from k2core.errors import explain
from k2core.log import get_logger
from k2core.types import Usage

from ..records import RequestRecord
from .options import StoreOptions
from .packing import Packed, pack
from .retention import EVERY, Retention
from .schema import SUMS
from .states import state_of

BATCH = 256
"""Most requests a transaction."""
UNHURRIED, CROWDED = 0.05, 0.002
"""Seconds that a beginning waits for company, and an end where many requests are going on."""
EXCERPT, SEARCHED = 2_000, 200_000
"""Characters of problem and answer in a row, and of all candidates that can be searched."""


@dataclass
class Job:
    """A request that begins or, with `done`, ends."""

    record: RequestRecord
    done: Future[bool] | None = None
    since: float = field(default_factory=time.monotonic)


class Writer:
    """Owns the connection. `put` from any thread; `stop` writes what waits and ends the thread."""

    def __init__(self, connection: sqlite3.Connection, options: StoreOptions, crowded: Callable[[], bool]) -> None:
        """`crowded` says whether others are likely to end soon."""
        self._connection, self._options, self._crowded = connection, options, crowded
        self._retention = Retention(connection, options)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="k2-trace-store", daemon=True)
        self.recorded = self.lost = 0
        self.waited = 0.0
        """Seconds that finished requests have waited to be written, all together."""
        self.trouble = ""
        """Why the last transaction failed; empty once one has succeeded."""

    def start(self) -> None:
        self._thread.start()

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    @property
    def pending(self) -> int:
        return self._jobs.qsize()

    def _work(self) -> None:
        going = True
        while going:
            jobs = self._waiting()
            going = None not in jobs
            if work := [job for job in jobs if job]:
                self._write(work)
            self._retain()
        self._connection.close()
        while not self._jobs.empty():  # of those who have not heard that it is over
            if (late := self._jobs.get()) and late.done:
                late.done.set_result(False)

    def _waiting(self) -> list[Job | None]:
        """All jobs that wait, up to a batch; where there are none, those that come soon, or none when it is time to look around."""
        jobs: list[Job | None] = []
        until = time.monotonic() + EVERY
        try:
            while len(jobs) < BATCH and (not jobs or jobs[-1]):
                jobs.append(self._jobs.get(timeout=max(0.0, until - time.monotonic())))
                until = min(until, self._patience(jobs[-1]))
        except queue.Empty:
            pass
        return jobs

    def _patience(self, job: Job | None) -> float:
        """Until when to wait for others to share the commit with: nobody waits for a beginning, and for an end somebody does."""
        if job and job.done is None:
            return job.since + UNHURRIED
        return job.since + CROWDED if job and self._crowded() else 0.0

    def _write(self, jobs: Sequence[Job]) -> None:
        steps = [(job, self._prepared(job)) for job in jobs]
        good = self._committed([step for _, step in steps if step])
        for job, step in steps:
            if job.done:
                kept = good and step is not None
                self.recorded, self.lost = self.recorded + kept, self.lost + (not kept)
                self.waited += time.monotonic() - job.since
                if job.done.set_running_or_notify_cancel():
                    job.done.set_result(kept)

    def _prepared(self, job: Job) -> Callable[[], None] | None:
        """What the job does in the transaction. A record that cannot be written must not take others with it."""
        try:
            return _Ending(self._connection, job.record, self._options).apply if job.done else _Beginning(self, job.record).apply
        except Exception as error:
            get_logger().error("a request cannot be recorded", id=job.record.id, error=explain(error), exc_info=error)
            return None

    def _committed(self, steps: Sequence[Callable[[], None]]) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for step in steps:
                step()
            self._connection.execute("COMMIT")
        except Exception as error:
            self._failed(error)
            return False
        self.trouble = ""
        return True

    def _failed(self, error: Exception) -> None:
        if not self.trouble:  # the first says it; a full disk would say the same a thousand times
            get_logger().error("the trace store cannot be written", error=explain(error), exc_info=error)
        self.trouble = explain(error)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _retain(self) -> None:
        try:
            self._retention.due()
        except sqlite3.Error as error:
            self._failed(error)


class _Beginning:
    def __init__(self, writer: Writer, record: RequestRecord) -> None:
        self._connection = writer._connection
        self._row = _row(record) | {"state": "running"}

    def apply(self) -> None:
        self._connection.execute(f"{_insert(self._row)} ON CONFLICT(id) DO NOTHING", self._row)


class _Ending:
    """A finished request: its row, trace, search text and spend. Made of the record before the transaction, as packing takes
    longer than writing."""

    def __init__(self, connection: sqlite3.Connection, record: RequestRecord, options: StoreOptions) -> None:
        self._connection, self._record = connection, record
        self._row = _row(record) | _outcome(record)
        self._packed: Packed | None = pack(record.events)
        self._row["bytes"] = self._packed.size
        if self._packed.size > options.largest_trace:
            self._row["note"] = f"its trace has {self._packed.size:,} bytes, too many to be kept"
            self._packed = None
        candidates = record.result.candidates if record.result else ()
        text = "\n\n".join(candidate.text for candidate in candidates)[:SEARCHED]
        self._search = (_clean(_question(record)), self._row["answer"], _clean(text))

    def apply(self) -> None:
        updated = ", ".join(f"{name} = excluded.{name}" for name in self._row if name != "id")
        statement = f"{_insert(self._row)} ON CONFLICT(id) DO UPDATE SET {updated} RETURNING seq"
        seq = self._connection.execute(statement, self._row).fetchone()[0]
        if self._packed:
            packed = self._packed
            self._connection.execute("INSERT OR IGNORE INTO configs VALUES(?, ?)", (packed.hash, packed.config))
            self._connection.execute("INSERT OR REPLACE INTO traces VALUES(?, ?, ?)", (seq, packed.hash, packed.lines))
        self._connection.execute("DELETE FROM search WHERE rowid = ?", (seq,))
        self._connection.execute("INSERT INTO search(rowid, problem, answer, candidates) VALUES(?, ?, ?, ?)", (seq, *self._search))
        for role, usage in self._record.usage.items():
            self._spend(role, usage)

    def _spend(self, role: str, usage: Usage) -> None:
        record = self._record
        key = (int((record.began + record.seconds) // 3600), record.pipeline, record.key_id, role)
        values = (*key, *(getattr(usage, name) for name in SUMS), int(usage.estimated))
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
        self._connection.execute(
            f"INSERT INTO spending VALUES({', '.join('?' * len(values))}) "
            f"ON CONFLICT DO UPDATE SET {added}, estimated = max(estimated, excluded.estimated)",
            values,
        )


def _insert(row: Mapping[str, Any]) -> str:
    return f"INSERT INTO requests({', '.join(row)}) VALUES({', '.join(f':{name}' for name in row)})"


def _row(record: RequestRecord) -> dict[str, Any]:
    texts = ("id", "pipeline", "version", "effort", "key_id")
    row = {name: _clean(getattr(record, name)) for name in texts}
    return {**row, "began": record.began, "problem": _clean(_question(record))[:EXCERPT]}


def _question(record: RequestRecord) -> str:
    return record.problem.text


def _outcome(record: RequestRecord) -> dict[str, Any]:
    result, total = record.result, sum(record.usage.values(), Usage())
    return {
        "state": state_of(record),
        "seconds": record.seconds,
        "answer": _clean((result and result.answer) or "")[:EXCERPT],
        "error": _clean(record.error)[:EXCERPT],
        "candidates": len(result.candidates) if result else 0,
        "tokens": total.tokens,
        "cost": total.cost,
        "usage": json.dumps({role: usage.model_dump() for role, usage in record.usage.items()}),
    }


def _clean(text: str) -> str:
    """Text that SQLite takes: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
