"""Prompt lookup: what followed the last time that the text's last tokens occurred (Saxena, 2023, "Prompt Lookup Decoding")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from .records import Draft, View

Place = tuple[list[int], int]
"""A text, and the index in it of the token that followed."""


class Index:
    """Where each sequence of `shortest` to `longest` tokens was last followed by something.

    `longest - shortest + 1` dictionary entries a token, whatever the length of the text; exact.
    """

    def __init__(self, shortest: int, longest: int, before: Sequence[int] = ()) -> None:
        self.text: list[int] = list(before[-longest:]) if before else []
        self._sizes = range(shortest, longest + 1)
        self._places: list[dict[tuple[int, ...], int]] = [{} for _ in self._sizes]

    def extend(self, tokens: Iterable[int]) -> None:
        text = self.text
        for token in tokens:
            end = len(text)
            for size, places in zip(self._sizes, self._places, strict=True):
                if size > end:
                    break
                places[tuple(text[end - size : end])] = end
            text.append(token)

    def find(self, tail: tuple[int, ...], size: int) -> int | None:
        """Index of the token that last followed `tail`, which has `size` tokens."""
        return self._places[size - self._sizes.start].get(tail)


class PromptLookup:
    """Drafts what followed the latest occurrence of the longest known suffix, in its own text before the prompt before the
    prediction.

    The prompt and the prediction are indexed once for all choices of a request.
    """

    passes: ClassVar[bool] = False

    def __init__(self, shortest: int = 2, longest: int = 16) -> None:
        self._shortest, self._longest = shortest, longest
        self._own: dict[int, Index] = {}
        self._shared: dict[int, tuple[list[Index], set[int]]] = {}

    def open(self, view: View) -> None:
        if view.group not in self._shared:
            texts = [list(text) for text in (view.prompt, view.prediction) if len(text)]
            indices = [Index(self._shortest, self._longest) for _ in texts]
            for index, text in zip(indices, texts, strict=True):
                index.extend(text)
            self._shared[view.group] = (indices, set())
        self._shared[view.group][1].add(view.id)
        self._own[view.id] = Index(self._shortest, self._longest, view.prompt)

    def grew(self, view: View, new: Sequence[int]) -> None:
        self._own[view.id].extend(new)

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        return [self._draft(view, limit) if limit else Draft() for view, limit in zip(views, most, strict=True)]

    def close(self, view: View) -> None:
        del self._own[view.id]
        members = self._shared[view.group][1]
        members.discard(view.id)
        if not members:
            del self._shared[view.group]

    def _draft(self, view: View, most: int) -> Draft:
        own = self._own[view.id]
        indices = [own, *self._shared[view.group][0]]
        tail = tuple(own.text[-self._longest :])
        for size in range(len(tail), self._shortest - 1, -1):
            for index in indices:
                at = index.find(tail[-size:], size)
                if at is not None:
                    return Draft(_follow(index.text, at, most), size)
        return Draft()


def _follow(text: list[int], at: int, most: int) -> list[int]:
    """`most` tokens of `text` from `at`; past its end the period repeats, which is what a text that repeats itself does."""
    found = text[at : at + most]
    period = len(text) - at
    while len(found) < most:
        found += found[: most - len(found)] if len(found) <= period else found[len(found) - period :][: most - len(found)]
    return found
