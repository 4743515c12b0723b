"""The real embedded model, where it can be fetched, at float32."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("torch")

from k2core import DecodeRequest, Message, PipelineConfig, Problem, Runtime


@pytest.fixture(scope="module")
def _fetched() -> None:
    from k2core_models import resolve

    try:
        resolve("smollm2-135m-instruct", None)
    except Exception as error:
        pytest.skip(f"the embedded model cannot be fetched: {error}")


@pytest.mark.usefixtures("_fetched")
def test_the_embedded_model_says_the_same_with_and_without_drafts() -> None:
    request = DecodeRequest(
        messages=(Message(role="user", content="What is the capital of Germany?"),),
        n=3,
        max_tokens=24,
        seed=2,
        temperature=0.2,
    )

    async def main(drafter: dict[str, Any], prediction: str = "") -> tuple[list[str], int]:
        options = {"use": "transformers", "dtype": "float32", "threads": 1, "context": 512, "speculation": drafter}
        config = PipelineConfig.from_dict({"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": options}})
        async with Runtime(config) as runtime, runtime.open(Problem(prompt="any"), seed=1) as run:
            texts = [completion.text for completion in await run.decode(request.model_copy(update={"prediction": prediction}))]
            return texts, runtime.ledger.total.accepted

    plain, _ = asyncio.run(main({"drafter": "none"}))
    drafted, accepted = asyncio.run(main({"drafter": "prompt-lookup", "adaptive": False}, prediction=plain[0]))
    assert drafted == plain
    assert accepted > 0
    assert all("Berlin" in text for text in plain)


@pytest.mark.usefixtures("_fetched")
def test_its_distribution_is_that_of_llama_cpp_but_for_arithmetic() -> None:
    """The file's weights are converted; llama.cpp computes with them as they are, its activations in eight bits."""
    pytest.importorskip("k2core_decoder_llamacpp")
    message = Message(role="user", content="What is the capital of Germany?")
    request = DecodeRequest(messages=(message,), max_tokens=8, temperature=0.0, logprobs=8)

    async def main(**options: Any) -> list[dict[str, float]]:
        tables = {"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": {"context": 512, **options}}}
        async with Runtime(PipelineConfig.from_dict(tables)) as runtime, runtime.open(Problem(prompt="any"), seed=1) as run:
            return [dict(token.top) for token in (await run.decode(request))[0].logprobs or ()]

    ours = asyncio.run(main(use="transformers", dtype="float32", threads=1))
    theirs = asyncio.run(main(use="llamacpp"))
    assert min(len(ours), len(theirs)) > 5
    for one, other in zip(ours, theirs, strict=False):
        likely = [token for token in one if one[token] > -4]
        assert likely
        assert all(abs(one[token] - other[token]) < 0.5 for token in likely)
