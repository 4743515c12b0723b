"""The one way in, for `/v1` and the page alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..openai.errors import ApiError
from ..settings import Settings
from .keys import Key, Keys
from .queue import Places


class Gate:
    """Keys, their rates and budgets, and the queue."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self.keys = Keys(settings.keys)
        self.places = Places(limits.running, limits.queued, limits.queue_seconds)

    def key_of(self, authorization: str | None) -> Key:
        """The client behind an `Authorization` header. Raises `ApiError` 401."""
        return self.keys.of(authorization)

    def admin(self, authorization: str | None) -> Key:
        """The same for `/admin`, which always needs a key: a pipeline can read and write files. Raises `ApiError` 401 or 403."""
        key = self.keys.of(authorization)
        if not key.admin:
            raise ApiError(403, "this needs a key with admin = true", code="insufficient_permissions")
        return key

    @asynccontextmanager
    async def admitted(self, key: Key) -> AsyncIterator[None]:
        """A place to work in the block. Raises `ApiError` 429 or 503."""
        key.admit()
        async with self.places.place(key.priority):
            yield

    def close(self) -> None:
        self.places.close()
