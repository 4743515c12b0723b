"""Routing over real servers, killed and revived; the ledger's counts are the servers'."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from k2core_decoder_route import BreakerMoved, Routed

from k2core import DecodeRequest, Message, PipelineConfig, PluginError, Problem, Registry, Runtime
from k2core.events import CallEnded, Event, Warned
from k2core.testing import EventRecorder

PROBLEM = Problem(prompt="Say hello")


def pipeline(servers: list[Any], prices: dict[str, Any] | None = None, **options: Any) -> PipelineConfig:
    """A route `solver` over servers; models do not matter."""
    route = {"use": "route", "decoders": [s.name for s in servers], "mixed": True, "pause": 0.2, **options}
    tables = {"solver": route, **{s.name: s.table for s in servers}}
    return PipelineConfig.from_dict({"decoders": tables, "prices": prices or {}, "retry": {"base": 0.05}})


def request(text: str = "Hello", **changes: Any) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content=text),), max_tokens=8, **changes)


async def until(true: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def recorded(config: Any) -> tuple[Runtime, list[Event]]:
    events: list[Event] = []

    class Recorder(EventRecorder):
        def __init__(self, config: Any = None) -> None:
            super().__init__(config)
            self.events = events

    registry = Registry()
    registry.add("hook", "recorder", Recorder)
    data = config.model_dump(exclude_none=True)
    data["hooks"] = {"recorder": {"use": "recorder"}}
    return Runtime(type(config).from_dict(data), registry=registry), events


def chosen(events: list[Event]) -> list[str]:
    return [event.decoder for event in events if isinstance(event, Routed)]


def test_a_dead_server_costs_one_refused_connection_and_comes_back(servers: list[Any]) -> None:
    async def main() -> None:
        runtime, events = recorded(pipeline(servers, failures=2))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:
            assert (await run.decode(request()))[0].model == "a"
            servers[0].kill()
            began = time.monotonic()
            for _ in range(6):
                assert (await run.decode(request()))[0].model == "b"
            assert time.monotonic() - began < 2  # no back-off of the kernel in between
            tries = [e for e in events if isinstance(e, CallEnded) and e.plugin == "decoders.a" and e.status == "failed"]
            assert 2 <= len(tries) <= 4  # the breaker opened after two; probes may have gone by
            servers[0].start()

            async def back() -> bool:
                await asyncio.sleep(0.1)
                return bool((await run.decode(request()))[0].model == "a")

            async with asyncio.timeout(10):
                while not await back():
                    pass
            moves = [(e.decoder, e.state) for e in events if isinstance(e, BreakerMoved)]
            assert moves[0] == ("a", "open")
            assert moves[-2:] == [("a", "half-open"), ("a", "closed")]
            assert len([e for e in events if isinstance(e, Warned)]) == 1

    asyncio.run(main())


def test_a_server_killed_in_mid_stream_is_not_mixed_into_the_answer(servers: list[Any]) -> None:
    servers[0].tell(pause=0.2)

    async def main() -> None:
        runtime, events = recorded(pipeline(servers))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:
            call = asyncio.ensure_future(run.decode(request(candidates=("c0",))))
            await until(lambda: any(getattr(e, "text", "") == " a0" for e in events) and servers[0].books()["tokens"] == 2)
            servers[0].kill()
            completion = (await call)[0]
            assert (completion.text, completion.model) == ("Hello b0 b1 b2 b3 b4 b5 b6", "b")
            total = runtime.ledger.total
            assert (total.started, total.served, total.failed, total.cached) == (2, 1, 1, 1)
            assert total.completion_tokens == servers[0].books()["tokens"] + 8
            ends = {e.call_id: e for e in events if isinstance(e, CallEnded)}
            winner = next(i for i, e in ends.items() if e.plugin == "decoders.b")
            told = "".join(e.text for e in events if getattr(e, "kind", "") == "delta" and e.call_id == winner)  # type: ignore[attr-defined] # deltas have both
            assert told == completion.text

    asyncio.run(main())


def test_a_server_that_asks_for_a_wait_gets_it(servers: list[Any]) -> None:
    servers[0].tell(status=429, headers={"retry-after": "1"})

    async def main() -> None:
        async with Runtime(pipeline(servers)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                assert (await run.decode(request()))[0].model == "b"
                await asyncio.sleep(0.02)
            assert servers[0].books()["started"] == 1
            servers[0].tell(status=0)
            await asyncio.sleep(0.5)
            assert (await run.decode(request()))[0].model == "a"

    asyncio.run(main())


def test_wrong_requests_neither_fail_over_nor_break_circuits(servers: list[Any]) -> None:
    servers[0].tell(status=400, message="maximum context length is 4096 tokens")

    async def main() -> None:
        async with Runtime(pipeline(servers)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            for _ in range(5):
                with pytest.raises(PluginError, match="context length"):
                    await run.decode(request())
            assert servers[0].books()["started"] == 5
            assert servers[1].books()["started"] == 0
        async with Runtime(pipeline(servers, refusals=True)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            assert (await run.decode(request()))[0].model == "b"

    asyncio.run(main())


def test_all_down_says_who_and_when(servers: list[Any]) -> None:
    for server in servers:
        server.kill()

    async def main() -> None:
        async with Runtime(pipeline(servers, failures=1, pause=60)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            with pytest.raises(PluginError) as caught:
                await run.decode(request())
            text = str(caught.value)
            assert all(f"{name} (open, next try in " in text for name in "abc")
            assert "connect" in text.lower()
            assert runtime.ledger.total.started == 4  # three refused connections, and the route's own failure

    asyncio.run(main())


def test_the_kernel_tries_again_when_all_are_down_for_a_moment(servers: list[Any]) -> None:
    for server in servers:
        server.tell(status=503, headers={"retry-after-ms": "100"})

    async def main() -> None:
        async with Runtime(pipeline(servers)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            call = asyncio.ensure_future(run.decode(request()))
            await until(lambda: servers[2].books()["started"])
            servers[1].tell(status=0)
            assert (await call)[0].model == "b"

    asyncio.run(main())


def test_flapping_under_64_requests_at_once(servers: list[Any]) -> None:
    """No request fails; requests, tokens and outcomes in the ledger are those in the servers' books."""
    for server in servers:
        server.tell(pause=0.01)

    async def main() -> None:
        runtime, events = recorded(pipeline(servers, strategy="fastest", failures=2))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:

            async def flap() -> None:
                for _ in range(5):
                    await asyncio.sleep(0.15)
                    await asyncio.to_thread(servers[1].kill)
                    await asyncio.sleep(0.1)
                    await asyncio.to_thread(servers[1].start)

            async def ask(number: int) -> None:
                for turn in range(4):
                    made = (await run.decode(request(f"{number}/{turn}")))[0]
                    assert made.text.split()[0] == f"{number}/{turn}"
                    assert set(made.text.split()[1:]) == {f"{made.model}{i}" for i in range(7)}

            async with asyncio.TaskGroup() as group:
                group.create_task(flap())
                for number in range(64):
                    group.create_task(ask(number))
            assert runtime.ledger.in_flight == 0
            total = runtime.ledger.total
            ends = [event for event in events if isinstance(event, CallEnded) and event.plugin != "decoders.solver"]
        assert total.cached == total.served == 256
        assert total.started == total.served + total.failed == len(ends)
        assert set(chosen(events)) == {"a", "b", "c"}
        assert sum(server.books()["served"] for server in servers) >= 256
        for server in (servers[0], servers[2]):
            mine = [event for event in ends if event.plugin == f"decoders.{server.name}"]
            assert server.books()["started"] == server.books()["served"] == len(mine)
            assert server.books()["tokens"] == sum(event.usage.completion_tokens for event in mine)
        killed = [event for event in ends if event.plugin == "decoders.b"]
        assert servers[1].books()["started"] <= len(killed)  # the others found no one to connect to

    asyncio.run(main())


