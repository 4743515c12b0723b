"""Keys: known by name, kept as digests only, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from k2core.errors import ConfigError

from ..openai.errors import ApiError
from ..settings import KeyTable
from .buckets import Bucket

_SHORTEST = 16


class Key:
    """A client: what it may do and what it has left."""

    def __init__(self, name: str, table: KeyTable | None = None) -> None:
        self.name, self.table = name, table
        self.admin = bool(table and table.admin)
        self.priority = table.priority if table else 5
        self.models = frozenset(table.models) if table else frozenset[str]()
        self.requests = Bucket(table.requests_per_minute, 60) if table and table.requests_per_minute else None
        minute = Bucket(table.tokens_per_minute, 60) if table and table.tokens_per_minute else None
        day = Bucket(table.tokens_per_day, 86_400) if table and table.tokens_per_day else None
        self.budgets = {"tokens_per_minute": minute, "tokens_per_day": day}

    def may_ask(self, model: str) -> bool:
        return not self.models or model in self.models

    def admit(self) -> None:
        """Count a request. Raises `ApiError` 429, with the seconds to wait, when the key has nothing left."""
        for name, bucket in self.budgets.items():
            if bucket and (wait := bucket.wait(1)):
                raise _exhausted(name, wait, "tokens")
        if self.requests:
            if wait := self.requests.wait(1):
                raise _exhausted("requests_per_minute", wait, "requests")
            self.requests.take(1)

    def charge(self, tokens: int) -> None:
        """Book what a request has used, whatever became of it."""
        for bucket in self.budgets.values():
            if bucket:
                bucket.take(tokens)


def _exhausted(limit: str, wait: float, kind: str) -> ApiError:
    message = f"this key has used up its {limit}; try again in {wait:.1f} s"
    return ApiError(429, message, type=kind, code="rate_limit_exceeded", retry_after=wait)


class Keys:
    """All keys of a server; without any, everybody is the same unnamed client."""

    def __init__(self, keys: Mapping[str, KeyTable]) -> None:
        self._keys = [(_digest(_secret(name, table)), Key(name, table)) for name, table in keys.items()]
        if len({digest for digest, _ in self._keys}) < len(self._keys):
            raise ConfigError("two keys are the same", "keys")
        self._anyone = None if keys else Key("")

    def of(self, authorization: str | None) -> Key:
        """The client of an `Authorization` header. Raises `ApiError` 401. Takes the same time whichever key it is."""
        if self._anyone:
            return self._anyone
        scheme, _, secret = (authorization or "").partition(" ")
        given, found = _digest(secret.strip()), None
        for digest, key in self._keys:
            if hmac.compare_digest(digest, given):
                found = key
        if found is None or scheme.lower() != "bearer":
            said = "no key was sent: use 'Authorization: Bearer KEY'" if not authorization else "the key is not known"
            raise ApiError(401, said, code="invalid_api_key")
        return found

    def __iter__(self) -> Iterator[Key]:
        return iter(key for _, key in self._keys)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _secret(name: str, table: KeyTable) -> str:
    where = f"keys.{name}"
    if table.env:
        secret = os.environ.get(table.env, "").strip()
        source = f"the environment variable {table.env}"
    else:
        source = f"the file {table.file}"
        try:
            secret = (Path(table.file).read_text(encoding="utf-8").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source} cannot be read: {type(error).__name__}", where) from None
    if len(secret) < _SHORTEST or not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ConfigError(f"{source} must hold a key of at least {_SHORTEST} printable ASCII characters", where)
    return secret
