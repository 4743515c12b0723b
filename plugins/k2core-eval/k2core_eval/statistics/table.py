"""Samples as columns of numbers: about 64 bytes each, whatever their texts, so that any number fits."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from ..records import Manifest, Outcome, Sample, Spent
from .drawing import SILENT, vote_curve
from .intervals import Array
from .records import Purse, Spending

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
RIGHT = OUTCOMES.index("correct")
OPEN = [OUTCOMES.index("undecided"), OUTCOMES.index("verifier_error"), OUTCOMES.index("infrastructure")]
"""Outcomes that say nothing of the answer: the grader or the pipeline failed."""
_ANSWERED = {"correct", "incorrect"}
_WHOLE = ("place", "repeat", "outcome", "key", "tokens", "length", "candidates", "oracle")
_USAGE = ("started", "served", "cancelled", "failed", "cached", "prompt_tokens", "completion_tokens", "tokens", "cost")


class Books:
    """Sums of usage by role, decoder and model. Costs are summed exactly, so that the order of samples does not show."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], dict[str, int]] = {}
        self._estimated: set[tuple[str, str, str]] = set()

    def add(self, spent: Iterable[Spent]) -> None:
        for entry in spent:
            who = (entry.role, entry.decoder, entry.model)
            sums = self._sums.setdefault(who, dict.fromkeys(_USAGE, 0))
            for name in _USAGE[:-1]:
                sums[name] += getattr(entry.usage, name)
            sums["cost"] += round(entry.usage.cost * 1e12)
            if entry.usage.estimated:
                self._estimated.add(who)

    @property
    def tokens(self) -> int:
        return sum(sums["tokens"] for sums in self._sums.values())

    def spending(self, samples: int, right: int) -> Spending:
        total, purses = self.tokens, []
        for who, sums in sorted(self._sums.items()):
            counts = {name: value for name, value in sums.items() if name != "cost"}
            share = counts["tokens"] / total if total else 0.0
            role, decoder, model = who
            named = {"role": role, "decoder": decoder, "model": model, "share": share, "cost": sums["cost"] / 1e12}
            purses.append(Purse.model_validate({**named, **counts, "estimated": who in self._estimated}))
        started = sum(purse.started for purse in purses)
        return Spending(
            purses=tuple(purses),
            tokens=total,
            per_sample=total / samples if samples else None,
            per_correct=total / right if right else None,
            cost=sum(sums["cost"] for sums in self._sums.values()) / 1e12,
            lost_calls=sum(purse.cancelled + purse.failed for purse in purses) / started if started else None,
        )


class TaskTable:
    """The samples of one task. Add all, then `close`; columns are then sorted by (place, repeat), each of shape (samples,)."""

    def __init__(self, name: str, problems: int, repeats: int) -> None:
        self.name, self.problems, self.repeats = name, problems, repeats
        self.spent, self.grading = Books(), Books()
        self.duplicates = 0
        self.voting = True
        self.column: dict[str, NDArray[np.int64]] = {}
        self.score: Array = np.zeros(0)
        self._whole = {column: array("q") for column in _WHOLE}
        self._score = array("d")
        self._seen: set[int] = set()
        self._votes: tuple[list[Array], list[Array]] | None = None

    def add(self, sample: Sample) -> None:
        at = sample.place << 24 | sample.repeat
        if at in self._seen:
            self.duplicates += 1
            return
        self._seen.add(at)
        chosen = next((c for c in sample.candidates if c.id == sample.chosen), None)
        row = {
            "place": sample.place,
            "repeat": sample.repeat,
            "outcome": OUTCOMES.index(sample.outcome),
            "key": self._key(sample),
            "tokens": sample.tokens,
            "length": chosen.tokens if chosen else -1,
            "candidates": len(sample.candidates),
            "oracle": any(c.outcome == "correct" for c in sample.candidates),
        }
        for name, value in row.items():
            self._whole[name].append(value)
        self._score.append(sample.score)
        self.spent.add(sample.spent)
        self.grading.add(sample.grading)

    def _key(self, sample: Sample) -> int:
        """A number for the answer's canonical form. An answer without one, such as a program, is like no other."""
        if sample.outcome not in _ANSWERED and sample.key is None:
            return SILENT
        if sample.key is None:
            self.voting = False
            return -1 - (sample.place << 24) - sample.repeat
        return 1 + int.from_bytes(hashlib.blake2b(sample.key.encode("utf-8", "replace"), digest_size=7).digest(), "big")

    def close(self) -> None:
        whole = {name: np.frombuffer(column, dtype=np.int64).copy() for name, column in self._whole.items() if column}
        if not whole:
            whole = {name: np.zeros(0, dtype=np.int64) for name in _WHOLE}
        order = np.lexsort((whole["repeat"], whole["place"]))
        self.column = {name: column[order] for name, column in whole.items()}
        self.score = np.array(self._score)[order]
        self._whole, self._score, self._seen = {}, array("d"), set()

    @property
    def samples(self) -> int:
        return len(self.column["place"])

    @property
    def missing(self) -> int:
        return max(0, self.problems * self.repeats - self.samples)

    @property
    def right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.column["outcome"] == RIGHT
        return right

    def places(self) -> NDArray[np.int64]:
        """The problems that have samples, ascending."""
        return np.unique(self.column["place"])

    def by_problem(self, values: NDArray[np.float64] | NDArray[np.bool_], kept: NDArray[np.bool_] | None = None) -> Array:
        """Mean of `values` over each problem's samples, or the `kept` ones; problems without any are not there."""
        place = self.column["place"] if kept is None else self.column["place"][kept]
        values = values if kept is None else values[kept]
        _, index, counts = np.unique(place, return_inverse=True, return_counts=True)
        means: Array = np.bincount(index, values.astype(np.float64), minlength=len(counts)) / np.maximum(counts, 1)
        return means

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples, and right samples, of each problem."""
        _, index, counts = np.unique(self.column["place"], return_inverse=True, return_counts=True)
        right = np.bincount(index, self.right.astype(np.float64), minlength=len(counts)).astype(np.int64)
        return counts.astype(np.int64), right

    def votes(self) -> tuple[list[Array], list[Array]]:
        """By problem: expected accuracy of a vote of k = 1..r, and its standard error where it was drawn; each of shape (r,)."""
        if self._votes is None:
            self._votes = self._vote()
        return self._votes

    def _vote(self) -> tuple[list[Array], list[Array]]:
        starts = np.flatnonzero(np.diff(self.column["place"], prepend=-1))
        keys, right = np.split(self.column["key"], starts)[1:], np.split(self.right, starts)[1:]
        curves = [vote_curve(k.tolist(), r.tolist(), seed) for seed, (k, r) in enumerate(zip(keys, right, strict=True))]
        return [curve.accuracy for curve in curves], [curve.error for curve in curves]


def tables(manifest: Manifest, samples: Iterable[Sample]) -> Mapping[str, TaskTable]:
    """The samples by task, in the manifest's order. Samples of a task or problem that it does not name are left out."""
    found = {run.name: TaskTable(run.name, run.problems, run.repeats) for run in manifest.tasks}
    for sample in samples:
        table = found.get(sample.task)
        if table is not None and sample.place < table.problems and sample.repeat < table.repeats:
            table.add(sample)
    for table in found.values():
        table.close()
    return found
