"""Connections, cancellation and concurrency, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from k2core import PluginError, Problem, Runtime


def sockets() -> int:
    return len(psutil.Process().net_connections())


def test_64_concurrent_requests_use_their_connections_again(kit: Any) -> None:
    async def script(wire: Any) -> None:
        await asyncio.sleep(0.01)
        word = wire.body["messages"][0]["content"]
        wire.stream(kit.events(kit.chunk(word), kit.chunk("!", finish="stop"), kit.usage(1, 2)))

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(f"http://127.0.0.1:{server.port}") as rt:
            for _ in range(5):
                texts = await asyncio.gather(*(solve(rt, f"w{i}") for i in range(64)))
                assert texts == [f"w{i}!" for i in range(64)]
            assert len(server.bodies) == 320
            assert server.connections == 64
            assert (rt.ledger.total.served, rt.ledger.total.completion_tokens) == (320, 640)

    async def solve(rt: Runtime, word: str) -> str:
        from k2core import Message

        async with rt.open(Problem(prompt=word)) as run:
            (completion,) = await run.decode(kit.request(messages=(Message(role="user", content=word),)))
            return completion.text

    asyncio.run(main())


def test_no_more_requests_in_flight_than_configured(kit: Any) -> None:
    most = now = 0

    async def script(wire: Any) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        wire.stream(kit.events(kit.chunk("x", finish="stop")))

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(f"http://127.0.0.1:{server.port}", connections=3) as rt:
            async with rt.open(Problem(prompt="x")) as run:
                await asyncio.gather(*(run.decode(kit.request()) for _ in range(12)))
            assert rt.ledger.total.served == 12
            assert server.connections == 3

    asyncio.run(main())
    assert most == 3


def test_an_answer_whose_end_does_not_come_is_complete_all_the_same(kit: Any) -> None:
    async def script(wire: Any) -> None:
        wire.head(transfer_encoding="chunked")
        wire.piece(kit.events(kit.chunk("four", finish="stop")))
        await wire.gone()

    assert kit.ask(script).text == "four"


async def _cancelled(kit: Any, script: Callable[..., Any], cancel: asyncio.Event, **options: Any) -> Any:
    """The ledger after a decode call that is cancelled when the event is set."""
    async with kit.Server(script) as server, kit.runtime(f"http://127.0.0.1:{server.port}", **options) as rt:
        async with rt.open(Problem(prompt="x")) as run:
            task = asyncio.ensure_future(run.decode(kit.request()))
            await cancel.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not [t for t in asyncio.all_tasks() if "exchange" in repr(t)]
        return rt.ledger.total


@pytest.mark.parametrize(
    ("head", "read", "unread"), [(0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 0, 500), (1, 3, 0), (1, 3, 1), (1, 3, 500)]
)
def test_a_cancelled_call_counts_what_had_arrived_and_the_server_sees_it_go(kit: Any, head: int, read: int, unread: int) -> None:
    """The cancellation comes in the same turn of the loop in which the server writes, so the client has read none of it."""
    cancel, gone = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        if head:
            wire.head(transfer_encoding="chunked")
        for _ in range(read):
            wire.piece(kit.events(kit.chunk("x"), done=False))
        await wire.turns(30 if read else 0)
        for _ in range(unread):
            wire.piece(kit.events(kit.chunk("y"), done=False))
        cancel.set()
        await wire.gone()
        gone.set()

    async def main() -> None:
        total = await _cancelled(kit, script, cancel)
        await asyncio.wait_for(gone.wait(), 10)
        assert (total.started, total.cancelled, total.failed, total.completion_tokens) == (1, 1, 0, read + unread)

    asyncio.run(main())


def test_a_flood_does_not_hold_up_a_cancellation(kit: Any) -> None:
    cancel, gone = asyncio.Event(), asyncio.Event()
    sent = 0

    async def script(wire: Any) -> None:
        nonlocal sent
        wire.head(transfer_encoding="chunked")
        piece = kit.events(*[kit.chunk("x")] * 100, done=False)
        while not wire.writer.transport.is_closing():
            wire.piece(piece)
            await asyncio.sleep(0)
            sent += 100
            if sent == 1000:
                cancel.set()
        gone.set()

    async def main() -> None:
        total = await _cancelled(kit, script, cancel)
        await asyncio.wait_for(gone.wait(), 10)
        assert total.cancelled == 1
        assert 0 < total.completion_tokens <= sent

    asyncio.run(main())


def test_cancelled_while_waiting_for_its_turn_nothing_is_sent(kit: Any) -> None:
    started = asyncio.Event()

    async def script(wire: Any) -> None:
        started.set()
        await wire.gone()

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(f"http://127.0.0.1:{server.port}", connections=1) as rt:
            async with rt.open(Problem(prompt="x")) as run:
                tasks = [asyncio.ensure_future(run.decode(kit.request())) for _ in range(2)]
                await started.wait()
                for task in reversed(tasks):
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert len(server.bodies) == 1
            assert (rt.ledger.total.started, rt.ledger.total.cancelled) == (2, 2)

    asyncio.run(main())


def test_cancelled_twice_it_still_leaves_nothing(kit: Any) -> None:
    started, gone = asyncio.Event(), asyncio.Event()

    async def script(wire: Any) -> None:
        started.set()
        await wire.gone()
        gone.set()

    async def main() -> None:
        async with kit.Server(script) as server, kit.runtime(f"http://127.0.0.1:{server.port}") as rt:
            async with rt.open(Problem(prompt="x")) as run:
                task = asyncio.ensure_future(run.decode(kit.request()))
                await started.wait()
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                with pytest.raises(asyncio.CancelledError):
                    await task
            await asyncio.wait_for(gone.wait(), 10)
            assert rt.ledger.total.cancelled == 1

    asyncio.run(main())


def test_nothing_is_left_behind(kit: Any) -> None:
    async def script(wire: Any) -> None:
        wire.stream(kit.events(kit.chunk("x", finish="stop")))

    async def main() -> None:
        async with kit.Server(script) as server, runtime(server) as rt, rt.open(Problem(prompt="x")) as run:
            await asyncio.gather(*(run.decode(kit.request()) for _ in range(8)))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def runtime(server: Any) -> Any:
        return kit.runtime(f"http://127.0.0.1:{server.port}")

    before, threads = sockets(), threading.active_count()
    asyncio.run(main())
    gc.collect()  # an unclosed transport would warn here, and warnings are errors
    assert (sockets(), threading.active_count()) == (before, threads)


def test_two_runtimes_at_once_do_not_share_a_session(kit: Any) -> None:
    async def main() -> None:
        async with kit.Server(lambda wire: wire.stream(kit.events(kit.chunk("x", finish="stop")))) as server:
            url = f"http://127.0.0.1:{server.port}"
            async with kit.runtime(url) as one, kit.runtime(url) as two:
                for rt in (one, two, one, two):
                    async with rt.open(Problem(prompt="x")) as run:
                        await run.decode(kit.request())
                assert server.connections == 2
                assert one.ledger.total.served == two.ledger.total.served == 2

    asyncio.run(main())


def test_a_slow_consumer_slows_the_server_down(kit: Any) -> None:
    """While the loop is busy elsewhere nothing is read, and what is read is taken in before more is."""
    seen: list[int] = []

    async def script(wire: Any) -> None:
        wire.head(transfer_encoding="chunked")
        for _ in range(200):
            wire.piece(kit.events(*[kit.chunk("x" * 500)] * 20, done=False))
            await wire.writer.drain()
            seen.append(wire.writer.transport.get_write_buffer_size())
        wire.piece(kit.events(kit.chunk("", finish="stop")))
        wire.piece(b"")

    out = kit.ask(script)
    assert len(out.text) == 200 * 20 * 500
    assert max(seen) <= 2**17


def test_calls_that_end_before_anything_was_sent_are_told_apart(kit: Any) -> None:
    """Whenever a call is cancelled: what the server has seen, and what it cannot know of, are all that were started."""

    async def main() -> None:
        async with kit.Server(lambda wire: wire.gone()) as server, kit.runtime(f"http://127.0.0.1:{server.port}") as rt:
            for turns in range(1, 81):  # a task that never began is no call
                async with rt.open(Problem(prompt="x")) as run:
                    call = asyncio.ensure_future(run.decode(kit.request()))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    call.cancel()
                    await asyncio.gather(call, return_exceptions=True)
            await asyncio.sleep(0.1)  # the server reads what has arrived
            total = rt.ledger.total
            assert total.started == total.cancelled == 80
            assert 0 < total.unsent < 80
            assert len(server.bodies) == total.started - total.unsent

    asyncio.run(main())


def test_a_server_that_is_not_there_was_sent_nothing(kit: Any) -> None:
    async def main() -> None:
        async with kit.runtime("http://127.0.0.1:9", attempts=2) as rt, rt.open(Problem(prompt="x")) as run:
            with pytest.raises(PluginError):
                await run.decode(kit.request())
            assert (rt.ledger.total.failed, rt.ledger.total.unsent) == (2, 2)

    asyncio.run(main())
