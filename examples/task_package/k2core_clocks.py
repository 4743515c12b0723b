"""Questions about clocks and calendars: a written set, and one that is drawn by the seed."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from k2core import ConfigError, Plugin, PluginConfig, Problem, Task, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader

FILE = Path(__file__).with_name("k2core_clocks.jsonl")
TITLES = {"written": "Clocks and calendars, written", "drawn": "Clocks, drawn by the seed"}
PROMPT = "{problem}\n\nGive the number alone, without a unit."


class ClocksConfig(PluginConfig):
    longest: int = Field(default=600, ge=1)
    """Of the drawn questions: the longest time between two readings, in minutes."""


class Clocks(Plugin):
    """Times of day and days of the week: `clocks:written` and `clocks:drawn`."""

    config: ClocksConfig

    @hookimpl
    def k2_tasks(self, name: str, split: str, limit: int | None, seed: int) -> Iterator[Task]:
        """The written set has a test split only. Raises `ConfigError` for another data set or split."""
        self._known(name)
        if name == "written" and split != "test":
            raise ConfigError(f"the written set has the split test, and none {split!r}", self.path or "tasks.clocks")
        found = self._written() if name == "written" else self._drawn(split, seed)
        return itertools.islice(found, limit)

    def benchmark(self, name: str) -> Benchmark:
        """The card: how to grade, how many there are, and that anybody may show them."""
        self._known(name)
        return Benchmark(
            name=f"clocks:{name}",
            title=TITLES[name],
            domain="math",
            answer_format="boxed",
            prompt=PROMPT,
            grader=Grader(use="math"),
            size=10 if name == "written" else None,
            licence="Apache-2.0",
        )

    def _known(self, name: str) -> None:
        if name not in TITLES:
            raise ConfigError(f"there is no data set {name!r}; there are: {', '.join(TITLES)}", self.path or "tasks.clocks")

    def _written(self) -> Iterator[Task]:
        with FILE.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                yield _task(row["id"], row["problem"], row["answer"], {"why": row["why"]})

    def _drawn(self, split: str, seed: int) -> Iterator[Task]:
        """Without end; a split of its own for each name, since no two draw from the same seed."""
        draw = random.Random(f"{split}/{seed}")
        for place in itertools.count():
            start, passed = draw.randrange(24 * 60), draw.randint(1, self.config.longest)
            hour, minute = divmod((start + passed) % (24 * 60), 60)
            problem = (
                f"A 24-hour clock shows {start // 60}:{start % 60:02}. A train leaves when it next shows {hour}:{minute:02}. "
                "How many minutes are left?"
            )
            yield _task(f"{split}-{seed}-{place}", problem, str(passed))


def _task(name: str, problem: str, answer: str, meta: dict[str, str] | None = None) -> Task:
    """The answer, and why, stay with the task: the solver sees the problem alone."""
    shown = Problem(id=f"clocks/{name}", prompt=PROMPT.replace("{problem}", problem), domain="math", answer_format="boxed")
    return Task(problem=shown, reference=answer, meta=meta or {})
