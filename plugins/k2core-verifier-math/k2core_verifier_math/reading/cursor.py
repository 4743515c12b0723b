"""A place in a list of tokens, and how deep the reading is nested there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .tokens import Token, Unreadable

MAX_DEPTH = 24
"""Deepest nesting that is read. A level takes about ten Python frames of the default thousand."""


class Cursor:
    def __init__(self, tokens: list[Token], dependents: frozenset[str] = frozenset()) -> None:
        self.tokens, self.place, self.depth, self.bars = tokens, 0, 0, 0
        self.dependents = dependents
        """Names that stand for functions of another: x where dx/dt occurs, so that x(t) is x."""

    @property
    def now(self) -> Token:
        return self.tokens[self.place]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.place + count, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.tokens[self.place]
        if token.kind != "end":
            self.place += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether an operator with one of these texts is next."""
        token = self.tokens[self.place]
        return token.kind == "op" and token.text in texts

    def accept(self, *texts: str) -> bool:
        found = self.at(*texts)
        self.place += found
        return found

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise Unreadable(f"{text!r} is missing before {self.now.text or 'the end'!r}")

    @contextmanager
    def nested(self, *, bars: int = 0) -> Iterator[None]:
        """One level deeper; bars before it do not close in it. Raises `Unreadable` at the deepest level."""
        if self.depth >= MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        before, self.bars = self.bars, bars
        try:
            yield
        finally:
            self.depth -= 1
            self.bars = before
