"""The task source `reasoning-gym`: endless problems of the sound families, in splits that share none."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from k2core import Plugin, PluginConfig, Problem, Task, get_logger, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader

from .client import Gate, Gym
from .families import SIZE
from .items import ItemRef

SPLITS = {"train": 0, "validation": 1, "val": 1, "dev": 1, "test": 2}
_SHARES = (0, 0, 1, 2)
"""Which split a problem belongs to, by its text: half of all problems train, a quarter each validates and tests."""
_BLOCK = 1 << 20
"""Seeds that belong to one split and one seed of the caller's; 4,096 blocks fit into the 32 bits that some families' seeds have."""
_MATHEMATICS = frozenset({"algebra", "arithmetic", "geometry", "probability"})
_CHUNK = 8
_VAIN = 400
"""Items in a row that bring no new problem of the split; then a family is exhausted."""


class ReasoningGymTasksConfig(PluginConfig):
    config: Mapping[str, Mapping[str, Any]] = {}
    """By family: reasoning-gym's own options of it, such as those of difficulty."""
    separate: Literal["content", "seed"] = "content"
    """What keeps splits apart: `content` gives each problem's text to one split for good, whatever the seeds; `seed` only draws
    from different seeds, so that families with few problems repeat them, but makes no item in vain."""
    size: int = Field(default=1000, ge=1)
    """Most problems of a family where the caller sets no limit."""
    gate_timeout: float = Field(default=120.0, gt=0)
    """Seconds that the soundness gate may take for one family."""
    memory_mb: int = Field(default=2048, ge=512)
    """Address space of a worker process in megabytes."""


class ReasoningGymTasks(Plugin):
    """Problems of reasoning-gym's sound families: `name` is a family, several with commas between them, or `all-sound`."""

    config: ReasoningGymTasksConfig

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """The families in turn, each problem once. Raises `ValueError` for an unknown split, and for a family that is unsound."""
        if split not in SPLITS:
            raise ValueError(f"reasoning-gym has no split {split!r}; there are {', '.join(SPLITS)}")
        return itertools.islice(self._tasks(name, split, limit or self.config.size, seed), limit)

    def benchmark(self, name: str) -> Benchmark:
        """The card. Each family's own verifier grades; nothing is started for it, so an unknown family shows with its tasks."""
        return Benchmark(
            name=f"reasoning-gym:{name}",
            title=f"reasoning-gym: {name}",
            domain="reasoning",
            answer_format="tag",
            prompt="{question}",
            grader=Grader(use="reasoning-gym"),
            licence="Apache-2.0",
            citation="arXiv:2505.24760",
        )

    def _tasks(self, name: str, split: str, most: int, seed: int) -> Iterator[Task]:
        gym = Gym(workers=1, gate_timeout=self.config.gate_timeout, memory_mb=self.config.memory_mb)
        try:
            yield from draw(gym, self.config, name, SPLITS[split], most, seed)
        finally:
            gym.close()


def draw(gym: Gym, config: ReasoningGymTasksConfig, name: str, split: int, most: int, seed: int) -> Iterator[Task]:
    """The tasks of a split, at most `most` of a family. Raises `ValueError` for a named family that is unsound."""
    if name == "all-sound":
        wanted = gym.names()
        random.Random(seed).shuffle(wanted)
    else:
        wanted = [part.strip() for part in name.split(",") if part.strip()]
    found = [_family(gym, config, family, split, seed, strict=name != "all-sound") for family in wanted]
    yield from _in_turn([itertools.islice(family, most) for family in found])


def _family(gym: Gym, config: ReasoningGymTasksConfig, family: str, split: int, seed: int, *, strict: bool) -> Iterator[Task]:
    options = dict(config.config.get(family, {}))
    gate = gym.gate(family, options)
    if gate.sound:
        block = (seed * 4 + split) % 4096 * _BLOCK
        only = split if config.separate == "content" else None
        for place, item in _items(gym, family, options, block, only):
            yield _task(ItemRef(family, options, place, item["index"], item["digest"]), item, gate)
    elif strict:
        raise ValueError(f"reasoning-gym's {family} is refused as unsound: {gate.why}")
    else:
        get_logger().info("reasoning_gym_family_refused", family=family, why=gate.why)


def _items(gym: Gym, family: str, options: dict[str, Any], block: int, only: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Items, of one split only if given, with the seeds of their data sets; each question once, until no new one comes."""
    seen: set[bytes] = set()
    vain = 0
    for start in range(0, _BLOCK, _CHUNK):
        place = block + start // SIZE * SIZE
        for item in gym.items(family, options, place, start % SIZE, _CHUNK):
            digest = hashlib.sha256(item["question"].encode("utf-8", "backslashreplace")).digest()
            if digest in seen or only not in (None, _SHARES[digest[0] % 4]):
                vain += 1
                continue
            seen.add(digest)
            vain = 0
            yield place, item
        if vain > _VAIN:
            return


def _in_turn(families: list[Iterator[Task]]) -> Iterator[Task]:
    """One task of each family, again and again, until all are exhausted."""
    while families:
        for family in [*families]:
            task = next(family, None)
            if task is None:
                families.remove(family)
            else:
                yield task


def _task(ref: ItemRef, item: dict[str, Any], gate: Gate) -> Task:
    problem = Problem(
        id=f"reasoning-gym/{ref.family}/{ref.seed + ref.index}",
        prompt=item["question"],
        domain="math" if gate.category in _MATHEMATICS else "logic",
        answer_format="tag",
        meta={"family": ref.family, "category": gate.category},
    )
    return Task(problem=problem, reference=ref.dumps(item["answer"]), meta={"family": ref.family, "index": ref.index})
