"""What a source of tasks must yield, and that its references stay where they belong."""

from __future__ import annotations

import inspect
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import explain
from ...types import Task
from ..report import Faults, Skipped, check

if TYPE_CHECKING:
    from ..subject import Subject

MANY = 40
"""Tasks that are looked at where a few would tell too little."""
NOWHERE = "no-such-data-set"
_TELLING = re.compile(r"answer|solution|gold|reference|ground_truth|correct|rationale|target", re.IGNORECASE)


def asked(plugin: Any, **args: Any) -> Any:
    """What `k2_tasks` returns, called as pluggy calls: with the arguments that the implementation takes."""
    hook = plugin.k2_tasks
    return hook(**{key: value for key, value in args.items() if key in inspect.signature(hook).parameters})


def found(subject: Subject, limit: int = 3, seed: int = 1, **changes: Any) -> list[Any]:
    """Tasks of the data set that the author named, from an instance of their own. Raises `Skipped` when none was named."""
    name, split = dataset(subject)
    tasks = asked(subject.make(), **{"name": name, "split": split, "limit": limit, "seed": seed, **changes})
    return list(itertools.islice(tasks, MANY + 1))


def dataset(subject: Subject) -> tuple[str, str]:
    if subject.dataset is None:
        raise Skipped("no data set was given: pass dataset=(name, split)")
    return subject.dataset


@check("tasks", gate=True)
def works_as_tasks(subject: Subject) -> Faults:
    """It yields `Task`s, no more than the limit, and the same for the same seed."""
    name, split = dataset(subject)
    first, second = found(subject), found(subject)
    if wrong := [item for item in first if not isinstance(item, Task)]:
        yield f"k2_tasks must yield Task, not {wrong[0]!r:.80}"
    if not first:
        yield f"it has no tasks under {name!r}, split {split!r}; name a data set that it has with dataset=(name, split)"
    if len(first) > 3:
        yield f"it yields {len(first)} tasks where the limit is 3"
    if first != second:
        yield "the same seed gives other tasks the second time; draw from random.Random(seed)"


@check("tasks")
def yields_lazily(subject: Subject) -> Faults:
    """`k2_tasks` returns an iterator that makes tasks as they are asked for, and no list of all."""
    name, split = dataset(subject)
    returned = asked(subject.make(), name=name, split=split, limit=MANY, seed=1)
    if not isinstance(returned, Iterator):
        yield f"k2_tasks returns a {type(returned).__name__}; make it a generator, for data sets may be larger than memory"


@check("tasks")
def limit_takes_the_first(subject: Subject) -> Faults:
    """A smaller limit yields the first tasks of a larger one: an evaluation begun on few problems goes on with more."""
    few, more = found(subject, 3), found(subject, 8)
    if few != more[: len(few)] or len(few) > len(more):
        yield "with limit=3 it yields other tasks than the first 3 of limit=8; choose and shuffle by the seed alone"


@check("tasks")
def ids_are_unique(subject: Subject) -> Faults:
    """No two problems have the same id, by which results are kept and compared."""
    seen: dict[str, Task] = {}
    for task in found(subject, MANY):
        if (other := seen.setdefault(task.problem.id, task)) is not task:
            same = "with the same text" if other.problem.text == task.problem.text else "of different texts"
            yield f"two problems {same} have the id {task.problem.id!r}; give each its own"
            return


@check("tasks")
def iterations_do_not_mix(subject: Subject) -> Faults:
    """Two iterations of one instance side by side yield what each yields alone."""
    name, split = dataset(subject)
    plugin, alone = subject.make(), found(subject, 4)
    one, two = (iter(asked(plugin, name=name, split=split, limit=4, seed=1)) for _ in range(2))
    pairs = list(itertools.zip_longest(one, two))
    if [list(side) for side in zip(*pairs, strict=True)] != [alone, alone]:
        yield "two iterations side by side disturb each other; keep the place and the random state in the generator, not on self"


