"""A suffix automaton of several texts that grow side by side, with counts of what followed each context."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = 0


@dataclass
class Cursor:
    """The end of a text. `state`: that of the whole text, or, once the automaton is full, of the `length` last tokens that it
    knows. `context`: the state of the text's last tokens, as many as are counted for."""

    state: int = ROOT
    length: int = 0
    context: int = ROOT


class Automaton:
    """All substrings of all texts (Blumer et al., 1985; built online with one end per text).

    A state stands for the contexts that end at the same places: those longer than its link's, up to its own length. For
    contexts of up to `longest` tokens, `draft` is exact: the token that followed most often, the latest of these on a tie. A
    token costs amortised constant time for the states and at most `longest` counts; at most two states a token, and none
    beyond `memory` tokens."""

    def __init__(self, longest: int, memory: int) -> None:
        self.tokens = 0
        self._longest, self._memory = longest, memory
        self._next: list[dict[int, int]] = [{}]
        self._counts: list[dict[int, int]] = [{}]
        self._best: list[int] = [-1]
        self._link: list[int] = [-1]
        self._length: list[int] = [0]

    @property
    def states(self) -> int:
        return len(self._next)

    def extend(self, cursor: Cursor, token: int) -> None:
        """The text that ends at `cursor` goes on with `token`."""
        if self.tokens >= self._memory:
            self._walk(cursor, token)
            return
        self.tokens += 1
        cursor.state = self._extended(cursor.state, token)
        before = self._narrowed(cursor.context, self._longest)
        self._count(before, token)
        cursor.length += 1
        cursor.context = self._narrowed(self._next[before][token], self._longest)

    def draft(self, cursor: Cursor, most: int, shortest: int) -> tuple[list[int], int]:
        """The likeliest continuation of the text's longest suffix, of `shortest` tokens at least, that was ever continued; its
        length."""
        state, size = self._narrowed(cursor.context, self._longest), min(self._longest, cursor.length)
        found: list[int] = []
        match = 0
        while len(found) < most:
            while self._best[state] < 0 and state != ROOT:
                state = self._link[state]
                size = min(size, self._length[state])
            if size < shortest or state == ROOT:
                break
            match = match or size
            token = self._best[state]
            found.append(token)
            size = min(size + 1, self._longest)
            state = self._narrowed(self._next[state][token], size)
        return found, match

    def _count(self, state: int, token: int) -> None:
        """`token` followed the contexts of `state` and of all its suffixes."""
        while state > ROOT:
            counts = self._counts[state]
            seen = counts[token] = counts.get(token, 0) + 1
            best = self._best[state]
            if best < 0 or seen >= counts[best]:
                self._best[state] = token
            state = self._link[state]

    def _extended(self, last: int, token: int) -> int:
        """The state of the text of `last` with `token` behind it."""
        known = self._next[last].get(token)
        if known is not None:
            return known if self._length[known] == self._length[last] + 1 else self._split(last, token, known)
        new = self._state(self._length[last] + 1)
        while last >= 0 and token not in self._next[last]:
            self._next[last][token] = new
            last = self._link[last]
        if last < 0:
            self._link[new] = ROOT
            return new
        known = self._next[last][token]
        self._link[new] = known if self._length[known] == self._length[last] + 1 else self._split(last, token, known)
        return new

    def _split(self, last: int, token: int, known: int) -> int:
        """The shorter contexts of `known`, those that end in `last`'s with `token`, become a state of their own."""
        clone = self._state(self._length[last] + 1)
        self._next[clone] = self._next[known].copy()
        self._counts[clone] = self._counts[known].copy()
        self._best[clone] = self._best[known]
        self._link[clone], self._link[known] = self._link[known], clone
        while last >= 0 and self._next[last].get(token) == known:
            self._next[last][token] = clone
            last = self._link[last]
        return clone

    def _state(self, length: int) -> int:
        self._next.append({})
        self._counts.append({})
        self._best.append(-1)
        self._link.append(ROOT)
        self._length.append(length)
        return len(self._next) - 1

    def _walk(self, cursor: Cursor, token: int) -> None:
        """Follow a text that is no longer indexed: its longest suffix that is known."""
        state, length = self._narrowed(cursor.context, self._longest), min(cursor.length, self._longest)
        while state != ROOT and token not in self._next[state]:
            state = self._link[state]
            length = min(length, self._length[state])
        if token not in self._next[state]:
            cursor.state, cursor.length, cursor.context = ROOT, 0, ROOT
            return
        length = min(length + 1, self._longest)
        state = self._narrowed(self._next[state][token], length)
        cursor.state, cursor.length, cursor.context = state, length, state

    def _narrowed(self, state: int, size: int) -> int:
        """The state of the last `size` tokens of `state`'s contexts, which a split may have moved to a link."""
        while state != ROOT and self._length[self._link[state]] >= size:
            state = self._link[state]
        return state
