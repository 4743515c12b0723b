"""What a recorded run and its replay have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from k2core.events import RunEnded
from k2core.types import Result, Usage

from .digest import COUNTS


class Item(NamedTuple):
    """One thing that was compared."""

    name: str
    recorded: Any
    replayed: Any

    @property
    def same(self) -> bool:
        return bool(self.recorded == self.replayed)


def compare(recorded: RunEnded | None, replayed: RunEnded) -> list[Item]:
    """Plan, candidates, verdicts, decision, answer and the counts of the usage, each recorded and replayed; no seconds."""
    ours = dict(_facts(recorded)) if recorded else {"outcome": "the trace stops before the run ended"}
    theirs = dict(_facts(replayed))
    return [Item(name, ours.get(name), theirs.get(name)) for name in {**ours, **theirs}]


def same(recorded: RunEnded | None, replayed: RunEnded) -> bool:
    """Whether nothing differs."""
    return all(item.same for item in compare(recorded, replayed))


def _facts(ended: RunEnded) -> Iterator[tuple[str, Any]]:
    yield "outcome", "answered" if ended.result else f"no answer: {ended.error}"
    if ended.result:
        yield from _result(ended.result)
    for role, usage in ended.usage.items():
        yield f"usage.{role}", _counts(usage)


def _result(result: Result) -> Iterator[tuple[str, Any]]:
    yield "plan", result.plan.prompt if result.plan else None
    yield "candidates", {c.id: c.text for c in result.candidates}
    yield "verdicts", {f"{v.verifier} on {v.candidate_id}": _verdict(v.status, v.score, v.key) for v in result.verdicts}
    yield "chosen", result.candidate.id
    yield "decision", result.decision
    yield "answer", result.answer


def _verdict(status: str, score: float, key: str | None) -> str:
    return f"{status} {score:.6g}" + (f" key {key}" if key is not None else "")


def _counts(usage: Usage) -> dict[str, int]:
    return {name: getattr(usage, name) for name in COUNTS if getattr(usage, name)}


def differences(item: Item) -> list[str]:
    """What differs in an item, in a few words each."""
    if isinstance(item.recorded, Mapping) and isinstance(item.replayed, Mapping):
        names = dict.fromkeys([*item.recorded, *item.replayed])
        pairs = [(f"{name}: ", item.recorded.get(name), item.replayed.get(name)) for name in names]
    else:
        pairs = [("", item.recorded, item.replayed)]
    return [f"{name}{_short(old)} -> {_short(new)}" for name, old, new in pairs if old != new]


def _short(value: Any) -> str:
    text = " ".join(str("nothing" if value is None else value).split())
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"
