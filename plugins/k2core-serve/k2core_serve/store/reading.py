"""Browsing: what was asked, searched and filtered; one trace with all its events; what was spent."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from k2core.types import Usage

from .packing import to_jsonl, unpack
from .schema import SUMS

FIELDS = "seq id state pipeline version effort key_id began seconds problem answer error candidates tokens cost".split()


@dataclass(frozen=True)
class Found:
    """What is looked for; empty fields do not narrow it."""

    text: str = ""
    """Words that problem, answer or candidates contain, each also as the beginning of a longer one; or a trace's id."""
    pipeline: str = ""
    state: str = ""
    key_id: str | None = None
    """Requests of this key only; None: of all."""
    before: int | None = None
    """Older than the request of this sequence number."""
    limit: int = 20


@dataclass(frozen=True)
class Page:
    """Requests, the newest first."""

    rows: list[dict[str, Any]]
    next: int | None
    """`before` of the page that follows; None on the last."""


@dataclass(frozen=True)
class StoredTrace:
    """One request with everything that is known of it."""

    row: dict[str, Any]
    usage: dict[str, Usage]
    events: list[dict[str, Any]] = field(default_factory=list)
    """As JSON, in the form of trace files. Empty where the trace was not kept."""
    damage: str = ""
    """What of it cannot be read; empty when everything can."""

    def jsonl(self) -> bytes:
        """The file that `k2 replay` takes."""
        return to_jsonl(self.events)


class TraceReader:
    """Reads a store, also while a server writes to it. Each call opens the file anew, so any thread may call.

    Every method raises `OSError` when the file cannot be read at all; what is damaged in it is left out or told of.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def find(self, wanted: Found) -> Page:
        """One page of requests."""
        limit = max(1, min(wanted.limit, 100))
        where, values = _conditions(wanted)
        query = f"SELECT {', '.join(FIELDS)} FROM requests {where} ORDER BY seq DESC LIMIT {limit + 1}"
        with self._reading() as connection:
            rows = [_plain(dict(row)) for row in connection.execute(query, values)]
        return Page(rows[:limit], int(rows[limit - 1]["seq"]) if len(rows) > limit else None)

    def read(self, id: str, key_id: str | None = None) -> StoredTrace:
        """One request. Raises `KeyError` when there is none of that id, or it is another key's than `key_id`."""
        with self._reading() as connection:
            query = f"SELECT {', '.join(FIELDS)}, usage, note, bytes FROM requests WHERE id = ?"
            found = connection.execute(query, (id,)).fetchone()
            if found is None or (key_id is not None and found["key_id"] != key_id):
                raise KeyError(id)
            row = _plain(dict(found))
            trace = self._trace(connection, row["seq"])
        usage, note = _usage(row.pop("usage")), str(row.pop("note"))
        if trace is None:
            return StoredTrace(row, usage, damage=note or _missing(row))
        unpacked = unpack(trace["lines"], trace["body"] or b"")
        return StoredTrace(row, usage, unpacked.events, unpacked.damage or note)

    def pipelines(self, key_id: str | None = None) -> list[str]:
        """Names of the pipelines that something was asked of."""
        where, values = ("WHERE key_id = ?", (key_id,)) if key_id is not None else ("", ())
        with self._reading() as connection:
            rows = connection.execute(f"SELECT DISTINCT pipeline FROM requests {where} ORDER BY pipeline", values).fetchall()
        return [str(row[0]) for row in rows]

    def spent(self, since: float = 0.0) -> dict[str, Usage]:
        """What each key has spent since a Unix time, counted in whole hours; also of requests that are kept no longer."""
        sums = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
        query = f"SELECT key_id, {sums}, max(estimated) AS estimated FROM spending WHERE hour >= ? GROUP BY key_id"
        with self._reading() as connection:
            rows = [dict(row) for row in connection.execute(query, (int(since // 3600),))]
        return {str(row.pop("key_id")): Usage.model_validate(row) for row in rows}

    def _trace(self, connection: sqlite3.Connection, seq: int) -> sqlite3.Row | None:
        query = "SELECT lines, body FROM traces LEFT JOIN configs ON hash = config WHERE seq = ?"
        try:
            found: sqlite3.Row | None = connection.execute(query, (seq,)).fetchone()
        except sqlite3.DatabaseError:  # a damaged page of the file; what else is known of the request is shown
            return None
        return found

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=5)) as connection:
                connection.row_factory = sqlite3.Row
                connection.text_factory = _text
                yield connection
        except sqlite3.Error as error:
            raise OSError(f"the trace store {self.path} cannot be read: {error}") from error


def _conditions(wanted: Found) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {}
    parts = []
    for name in ("pipeline", "state", "key_id"):
        if (value := getattr(wanted, name)) not in ("", None) or (name == "key_id" and value == ""):
            parts.append(f"{name} = :{name}")
            values[name] = value
    if wanted.before is not None:
        parts.append("seq < :before")
        values["before"] = wanted.before
    if wanted.text.strip():
        parts.append("(id = :id OR seq IN (SELECT rowid FROM search WHERE search MATCH :match))")
        values |= {"id": wanted.text.strip(), "match": matching(wanted.text)}
    return (f"WHERE {' AND '.join(parts)}" if parts else ""), {name: _bindable(value) for name, value in values.items()}


def matching(text: str) -> str:
    """What FTS5 is asked: every word, quoted, so that nothing in it is an operator; without any word nothing matches."""
    words = re.findall(r"\w+", text.encode("utf-8", "replace").decode())[:20]
    return " ".join(f'"{word}"*' for word in words) or '"\u0001"'


def _bindable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON takes it, whatever types an alien hand has written into its columns."""
    numbers = {"seq", "began", "seconds", "candidates", "tokens", "cost", "bytes"}
    return {name: _number(value) if name in numbers else _string(value) for name, value in row.items()}


def _number(value: Any) -> float | int:
    if isinstance(value, int | float) and abs(value) < 1e18:  # no infinity, and NaN is stored as NULL
        return value
    return 0


def _string(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)[:200]


def _usage(text: str) -> dict[str, Usage]:
    try:
        data = json.loads(text)
        return {str(role): Usage.model_validate(used) for role, used in data.items()} if isinstance(data, dict) else {}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _missing(row: Mapping[str, Any]) -> str:
    if row["state"] == "running":
        return "it is still running"
    return "the server ended before it was done" if row["state"] == "interrupted" else "its trace is not in the store"
