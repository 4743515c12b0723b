"""Verifiers in a real runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from k2core import Candidate, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import FakeSampler, fake_decoder

Verify = Callable[..., Sequence[Verdict]]


@pytest.fixture
def verify() -> Verify:
    """`verify(plugin, texts, reference, problem=…, respond=…, **options)`: the verdicts; texts may be whole candidates."""

    def verdicts(
        plugin: type[Any],
        texts: Sequence[str | Candidate],
        reference: str | None = None,
        *,
        problem: Problem | None = None,
        respond: Any = lambda request, index: "",
        **options: Any,
    ) -> Sequence[Verdict]:
        registry = Registry()
        registry.add("decoder", "computed", fake_decoder(respond))
        registry.add("sampler", "fake", FakeSampler)
        registry.add("verifier", "tried", plugin)
        tables = {"sampler": {"use": "fake"}, "decoders": {"solver": {"use": "computed"}}, "retry": {"attempts": 1}}
        config = PipelineConfig.from_dict({**tables, "verifiers": {"tried": options}})
        candidates = [
            text if isinstance(text, Candidate) else Candidate(id=f"c{place}", text=text) for place, text in enumerate(texts)
        ]

        async def main() -> Sequence[Verdict]:
            asked = problem or Problem(prompt="Which?")
            async with Runtime(config, registry=registry) as runtime, runtime.open(asked, seed=1) as run:
                return await run.verify(candidates, reference)

        return asyncio.run(main())

    return verdicts
