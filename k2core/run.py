"""One request on its way through the pipeline. Every role call goes through `Run._call`, every model call through `Run.decode`."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Unpack

from .choice import checked_candidates, checked_completions, checked_verdicts, choose
from .config import Price
from .errors import ConfigError, LimitExceeded, PluginError, TransientError, boundary, explain
from .events import CallEnded, CallStarted, CandidateMade, Delta, Event, PlanMade, SamplerStopped, Verified, Warned
from .judging import Judging
from .ledger import Ledger, Meter, Outcome
from .pipeline import Pipeline
from .ports import UNSET, Call, Counts
from .registry import Slot
from .types import Candidate, Completion, DecodeRequest, Plan, Problem, Result, Usage, Verdict, uses_tools

Observer = Callable[[Event], None]
_FREE = Price()


class Run:
    """See `ports.Run`. A role call gets a shallow copy of its own that knows the call; all else is shared between the copies."""

    def __init__(
        self, pipeline: Pipeline, problem: Problem, ledger: Ledger, run_id: str, seed: int, observers: Sequence[Observer]
    ) -> None:
        self._pipeline, self.problem, self.id, self.seed = pipeline, problem, run_id, seed
        self.ledger = Ledger(ledger)
        self._observers = observers
        self._began = time.monotonic()
        self.deadline: float | None = None
        self._hurry = asyncio.Event()
        self._calls = itertools.count(1)
        self._states: dict[str, dict[str, Any]] = {}
        self.state: dict[str, Any] = {}
        self._planning = asyncio.Lock()
        self._plans: list[Plan | None] = []
        self._judging = Judging(pipeline, self._judged)
        self._made: set[str] = set()
        self._stops: list[str] = []
        self.warnings: list[str] = []
        self._meter: Meter | None = None

    # what plugins ask

    @property
    def usage(self) -> Mapping[str, Usage]:
        return self.ledger.usage()

    @property
    def hurry(self) -> bool:
        return self._hurry.is_set()

    async def wait_hurry(self) -> None:
        await self._hurry.wait()

    @contextmanager
    def soft_deadline(self, seconds: float | None) -> Iterator[None]:
        """Set `hurry` after so many seconds in the block."""
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._hurry.set)
        try:
            yield
        finally:
            if timer:
                timer.cancel()

    def remaining(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - asyncio.get_running_loop().time())

    def seed_for(self, *parts: object) -> int:
        text = "/".join(map(str, (self.seed, *parts)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1

    # what plugins tell

    @property
    def observed(self) -> bool:
        """Whether anybody listens; building events for nobody would cost as much as all else in a run."""
        return bool(self._observers)

    def emit(self, event: Event) -> None:
        if isinstance(event, CandidateMade):
            self._made.add(event.candidate.id)
        elif isinstance(event, SamplerStopped):
            self._stops.append(event.reason)
        if self._observers:
            if event.run_id:  # emitted before
                event = event.model_copy()
            event.__dict__.update(run_id=self.id, at=self._now())  # several times as fast as a copy
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def warn(self, where: str, message: str) -> None:
        self.warnings.append(f"{where}: {message}")
        self.emit(Warned(where=where, message=message))

    def delta(self, text: str, index: int = 0, *, reasoning: bool = False, tokens: int = 1) -> None:
        meter = self._serving()
        meter.streamed += tokens
        if self._observers:
            names, role = meter.request.candidates, meter.request.role
            candidate = names[index] if index < len(names) else None
            origin: dict[str, Any] = {"run_id": self.id, "at": self._now(), "call_id": meter.call.id, "role": role}
            self._tell(Delta(candidate=candidate, index=index, text=text, reasoning=reasoning, tokens=tokens, **origin))

    def meter(self, *, estimated: bool = False, **counts: Unpack[Counts]) -> None:
        self._serving().count(estimated, counts)

    def _serving(self) -> Meter:
        if self._meter is None or self._meter.settled:
            raise RuntimeError("delta and meter are for a decoder, while it serves a call")
        return self._meter

    # the roles

    async def plan(self, problem: Problem | None = None) -> Plan | None:
        slot = self._pipeline.planner
        if slot is None:
            return None
        if self._pipeline.config.plan == "sample":
            return await self._plan_with(slot, problem or self.problem)
        async with self._planning:
            if not self._plans:
                self._plans.append(await self._plan_with(slot, problem or self.problem))
        return self._plans[0]

    async def _plan_with(self, slot: Slot, problem: Problem) -> Plan | None:
        try:
            plan: Plan | None = await self._role(slot, "k2_plan", {"problem": problem})
            if plan is not None and not isinstance(plan, Plan):
                raise PluginError(f"k2_plan must return a Plan or None, not {plan!r:.80}", "planner", slot.use)
        except (PluginError, LimitExceeded) as error:
            self.warn(slot.path, f"going on without a plan: {explain(error)}")
            plan = None
        self.emit(PlanMade(plan=plan))
        return plan

    async def sample(self, plan: Plan | None) -> list[Candidate]:
        """The sampler's candidates; those that it did not announce itself are announced here."""
        slot = self._pipeline.sampler
        if slot is None:
            raise ConfigError("the pipeline has neither decoders nor a sampler, so it can only verify", "sampler")
        made = await self._role(slot, "k2_sample", {"problem": self.problem, "plan": plan})
        candidates = checked_candidates(made, slot.use)
        for candidate in candidates:
            if candidate.id not in self._made:
                self.emit(CandidateMade(candidate=candidate))
        return candidates

    async def verify(
        self, candidates: Sequence[Candidate], reference: str | None = None, *, only: str | None = None
    ) -> list[Verdict]:
        return await self._judging.verdicts(candidates, reference, only)

    async def _judged(self, slot: Slot, candidates: Sequence[Candidate], reference: str | None) -> list[Verdict]:
        args = {"problem": self.problem, "candidates": candidates, "reference": reference}
        try:
            verdicts = checked_verdicts(await self._role(slot, "k2_verify", args), candidates, slot)
        except (PluginError, LimitExceeded) as error:
            self.warn(slot.path, f"could not judge: {explain(error)}")
            failed = Verdict(candidate_id="", status="error", reason=explain(error), verifier=slot.name)
            verdicts = [failed.model_copy(update={"candidate_id": c.id}) for c in candidates]
        if self.observed:
            self.emit(Verified(verifier=slot.name, verdicts=tuple(verdicts)))
        return verdicts

    async def solve(self) -> Result:
        """Plan, sample, verify, choose."""
        if uses_tools(self.problem):
            self._pipeline.check_tools(self._pipeline.solvers)  # before the planner has spent anything
        plan = await self.plan() if self._pipeline.config.plan == "problem" else None
        candidates = await self.sample(plan)
        verdicts = await self._judging.verdicts(candidates, None, final=True)
        choice = choose(candidates, verdicts, self._pipeline.verifiers)
        return Result(
            run_id=self.id,
            problem_id=self.problem.id,
            answer=choice.answer,
            candidate=choice.candidate,
            plan=plan,
            candidates=tuple(candidates),
            verdicts=tuple(verdicts),
            scores=choice.scores,
            decision="; ".join([choice.why, *self._stops]),
            usage=self.usage,
            warnings=tuple(self.warnings),
            seconds=time.monotonic() - self._began,
        )

    # the one place where plugins are called

    async def _role(self, slot: Slot, hook: str, args: Mapping[str, Any]) -> Any:
        call = Call(f"{self.id}/{next(self._calls)}", slot.role, slot.path, args)
        return await self._call(slot, hook, call, self._scope(slot.path), self._invoke)

    def _scope(self, path: str, meter: Meter | None = None) -> Run:
        scope = object.__new__(Run)
        scope.__dict__.update(self.__dict__, _meter=meter, state=self._states.setdefault(path, {}))
        return scope

    async def _call(self, slot: Slot, hook: str, call: Call, scope: Run, serve: Callable[..., Awaitable[Any]]) -> Any:
        """Enter every `k2_around`, then the role unless one of them has answered. A veto leaves nothing un-awaited."""
        with boundary(slot.role, f"a hook around {slot.path}"):
            async with AsyncExitStack() as stack:
                for path, around in self._pipeline.wrappers:
                    with boundary("hook", path):
                        for wrapper in around(run=self._scope(path), call=call):
                            await stack.enter_async_context(wrapper)
                if call.result is UNSET:
                    call.result = await serve(slot, hook, call, scope)
                elif slot.role == "decoder":
                    made = checked_completions(call.result, call.args["request"], slot.use)
                    self._close(call, "cached", Usage(cached=1), made)
        return call.result

    async def _invoke(self, slot: Slot, hook: str, call: Call, scope: Run) -> Any:
        with boundary(slot.role, slot.use):
            answer = self._pipeline.caller(slot, hook)(run=scope, **call.args)
            return None if answer is None else await answer

    # decoding

    async def decode(self, request: DecodeRequest) -> Sequence[Completion]:
        slot = self._pipeline.decoder(request.decoder)
        if self.problem.tools and request.role == "solve" and request.tools is None:
            request = request.model_copy(update={"tools": self.problem.tools})
        if uses_tools(request):
            self._pipeline.check_tools([slot])
        for attempt in itertools.count(1):
            try:
                return await self._decode_once(slot, request)
            except TransientError as error:
                wait = self._wait_before_retry(attempt, error)
                if wait is None:
                    raise PluginError(f"{explain(error)} ({attempt} attempts)", "decoder", slot.use) from error
                await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _wait_before_retry(self, attempt: int, error: TransientError) -> float | None:
        """Exponential back-off with jitter, or what the server asked for; None when enough has been tried."""
        retry = self._pipeline.config.retry
        if attempt >= retry.attempts or (error.after or 0) > retry.max:
            return None
        back_off = min(retry.max, retry.base * 2 ** (attempt - 1))
        jitter = random.Random(self.seed_for("retry", attempt, next(self._calls))).uniform(1, 1.25)
        return float(max(error.after or 0.0, back_off) * jitter)

    async def _decode_once(self, slot: Slot, request: DecodeRequest) -> Sequence[Completion]:
        call = Call(f"{self.id}/{next(self._calls)}", "decoder", slot.path, {"request": request})
        meter = Meter(call, request, self._pipeline.config.prices.get(slot.name, _FREE))
        result: Sequence[Completion] = await self._call(slot, "k2_decode", call, self._scope(slot.path, meter), self._booked)
        return result

    async def _booked(self, slot: Slot, hook: str, call: Call, scope: Run) -> Sequence[Completion]:
        """Serve a decode call between its two entries in the ledger, whatever becomes of it."""
        meter = scope._serving()
        self.ledger.open(call.id, meter.request.role)
        if self.observed:
            self.emit(CallStarted(call_id=call.id, plugin=slot.path, request=meter.request))
        try:
            completions = checked_completions(await self._invoke(slot, hook, call, scope), meter.request, slot.use)
        except BaseException as error:
            outcome: Outcome = "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"
            self._close(call, outcome, meter.settle(outcome), error=explain(error))
            raise
        self._close(call, "served", meter.settle("served", completions), completions)
        return completions

    def _close(self, call: Call, status: Any, usage: Usage, made: Sequence[Completion] = (), error: str = "") -> None:
        """The second entry: what the call has used, and what it brought."""
        call.usage, role = usage, call.args["request"].role
        self.ledger.settle(call.id, role, usage)
        if self.observed:
            done = {"call_id": call.id, "plugin": call.plugin, "role": role, "status": status, "usage": usage, "error": error}
            self.emit(CallEnded(completions=tuple(made), **done))
