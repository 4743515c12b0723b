"""Keys, rates, budgets and the queue."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from k2core_serve.admission.buckets import Bucket
from k2core_serve.admission.keys import Keys
from k2core_serve.admission.queue import Places
from k2core_serve.openai.errors import ApiError
from k2core_serve.settings import KeyTable, Settings

from k2core.errors import ConfigError

SECRET = "sk-a-secret-of-the-tests-0123456789"
ADMIN = "sk-another-secret-of-the-tests-98765"


def test_a_bucket_refills_and_may_be_overdrawn() -> None:
    now = [0.0]
    bucket = Bucket(60, 60, lambda: now[0])
    bucket.take(90)
    assert bucket.wait(1) == 31
    now[0] = 31
    assert bucket.wait(1) == 0
    assert bucket.level == 1
    now[0] = 1000
    assert bucket.level == 60


async def _order(places: Places, priorities: list[int]) -> list[int]:
    order: list[int] = []

    async def one(priority: int) -> None:
        async with places.place(priority):
            order.append(priority)
            await asyncio.sleep(0)

    async with places.place(0):
        tasks = [asyncio.create_task(one(priority)) for priority in priorities]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return order


def test_the_queue_goes_by_priority_and_arrival() -> None:
    assert asyncio.run(_order(Places(1, 10, 5), [5, 3, 5, 0, 9])) == [0, 3, 5, 5, 9]


def test_a_full_queue_refuses_and_lets_the_important_in() -> None:
    async def main() -> tuple[list[Any], int, int]:
        places = Places(1, 2, 5)

        async def one(priority: int) -> int:
            async with places.place(priority):
                return priority

        async with places.place(0):
            tasks = [asyncio.create_task(one(priority)) for priority in (5, 5, 5, 1)]
            await asyncio.sleep(0.01)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        return [o if isinstance(o, int) else type(o) for o in outcomes], places.free, places.waiting

    assert asyncio.run(main()) == ([5, ApiError, ApiError, 1], 1, 0)


def test_who_leaves_the_queue_takes_no_place() -> None:
    async def main() -> tuple[int, int, int]:
        places = Places(1, 9, 0.05)

        async def one() -> None:
            async with places.place(5):
                await asyncio.sleep(0)

        for wait in (0.0, 0.01):  # cancelled before and in the very turn in which the place becomes free
            async with places.place(0):
                task = asyncio.create_task(one())
                await asyncio.sleep(wait)
                if wait:
                    task.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with places.place(0):
            with pytest.raises(ApiError, match="no place became free"):
                await one()
        return places.free, places.running, places.waiting

    assert asyncio.run(main()) == (1, 0, 0)


def test_keys_are_read_from_where_they_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{ADMIN}\n")
    monkeypatch.setenv("A_KEY", SECRET)
    keys = Keys({"a": KeyTable(env="A_KEY"), "b": KeyTable(file=str(tmp_path / "key"), admin=True)})
    assert keys.of(f"Bearer {SECRET}").name == "a"
    assert keys.of(f"bearer {ADMIN}").admin
    for wrong in (None, "", SECRET, f"Basic {SECRET}", "Bearer ", f"Bearer {SECRET}x", "Bearer \udcff"):
        with pytest.raises(ApiError) as caught:
            keys.of(wrong)
        assert caught.value.status == 401
        assert SECRET not in caught.value.message
    assert SECRET not in repr(vars(keys)) + repr([vars(key) for key in keys])


@pytest.mark.parametrize("value", ["", "short", "has a space in the middle of it", "ünïcödé-ünïcödé-ünïcödé"])
def test_a_key_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("A_KEY", value)
    with pytest.raises(ConfigError, match=r"keys.a.*A_KEY") as caught:
        Keys({"a": KeyTable(env="A_KEY")})
    assert not value or value not in str(caught.value)


def test_keys_are_needed_unless_bound_to_this_machine() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com"):
        with pytest.raises(ValueError, match="can be reached from elsewhere"):
            Settings(host=host)
        Settings(host=host, open=True)
        Settings(host=host, keys={"a": KeyTable(env="A")})
    Settings(host="::1")


@pytest.fixture
def keyed(tools: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("A_KEY", SECRET)
    monkeypatch.setenv("B_KEY", ADMIN)

    def start(api: Any, **a: Any) -> Any:
        keys = {"a": {"env": "A_KEY", **a}, "b": {"env": "B_KEY", "admin": True}}
        files = [tools.write(tools.SINGLE, name, url=api.base_url) for name in ("m.toml", "other.toml")]
        return tools.serve(*files, keys=keys)

    return start


def auth(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_who_has_no_key_gets_401_in_openais_form(tools: Any, keyed: Any) -> None:
    with tools.api_server(lambda body: "42") as api, keyed(api) as server:
        for path, body in (("/v1/chat/completions", tools.ask()), ("/v1/responses", {"model": "m", "input": "x"})):
            answer = server.post(path, json=body)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-wrong-0123456789", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                client.chat.completions.create(**tools.ask())
            with pytest.raises(openai.AuthenticationError):
                client.models.list()
        assert server.post(json=tools.ask(), headers=auth(SECRET)).status_code == 200
        assert api.requests
        assert len(api.requests) == 1


def test_a_key_may_be_for_some_models_only(tools: Any, keyed: Any) -> None:
    with tools.api_server(lambda body: "42") as api, keyed(api, models=["other"]) as server:
        assert server.post(json=tools.ask(), headers=auth(SECRET)).status_code == 403
        assert server.post(json=tools.ask("other"), headers=auth(SECRET)).status_code == 200
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=SECRET) as client:
            assert [model.id for model in client.models.list()] == ["other"]


@pytest.mark.parametrize(("limit", "kind"), [({"requests_per_minute": 1}, "requests"), ({"tokens_per_minute": 5}, "tokens")])
def test_rates_and_token_budgets_answer_429_with_the_wait(tools: Any, keyed: Any, limit: Any, kind: str) -> None:
    with tools.api_server(lambda body: "It is forty two") as api, keyed(api, **limit) as server:
        assert server.post(json=tools.ask(), headers=auth(SECRET)).status_code == 200
        answer = server.post(json=tools.ask(), headers=auth(SECRET))
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == kind
        assert int(answer.headers["retry-after"]) >= 1
        assert int(answer.headers["retry-after-ms"]) > 0
        assert server.post(json=tools.ask(), headers=auth(ADMIN)).status_code == 200  # a budget is its key's own
        assert len(api.requests) == 2


def test_a_request_that_waits_is_served_when_a_place_is_free(tools: Any) -> None:
    hold = threading.Event()

    def slow(body: dict[str, Any]) -> str:
        return "42"

    with tools.api_server(slow) as api:
        file = tools.write(tools.SINGLE, url=api.base_url)
        limits = {"running": 1, "queued": 1, "queue_seconds": 20}
        with tools.serve(file, limits=limits) as server:
            places = server.services.gate.places
            answers: list[int] = []

            async def occupied() -> None:
                async with places.place(0):
                    while not hold.is_set():  # noqa: ASYNC110 # of another thread
                        await asyncio.sleep(0.01)

            assert server.loop is not None
            occupant = asyncio.run_coroutine_threadsafe(occupied(), server.loop)
            tools.eventually(lambda: places.running)
            thread = threading.Thread(target=lambda: answers.append(server.post(json=tools.ask()).status_code))
            thread.start()
            tools.eventually(lambda: places.waiting)
            refused = server.post(json=tools.ask())
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "overloaded"
            assert "retry-after" in refused.headers
            hold.set()
            occupant.result(10)
            thread.join(10)
            assert answers == [200]


def test_clients_with_keys_are_not_told_of_back_ends(tools: Any, keyed: Any) -> None:
    """The address and the words of a back end that fails are for the log, in one piece and in a stream."""

    def fails(body: dict[str, Any]) -> Any:
        return web.json_response({"error": {"message": "internal words"}}, status=400)

    with tools.api_server(fails) as api, keyed(api) as server:
        for stream in (False, True):
            answer = server.post(json=tools.ask(stream=stream), headers=auth(SECRET))
            assert answer.headers["x-request-id"] in answer.text if stream else answer.status_code == 502
            assert "the server's log says why under" in answer.text
            assert "internal words" not in answer.text
            assert "127.0.0.1" not in answer.text
