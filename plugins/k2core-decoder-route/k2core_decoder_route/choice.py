"""Which decoder is asked next, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from k2core.types import DecodeRequest

from .config import RouteConfig
from .member import Member, Price


class Chooser:
    """Ranks the decoders that are in use. `prices` is the pipeline's table, once a run has begun."""

    def __init__(self, config: RouteConfig, members: Sequence[Member]) -> None:
        self._members = members
        self.pipeline: Mapping[str, Any] = {}
        strategies: dict[str, Callable[[DecodeRequest, list[Member]], tuple[Member, str, bool]]]
        strategies = {"healthy": self._healthy, "cheapest": self._cheapest, "fastest": self._fastest}
        self._strategy = strategies[config.strategy]

    def next(self, request: DecodeRequest, tried: Collection[str]) -> tuple[Member, str, bool] | None:
        """The decoder, the reason in a phrase, and whether it is asked in order to measure it; None when there is none."""
        able = [member for member in self._members if member.name not in tried and member.breaker.admits()]
        if not able:
            return None
        if trying := [member for member in able if member.breaker.state != "closed" and self._strategy == self._fastest]:
            return trying[0], "to see whether it is back", False
        return self._strategy(request, able)

    def _healthy(self, request: DecodeRequest, able: list[Member]) -> tuple[Member, str, bool]:
        return able[0], "the first in use", False

    def _cheapest(self, request: DecodeRequest, able: list[Member]) -> tuple[Member, str, bool]:
        costs = {member.name: self._cost(request, member) for member in able}
        member = min(able, key=lambda one: costs[one.name])
        return member, f"the cheapest, at most {costs[member.name]:g}", False

    def _cost(self, request: DecodeRequest, member: Member) -> float:
        """For four characters a token and all tokens that the request allows."""
        price = Price.of(self.pipeline, member.name)
        prompt = 1 + sum(len(message.content) for message in request.messages) // 4
        return (prompt * price.prompt + request.n * request.max_tokens * price.completion) / 1e6

    def _fastest(self, request: DecodeRequest, able: list[Member]) -> tuple[Member, str, bool]:
        """The shortest expected time; one that nothing is known of is measured first, with one call at a time."""
        if unknown := [member for member in able if not member.pace.known and not member.pace.measuring]:
            return unknown[0], "to measure it", True
        known = [member for member in able if member.pace.known]
        if not known:
            return able[0], "the first, as nothing has been measured yet", False
        usual = [length for member in known if (length := member.pace.usual()) is not None]
        tokens = min(request.max_tokens, max(usual, default=request.max_tokens))
        times = {member.name: member.pace.expected(tokens) for member in known}
        member = min(known, key=lambda one: times[one.name])
        return member, f"the fastest, {times[member.name]:.2f} s expected", False
