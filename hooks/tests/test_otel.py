"""The `otel` hook, with OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from k2core_hooks.otel import Otel
from spans import collected

from k2core import PipelineConfig, PluginError, Registry, Runtime
from k2core.testing import FakeDecoder, FakeSampler, assert_conforms

TABLES = {"sampler": {"use": "fake"}, "decoders": {"solver": {"use": "fake"}}, "hooks": {"otel": {"export": "none"}}}


def registry() -> Registry:
    made = Registry()
    made.add("sampler", "fake", FakeSampler)
    made.add("decoder", "fake", FakeDecoder)
    made.add("hook", "otel", Otel)
    return made


def solved(problem: str, **otel: Any) -> dict[str, Any]:
    """The spans of a run by name."""
    exporter = collected()

    async def main() -> None:
        config = PipelineConfig.from_dict({**TABLES, "hooks": {"otel": {"export": "none", **otel}}})
        async with Runtime(config, registry=registry()) as runtime:
            await asyncio.gather(runtime.solve(problem, seed=1), runtime.solve(f"{problem} again", seed=1))

    asyncio.run(main())
    return {f"{span.name} {span.context.trace_id}": span for span in exporter.get_finished_spans()}


def test_it_conforms() -> None:
    assert_conforms("hook", Otel, {"export": "none"})


def test_runs_side_by_side_have_trees_of_their_own() -> None:
    spans = solved("What is 2 + 2?").values()
    roots = [span for span in spans if span.parent is None]
    assert [span.name for span in roots] == ["invoke_agent k2core"] * 2
    for root in roots:
        mine = [span for span in spans if span.context.trace_id == root.context.trace_id]
        assert {span.name for span in mine} == {"invoke_agent k2core", "sampler sampler", "chat solver"}
        sampler = next(span for span in mine if span.name == "sampler sampler")
        assert sampler.parent.span_id == root.context.span_id
        calls = [span for span in mine if span.name == "chat solver"]
        assert calls
        assert all(span.parent.span_id == sampler.context.span_id for span in calls)
        used = sum(span.attributes["gen_ai.usage.output_tokens"] for span in calls)
        assert root.attributes["gen_ai.usage.output_tokens"] == used > 0


@pytest.mark.parametrize("content", [False, True])
def test_content_is_recorded_only_when_asked_for(content: bool) -> None:
    said = str([dict(span.attributes) for span in solved("A very private problem", content=content).values()])
    assert ("very private" in said) is content


def test_a_failure_marks_its_spans() -> None:
    exporter = collected()

    class Failing(FakeDecoder):
        async def k2_decode(self, run: Any, request: Any) -> Any:
            raise ValueError("a private reason")

        k2_decode.k2core_impl = FakeDecoder.k2_decode.k2core_impl  # type: ignore[attr-defined]

    made = registry()
    made.add("decoder", "fake", Failing)

    async def main() -> None:
        async with Runtime(PipelineConfig.from_dict(TABLES), registry=made) as runtime:
            with pytest.raises(PluginError):
                await runtime.solve("What is 2 + 2?")

    asyncio.run(main())
    spans = exporter.get_finished_spans()
    assert {span.status.status_code.name for span in spans} == {"ERROR"}
    assert "private reason" not in str([(dict(span.attributes), span.status.description, span.events) for span in spans])
