"""Pipelines are swapped while they serve; nothing is mixed, nothing is lost, and a broken one changes nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest

ADMIN = "sk-a-secret-of-the-tests-0123456789"
AUTH = {"authorization": f"Bearer {ADMIN}"}


def says(body: dict[str, Any]) -> str:
    """The system prompt, which tells the version."""
    return str(body["messages"][0]["content"])


@pytest.fixture
def start(tools: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("A_KEY", ADMIN)

    def serve(file: str, **more: Any) -> Any:
        return tools.serve(file, keys={"a": {"env": "A_KEY", "admin": True}}, **more)

    return serve


def told(server: Any, tools: Any, **more: Any) -> tuple[str, str]:
    answer = server.post(json=tools.ask(**more), headers=AUTH).json()
    return answer["choices"][0]["message"]["content"], answer["system_fingerprint"]


def test_an_edited_file_is_served_from_the_next_request_on(tools: Any, start: Any) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "one"')
        with start(file) as server:
            before = told(server, tools)
            tools.write(tools.SINGLE, url=api.base_url, sampler='system = "two"')
            tools.eventually(lambda: told(server, tools)[0] == "two")
            assert before[0] == "one"
            assert before[1] != told(server, tools)[1]
            tools.eventually(lambda: server.services.pipelines.retiring == 0)


@pytest.mark.parametrize(
    "broken",
    [
        "this is = no TOML [",
        '[sampler]\nuse = "no-such-sampler"',
        '[sampler]\nuse = "single"\ntemperture = 1\n[decoders.solver]\nuse = "openai"',
    ],
)
def test_a_broken_file_is_refused_with_its_faults_and_the_old_one_stays(tools: Any, start: Any, broken: str) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "one"')
        with start(file) as server:
            (tools.folder / "m.toml").write_text(broken)
            live = server.services.pipelines.live("m")
            tools.eventually(lambda: live.faults)
            assert told(server, tools)[0] == "one"
            (shown,) = httpx.get(f"{server.url}/admin/pipelines", headers=AUTH).json()["pipelines"]
            assert shown["refused"] == 1
            assert shown["faults"] == live.faults
            tools.write(tools.SINGLE, url=api.base_url, sampler='system = "two"')
            tools.eventually(lambda: told(server, tools)[0] == "two")
            assert server.services.pipelines.live("m").faults == []


def test_a_plugin_that_does_not_start_is_refused_too(tools: Any, start: Any) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "one"')
        with start(file) as server:
            config = {"decoders": {"solver": {"use": "openai", "api_key_env": "A_VARIABLE_THAT_IS_NOT_SET"}}}
            answer = server.post("/admin/pipelines", json={"name": "m", "config": config}, headers=AUTH)
            assert answer.status_code == 400
            assert "A_VARIABLE_THAT_IS_NOT_SET" in answer.json()["faults"][0]
            assert told(server, tools)[0] == "one"


def test_a_pipeline_is_posted_added_and_removed(tools: Any, start: Any) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "one"')
        toml = tools.SINGLE.format(url=api.base_url, sampler='system = "posted"', more="")
        with start(file) as server:
            assert server.post("/admin/pipelines", json={"name": "m", "toml": toml}, headers=AUTH).status_code == 200
            assert told(server, tools)[0] == "posted"
            presets = {"low": ["sampler.system=low"]}
            made = server.post("/admin/pipelines", json={"name": "new", "toml": toml, "presets": presets}, headers=AUTH)
            assert made.json()["presets"] == ["low"]
            assert told(server, tools, model="new", reasoning_effort="low")[0] == "low"
            assert httpx.delete(f"{server.url}/admin/pipelines/new", headers=AUTH).status_code == 200
            assert server.post(json=tools.ask("new"), headers=AUTH).status_code == 404
            server.post("/admin/pipelines", json={"name": "m", "reload": True}, headers=AUTH)
            assert told(server, tools)[0] == "one"


def test_admin_needs_an_admin_key(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", ADMIN)
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url)
        for keys, status in (({"a": {"env": "A_KEY"}}, 403), ({}, 403)):
            with tools.serve(file, keys=keys) as server:
                assert server.post("/admin/pipelines", json={"name": "m", "reload": True}, headers=AUTH).status_code == status
                assert httpx.get(f"{server.url}/admin/shadow", headers=AUTH).status_code == status


def test_presets_share_what_is_configured_alike(tools: Any) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.VOTING, url=api.base_url)
        with tools.serve(models={"m": {"config": file, "presets": {"low": ["sampler.n=1"]}}}) as server:
            version = server.services.pipelines.version("m")
            base, low = version.runtimes[""], version.runtimes["low"]
            plugins = [{slot.path: slot.plugin for slot in runtime.slots} for runtime in (base, low)]
            shared = {path for path in plugins[0] if plugins[0][path] is plugins[1][path]}
            assert shared == {"decoders.solver", "verifiers.math"}
            assert low.ledger is base.ledger


def test_swaps_under_load_fail_nothing_and_mix_nothing(tools: Any, start: Any) -> None:
    """Every answer holds the text of the version that its fingerprint names, in one piece and streamed."""
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "0"')
        with start(file, limits={"running": 8}) as server:
            texts: dict[str, set[str]] = {}
            done = threading.Event()

            async def swap() -> None:
                number = 0
                async with httpx.AsyncClient() as client:
                    while not done.is_set():
                        number += 1
                        toml = tools.SINGLE.format(url=api.base_url, sampler=f'system = "{number}"', more="")
                        answer = await client.post(f"{server.url}/admin/pipelines", json={"name": "m", "toml": toml}, headers=AUTH)
                        assert answer.status_code == 200, answer.text
                        await asyncio.sleep(0.05)

            async def one(client: httpx.AsyncClient, stream: bool) -> None:
                answer = await client.post(f"{server.url}/v1/chat/completions", json=tools.ask(stream=stream), headers=AUTH)
                assert answer.status_code == 200, answer.text
                lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")] if stream else [answer.text]
                parts = [json.loads(line) for line in lines]
                key = "delta" if stream else "message"
                (fingerprint,) = {part["system_fingerprint"] for part in parts}
                texts.setdefault(fingerprint, set()).add("".join(p["choices"][0][key].get("content") or "" for p in parts))

            async def main() -> None:
                swapping = asyncio.create_task(swap())
                async with httpx.AsyncClient(timeout=30) as client:
                    for _ in range(25):
                        await asyncio.gather(*(one(client, stream) for stream in (False, True) * 4))
                done.set()
                await swapping

            asyncio.run(main())
            tools.eventually(lambda: server.services.pipelines.retiring == 0)
            assert len(texts) > 3
            assert all(len(found) == 1 for found in texts.values())
            assert len({next(iter(found)) for found in texts.values()}) == len(texts)


def test_a_request_in_flight_finishes_on_the_old_version(tools: Any, start: Any) -> None:
    release = threading.Event()

    def slow(body: dict[str, Any]) -> str:
        if says(body) == "one":
            release.wait(10)
        return says(body)

    with tools.api_server(slow) as api, tools.api_server(says) as other:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "one"')
        with start(file) as server:
            old = server.services.pipelines.version("m")
            answers: list[str] = []
            thread = threading.Thread(target=lambda: answers.append(told(server, tools)[0]))
            thread.start()
            tools.eventually(lambda: old.leases)
            tools.write(tools.SINGLE, url=other.base_url, sampler='system = "two"')
            tools.eventually(lambda: server.services.pipelines.version("m") is not old)
            assert told(server, tools)[0] == "two"
            assert server.services.pipelines.retiring == 1
            assert not answers
            release.set()
            thread.join(20)
            assert answers == ["one"]
            tools.eventually(lambda: server.services.pipelines.retiring == 0)


def test_a_shadow_reports_where_it_differs_and_costs_no_key(tools: Any, start: Any) -> None:
    def boxed(body: dict[str, Any]) -> str:
        wrong = body["messages"][0]["content"] == "shadow" and "odd" in body["messages"][-1]["content"]
        return "\\boxed{43}" if wrong else "It is \\boxed{42.0}" if body["messages"][0]["content"] == "shadow" else "\\boxed{42}"

    with tools.api_server(boxed) as api:
        verified = tools.SINGLE + "\n[verifiers.math]\n"
        file = tools.write(verified, url=api.base_url)
        toml = verified.format(url=api.base_url, sampler='system = "shadow"', more="")
        with start(file) as server:
            made = server.post("/admin/shadow", json={"model": "m", "toml": toml, "share": 1.0, "running": 9}, headers=AUTH)
            assert made.status_code == 200, made.text
            for text in ("even", "odd", "even"):
                assert told(server, tools, text=text)[0] == "\\boxed{42}"

            def report() -> Any:
                (found,) = httpx.get(f"{server.url}/admin/shadow", headers=AUTH).json()["shadows"]
                return found if found["counts"].get("compared") == 3 else None

            found = tools.eventually(report)
            assert found["counts"]["same answer"] == 2
            assert found["counts"]["other answer"] == 1
            (difference,) = found["differences"]
            assert (difference["live_answer"], difference["shadow_answer"]) == ("42", "43")
            assert found["usage"]["solve"]["served"] == 3
            assert 'k2core_shadow{figure="other_answer",model="m"} 1.0' in httpx.get(f"{server.url}/metrics").text
            live = server.services.pipelines.version("m").runtimes[""].ledger.total
            assert live.served == 3  # the shadow's calls are in books of their own
            assert httpx.delete(f"{server.url}/admin/shadow/m", headers=AUTH).status_code == 200


def test_a_shadow_may_stand_in_the_settings(tools: Any) -> None:
    with tools.api_server(says) as api:
        file = tools.write(tools.SINGLE, url=api.base_url, sampler='system = "live"')
        other = tools.write(tools.SINGLE, "other.toml", url=api.base_url, sampler='system = "shadow"')
        with tools.serve(file, shadow={"m": {"config": other, "share": 1.0}}) as server:
            assert server.post(json=tools.ask()).status_code == 200
            tools.eventually(lambda: server.services.shadows.reports()[0]["counts"].get("other answer") == 1)