def test_hedging_cancels_and_counts_the_loser(servers: list[Any]) -> None:
    servers[0].tell(first=30)

    async def main() -> None:
        runtime, events = recorded(pipeline(servers, hedge_after=0.1, failures=2, pause=60))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:
            for _ in range(2):
                assert (await run.decode(request()))[0].model == "b"
            total = runtime.ledger.total
            assert (total.started, total.served, total.cancelled, total.completion_tokens) == (4, 2, 2, 16)
            assert "a has been silent for 0.1 s" in [e.why for e in events if isinstance(e, Routed)]
            await run.decode(request())  # its breaker is open: nobody waits for it any more
            assert runtime.ledger.total.started == 5

    asyncio.run(main())


def test_cancelled_in_a_hedge_both_are_cancelled(servers: list[Any]) -> None:
    for server in servers:
        server.tell(first=30)

    async def main() -> None:
        async with Runtime(pipeline(servers, hedge_after=0.05)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            call = asyncio.ensure_future(run.decode(request()))
            await until(lambda: servers[1].books()["started"])
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            total = runtime.ledger.total
            assert (total.started, total.cancelled, runtime.ledger.in_flight) == (2, 2, 0)

    asyncio.run(main())


def test_fastest_measures_each_and_takes_the_quick_one(servers: list[Any]) -> None:
    servers[0].tell(first=0.15)
    servers[1].tell(pause=0.05)

    async def main() -> None:
        runtime, events = recorded(pipeline(servers, strategy="fastest"))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:
            for _ in range(8):
                await run.decode(request())
            assert chosen(events) == ["a", "b", "c", *("c" * 5)]

    asyncio.run(main())


def test_cheapest_goes_by_the_pipelines_prices(servers: list[Any]) -> None:
    prices = {"a": {"completion": 3.0}, "b": {"completion": 1.0}, "c": {"completion": 2.0}}

    async def main() -> None:
        async with Runtime(pipeline(servers, prices, strategy="cheapest")) as runtime, runtime.open(PROBLEM, seed=1) as run:
            assert (await run.decode(request()))[0].model == "b"
            assert runtime.ledger.total.cost == pytest.approx(8e-6)
            servers[1].kill()
            assert (await run.decode(request()))[0].model == "c"

    asyncio.run(main())


def test_mixed_models_are_a_warning(servers: list[Any]) -> None:
    async def main(mixed: bool) -> list[Event]:
        runtime, events = recorded(pipeline(servers, mixed=mixed))
        async with runtime, runtime.open(PROBLEM, seed=1) as run:
            for status in (0, 503, 503):
                servers[0].tell(status=status)
                await run.decode(request())
        return [e for e in events if isinstance(e, Warned) and "different models" in e.message]

    assert len(asyncio.run(main(mixed=False))) == 1
    assert not asyncio.run(main(mixed=True))


def test_budgets_reserve_once(servers: list[Any]) -> None:
    config = pipeline(servers[:2])
    data = config.model_dump(exclude_none=True)
    data["hooks"] = {"budget": {"use": "budget", "problem": {"calls": 1}}}
    try:
        Registry().load("hook", "budget")
    except Exception as error:
        pytest.skip(str(error))

    async def main() -> None:
        async with Runtime(type(config).from_dict(data)) as runtime, runtime.open(PROBLEM, seed=1) as run:
            assert (await run.decode(request()))[0].model == "a"
            with pytest.raises(Exception, match=r"hooks\.budget\.problem\.calls"):
                await run.decode(request())

    asyncio.run(main())


def test_routes_within_routes(servers: list[Any]) -> None:
    tables = {
        "solver": {"use": "route", "decoders": ["pair", "c"], "mixed": True},
        "pair": {"use": "route", "decoders": ["a", "b"], "mixed": True},
        **{server.name: server.table for server in servers},
    }

    async def main() -> None:
        config = PipelineConfig.from_dict({"decoders": tables, "retry": {"base": 0.05}})
        async with Runtime(config) as runtime, runtime.open(PROBLEM, seed=1) as run:
            assert (await run.decode(request()))[0].model == "a"
            servers[0].kill()
            assert (await run.decode(request()))[0].model == "b"
            servers[1].kill()
            assert (await run.decode(request()))[0].model == "c"

    asyncio.run(main())
