"""Sources of tasks, each wrong in one way."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

from bad_plugins.others import task
from k2core import ConfigError, Plugin, Problem, Task, hookimpl
from k2core.toolkit.benchmark import Benchmark, Grader, Source

SIZE = 20


def tasks(limit: int | None) -> Iterator[Task]:
    """What a good one yields."""
    return itertools.islice(map(task, range(10, 10 + SIZE)), limit)


def card(**changes: Any) -> Benchmark:
    return Benchmark.model_validate({"name": "any", "grader": Grader(use="fake"), **changes})


class ReturnsAList(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        return list(tasks(limit))  # type: ignore[return-value] # the fault


class ShufflesAfterTheLimit(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int, seed: int) -> Iterator[Task]:
        found = list(tasks(limit))
        random.Random(seed).shuffle(found)
        return iter(found)


class RepeatsIds(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        for place, one in enumerate(tasks(limit)):
            yield one.model_copy(update={"problem": one.problem.model_copy(update={"id": f"p{place % 10}"})})


class KeepsItsPlaceOnSelf(Plugin):
    place = 0

    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        self.place = 10
        while self.place < 10 + min(limit, SIZE):
            self.place += 1
            yield task(self.place)


class LeaksThroughMeta(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        for one in tasks(limit):
            yield one.model_copy(update={"problem": one.problem.model_copy(update={"meta": {"answer": int(str(one.reference))}})})


class LeaksDeepInMeta(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        for number in range(min(limit, SIZE)):
            problem = Problem(
                prompt=f"Who was number {number}?", meta={"row": [{"text": f"It was the famous Person Number{number}."}]}
            )
            yield Task(problem=problem, reference=f"Person Number{number}")


class LeaksThroughThePrompt(Plugin):
    @hookimpl
    def k2_tasks(self, limit: int) -> Iterator[Task]:
        for one in tasks(limit):
            yield Task(problem=Problem(prompt=f"{one.problem.prompt} (Key: {one.reference})"), reference=one.reference)


class TakesAnyName(Plugin):
    @hookimpl
    def k2_tasks(self, name: str, limit: int) -> Iterator[Task]:
        return tasks(limit)


class SilentAboutNames(Plugin):
    @hookimpl
    def k2_tasks(self, name: str, limit: int) -> Iterator[Task]:
        return tasks(limit if name == "any" else 0)


class SilentAboutSplits(Plugin):
    @hookimpl
    def k2_tasks(self, split: str, limit: int) -> Iterator[Task]:
        return tasks(limit if split == "train" else 0)


class Described(Plugin):
    """Nothing wrong with it; the others change its card."""

    card: Any = card()

    @hookimpl
    def k2_tasks(self, name: str, limit: int) -> Iterator[Task]:
        if name != "any":
            raise ConfigError(f"there is no data set {name!r}; there is 'any'", "tasks.any")
        return tasks(limit)

    def benchmark(self, name: str) -> Any:
        return self.card


class DescribesWithADictionary(Described):
    card = {"name": "any", "grader": "fake"}  # noqa: RUF012 # never changed


class GraderDoesNotExist(Described):
    card = card(grader=Grader(use="no-such-verifier"))


class GraderTakesNoSuchOption(Described):
    card = card(grader=Grader(use="fake", options={"rigth": "42"}))


class PublishesAGatedSet(Described):
    card = card(source=Source(hub="somebody/somewhat", gated=True))


class ReferencesAreEmpty(Described):
    """No answer is an empty one, so that none can be right."""

    @hookimpl
    def k2_tasks(self, name: str, limit: int) -> Iterator[Task]:
        for one in super().k2_tasks(name, limit):
            yield one.model_copy(update={"reference": ""})


class GraderAcceptsAnything(Described):
    """It looks for an "a", whatever the reference."""

    @hookimpl
    def k2_tasks(self, name: str, limit: int) -> Iterator[Task]:
        for one in super().k2_tasks(name, limit):
            yield one.model_copy(update={"reference": "a"})
