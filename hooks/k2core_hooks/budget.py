"""The `budget` hook: caps on tokens, calls, seconds and cost that concurrent calls can never pass together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from k2core.errors import LimitExceeded
from k2core.events import Event, RunEnded, RunStarted
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import UNSET, Call, Run
from k2core.types import Usage

PATH = "hooks.budget"
"""Its usual place in a pipeline, for messages before the kernel has said which it is."""


class Caps(PluginConfig):
    """Upper limits; an absent one does not limit."""

    tokens: Annotated[int, Field(gt=0)] | None = None
    """Prompt and completion tokens of all decoder calls."""
    calls: Annotated[int, Field(gt=0)] | None = None
    """Decoder calls started, retries included."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Wall seconds; a call still running then is cancelled."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """In the currency of `[prices]`."""


class BudgetConfig(Caps):
    """Caps over all runs of the runtime together, from its start."""

    problem: Caps = Caps()
    """Caps of each run by itself, from its own start."""


class Amount(NamedTuple):
    """What is spent, reserved or asked for."""

    tokens: int = 0
    calls: int = 0
    cost: float = 0.0

    def plus(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.calls + other.calls, self.cost + other.cost)


class Account:
    """What one scope, the runtime or a run, has spent and holds in reserve. Its owner's lock guards it."""

    def __init__(self, path: str, caps: Caps) -> None:
        self.path, self.caps = path, caps
        self.began = time.monotonic()
        self.spent = Amount()
        self.holds: dict[object, Amount] = {}

    @property
    def reserved(self) -> Amount:
        """The sum over calls in flight; computed afresh, so that nothing is left of it by rounding."""
        total = Amount()
        for hold in self.holds.values():
            total = total.plus(hold)
        return total

    def check(self, asked: Amount) -> None:
        """Raise `LimitExceeded` unless `asked` fits under every cap beside what is spent and reserved."""
        reserved = self.reserved
        for name in Amount._fields:
            cap, spent, held, more = (
                getattr(self.caps, name),
                getattr(self.spent, name),
                getattr(reserved, name),
                getattr(asked, name),
            )
            # cost is a sum of decimal fractions, which must be able to reach its cap exactly
            if cap is not None and round(spent + held + more, 9) > cap:
                message = f"the call may take {more:,} {name}; {spent:,} are spent and {held:,} reserved of {cap:,}"
                raise LimitExceeded(message, f"{self.path}.{name}")
        if self.left() == 0:
            raise self.out_of_time()

    def left(self) -> float | None:
        """Seconds until the cap on seconds, or None without one."""
        return None if self.caps.seconds is None else max(0.0, self.began + self.caps.seconds - time.monotonic())

    def out_of_time(self) -> LimitExceeded:
        return LimitExceeded(f"{self.caps.seconds:g} seconds are over", f"{self.path}.seconds")


class Budget(Plugin):
    """Admits a decoder call only if the most it can use fits under every cap beside what is spent and reserved.

    One lock guards check and reservation together, so threads and loops may share the runtime. When the call has ended,
    however it ended, its reservation gives way to what it used.
    """

    config: BudgetConfig
    rank: ClassVar[int] = 90

    def __init__(self, config: BudgetConfig | None = None) -> None:
        super().__init__(config)
        self._lock = threading.Lock()
        self._all = Account(PATH, self.config)
        self._runs: dict[str, Account] = {}

    @property
    def spent(self) -> Amount:
        """Of all runs since the start, without calls in flight."""
        with self._lock:
            return self._all.spent

    @property
    def reserved(self) -> Amount:
        """The most that the calls in flight can still use."""
        with self._lock:
            return self._all.reserved

    @hookimpl
    async def k2_start(self) -> None:
        self._all.began = time.monotonic()
        self._all.path = self.path or PATH

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._account(event.run_id)
        elif isinstance(event, RunEnded):
            with self._lock:
                self._runs.pop(event.run_id, None)

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self._guard(run.id, call) if call.role == "decoder" else None

    def _account(self, run_id: str) -> Account:
        with self._lock:
            return self._runs.setdefault(run_id, Account(f"{self._all.path}.problem", self.config.problem))

    @asynccontextmanager
    async def _guard(self, run_id: str, call: Call) -> AsyncIterator[None]:
        if call.result is not UNSET:  # a cache has answered: nothing will be spent
            yield
            return
        accounts = (self._all, self._account(run_id))
        hold = self._reserve(accounts, call)
        try:
            async with _cancelled_in_time(accounts):
                yield
        finally:
            self._settle(accounts, hold, call.usage)

    def _reserve(self, accounts: tuple[Account, ...], call: Call) -> object:
        """Returns the key under which the accounts hold the reservation."""
        hold, asked = object(), Amount(call.reserve, 1, call.reserve_cost)
        with self._lock:
            for account in accounts:
                account.check(asked)
            for account in accounts:
                account.holds[hold] = asked
        return hold

    def _settle(self, accounts: tuple[Account, ...], hold: object, usage: Usage) -> None:
        used = Amount(usage.tokens, usage.started, usage.cost)
        with self._lock:
            for account in accounts:
                del account.holds[hold]
                account.spent = account.spent.plus(used)


@asynccontextmanager
async def _cancelled_in_time(accounts: tuple[Account, ...]) -> AsyncIterator[None]:
    """Cancel the block when the first cap on seconds is reached, and raise its `LimitExceeded`."""
    timed = list(_timed(accounts))
    if not timed:
        yield
        return
    left, account = min(timed, key=lambda pair: pair[0])
    timeout = asyncio.timeout(left)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise account.out_of_time() from error
        raise


def _timed(accounts: tuple[Account, ...]) -> Iterator[tuple[float, Account]]:
    for account in accounts:
        left = account.left()
        if left is not None:
            yield left, account
