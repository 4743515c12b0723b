"""The verifiers of a pipeline as a filter: right, wrong, failing and hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from k2core_training.data.chats import Chat
from k2core_training.data.config import DataOptions
from k2core_training.data.verifying import faults, problem_of

from k2core import Candidate, PipelineConfig, Plugin, PluginConfig, Registry, Runtime, Verdict, hookimpl
from k2core.types import Message


class OddConfig(PluginConfig):
    pass


class Odd(Plugin):
    """Knows 4; raises, hangs or cannot tell on demand."""

    config: OddConfig
    listwise = False

    @hookimpl
    async def k2_verify(self, candidates: Sequence[Candidate], reference: str | None) -> Sequence[Verdict]:
        said = candidates[0].text
        if said == "raise":
            raise ValueError("broken")
        if said == "hang":
            await asyncio.sleep(60)
        status: Any = "correct" if said == reference else "undecided" if said == "?" else "incorrect"
        return [Verdict(candidate_id=c.id, status=status, score=float(said == reference)) for c in candidates]


def chat(answer: str, reference: str | None = "4") -> Chat:
    return Chat((Message(role="user", content="2+2?"), Message(role="assistant", content=answer)), "f:1", reference)


def reasons(*chats: Chat, verifiers: dict[str, Any] | None = None) -> list[str]:
    registry = Registry()
    registry.add("verifier", "odd", Odd)
    config = PipelineConfig.from_dict({"verifiers": {"odd": {}} if verifiers is None else verifiers})

    async def main() -> list[tuple[str, str]]:
        async with Runtime(config, registry=registry) as runtime:
            return await faults(runtime, chats, DataOptions(verify_timeout=0.2))

    return [reason for reason, _ in asyncio.run(main())]


def test_each_way_to_fail_has_its_reason() -> None:
    assert reasons(chat("4"), chat("5"), chat("?"), chat("raise"), chat("hang"), chat("4", None)) == [
        "",
        "wrong answer",
        "not verified: undecided",
        "not verified: a verifier failed",
        "not verified: the verifiers took too long",
        "not verified: no reference",
    ]
    assert reasons(chat("4"), verifiers={}) == ["not verified: the pipeline has no verifiers"]


@pytest.mark.parametrize(
    ("answer", "form"), [("<think>a</think><answer>4</answer>", "tag"), ("\\boxed{4}", "boxed"), ("It is 4.", "text")]
)
def test_where_the_answer_is_looked_for(answer: str, form: str) -> None:
    assert problem_of(chat(answer), DataOptions()).answer_format == form
    assert problem_of(chat(answer), DataOptions(answer_format="number")).answer_format == "number"
