"""Health, figures and traces."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from k2core_serve.application import application, lifespan
from k2core_serve.settings import Settings
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount


def figures(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_readiness_and_metrics(tools: Any) -> None:
    with tools.api_server(lambda body: "It is 42") as api, tools.serve(tools.write(tools.SINGLE, url=api.base_url)) as server:
        assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        for stream in (True, False):
            server.post(json=tools.ask(stream=stream))
        server.post(json=tools.ask("other"))
        found = figures(httpx.get(f"{server.url}/metrics").text)
        assert found["k2core_requests_total", "chat", "m", "200"] == 2
        assert found["k2core_requests_total", "chat", "", "404"] == 1  # a client's word is no label
        assert found["k2core_tokens_total", "completion", "m", "solve"] == 6
        assert found["k2core_calls_total", "m", "served", "solve"] == 2
        assert found["k2core_first_event_seconds_count", "chat"] == 1
        assert found["k2core_requests_in_flight",] == 0
        server.services.ready = False
        assert httpx.get(f"{server.url}/readyz").status_code == 503


def test_it_mounts_into_another_application(tools: Any) -> None:
    with tools.api_server(lambda body: "It is 42") as api:
        file = tools.write(tools.SINGLE, url=api.base_url)
        inner = application(Settings.model_validate({"models": {"m": {"config": file}}, "open": True, "page": False}))
        outer = Starlette(routes=[Mount("/k2", inner)])

        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(outer)
            async with lifespan(inner), httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.post("/k2/v1/chat/completions", json=tools.ask())

        answer = asyncio.run(main())
        assert answer.json()["choices"][0]["message"]["content"] == "It is 42"


def test_spans_hang_below_the_client_s_own(tools: Any) -> None:
    """A span of the request, of the run, of the sampler and of the model call, in a chain, with what was used."""
    pytest.importorskip("opentelemetry.sdk")
    from spans import collected

    exporter = collected()
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    with tools.api_server(lambda body: "It is 42") as api:
        file = tools.write(tools.SINGLE, url=api.base_url, more="[hooks.otel]")
        with tools.serve(file, otel=True) as server:
            assert server.post(json=tools.ask(), headers={"traceparent": parent}).status_code == 200
    spans = {span.name: span for span in exporter.get_finished_spans()}
    chain = ["POST /v1/chat/completions", "invoke_agent k2core", "sampler sampler", "chat solver"]
    above = int("cd" * 8, 16)
    for name in chain:
        span = spans[name]
        assert span.parent
        assert span.parent.span_id == above
        assert span.context.trace_id == int("ab" * 16, 16)
        above = span.context.span_id
    used = spans["chat solver"].attributes
    assert used["gen_ai.operation.name"] == "chat"
    assert used["gen_ai.usage.output_tokens"] == 3
    assert used["gen_ai.response.finish_reasons"] == ("stop",)
    assert "It is 42" not in str([dict(span.attributes or {}) for span in spans.values()])


def test_a_store_that_cannot_be_written_is_seen_and_answers_go_on(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "sk-of-a-test-sk-of-a-test")
    key = {"authorization": "Bearer sk-of-a-test-sk-of-a-test"}
    with tools.api_server(lambda body: "It is 42") as api:
        file = tools.write(tools.SINGLE, url=api.base_url)
        for keys in ({}, {"k": {"env": "KEY"}}):
            with tools.serve(file, store=str(tmp_path / f"{len(keys)}.sqlite"), keys=keys) as server:

                def stored() -> dict[str, float]:
                    found = figures(httpx.get(f"{server.url}/metrics").text)
                    return {labels[1]: value for labels, value in found.items() if labels[0] == "k2core_store"}

                assert server.post(json=tools.ask(), headers=key).status_code == 200
                assert (stored()["recorded"], stored()["lost"], stored()["trouble"]) == (1, 0, 0)
                assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}
                database = server.services.recorder._writer._connection
                pages = database.execute("PRAGMA page_count").fetchone()[0]
                database.execute(f"PRAGMA max_page_count = {pages}")  # as if the disk were full
                large = tools.ask(text=os.urandom(60_000).hex())
                assert server.post(json=large, headers=key).status_code == 200
                assert (stored()["lost"], stored()["trouble"]) == (1, 1)
                ready = httpx.get(f"{server.url}/readyz")
                assert (ready.status_code, ready.json()["status"]) == (200, "ready")
                assert ready.json()["store"] == "not writing" if keys else "full" in ready.json()["store"]
                database.execute("PRAGMA max_page_count = 1000000")
                assert server.post(json=tools.ask(), headers=key).status_code == 200
                assert (stored()["recorded"], stored()["trouble"]) == (2, 0)
                assert "store" not in httpx.get(f"{server.url}/readyz").json()


def test_without_a_store_there_are_no_figures_of_it(tools: Any) -> None:
    with tools.api_server(lambda body: "It is 42") as api, tools.serve(tools.write(tools.SINGLE, url=api.base_url)) as server:
        assert "k2core_store{" not in httpx.get(f"{server.url}/metrics").text
