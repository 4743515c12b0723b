"""Simulation (CodeIO): the predicted output or input of a program, as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from k2core import Candidate, Plugin, PluginConfig, Verdict, hookimpl

from .equality import key, same
from .finding import Found, find, missing
from .grading import Opinion, right, unparsed, verdict, votes, wrong
from .literals import DEPTH, Unreadable, read
from .wording import unlatex

Side = Literal["output", "input"]
SIDES: tuple[Side, ...] = ("output", "input")

_BARE = re.compile(r'\s*"(?:input|output)"\s*:')
_MARKS = ("tag", "box", "fence")


class SimulationConfig(PluginConfig):
    inputs: Literal["undecided", "incorrect"] = "undecided"
    """What a predicted input is that differs from the stored one: others may lead to the same output, and nothing is run here."""
    lenient: bool = False
    """Take strings that hold JSON, or true and false, for what they hold, as Guru's own reward does."""
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    """Relative difference at which numbers count as equal."""
    strict: bool = False
    """Accept an answer only in `<answer>`, a box or a fenced block."""


@dataclass(frozen=True, slots=True)
class Gold:
    """The reference: what was to be predicted, if it says so, and the value."""

    side: Side | None
    value: Any


class Simulation(Plugin):
    """Grades predicted outputs and inputs by JSON equality; votes without a reference."""

    config: SimulationConfig
    listwise: ClassVar[bool] = True

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        order = _MARKS if self.config.strict else (*_MARKS, "object")
        found = [find(candidate, order, strict=self.config.strict) for candidate in candidates]
        if reference is None:
            return votes(candidates, found, lambda one: self._key(one.text), lambda candidate: missing(candidate, order))
        gold = load(reference)
        return [
            unparsed(candidate, missing(candidate, order)) if one is None else self._verdict(candidate, one, gold)
            for candidate, one in zip(candidates, found, strict=True)
        ]

    def _verdict(self, candidate: Candidate, found: Found, gold: Gold) -> Verdict:
        opinion = self._grade(found.text, gold)
        return verdict(candidate, found, opinion, None if opinion.status == "unparsed" else self._key(found.text))

    def _grade(self, answer: str, gold: Gold) -> Opinion:
        try:
            value = value_in(answer)
        except Unreadable as error:
            if isinstance(gold.value, str) and answer.strip() == gold.value.strip():
                return right("the same text")
            return Opinion("unparsed", f"the answer is no JSON: {error}")
        named = [value[gold.side]] if gold.side and isinstance(value, dict) and gold.side in value else []
        alone = [value[side] for side in SIDES if gold.side is None and isinstance(value, dict) and [*value] == [side]]
        if any(self._same(one, gold.value) for one in (value, *named, *alone)):
            return right("the values are equal")
        if gold.side == "input" and self.config.inputs == "undecided":
            return Opinion("undecided", "another input than the stored one; only running the program could tell")
        return wrong("the values differ")

    def _same(self, one: Any, other: Any) -> bool:
        if self.config.lenient:
            one, other = held(one), held(other)
        return same(one, other, self.config.tolerance)

    def _key(self, answer: str) -> str:
        try:
            value = value_in(answer)
        except Unreadable:
            return key(answer.strip())
        return key(next((value[side] for side in SIDES if isinstance(value, dict) and [*value] == [side]), value))


def value_in(text: str) -> Any:
    """The JSON value that an answer is: an object's `"output": …` may lack its braces, a box may have escaped them.

    Raises `Unreadable` when it is none.
    """
    first: Unreadable | None = None
    for form in (text, unlatex(text)):
        try:
            return read(f"{{{form}}}" if _BARE.match(form) else form)
        except Unreadable as error:
            first = first or error
    raise first or Unreadable("no text")


def load(reference: str) -> Gold:
    """A reference in any of CodeIO's forms: `"output": …` with or without braces, the bare value, or a row with `ground_truth`."""
    try:
        value = value_in(reference)
    except Unreadable:
        return Gold(None, reference)
    if isinstance(value, dict):
        if isinstance(inner := value.get("reward_model"), dict):
            value = inner
        if isinstance(inner := value.get("ground_truth"), str):
            return load(inner)
        side = next((side for side in SIDES if side in value), None)
        if side and value.keys() <= {"output", "input"}:
            return Gold(side, value[side])
    return Gold(None, value)


def held(value: Any, depth: int = DEPTH) -> Any:
    """With strings that hold an object, a list, true or false replaced by these, down to a depth."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        return {name: held(part, depth - 1) for name, part in value.items()}
    if isinstance(value, list):
        return [held(part, depth - 1) for part in value]
    return _held(value.strip(), depth, value) if isinstance(value, str) else value


def _held(text: str, depth: int, value: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if (text[:1], text[-1:]) not in (("{", "}"), ("[", "]")):
        return value
    try:
        return held(read(text), depth - 1)
    except Unreadable:
        return value
