"""Drafts from what the other choices of the same request say, besides the prompt, the prediction and the choice's own text."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar

from .automaton import Automaton, Cursor
from .records import Draft, View


@dataclass
class Group:
    """The choices of a request: one automaton, the end of the shared prompt, and where each open choice ends."""

    automaton: Automaton
    prompt: Cursor
    cursors: dict[int, Cursor] = field(default_factory=dict)


class Sibling:
    """Candidates of one problem say much the same: draft what most often followed the longest known suffix in any of them.

    The texts of finished choices stay until the last one of their group has ended. `memory` bounds the tokens indexed for a group.
    """

    passes: ClassVar[bool] = False

    def __init__(self, shortest: int = 2, longest: int = 16, memory: int = 200_000) -> None:
        self._shortest, self._longest, self._memory = shortest, longest, memory
        self._groups: dict[int, Group] = {}

    def open(self, view: View) -> None:
        group = self._groups.get(view.group)
        if group is None:
            group = self._groups[view.group] = self._group(view)
        group.cursors[view.id] = copy(group.prompt)

    def grew(self, view: View, new: Sequence[int]) -> None:
        group = self._groups[view.group]
        cursor, extend = group.cursors[view.id], group.automaton.extend
        for token in new:
            extend(cursor, token)

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        return [self._draft(view, limit) if limit else Draft() for view, limit in zip(views, most, strict=True)]

    def close(self, view: View) -> None:
        group = self._groups[view.group]
        del group.cursors[view.id]
        if not group.cursors:
            del self._groups[view.group]

    def _draft(self, view: View, most: int) -> Draft:
        group = self._groups[view.group]
        return Draft(*group.automaton.draft(group.cursors[view.id], most, self._shortest))

    def _group(self, view: View) -> Group:
        automaton = Automaton(self._longest, self._memory)
        for text in (view.prediction, view.prompt):
            cursor = Cursor()
            for token in text:
                automaton.extend(cursor, token)
        return Group(automaton, cursor)
