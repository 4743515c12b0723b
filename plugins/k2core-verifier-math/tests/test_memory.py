"""Opinions are remembered, formed once at a time, bounded, and shared by threads."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from k2core_verifier_math.memory import Key, Opinions
from k2core_verifier_math.pool import WAITED, Opinion

KEY: Key = ("1", "2", "math")
EQUAL: Opinion = ("equal", "said so")


def test_remembers_the_last_ones_used() -> None:
    opinions = Opinions(2)
    for answer in "abc":
        opinions.put(("1", answer, "math"), EQUAL)
        assert opinions.get(("1", "b", "math")) == (EQUAL if answer != "a" else None)
    assert opinions.get(("1", "a", "math")) is None
    assert opinions.get(("1", "b", "text")) is None
    assert Opinions(0).get(KEY) is None


def test_long_texts_are_told_apart_and_take_no_room() -> None:
    opinions, long = Opinions(10), "x" * 1_000_000
    opinions.put((long, long + "\udfff", "math"), EQUAL)
    assert opinions.get((long, long + "\udfff", "math")) == EQUAL
    assert opinions.get((long, long, "math")) is None
    assert sum(len(text) for key in opinions._known for text in key) < 200


@pytest.mark.parametrize("opinion", [("error", "no worker"), ("undecided", WAITED)])
def test_what_tells_more_about_the_machine_is_not_remembered(opinion: Opinion) -> None:
    opinions = Opinions(10)
    opinions.put(KEY, opinion)
    assert opinions.get(KEY) is None


def test_formed_once_for_all_who_ask_at_the_same_time_in_any_thread() -> None:
    opinions, formed = Opinions(10), list[int]()

    async def form() -> Opinion:
        formed.append(1)
        await asyncio.sleep(0.2)
        return EQUAL

    async def main() -> None:
        assert await asyncio.gather(*(opinions.once(KEY, form) for _ in range(50))) == [EQUAL] * 50

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(formed) == 1


def test_when_the_one_who_forms_it_is_cancelled_or_fails_the_next_does() -> None:
    opinions, begun = Opinions(10), list[int]()

    async def form() -> Opinion:
        begun.append(1)
        if len(begun) == 1:
            await asyncio.sleep(60)
        if len(begun) == 2:
            raise ValueError("not today")
        return EQUAL

    async def main() -> None:
        tasks = [asyncio.create_task(opinions.once(KEY, form)) for _ in range(4)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CancelledError", "ValueError", "tuple", "tuple"]
        assert len(begun) == 3

    asyncio.run(main())


def test_cancelling_one_who_waits_disturbs_nobody() -> None:
    opinions = Opinions(10)

    async def form() -> Opinion:
        await asyncio.sleep(0.1)
        return EQUAL

    async def main() -> None:
        leader, waiter = (asyncio.create_task(opinions.once(KEY, form)) for _ in range(2))
        await asyncio.sleep(0.02)
        waiter.cancel()
        assert await leader == EQUAL
        assert await opinions.once(KEY, form) == EQUAL

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 10


def test_a_fork_starts_with_a_memory_of_its_own() -> None:
    opinions = Opinions(10)
    opinions.put(KEY, EQUAL)
    opinions._process_id = -1
    assert opinions.get(KEY) is None
