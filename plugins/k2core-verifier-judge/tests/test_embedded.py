"""Both verifiers with a real model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from k2core_verifier_judge.pairwise import Judge
from k2core_verifier_judge.rating import Rating

from k2core import Candidate, PipelineConfig, Problem, Registry, Runtime, Verdict
from k2core.testing import FakeSampler


@pytest.mark.parametrize(("plugin", "texts", "options"), [(Judge, "45", {"swap": False}), (Rating, "4", {})])
def test_with_the_embedded_model(plugin: type[Any], texts: str, options: dict[str, Any]) -> None:
    """A model of 135 million parameters judges like a coin; all that is asked is that verdicts come back. One call each."""
    here = subprocess.run([sys.executable, "-m", "k2core", "models", "path"], capture_output=True, check=False)
    if here.returncode:
        pytest.skip("k2core-decoder-llamacpp is not installed, or its model is not here; run `k2 models get`")
    config = PipelineConfig.from_dict(
        {
            "sampler": {"use": "fake"},
            "decoders": {"solver": {"use": "llamacpp", "threads": 1}},
            "verifiers": {"tried": {"max_tokens": 12, **options}},
        }
    )
    registry = Registry()
    registry.add("sampler", "fake", FakeSampler)
    registry.add("verifier", "tried", plugin)

    async def main() -> Sequence[Verdict]:
        candidates = [Candidate(id=text, text=f"The sum is {text}.") for text in texts]
        async with Runtime(config, registry=registry) as runtime, runtime.open(Problem(prompt="2 + 2?"), seed=1) as run:
            return await run.verify(candidates)

    verdicts = asyncio.run(main())
    assert [verdict.candidate_id for verdict in verdicts] == list(texts)
    assert all(verdict.status in ("undecided", "error") and 0 <= verdict.score <= 1 for verdict in verdicts)
