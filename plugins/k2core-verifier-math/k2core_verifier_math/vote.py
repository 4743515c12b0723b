"""Equivalence classes of answers."""

from __future__ import annotations

from typing import Protocol

from k2core.concurrency import gather

from .pool import Opinion

_REPRESENTATIVES = 64
"""Most classes with which an answer is compared in this process."""
_ASKED = 16
"""Most of them that a worker is asked about."""


class Checkers(Protocol):
    """What two answers are compared with."""

    def form(self, answer: str) -> str:
        """The canonical form: answers of equal form are equal."""

    def hopeless(self, answer: str) -> bool:
        """Whether the answer cannot be compared with anything."""

    async def at_once(self, one: str, other: str) -> Opinion | None:
        """An opinion in this process, or None."""

    async def fit(self, answer: str) -> bool:
        """Whether a worker can compare the answer with anything in a short time."""

    async def in_worker(self, one: str, other: str) -> Opinion:
        """An opinion of a worker."""


class Classes:
    """Classes in the order in which their first member came; that member stands for its class.

    Equivalence of answers is not quite transitive (5% is taken for 0.05 and for 5): an answer joins the first class whose
    representative it equals, so the outcome depends on the order of the answers and on nothing else.
    """

    def __init__(self, checkers: Checkers) -> None:
        self._checkers = checkers
        self._first: dict[str, str] = {}
        self._key: dict[str, str] = {}
        self._fit: dict[str, bool] = {}

    async def add(self, answer: str) -> str:
        """The key of the answer's class: the canonical form of the first member."""
        form = self._checkers.form(answer)
        if form not in self._key:
            hopeless = self._checkers.hopeless(answer)
            self._key[form] = (None if hopeless else await self._find(answer)) or form
            if not hopeless and len(self._first) < _REPRESENTATIVES:
                self._first.setdefault(self._key[form], answer)
        return self._key[form]

    async def _find(self, answer: str) -> str | None:
        """The first class with an equal representative. A worker is asked about those that were not settled at once."""
        opinions: dict[str, Opinion | None] = {}
        for key, first in self._first.items():
            opinions[key] = opinion = await self._checkers.at_once(first, answer)
            if opinion and opinion[0] == "equal":
                break
        rest = await self._both_fit([key for key, opinion in opinions.items() if opinion is None], answer)
        found = await gather(self._checkers.in_worker(self._first[key], answer) for key in rest)
        opinions.update(zip(rest, found, strict=True))
        return next((key for key, opinion in opinions.items() if opinion and opinion[0] == "equal"), None)

    async def _both_fit(self, keys: list[str], answer: str) -> list[str]:
        """The classes that a worker should be asked about: a slow answer would be slow with each of them."""
        if not keys:
            return []
        new = [text for text in dict.fromkeys([answer, *(self._first[key] for key in keys)]) if text not in self._fit]
        self._fit.update(zip(new, await gather(map(self._checkers.fit, new)), strict=True))
        return [key for key in keys if self._fit[answer] and self._fit[self._first[key]]][:_ASKED]