@check("tasks")
def references_stay_with_the_tasks(subject: Subject) -> Faults:
    """The reference is not in the problem's `meta`, and most prompts do not hold their own: the pipeline sees both.

    One short number may stand in its prompt by chance; prompts that hold their own references far more often than those of other
    tasks do not. Where questions quote their answers by nature, skip this check and say why.
    """
    tasks = [task for task in found(subject, MANY) if task.reference is not None]
    for task in tasks:
        if leaks := [path for path, value in _leaves(task.problem.meta) if _tells(path, value, str(task.reference))]:
            yield f"problem {task.problem.id!r} holds its reference in meta ({leaks[0]}); what the scorer needs goes into Task.meta"
            return
    tasks = [task for task in tasks if task.problem.answer_format != "choice"]
    own = sum(_holds(task.problem.text, str(task.reference)) for task in tasks)
    shifted = zip(tasks, [*tasks[1:], *tasks[:1]], strict=True)
    others = sum(_holds(task.problem.text, str(other.reference)) for task, other in shifted)
    if len(tasks) > 1 and own > len(tasks) / 2 and others < own / 2:
        yield f"{own} of {len(tasks)} prompts hold their own reference, and only {others} that of another task"


def _leaves(value: Any, path: str = "meta") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, "" if value is None else str(value).strip()


def _tells(path: str, value: str, reference: str) -> bool:
    """Whether a field of meta is the reference: by its value under a telling name, or by a value too long for chance."""
    reference = reference.strip()
    long = len(reference) >= 6 and reference in value
    return bool(value) and (long or (value == reference and (_TELLING.search(path) is not None or len(reference) >= 4)))


def _holds(text: str, reference: str) -> bool:
    reference = reference.strip()
    return bool(reference) and re.search(rf"(?<!\w){re.escape(reference)}(?!\w)", text) is not None


@check("tasks")
def unknown_names_are_refused(subject: Subject) -> Faults:
    """A data set that does not exist is an error that names it or what there is, and neither silence nor other tasks."""
    name, _ = dataset(subject)
    if "name" not in inspect.signature(subject.make().k2_tasks).parameters:  # type: ignore[attr-defined] # the role has it
        raise Skipped("k2_tasks takes no name: there is one data set")
    said, tasks = _said(subject, name=NOWHERE)
    if said is None:
        yield f"asked for {NOWHERE!r} it yields {len(tasks)} tasks; raise ConfigError that says which data sets there are"
    elif NOWHERE not in said and name not in said:
        yield f"asked for {NOWHERE!r} it says {said!r:.160}; name what was asked for, or what there is"


@check("tasks")
def unknown_splits_are_told(subject: Subject) -> Faults:
    """A split that does not exist is an error with a message, or makes no difference; it is no empty data set in silence."""
    dataset(subject)
    if "split" not in inspect.signature(subject.make().k2_tasks).parameters:  # type: ignore[attr-defined] # the role has it
        raise Skipped("k2_tasks takes no split")
    said, tasks = _said(subject, split="no-such-split")
    if said is None and not tasks:
        yield "asked for the split 'no-such-split' it yields nothing and says nothing; raise ConfigError that says which there are"
    if said is not None and len(said.split()) < 3:
        yield f"asked for the split 'no-such-split' it says {said!r}; say what is wrong, and which splits there are"


def _said(subject: Subject, **changes: Any) -> tuple[str | None, list[Any]]:
    """The message of the error that it raises, or None; and what it yielded."""
    try:
        return None, found(subject, **changes)
    except Exception as error:
        return explain(error), []


def is_record(reference: str) -> bool:
    """Whether a reference is a JSON object, or a list of texts or objects, such as tests: no answer that could be given back."""
    try:
        data = json.loads(reference)
    except ValueError:
        return False
    return isinstance(data, dict) or (isinstance(data, list) and any(isinstance(item, str | dict) for item in data))
