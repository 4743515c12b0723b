"""Many calls at once, cancellation at every moment, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from k2core import Problem


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition, and a little more for the other side to read what has been sent."""
    for _ in range(300):
        if condition():
            return await asyncio.sleep(0.1)
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


async def settled(server: Any) -> None:
    """Wait until the server has seen all connections close."""
    for _ in range(200):
        if not server.open:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{server.open} connections are still open")


def test_64_calls_at_once(kit: Any) -> None:
    all_in = asyncio.Barrier(64)

    async def script(wire: Any) -> None:
        wire.head(transfer_encoding="chunked")
        name = wire.body["messages"][-1]["content"]
        wire.piece(kit.events(kit.chunk(f"{name} "), done=False))
        await all_in.wait()
        wire.piece(kit.events({**kit.chunk(f"again {name}", "stop"), **kit.usage(3, 4)}))
        wire.writer.write(b"0\r\n\r\n")

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(server.url) as rt:

            async def one(number: int) -> str:
                async with rt.open(Problem(prompt=f"p{number}"), seed=number) as run:
                    message = {"role": "user", "content": f"p{number}"}
                    return str((await run.decode(kit.request(messages=(message,))))[0].text)

            texts = await asyncio.wait_for(asyncio.gather(*map(one, range(64))), 60)
            assert texts == [f"p{n} again p{n}" for n in range(64)]
            assert (rt.ledger.total.served, rt.ledger.total.completion_tokens, rt.ledger.total.prompt_tokens) == (64, 256, 192)

    asyncio.run(main())


def test_connections_bounds_the_requests_in_flight(kit: Any) -> None:
    inside, most = Counter[str](), [0]

    async def script(wire: Any) -> None:
        inside["now"] += 1
        most[0] = max(most[0], inside["now"])
        await asyncio.sleep(0.02)
        inside["now"] -= 1
        wire.stream(kit.good("4"))

    out = kit.ask(script, {"connections": 3}, n=8)
    assert len(out.completions) == 8
    assert most == [3]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_a_cancelled_call_closes_its_connections_and_counts_what_came(kit: Any, n: int, stream: bool) -> None:
    async def script(wire: Any) -> None:
        if stream:
            wire.head(transfer_encoding="chunked")
            for _ in range(5):
                wire.piece(kit.events(kit.chunk("a"), done=False))
        await wire.gone()

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(server.url, stream=stream) as rt:
            async with rt.open(Problem(prompt="x"), seed=1) as run:
                call = asyncio.create_task(run.decode(kit.request(n=n)))
                await until(lambda: len(server.bodies) == n)
                began = asyncio.get_running_loop().time()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await settled(server)
                assert asyncio.get_running_loop().time() - began < 1
            total = rt.ledger.total
            assert (total.cancelled, total.completion_tokens) == (1, 5 * n * stream)
            assert total.estimated == stream

    asyncio.run(main())


def test_what_lies_in_the_socket_counts_too(kit: Any) -> None:
    """The server sends and the client is cancelled before its loop has read anything of it."""
    wires: list[Any] = []

    async def script(wire: Any) -> None:
        wire.head(transfer_encoding="chunked")
        wires.append(wire)
        await wire.gone()

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(server.url) as rt, rt.open(Problem(prompt="x"), seed=1) as run:
            call = asyncio.create_task(run.decode(kit.request()))
            await until(lambda: bool(wires))
            for _ in range(7):
                wires[0].piece(kit.events(kit.chunk("a"), done=False))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert rt.ledger.total.completion_tokens == 7

    asyncio.run(main())


