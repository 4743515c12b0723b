"""The books: bounds that hold, estimates that are marked, sums that are conserved whatever becomes of the calls."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import plugin, runtime

from k2core import Completion, DecodeRequest, K2Error, Ledger, Message, Price, TransientError, Usage
from k2core.ledger import Meter, prompt_bound
from k2core.ports import Call
from k2core.testing import fake_decoder


def meter(**request: object) -> Meter:
    made = DecodeRequest(messages=(Message(role="user", content="four words of text"),), **request)  # type: ignore[arg-type] # test
    return Meter(Call("c", "decoder", "decoders.solver", {}), made, Price(prompt=1, completion=2))


@given(st.text(), st.integers(1, 9), st.integers(1, 500))
def test_the_reserve_is_never_less_than_bytes_and_max_tokens(text: str, n: int, max_tokens: int) -> None:
    request = DecodeRequest(messages=(Message(role="user", content=text),), n=n, max_tokens=max_tokens)
    call = Call("c", "decoder", "decoders.solver", {})
    Meter(call, request, Price(prompt=1, completion=2))
    assert prompt_bound(request) > len(text.encode("utf-8", "replace"))
    assert call.reserve == prompt_bound(request) + n * max_tokens
    assert call.reserve_cost == pytest.approx((prompt_bound(request) + 2 * n * max_tokens) / 1e6)


def test_what_the_back_end_metered_wins() -> None:
    counted = meter()
    counted.streamed = 5
    counted.count(False, {"prompt_tokens": 11, "completion_tokens": 3, "drafted": 4})
    counted.count(False, {"prompt_tokens": None, "completion_tokens": 7, "drafted": 6, "accepted": 2})
    usage = counted.settle("served", [Completion(text="x", tokens=6)])
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (11, 7, False)
    assert (usage.drafted, usage.accepted) == (6, 2)
    assert usage.cost == pytest.approx((11 + 14) / 1e6)


def test_what_nobody_counts_is_refused() -> None:
    with pytest.raises(
        TypeError, match="meter\\(\\) counts prompt_tokens, completion_tokens, drafted, accepted, unsent, not words"
    ):
        meter().count(False, {"words": 3})  # type: ignore[typeddict-unknown-key] # what a plugin without types may do


def test_without_metering_completions_count_and_the_prompt_is_marked_as_an_estimate() -> None:
    usage = meter().settle("served", [Completion(text="x", tokens=6), Completion(text="y", tokens=4)])
    assert (usage.completion_tokens, usage.estimated) == (10, True)
    assert usage.prompt_tokens > 0


def test_a_failure_before_the_first_token_has_used_nothing() -> None:
    assert meter().settle("failed").tokens == 0


def test_a_cancelled_call_has_used_what_had_streamed() -> None:
    cancelled = meter()
    cancelled.streamed = 3
    usage = cancelled.settle("cancelled")
    assert (usage.cancelled, usage.completion_tokens, usage.estimated) == (1, 3, True)


def test_calls_in_flight_count_as_started() -> None:
    runtime_books = Ledger()
    books = Ledger(runtime_books)
    books.open("1", "solve")
    assert (runtime_books.total.started, runtime_books.in_flight, books.usage()["solve"].served) == (1, 1, 0)
    books.settle("1", "solve", Usage(started=1, served=1, prompt_tokens=2, completion_tokens=3))
    assert (runtime_books.total, runtime_books.in_flight) == (Usage(started=1, served=1, prompt_tokens=2, completion_tokens=3), 0)


def test_many_threads_lose_no_entry() -> None:
    books = Ledger()

    def work(name: int) -> None:
        for i in range(500):
            books.open(f"{name}/{i}", "solve")
            books.settle(f"{name}/{i}", "solve", Usage(started=1, served=1, completion_tokens=2))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (books.total.started, books.total.served, books.total.completion_tokens, books.in_flight) == (4000, 4000, 8000, 0)


FATES = st.lists(st.sampled_from(["ok", "fail", "busy", "cancel"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(FATES)
def test_whatever_becomes_of_the_calls_the_sums_are_conserved(fates: list[str]) -> None:
    def respond(request: DecodeRequest, index: int) -> str | Exception:
        fate = fates[int(request.candidates[index])]
        return {"fail": ValueError("no"), "busy": TransientError("busy")}.get(fate, "one two three")

    async def one(made: object, name: int) -> None:
        async with made.open("x") as run:  # type: ignore[attr-defined] # a Runtime
            request = DecodeRequest(messages=(Message(role="user", content="x"),), candidates=(str(name),))
            task = asyncio.ensure_future(run.decode(request))
            if fates[name] == "cancel":
                await asyncio.sleep(0.001)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, K2Error)

    async def main() -> None:
        config = {"decoders": {"solver": {"use": "fake", "delay": 0.002}}, "retry": {"attempts": 3, "base": 0}}
        async with runtime(config, fake=("decoder", fake_decoder(respond))) as made:
            await asyncio.gather(*(one(made, i) for i in range(len(fates))))
            total, decoder = made.ledger.total, plugin(made, "decoders.solver")
        assert total.started == total.served + total.cancelled + total.failed == len(decoder.requests)
        assert (total.served, total.cancelled, total.failed) == (decoder.served, decoder.cancelled, decoder.failed)
        assert total.completion_tokens == decoder.tokens
        assert total.failed == fates.count("fail") + 3 * fates.count("busy")
        assert made.ledger.in_flight == 0

    asyncio.run(main())
