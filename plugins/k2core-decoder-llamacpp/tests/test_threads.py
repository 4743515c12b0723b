"""Blocking work that can be cancelled, and the queue for slots."""

from __future__ import annotations

import asyncio
import threading

import pytest
from k2core_decoder_llamacpp.threads import Slots, in_thread


def test_result_and_error() -> None:
    stop = threading.Event()
    assert asyncio.run(in_thread(lambda: 42, stop)) == 42
    with pytest.raises(KeyError):
        asyncio.run(in_thread(lambda: dict[str, int]()["x"], stop))
    assert not stop.is_set()


def test_cancelling_waits_until_the_work_has_stopped() -> None:
    stop, began, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        stop.wait(30)
        ended.set()

    async def main() -> None:
        task = asyncio.create_task(in_thread(work, stop))
        await asyncio.to_thread(began.wait)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # impatience changes nothing
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_first_come_first_served() -> None:
    async def main() -> list[str]:
        slots, order = Slots(4), []

        async def use(name: str, count: int) -> None:
            async with slots.take(count):
                order.append(name)
                await asyncio.sleep(0.01)

        await asyncio.gather(use("a", 3), use("b", 4), use("c", 1), use("d", 1))
        assert slots._free == 4
        return order

    assert asyncio.run(main()) == ["a", "b", "c", "d"]


def test_a_cancelled_wait_lets_the_next_ones_in() -> None:
    async def main() -> None:
        slots = Slots(2)

        async def use(count: int) -> str:
            async with slots.take(count):
                return "served"

        async with slots.take(1):
            large, small = asyncio.create_task(use(2)), asyncio.create_task(use(1))
            await asyncio.sleep(0.01)
            assert len(slots._waiting) == 2
            large.cancel()
            assert await small == "served"
        with pytest.raises(asyncio.CancelledError):
            await large
        assert slots._free == 2

    asyncio.run(main())


def test_cancelled_in_the_moment_it_is_granted() -> None:
    async def main() -> None:
        slots = Slots(1)

        async def use() -> None:
            async with slots.take(1):
                pytest.fail("it was cancelled before")

        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        assert slots._free == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slots._free == 1

    asyncio.run(main())


def test_shared_by_event_loops_on_several_threads() -> None:
    slots, most, now, lock = Slots(3), 0, 0, threading.Lock()

    async def use(count: int) -> None:
        nonlocal most, now
        async with slots.take(count):
            with lock:
                now += count
                most = max(most, now)
            await asyncio.sleep(0.001)
            with lock:
                now -= count

    async def many() -> None:
        await asyncio.gather(*(use(1 + i % 3) for i in range(30)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (slots._free, now) == (3, 0)
    assert most <= 3
