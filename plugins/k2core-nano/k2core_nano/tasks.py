"""The task source `nano`: problems of our own families, in splits that share none."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import Field

from k2core import Plugin, PluginConfig, Problem, Task, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader

from .families import FAMILIES, draw
from .items import LEVELS, TAUGHT, Drawn

SPLITS = {"train": 0, "validation": 1, "val": 1, "dev": 1, "test": 2}
_SHARES = (0, 0, 1, 2)
"""Which split a problem belongs to, by its content: half of all train, a quarter each validates and tests."""
_VAIN = 2000
"""Items in a row that bring no new problem of the split; then a family is exhausted."""


class Numbered(NamedTuple):
    """An item and where it came from."""

    family: str
    level: int
    place: int
    drawn: Drawn


class NanoConfig(PluginConfig):
    levels: tuple[int, ...] = TAUGHT
    """Levels that are drawn in turn, of 1 to 4; `NAME@LEVEL` in a name wins over it."""
    size: int = Field(default=1000, ge=1)
    """Most problems of a family where the caller sets no limit."""


class NanoTasks(Plugin):
    """Problems of the families: `name` is a family such as `addition`, one level of it such as `addition@2`, several with
    commas between them, or `all`, of which `all@3` is one level."""

    config: NanoConfig

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """The families in turn, each problem once. Raises `ValueError` for a split, family or level that does not exist."""
        place = split_of(split)
        sources = [
            itertools.islice(items(family, levels, place, seed), limit or self.config.size)
            for family, levels in wanted(name, self.config.levels)
        ]
        return itertools.islice(map(task, in_turn(sources)), limit)

    def benchmark(self, name: str) -> Benchmark:
        """The card."""
        wanted(name, self.config.levels)
        return Benchmark(
            name=f"nano:{name}",
            title=f"nano: {name}",
            domain="math",
            answer_format="boxed",
            prompt="{question}",
            grader=Grader(use="math"),
            licence="Apache-2.0",
        )


def split_of(name: str) -> int:
    """The number of a split. Raises `ValueError`."""
    if name not in SPLITS:
        raise ValueError(f"nano has no split {name!r}; there are {', '.join(SPLITS)}")
    return SPLITS[name]


def wanted(name: str, levels: Sequence[int] = TAUGHT) -> list[tuple[str, tuple[int, ...]]]:
    """Families with their levels. Raises `ValueError` for unknown ones."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for part in filter(None, map(str.strip, name.split(","))):
        family, at, level = part.partition("@")
        if family not in ("all", *FAMILIES):
            raise ValueError(f"nano has no family {family!r}; there are: all, {', '.join(FAMILIES)}")
        chosen = tuple(levels) if not at else (int(level),) if level.isdigit() else ()
        if not chosen or not set(chosen) <= set(LEVELS):
            raise ValueError(f"nano has no level {level or list(levels)!r}; there are: {', '.join(map(str, LEVELS))}")
        found += [(one, chosen) for one in (FAMILIES if family == "all" else (family,))]
    if not found:
        raise ValueError(f"{name!r} names no family; there are: all, {', '.join(FAMILIES)}")
    return found


def _digest(family: str, key: str) -> bytes:
    return hashlib.sha256(f"{family} {key}".encode()).digest()


def side(family: str, key: str) -> int:
    """The number of the split in which the problem of a family with this key is."""
    return _SHARES[_digest(family, key)[0] % 4]


def items(family: str, levels: Sequence[int], split: int, seed: int) -> Iterator[Numbered]:
    """Items of one split, the levels in turn; each problem once, however worded, until no new one comes.

    A problem's content says which split it is in, whatever the seed: no two splits ever share one.
    """
    seen: set[bytes] = set()
    vain = 0
    for index in itertools.count():
        level = levels[index % len(levels)]
        drawn = draw(family, level, seed, index, index // len(levels))
        digest = _digest(family, drawn.key)
        if digest in seen or side(family, drawn.key) != split:
            vain += 1
            if vain > _VAIN:
                return
            continue
        seen.add(digest)
        vain = 0
        yield Numbered(family, level, index, drawn)


def in_turn(sources: Sequence[Iterator[Numbered]]) -> Iterator[Numbered]:
    """One item of each source, again and again, until all are exhausted."""
    left = list(sources)
    while left:
        for source in [*left]:
            item = next(source, None)
            if item is None:
                left.remove(source)
            else:
                yield item


def problem_of(item: Numbered) -> Problem:
    """What a solver sees."""
    digest = hashlib.sha256(item.drawn.problem.encode()).hexdigest()[:16]
    return Problem(
        id=f"nano/{item.family}/{digest}",
        prompt=item.drawn.problem,
        domain="math",
        answer_format="boxed",
        meta={"family": item.family, "level": item.level},
    )


def task(item: Numbered) -> Task:
    """The problem with its reference; `meta` holds the trace and the plan for trainers and data filters."""
    meta = {"family": item.family, "level": item.level, "trace": item.drawn.trace, "plan": item.drawn.plan}
    return Task(problem=problem_of(item), reference=item.drawn.reference, meta=meta)
