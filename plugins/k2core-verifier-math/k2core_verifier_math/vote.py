"""Equivalence classes of answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from k2core.concurrency import gather

from .exact import canonical

Same = Callable[[str, str], Coroutine[Any, Any, bool]]


class Classes:
    """Classes in the order in which their first member came; that member stands for its class.

    Equivalence of answers is not quite transitive (5% is taken for 0.05 and for 5): an answer joins the first class whose
    representative it equals, so the outcome depends on the order of the answers and on nothing else.
    """

    def __init__(self, same: Same) -> None:
        self._same = same
        self._first: dict[str, str] = {}
        self._key: dict[str, str] = {}

    async def add(self, answer: str) -> str:
        """The key of the answer's class: the canonical form of the first member."""
        form = canonical(answer)
        if form not in self._key:
            self._key[form] = await self._find(answer) or form
            self._first.setdefault(self._key[form], answer)
        return self._key[form]

    async def _find(self, answer: str) -> str | None:
        results = await gather([self._same(first, answer) for first in self._first.values()])
        return next((key for key, equal in zip(self._first, results, strict=True) if equal), None)
