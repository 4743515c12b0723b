"""The tables, how an older file becomes a current one, and which files are refused."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from k2core.errors import ConfigError

APPLICATION = 0x4B325452
"""Marks a file as ours, in SQLite's `application_id`: "K2TR"."""

SUMS = (
    "started served cancelled failed cached prompt_tokens completion_tokens drafted accepted seconds cost".split()  # of `Usage`
)

FIRST = f"""
CREATE TABLE requests(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, pipeline TEXT NOT NULL,
  version TEXT NOT NULL, effort TEXT NOT NULL, key_id TEXT NOT NULL, began REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0,
  problem TEXT NOT NULL, answer TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', candidates INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0, cost REAL NOT NULL DEFAULT 0, usage TEXT NOT NULL DEFAULT '{{}}',
  bytes INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX requests_began ON requests(began);
CREATE INDEX requests_running ON requests(state) WHERE state = 'running';
CREATE TABLE traces(seq INTEGER PRIMARY KEY REFERENCES requests ON DELETE CASCADE, config TEXT, lines BLOB NOT NULL);
CREATE INDEX traces_config ON traces(config);
CREATE TABLE configs(hash TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE spending(
  hour INTEGER NOT NULL, pipeline TEXT NOT NULL, key_id TEXT NOT NULL, role TEXT NOT NULL,
  {", ".join(f"{name} NUMERIC NOT NULL" for name in SUMS)}, estimated INTEGER NOT NULL,
  PRIMARY KEY(hour, pipeline, key_id, role)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5(problem, answer, candidates, tokenize = "unicode61 remove_diacritics 2");
"""

MIGRATIONS: list[str | Callable[[sqlite3.Connection], None]] = [FIRST]
"""Step `i` leads from version `i` to `i + 1`; a step is never changed once released, only followed by another."""


def opened(path: Path, synchronous: str) -> sqlite3.Connection:
    """The file, made where missing and brought to the current version, for the one thread that writes to it.

    Raises `ConfigError` for what is no store, or one of a newer version; such files are left as they are.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # what people ask is nobody else's business
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"cannot open the trace store {path}: {error}") from error
    try:
        _prepare(connection, path, synchronous)
    except sqlite3.Error as error:
        connection.close()
        raise ConfigError(f"{path} cannot be used as a trace store: {error}; move it away, or name another file") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    if application != APPLICATION and not (empty and application == version == 0):
        raise ConfigError(f"{path} is another application's database; name another file for the trace store")
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"{path} is a trace store of version {version}, this k2core-serve reads up to {len(MIGRATIONS)}; upgrade it"
        )
    if empty:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before the first table
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    migrate(connection, version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take the steps that are missing, each as a whole or not at all."""
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _take(connection, step)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _take(connection: sqlite3.Connection, step: str | Callable[[sqlite3.Connection], None]) -> None:
    if callable(step):
        step(connection)
        return
    for statement in filter(str.strip, step.split(";")):  # executescript would commit
        connection.execute(statement)
