"""Which stored candidates each sample of the new evaluation is served from."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from k2core.errors import ConfigError

from ..records import Sample, SampleId, Spent
from .bank import Bank, other_calls
from .stored import Stored, slots_of

Place = tuple[str, int]
"""Task and problem."""
Card = tuple[SampleId, int]
"""A stored candidate: the sample it was made for, and its number among those that were served."""


@dataclass(frozen=True)
class Lost:
    """A sample that had no result when it was recorded, and gets none now."""

    id: SampleId
    error: str
    spent: tuple[Spent, ...]


@dataclass
class Source:
    """What is known of the source's samples: little enough to hold for all of them."""

    counts: dict[SampleId, int] = field(default_factory=dict)
    """How many candidates each has."""
    lost: dict[SampleId, Lost] = field(default_factory=dict)
    plans: dict[Place, set[str | None]] = field(default_factory=lambda: defaultdict(set))
    names: dict[Place, str] = field(default_factory=dict)
    """Ids of the problems."""

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Source:
        """Raises `ConfigError` when there is none."""
        found = cls()
        for sample in samples:
            found.counts[sample.id] = len(sample.candidates)
            found.names[sample.task, sample.place] = sample.problem_id
            if sample.candidates:
                found.plans[sample.task, sample.place].add(sample.plan)
            if sample.outcome == "infrastructure":
                found.lost[sample.id] = Lost(sample.id, sample.error, sample.spent)
        if not found.counts:
            raise ConfigError("the evaluation has no samples yet")
        return found

    @property
    def planned_apart(self) -> bool:
        """Whether candidates of one problem were drawn under different plans."""
        return any(len(plans) > 1 for plans in self.plans.values())


def short_of(source: Source, stored: Stored, wanted: int) -> SampleId | None:
    """The first sample that asked for fewer candidates than are wanted now, failed ones counted; None when there is none."""
    for sample, count in sorted(source.counts.items()):
        if sample not in source.lost and count < wanted and len(slots_of(stored.read(sample))) < wanted:
            return sample
    return None


@dataclass(frozen=True)
class Deal:
    """The new samples and what each is served from."""

    repeats: int
    groups: dict[SampleId, tuple[Card, ...]] | None = None
    """For pooled candidates; None where samples stay themselves."""

    @property
    def pooled(self) -> bool:
        return self.groups is not None

    def bank(self, sample: SampleId, stored: Stored) -> Bank:
        """Raises `ConfigError` when a trace is missing or damaged."""
        if self.groups is None:
            run = stored.read(sample)
            return Bank(slots_of(run), other_calls(run))
        runs = {name: stored.read(name) for name, _ in self.groups[sample]}
        served = {name: [slot for slot in slots_of(run) if slot.status == "served"] for name, run in runs.items()}
        slots = [served[name][number] for name, number in self.groups[sample]]
        return Bank(slots, (call for name, _ in self.groups[sample] for call in other_calls(runs[name])))


def pooled(source: Source, wanted: int, seed: int) -> Deal:
    """The candidates of all repeats of a problem, shuffled by `seed` and dealt in groups of `wanted`.

    As many repeats as every problem has groups for, and no more than there were. Raises `ConfigError` when some have none.
    """
    piles = {place: _shuffled(cards, place, seed) for place, cards in sorted(_cards(source).items())}
    groups = {
        place: [tuple(pile[at : at + wanted]) for at in range(0, len(pile) - wanted + 1, wanted)] for place, pile in piles.items()
    }
    few = [place for place in source.names if not groups.get(place)]
    if few:
        most = min(len(piles.get(place, ())) for place in source.names)
        raise ConfigError(
            f"{len(few)} of {len(source.names)} problems have fewer than {wanted} stored candidates over all repeats, such as "
            f"{few[0][0]}/{few[0][1]}; at most {most} can be dealt to each sample",
            "sampler.n",
        )
    recorded = len({sample.repeat for sample in source.counts})
    repeats = min(recorded, *(len(found) for found in groups.values()))
    dealt = {SampleId(*place, repeat): found[repeat] for place, found in groups.items() for repeat in range(repeats)}
    return Deal(repeats, dealt)


def _groups(pile: Sequence[Card], wanted: int) -> list[tuple[Card, ...]]:
    return [tuple(pile[at : at + wanted]) for at in range(0, len(pile) - wanted + 1, wanted)]


def _cards(source: Source) -> dict[Place, list[Card]]:
    found: dict[Place, list[Card]] = defaultdict(list)
    for sample, count in sorted(source.counts.items()):
        found[sample.task, sample.place] += [(sample, number) for number in range(count)]
    return found


def _shuffled(cards: Sequence[Card], place: Place, seed: int) -> list[Card]:
    order = list(cards)
    random.Random(f"{seed}/{place[0]}/{place[1]}").shuffle(order)
    return order