def test_one_failing_choice_ends_the_others(kit: Any) -> None:
    async def script(wire: Any) -> None:
        if wire.body["seed"] == 2:
            await asyncio.sleep(0.1)
            return wire.answer(404, kit.error_body("gone"), connection="close")
        wire.head(transfer_encoding="chunked")
        wire.piece(kit.events({**kit.chunk("a"), **kit.usage(9, 1)}, done=False))
        return await wire.gone()

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(server.url) as rt, rt.open(Problem(prompt="x"), seed=1) as run:
            with pytest.raises(Exception, match="check model 'loop'"):
                await run.decode(kit.request(n=3, seed=1))
            await settled(server)
            assert (rt.ledger.total.failed, rt.ledger.total.completion_tokens, rt.ledger.total.prompt_tokens) == (1, 2, 18)

    asyncio.run(main())


def test_300_calls_cut_at_random_leave_nothing(kit: Any) -> None:
    """Cancelled at every moment or broken in every way: no connection, task, thread or descriptor stays, and the next is good."""

    async def script(wire: Any) -> None:
        seed = wire.body["seed"]
        if seed % 5 == 1:
            return wire.reset()
        if seed % 5 == 2:
            return wire.answer(503, b"busy", connection="close")
        wire.head(transfer_encoding="chunked", connection="close")
        for _ in range(seed % 7):
            wire.piece(kit.events(kit.chunk("a"), done=False))
            await asyncio.sleep(0.001)
        if seed % 5 == 3:
            wire.piece(b"data: {nonsense\n\n")
        if seed:
            return await wire.gone()
        wire.piece(kit.good("4"))
        wire.writer.write(b"0\r\n\r\n")

    async def one(rt: Any, kit: Any, number: int) -> None:
        async with rt.open(Problem(prompt="x"), seed=number) as run:
            call = asyncio.create_task(run.decode(kit.request(seed=number)))
            await asyncio.sleep((number * 7 % 40) / 1000)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(server.url) as rt:
            async with rt.open(Problem(prompt="x"), seed=0) as run:  # loads what is loaded once
                await run.decode(kit.request(seed=0))
            await settled(server)
            await asyncio.sleep(0.05)
            before = len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd"))
            for start in range(1, 301, 30):
                await asyncio.gather(*(one(rt, kit, number) for number in range(start, start + 30)))
            await settled(server)
            gc.collect()
            await asyncio.sleep(0.05)
            assert (len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
            assert rt.ledger.in_flight == 0
            total = rt.ledger.total
            assert total.started == 301 == total.served + total.cancelled + total.failed
            async with rt.open(Problem(prompt="x"), seed=0) as run:
                assert (await run.decode(kit.request(seed=0)))[0].text == "4"

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to count descriptors in")
    asyncio.run(main())


def test_warming_is_off_unless_asked_for(kit: Any) -> None:
    async def script(wire: Any) -> None:
        wire.answer(200, b'"warm"') if wire.body is None else wire.stream(kit.good("4"))

    assert kit.ask(script).server.paths == ["/v1/chat/completions"]
    out = kit.ask(script, {"warm_tcp_connection": True})
    assert out.server.paths == ["/v1/tcp_warming", "/v1/chat/completions"]


def test_importing_does_not_import_the_sdk() -> None:
    import subprocess
    import sys

    code = "import sys, k2core_decoder_cerebras as p; p.CerebrasDecoder; print({m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"cerebras", "httpx"} & eval(done.stdout)


def test_a_connection_is_used_again(kit: Any) -> None:
    for options in ({}, {"stream": False}):

        def script(wire: Any, streamed: bool = not options) -> None:
            wire.stream(kit.good("4")) if streamed else wire.answer(200, kit.whole("4"))

        out = kit.several(script, [kit.request()] * 3, options)
        assert (out.error, len(out.server.bodies), out.server.connections) == (None, 3, 1)


def test_an_end_that_does_not_come_costs_little(kit: Any) -> None:
    """The last event has come, but neither the end of the response nor the connection's."""

    async def script(wire: Any) -> None:
        wire.head(transfer_encoding="chunked")
        wire.piece(kit.good("4"))
        await wire.gone()

    out = kit.several(script, [kit.request()] * 2)
    assert (out.text, out.server.connections) == ("4", 2)
    assert out.completions[0].timing.total < 2
