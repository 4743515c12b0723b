"""From tasks to rows in verl's layout: what `RLHFDataset` reads and what `reward.compute_score` is handed. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from k2core_sampler.prompt import Example, solver_messages

from k2core.types import Problem, Task

PROBLEM = "k2core_problem"
"""Key of `extra_info` under which the whole problem stands as JSON: verifiers look at more than its text."""


def prompting(sampler: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `solver_messages` that are not the problem: the pipeline's sampler's, where the trainer has none of its own.

    :param sampler: the sampler's table of the effective configuration.
    :param own: `system`, `instructions` and `examples` of the trainer; None where not given.
    """
    found: dict[str, Any] = {"system": sampler.get("system", ""), "instructions": sampler.get("instructions", True)}
    found["examples"] = tuple(Example.model_validate(example) for example in sampler.get("examples") or ())
    return found | {name: value for name, value in own.items() if value is not None}


def graded(tasks: Iterable[Task]) -> tuple[list[Task], list[Task]]:
    """The tasks that have a reference, without which there is no reward, and those that have none."""
    tasks = list(tasks)
    return [task for task in tasks if task.reference is not None], [task for task in tasks if task.reference is None]


def rows(tasks: Sequence[Task], split: str, prompt: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a task; the prompt is what the pipeline's sampler would ask, without a plan."""
    for index, task in enumerate(tasks):
        problem = task.problem
        messages = solver_messages(problem, **prompt)
        yield {
            "data_source": str(task.meta.get("data_source") or problem.meta.get("data_source") or problem.domain),
            "prompt": [{"role": message.role, "content": message.content} for message in messages],
            "ability": problem.domain,
            "reward_model": {"style": "rule", "ground_truth": task.reference},
            "extra_info": {"index": index, "split": split, PROBLEM: problem_json(problem)},
        }


def problem_json(problem: Problem) -> str:
    """The whole problem; it has no field for a reference."""
    return json.dumps(problem.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
