"""The `budget` hook: caps hold under concurrency, and nothing stays reserved."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_hooks.budget import Amount, Budget, BudgetConfig, Caps

from k2core import (
    Call,
    DecodeRequest,
    K2Error,
    LimitExceeded,
    Message,
    PipelineConfig,
    Plugin,
    PluginConfig,
    Problem,
    Registry,
    Runtime,
    TransientError,
    Usage,
    hookimpl,
)
from k2core.testing import FakeDecoder, fake_decoder


def _runtime(budget: dict[str, Any], decoder: type[FakeDecoder] = FakeDecoder, **more: Any) -> tuple[Runtime, Budget]:
    made: list[Budget] = []

    class Watched(Budget):
        """Lets the test see the instance that the runtime makes."""

        def __init__(self, config: BudgetConfig | None = None) -> None:
            super().__init__(config)
            made.append(self)

    registry = Registry()
    registry.add("decoder", "fake", decoder)
    registry.add("sampler", "none", NoSampler)
    registry.add("hook", "budget", Watched)
    tables = {"sampler": {"use": "none"}, "decoders": {"solver": {"use": "fake"}}, "hooks": {"budget": budget}, **more}
    runtime = Runtime(PipelineConfig.from_dict(tables), registry=registry)
    return runtime, made[0]


class _NoConfig(PluginConfig):
    pass


class NoSampler(Plugin):
    config: _NoConfig

    @hookimpl
    async def k2_sample(self) -> list[Any]:
        raise AssertionError("these tests decode on their own")


def _request(words: int = 3, n: int = 1, max_tokens: int = 8) -> DecodeRequest:
    return DecodeRequest(messages=(Message(role="user", content="w " * words),), n=n, max_tokens=max_tokens)


def _unruly(request: DecodeRequest, index: int) -> str | Exception:
    """By the seed: an answer of some length, a failure, or one that lasts until it is cancelled."""
    kind = (request.seed or 0) % 5
    if kind == 0:
        return RuntimeError("boom")
    return " ".join(["x"] * (10_000 if kind == 1 else kind * 3))


caps = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.integers(1, 20_000),
        "calls": st.integers(1, 64),
        "cost": st.floats(0.001, 5, allow_nan=False),
    },
)


@settings(max_examples=60, deadline=None)
@given(total=caps, each=caps, seeds=st.lists(st.integers(0, 999), min_size=64, max_size=64), runs=st.integers(1, 8))
def test_64_concurrent_workers_never_spend_past_a_cap(
    total: dict[str, Any], each: dict[str, Any], seeds: list[int], runs: int
) -> None:
    prices = {"solver": {"prompt": 1000, "completion": 5000}}
    runtime, hook = _runtime({**total, "problem": each}, fake_decoder(_unruly), prices=prices)

    async def worker(run: Any, seed: int) -> None:
        request = _request(seed % 7 + 1, n=seed % 3 + 1, max_tokens=seed % 50 + 10).model_copy(update={"seed": seed})
        with suppress(K2Error, TimeoutError):
            async with asyncio.timeout(0.02 if seed % 5 == 1 else None):
                await run.decode(request)

    async def problem(seeds: list[int]) -> Usage:
        async with runtime.open(Problem(prompt="x")) as run:
            await asyncio.gather(*(worker(run, seed) for seed in seeds))
            return sum(run.usage.values(), Usage())

    async def main() -> list[Usage]:
        async with runtime:
            return await asyncio.gather(*(problem(seeds[k::runs]) for k in range(runs)))

    spent = asyncio.run(main())
    for usage in spent:
        _within(usage, each)
    everything = sum(spent, Usage())
    _within(everything, total)
    assert hook.reserved == Amount()
    assert hook.spent.tokens == everything.tokens
    assert hook.spent.calls == everything.started
    assert hook.spent.cost == pytest.approx(everything.cost)
    assert not hook._runs


def _within(usage: Usage, limits: dict[str, Any]) -> None:
    assert usage.tokens <= limits.get("tokens", math.inf)
    assert usage.started <= limits.get("calls", math.inf)
    assert round(usage.cost, 9) <= limits.get("cost", math.inf)


def test_the_unruly_decoder_does_serve_fail_and_get_cancelled() -> None:
    """Guards the property test: its three endings all occur."""
    runtime, _ = _runtime({}, fake_decoder(_unruly))

    async def main() -> Usage:
        async with runtime, runtime.open(Problem(prompt="x")) as run:
            for seed in range(5):
                with suppress(K2Error, TimeoutError):
                    async with asyncio.timeout(0.02 if seed == 1 else None):
                        await run.decode(_request(max_tokens=10_000 if seed == 1 else 50).model_copy(update={"seed": seed}))
            return run.usage["solve"]

    usage = asyncio.run(main())
    assert (usage.served, usage.failed, usage.cancelled) == (3, 1, 1)


def test_threads_share_the_caps() -> None:
    """The hook by itself: many threads, each with a loop, and calls that use all they reserved."""
    hook = Budget(BudgetConfig(tokens=1000))
    admitted: list[int] = []

    class SomeRun:
        id = "r"

    async def work() -> None:
        for _ in range(50):
            call = Call("c", "decoder", "decoders.solver", {}, reserve=7)
            guard = hook.k2_around(SomeRun(), call)  # type: ignore[arg-type] # of a Run it reads the id only
            assert guard is not None
            with suppress(LimitExceeded):
                async with guard:
                    await asyncio.sleep(0)
                    call.usage = Usage(started=1, served=1, completion_tokens=7)
                    admitted.append(7)

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == hook.spent.tokens == 142 * 7
    assert hook.reserved == Amount()


def _refused(budget: dict[str, Any], calls: int = 2, **more: Any) -> LimitExceeded:
    runtime, _ = _runtime(budget, **more)

    async def main() -> None:
        async with runtime, runtime.open(Problem(prompt="x")) as run:
            for _ in range(calls):
                await run.decode(_request())

    with pytest.raises(LimitExceeded) as caught:
        asyncio.run(main())
    return caught.value


@pytest.mark.parametrize("scope", ["hooks.budget", "hooks.budget.problem"])
def test_the_error_names_the_limit_and_the_figures(scope: str) -> None:
    caps = {"calls": 1}
    error = _refused({"problem": caps} if scope.endswith("problem") else caps)
    assert error.limit == f"{scope}.calls"
    assert str(error) == f"the call may take 1 calls; 1 are spent and 0 reserved of 1 ({scope}.calls)"


def test_a_call_that_might_pass_the_token_cap_is_refused_before_it_starts() -> None:
    error = _refused({"tokens": 20}, calls=1)
    assert error.limit == "hooks.budget.tokens"
    assert "0 are spent" in str(error)


def test_cost_can_reach_its_cap_exactly_in_spite_of_binary_fractions() -> None:
    hook = Budget(BudgetConfig(cost=0.3))

    async def main() -> None:
        for _ in range(3):
            call = Call("c", "decoder", "decoders.solver", {}, reserve_cost=0.1)
            async with hook._guard("r", call):
                call.usage = Usage(started=1, cost=0.1)

    asyncio.run(main())
    with pytest.raises(LimitExceeded, match=r"hooks\.budget\.cost"):
        asyncio.run(main())


def test_retries_are_calls_of_their_own() -> None:
    error = _refused({"calls": 3}, decoder=fake_decoder(lambda r, i: TransientError("busy")), retry={"base": 0, "attempts": 10})
    assert error.limit == "hooks.budget.calls"


@pytest.mark.parametrize("budget", [{"seconds": 0.05}, {"problem": {"seconds": 0.05}}])
def test_a_call_is_cancelled_when_the_seconds_are_over(budget: dict[str, Any]) -> None:
    endless = fake_decoder(lambda r, i: "x " * 1_000_000)
    runtime, hook = _runtime(budget, endless)

    async def main() -> Usage:
        async with runtime, runtime.open(Problem(prompt="x")) as run:
            with pytest.raises(LimitExceeded, match="seconds are over"):
                await run.decode(_request(max_tokens=1_000_000))
            with pytest.raises(LimitExceeded, match="seconds are over"):
                await run.decode(_request())
            return run.usage["solve"]

    usage = asyncio.run(main())
    assert (usage.started, usage.cancelled) == (1, 1)
    assert hook.spent.calls == 1
    assert hook.reserved == Amount()


def test_a_time_out_of_the_back_ends_own_is_left_as_it_is() -> None:
    hook = Budget(BudgetConfig(seconds=60))

    async def main() -> None:
        async with hook._guard("r", Call("c", "decoder", "decoders.solver", {})):
            raise TimeoutError("the socket's own")

    with pytest.raises(TimeoutError, match="the socket's own"):
        asyncio.run(main())


def test_answers_of_a_cache_cost_nothing() -> None:
    hook = Budget(BudgetConfig(calls=1))

    async def main() -> None:
        for _ in range(3):
            async with hook._guard("r", Call("c", "decoder", "decoders.solver", {}, result=())):
                pass

    asyncio.run(main())
    assert hook.spent == Amount()


def test_only_decoder_calls_are_guarded() -> None:
    assert Budget().k2_around(None, Call("c", "verifier", "verifiers.math", {})) is None  # type: ignore[arg-type] # not looked at


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"calls": -1}, {"token": 5}, {"problem": {"calls": "many"}}])
def test_nonsense_caps_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(K2Error, match=r"hooks\.budget"):
        _runtime(wrong)


def test_without_caps_nothing_is_limited() -> None:
    assert Caps().model_dump(exclude_none=True) == {}
    runtime, hook = _runtime({})

    async def main() -> None:
        async with runtime, runtime.open(Problem(prompt="x")) as run:
            await run.decode(_request())

    asyncio.run(main())
    assert hook.spent.calls == 1
