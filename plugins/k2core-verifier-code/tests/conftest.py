"""Verifiers in every sandbox that this machine has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from k2core_verifier_code.plugin import CodeConfig, CodeVerifier
from k2core_verifier_code.pool import Sandboxes

from k2core import Candidate, Problem, Verdict

PROBLEM = Problem(prompt="Write it.")


class Judge:
    """A started verifier for tests without an event loop of their own."""

    def __init__(self, **options: Any) -> None:
        self.verifier = CodeVerifier(CodeConfig(**options))
        asyncio.run(self.verifier.k2_start())

    @property
    def sandboxes(self) -> Sandboxes:
        assert self.verifier._sandboxes is not None
        return self.verifier._sandboxes

    @property
    def pids(self) -> list[int]:
        return self.sandboxes._pool.pids

    def many(self, texts: Sequence[str], reference: Any, problem: Problem = PROBLEM) -> list[Verdict]:
        candidates = [Candidate(id=str(place), text=text) for place, text in enumerate(texts)]
        given = reference if reference is None or isinstance(reference, str) else json.dumps(reference)
        return list(asyncio.run(self.verifier.k2_verify(problem, candidates, given)))

    def one(self, text: str, reference: Any, problem: Problem = PROBLEM) -> Verdict:
        [verdict] = self.many([text], reference, problem)
        return verdict

    def finds_nothing(self, body: str) -> None:
        """`body` defines `escape()`, which lists what it managed to do; it must come to nothing, and the worker must live on."""
        before = self.pids
        verdict = self.one(body, {"tests": ["assert escape() == []"]})
        assert verdict.status == "correct", verdict.reason
        self.healthy()
        assert self.pids == before

    def healthy(self) -> None:
        verdict = self.one("def double(x):\n    return 2 * x", {"tests": ["assert double(4) == 8"]})
        assert verdict.status == "correct", verdict.reason

    def close(self) -> None:
        asyncio.run(self.verifier.k2_stop())


def opened(**options: Any) -> Judge:
    try:
        return Judge(**options)
    except RuntimeError as error:
        pytest.skip(f"not on this machine: {error}")


@pytest.fixture(scope="module", params=["landlock", "bubblewrap"])
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """One worker in each sandbox, so that executions follow each other in the same one; nothing is remembered."""
    found = opened(sandbox=request.param, workers=1, timeout=3.0, total=20.0, memory_mb=512, cache=0)
    yield found
    found.close()


@pytest.fixture(scope="module", params=["landlock", "bubblewrap"])
def crowd(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """Several workers side by side, with short limits."""
    limits = {"timeout": 0.3, "wall": 1.5, "memory_mb": 256, "output_kb": 100}
    found = opened(sandbox=request.param, workers=4, cache=0, **limits)
    yield found
    found.close()


@pytest.fixture(scope="module")
def roomy() -> Iterator[Judge]:
    """Bubblewrap with a folder and processes."""
    found = opened(sandbox="bubblewrap", workers=1, timeout=2.0, wall=3.0, processes=8, disk_mb=4, cache=0)
    yield found
    found.close()


@pytest.fixture
def open_judge() -> Iterator[Callable[..., Judge]]:
    """Opens verifiers with options of the test's own; closes them after it."""
    made: list[Judge] = []

    def open_one(**options: Any) -> Judge:
        made.append(opened(**options))
        return made[-1]

    yield open_one
    for one in made:
        one.close()
