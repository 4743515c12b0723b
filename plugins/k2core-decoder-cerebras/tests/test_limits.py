"""Rate limits: obeyed after a refusal, and before one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from k2core_decoder_cerebras.limits import Limits, retry_after, seconds

EMPTY = {"x_ratelimit_remaining_tokens_minute": "0", "x_ratelimit_reset_tokens_minute": "0.3"}


def test_an_exhausted_limit_is_waited_for(kit: Any) -> None:
    asked = [kit.request(), kit.request()]
    began = time.monotonic()
    out = kit.several(lambda wire: wire.stream(kit.good("4"), **EMPTY), asked)
    assert out.error is None
    assert len(out.server.bodies) == 2
    assert 0.3 <= time.monotonic() - began < 5


@pytest.mark.parametrize("options", [{"on_limit": "fail"}, {"limit_wait": 0.1}])
def test_or_failed_over_without_asking(kit: Any, options: dict[str, Any]) -> None:
    out = kit.several(lambda wire: wire.stream(kit.good("4"), **EMPTY), [kit.request()] * 2, options)
    assert "nothing is left of tokens-minute for 0." in str(out.error)
    assert len(out.server.bodies) == 1
    assert 0 < out.error.__cause__.after <= 0.3
    assert (out.ledger.total.served, out.ledger.total.failed, out.ledger.total.prompt_tokens) == (1, 1, 7)


def test_the_kernel_retries_when_the_limit_is_reset(kit: Any) -> None:
    out = kit.several(lambda wire: wire.stream(kit.good("4"), **EMPTY), [kit.request()] * 2, {"on_limit": "fail", "attempts": 2})
    assert out.error is None
    assert (out.ledger.total.started, out.ledger.total.served, out.ledger.total.failed) == (3, 2, 1)


def test_a_refusal_without_retry_after_waits_for_the_reset(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(429, kit.error_body("slow down", "request_quota_exceeded"), **EMPTY))
    assert "answered 429: slow down" in str(out.error)
    assert 0 < out.error.__cause__.after <= 0.3


@pytest.mark.parametrize(("header", "after"), [({"retry_after": "2"}, 2.0), ({"retry_after_ms": "250", "retry_after": "9"}, 0.25)])
def test_retry_after_is_passed_on(kit: Any, header: dict[str, str], after: float) -> None:
    out = kit.ask(lambda wire: wire.answer(503, kit.error_body("busy"), **header))
    assert out.error.__cause__.after == after


def test_limits_keep_the_longest_and_forget_the_passed() -> None:
    now = [100.0]
    limits = Limits(lambda: now[0])
    head = "x-ratelimit-remaining-", "x-ratelimit-reset-"
    limits.told({head[0] + "tokens-minute": "0", head[1] + "tokens-minute": "11.38"})
    limits.told({head[0] + "requests-day": "-0", head[1] + "requests-day": "60"})
    assert limits.blocked() == ("requests-day", 60.0)
    limits.told({head[0] + "requests-day": "5", head[1] + "requests-day": "60"})
    assert limits.blocked()[0] == "tokens-minute"
    now[0] += 12
    assert limits.blocked() == ("", 0.0)
    limits.told({head[0] + "tokens-minute": "nonsense", head[1] + "tokens-minute": "inf"})
    assert limits.blocked() == ("", 0.0)


def test_times_are_read() -> None:
    assert [seconds(t) for t in ("11.5", "250ms", "1m30s", "2h", "", "-1", "nan", "1x", None)] == [
        11.5,
        0.25,
        90,
        7200,
        *[None] * 5,
    ]
    date = {"retry-after": "Wed, 21 Oct 2015 07:28:10 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(date) == 10
    assert retry_after({"retry-after": "soon"}) is None
