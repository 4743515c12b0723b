"""What a configuration may say, and when a breaker opens and closes."""

from __future__ import annotations

import asyncio

import pytest
from k2core_decoder_route import RouteConfig
from k2core_decoder_route.breaker import Breaker

from k2core import ConfigError, DecodeRequest, Message, PipelineConfig, Problem, Runtime

PROBLEM = Problem(prompt="Say hello")


@pytest.mark.parametrize(
    ("decoders", "path"),
    [([], "decoders.solver.decoders"), (["x"], "decoders.solver.decoders.0"), (["a", "a"], "decoders.solver.decoders")],
)
def test_wrong_names_are_errors_with_their_place(decoders: list[str], path: str) -> None:
    tables = {"solver": {"use": "route", "decoders": decoders}, "a": {"use": "openai"}}
    with pytest.raises(ConfigError) as caught:
        Runtime(PipelineConfig.from_dict({"decoders": tables}))
    assert caught.value.path == path


def test_a_route_to_itself_and_a_circle_are_refused() -> None:
    async def main() -> None:
        own = PipelineConfig.from_dict({"decoders": {"solver": {"use": "route", "decoders": ["solver"]}}})
        with pytest.raises(ConfigError, match=r"decoders\.solver\.decoders\.0"):
            await Runtime(own).start()
        tables = {"solver": {"use": "route", "decoders": ["x"]}, "x": {"use": "route", "decoders": ["solver"]}}
        circle = PipelineConfig.from_dict({"decoders": tables})
        async with Runtime(circle) as runtime, runtime.open(PROBLEM, seed=1) as run:
            with pytest.raises(ConfigError, match=r"decoders\.solver to decoders\.x to decoders\.solver"):
                await run.decode(DecodeRequest(messages=(Message(role="user", content="Hello"),)))
            assert runtime.ledger.total.started == 0

    asyncio.run(main())


def test_pauses_grow_and_one_call_probes() -> None:
    now, states = [0.0], list[str]()
    config = RouteConfig(decoders=("a",), failures=2, pause=1.0, pause_max=3.0)
    breaker = Breaker(config, states.append, lambda: now[0])
    early = breaker.begin()
    for _ in range(2):
        breaker.failed(breaker.begin(), "gone")
    assert not breaker.admits()
    breaker.failed(early, "gone, too")  # from before it opened: the pause stays
    for pause in (1.0, 2.0, 3.0, 3.0):
        assert breaker.wait == pytest.approx(pause)
        now[0] += pause
        probe = breaker.begin()
        assert probe.probe
        assert not breaker.admits()
        breaker.failed(probe, "still gone")
    now[0] += 3.0
    breaker.released(breaker.begin())  # cancelled: another may try
    breaker.served(breaker.begin())
    assert breaker.state == states[-1] == "closed"


def test_a_share_of_failures_opens_it_and_a_wish_is_kept() -> None:
    now = [0.0]
    breaker = Breaker(RouteConfig(decoders=("a",), failures=9, window=4), clock=lambda: now[0])
    for outcome in (breaker.served, breaker.served):
        outcome(breaker.begin())
    breaker.failed(breaker.begin(), "busy")
    assert breaker.admits()
    breaker.failed(breaker.begin(), "busy")
    assert not breaker.admits()
    other = Breaker(RouteConfig(decoders=("a",), pause_max=5.0), clock=lambda: now[0])
    other.failed(other.begin(), "busy", after=20.0)
    assert other.wait == 20.0
