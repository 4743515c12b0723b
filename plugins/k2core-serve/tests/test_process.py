"""`k2 serve` as a process: orderly ends, sudden ones, and no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from aiohttp import web

SECRET = "sk-a-secret-of-the-tests-0123456789"
UPSTREAM = "sk-an-upstream-secret-of-the-tests-5"


def test_it_starts_serves_and_ends_in_order(tools: Any) -> None:
    with tools.api_server(lambda body: "It is 42") as api:
        file = tools.write(tools.SINGLE, "my-model.toml", url=api.base_url)
        with tools.process("--config", file) as (child, url):
            assert httpx.get(f"{url}/readyz").status_code == 200
            answer = httpx.post(f"{url}/v1/chat/completions", json=tools.ask("my-model"), timeout=20)
            assert answer.json()["choices"][0]["message"]["content"] == "It is 42"
            child.send_signal(signal.SIGTERM)
            assert child.wait(20) == 0


def test_sigterm_lets_requests_finish_and_takes_no_new_ones(tools: Any) -> None:
    arrived, release = threading.Event(), threading.Event()

    def slow(body: dict[str, Any]) -> str:
        arrived.set()
        release.wait(20)
        return "It is 42"

    with tools.api_server(slow) as api:
        file = tools.write(tools.SINGLE, url=api.base_url)
        with tools.process("--config", file, "--drain", "20") as (child, url):
            answers: list[httpx.Response] = []
            body = tools.ask(stream=True)
            thread = threading.Thread(
                target=lambda: answers.append(httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30))
            )
            thread.start()
            assert arrived.wait(20)
            child.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    return httpx.get(f"{url}/healthz").status_code == 503
                except httpx.TransportError:
                    return True

            tools.eventually(refused)
            assert child.poll() is None
            release.set()
            thread.join(20)
            assert child.wait(20) == 0
            assert "It is" in answers[0].text
            assert answers[0].text.endswith("data: [DONE]\n\n")


def test_after_the_drain_what_still_runs_is_cancelled_and_counted(tools: Any) -> None:
    class Hanging:
        left = started = 0

        async def chat(self, request: web.Request) -> web.Response:
            self.started += 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.left += 1
                raise
            raise AssertionError

    async def main() -> tuple[int, int, int]:
        hanging, app = Hanging(), web.Application()
        app.router.add_post("/v1/chat/completions", hanging.chat)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        store = tools.folder / "kept.sqlite"
        (tools.folder / "serve.toml").write_text(f'store = "{store}"\npage = false\n')
        options = ("--config", tools.write(tools.SINGLE, url=upstream), "--drain", "1", "--serve", str(tools.folder / "serve.toml"))
        process = tools.process(*options)
        child, url = await asyncio.to_thread(process.__enter__)
        with ExitStack() as stack:
            stack.push(process)
            async with httpx.AsyncClient(timeout=30) as client:
                asking = asyncio.create_task(client.post(f"{url}/v1/chat/completions", json=tools.ask()))
                while not hanging.started:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                child.send_signal(signal.SIGTERM)
                status = await asyncio.to_thread(child.wait, 30)
                await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.05)
        await runner.cleanup()
        return status, hanging.started, hanging.left

    assert asyncio.run(main()) == (0, 1, 1)


def test_no_secret_is_in_any_output(tools: Any) -> None:
    """Keys of clients and of the back end, right and wrong ones: not in answers, logs, traces, metrics or the store."""

    def echoes(body: dict[str, Any]) -> web.Response | str:
        if "fail" in body["messages"][-1]["content"]:
            return web.json_response({"error": {"message": f"bad key {UPSTREAM}"}}, status=401)
        return "It is 42"

    with tools.api_server(echoes) as api:
        decoder = f'[decoders.solver]\nuse = "openai"\nbase_url = "{api.base_url}"\napi_key_env = "UP_KEY"\n'
        hooks = f'[hooks.trace]\ndirectory = "{tools.folder}/traces"\n'
        (tools.folder / "m.toml").write_text('[sampler]\nuse = "single"\n' + decoder + hooks)
        (tools.folder / "serve.toml").write_text(
            'store = "kept.sqlite"\npage = false\n[keys.a]\nenv = "A_KEY"\nadmin = true\n[models.m]\nconfig = "m.toml"\n'
        )
        env = {"A_KEY": SECRET, "UP_KEY": UPSTREAM}
        with tools.process("--serve", str(tools.folder / "serve.toml"), "--log", "debug", env=env) as (child, url):
            seen = ""
            auth = {"authorization": f"Bearer {SECRET}"}
            wrong = {"authorization": f"Bearer {SECRET}-wrong"}
            for headers in (auth, wrong, {"authorization": SECRET}):
                for text in ("fine", "fail"):
                    for stream in (False, True):
                        body = tools.ask(text=text, stream=stream)
                        seen += httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20).text
                for path in ("/v1/models", "/admin/pipelines", "/metrics"):
                    seen += httpx.get(url + path, headers=headers).text
            child.send_signal(signal.SIGTERM)
            assert child.wait(20) == 0
    assert "It is 42" in seen
    assert "request" in tools.log
    files = [path for path in tools.folder.rglob("*") if path.is_file()]
    assert any("traces" in str(path) for path in files)
    assert any("kept" in path.name for path in files)
    everything = seen.encode() + b"".join(path.read_bytes() for path in files)
    for secret in (SECRET, UPSTREAM):
        assert secret.encode() not in everything


def test_kill_9_under_load_keeps_every_finished_request(tools: Any) -> None:
    """Each request whose answer a client has read whole is in the store after a restart, with what it spent."""
    from k2core_serve.store import open_store

    with tools.api_server(lambda body: "It is 42") as api:
        tools.write(tools.SINGLE, url=api.base_url)
        (tools.folder / "serve.toml").write_text('store = "kept.sqlite"\npage = false\n[models.m]\nconfig = "m.toml"\n')
        finished: list[str] = []

        async def load(url: str) -> None:
            async with httpx.AsyncClient(timeout=20) as client:
                for turn in range(1000):
                    try:
                        answer = await client.post(f"{url}/v1/chat/completions", json=tools.ask(stream=bool(turn % 2)))
                    except httpx.TransportError:
                        return
                    if answer.text.endswith("data: [DONE]\n\n") or not turn % 2:
                        finished.append(answer.headers["x-request-id"])

        async def main(child: Any, url: str) -> None:
            loads = [asyncio.create_task(load(url)) for _ in range(8)]
            while len(finished) < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            await asyncio.gather(*loads)

        with tools.process("--serve", str(tools.folder / "serve.toml")) as (child, url):
            asyncio.run(main(child, url))
        store = open_store(str(tools.folder / "kept.sqlite"))
        try:
            kept = {id: store.read(id) for id in finished}
            spent = store.spent(0.0)[""]
        finally:
            store.close()
        assert {trace.row["answer"] for trace in kept.values()} == {"It is 42"}
        assert {trace.events[-1]["kind"] for trace in kept.values()} == {"run_ended"}
        assert spent.served >= len(finished)
        assert spent.completion_tokens == 3 * spent.served
        with tools.process("--serve", str(tools.folder / "serve.toml")) as (_, url):  # it starts again, and serves
            assert httpx.post(f"{url}/v1/chat/completions", json=tools.ask(), timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "can be reached from elsewhere"),
        (["--config", "no-such-file.toml"], "no-such-file.toml"),
        (["--key-env", "A_VARIABLE_THAT_IS_NOT_SET"], "A_VARIABLE_THAT_IS_NOT_SET"),
        (["--config", "a=x.toml", "--config", "a=y.toml"], "two pipelines"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    from k2core_cli.dispatch import main

    monkeypatch.setattr(logging.getLogger("k2core"), "handlers", [])  # the command adds one to this test's standard error
    began = time.monotonic()
    assert main(["serve", "--port", "0", *options]) != 0
    assert said in capsys.readouterr().err
    assert time.monotonic() - began < 60


def test_the_embedded_model_is_served_by_default(tools: Any) -> None:
    """The real one, in the server's process: three candidates, votes, and an answer at the end."""
    (tools.folder / "serve.toml").write_text('[models.k2core]\nset = ["planner.max_tokens=16"]\n')
    with tools.process("--serve", str(tools.folder / "serve.toml")) as (child, url):
        body = tools.ask("k2core", "What is 2 + 3?", max_tokens=16, seed=1, stream=True)
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]).strip()
        told = "".join(c["choices"][0]["delta"].get("reasoning_content", "") for c in chunks if c["choices"])
        assert "Candidate 2 is finished" in told
        assert "Decision:" in told
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0


def test_an_address_that_is_taken_is_said(tools: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from k2core_cli.dispatch import main

    monkeypatch.setattr(logging.getLogger("k2core"), "handlers", [])
    file = tools.write(tools.SINGLE, url="http://127.0.0.1:1/v1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--config", file, "--port", str(taken.getsockname()[1])]) == 1
    assert "address already in use" in capsys.readouterr().err
