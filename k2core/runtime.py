"""A pipeline brought to life: assembled from a configuration, started, asked, stopped."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .config import PipelineConfig, validated
from .errors import ConfigError, K2Error, LimitExceeded, PluginError, boundary, explain
from .events import Event, RunEnded, RunStarted
from .ledger import Ledger
from .log import get_logger
from .pipeline import Pipeline
from .registry import Registry, Slot, effective, manager_for
from .run import Observer, Run
from .types import Candidate, Problem, Result, Task, TrainReport, Verdict

if TYPE_CHECKING:
    from .toolkit.portal import Portal


class Runtime:
    """Owns its plugins, its plugin manager and its ledger, so several can live in one process without seeing each other.

    Asynchronous: `async with Runtime(config) as runtime: await runtime.solve(…)`, always in the loop that started it.
    Synchronous: `with Runtime(config) as runtime: runtime.solve_sync(…)`, from any thread, also inside a running loop.
    Constructing one imports and configures the plugins, and raises what is wrong with them; starting acquires resources.
    """

    def __init__(self, config: PipelineConfig | None = None, *, registry: Registry | None = None) -> None:
        self.config = config if config is not None else PipelineConfig.default()
        slots = (registry or Registry()).assemble(self.config)
        self.ledger = Ledger()
        self._pipeline = Pipeline(self.config, slots, manager_for(slots))
        self.effective = effective(self.config, slots)
        """The configuration with every default filled in, plugins' options included, as plain JSON types."""
        self._origins = {slot.path: slot.origin for slot in slots if slot.origin}
        self._observers = [self._guarded(path, tell) for path, tell in self._pipeline.observers]
        self._running: set[asyncio.Task[Any]] = set()
        self._started: list[Slot] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._portal: Portal | None = None
        self._lock = threading.Lock()

    def _guarded(self, path: str, tell: Callable[..., Any]) -> Observer:
        """Observers may fail, into the log; the first failure says so, the rest would only repeat it."""
        failed = False

        def observe(event: Event) -> None:
            nonlocal failed
            try:
                tell(event=event)
            except Exception as error:
                if not failed:
                    get_logger(plugin=path).error("observer failed", kind=event.kind, error=explain(error), exc_info=error)
                failed = True

        return observe

    # life

    async def start(self) -> None:
        """Start every plugin, once; when one fails, stop those started and raise its `PluginError`."""
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise K2Error("this Runtime was started in another event loop; use solve_sync, or a Runtime for each loop")
        self._loop = loop
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        for slot in self._pipeline.slots:
            self._started.append(slot)
            try:
                with boundary(slot.role, slot.use):
                    await self._lifecycle(slot, "k2_start")
            except BaseException:
                await self.stop()
                raise

    async def _lifecycle(self, slot: Slot, hook: str) -> None:
        if caller := self._pipeline.callers.get((slot.path, hook)):
            await asyncio.gather(*caller())

    async def stop(self) -> None:
        """Cancel what starts or runs, then stop every started plugin, last first. Errors on the way go to the log."""
        starting = {self._starting} if self._starting else set()
        running = (self._running | starting) - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        while self._started:
            slot = self._started.pop()
            try:
                await self._lifecycle(slot, "k2_stop")
            except Exception as error:
                get_logger(plugin=slot.path).error("could not stop", error=explain(error), exc_info=error)
        self._loop = self._starting = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """For synchronous use: stop the plugins and end the thread that `solve_sync` started, if it did."""
        if self._portal:
            self._portal.call(self.stop())
            self._portal.close()
            self._portal = None

    # work

    async def solve(self, problem: Problem | str, *, seed: int | None = None) -> Result:
        """Solve one problem. Starts the runtime if need be.

        Raises `LimitExceeded` on the hard time-out or a budget, `PluginError` when no candidate could be made.
        """
        return await self._solve(_problem(problem), seed, ())

    async def stream(self, problem: Problem | str, *, seed: int | None = None) -> AsyncGenerator[Event, None]:
        """Solve one problem and yield its events; the last is `RunEnded`. Closing the iterator cancels the run."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._solve(_problem(problem), seed, (events.put_nowait,)))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def solve_sync(self, problem: Problem | str, *, seed: int | None = None) -> Result:
        """As `solve`, for scripts and notebooks: works in any thread, also inside a running event loop."""
        from .toolkit.portal import Portal, run_in, running_loop  # those who await need no thread

        if self._loop and (self._portal is None or self._loop is not self._portal.loop):
            if self._loop is running_loop():
                raise K2Error("solve_sync would block the event loop that this Runtime lives in; use `await runtime.solve(…)`")
            return run_in(self._loop, self.solve(problem, seed=seed))
        with self._lock:
            self._portal = self._portal or Portal()
        return self._portal.call(self.solve(problem, seed=seed))

    async def verify(
        self, problem: Problem | str, candidates: Sequence[Candidate | str], reference: str | None = None
    ) -> Sequence[Verdict]:
        """The verifiers' verdicts on solutions from elsewhere, texts or candidates; no time limits apply."""
        texts = [c if isinstance(c, Candidate) else Candidate(id=str(place), text=c) for place, c in enumerate(candidates)]
        async with self.open(problem) as run:
            return await run.verify(texts, reference)

    async def train(self, tasks: Sequence[Task]) -> TrainReport:
        """Train with the pipeline's trainer. Raises `ConfigError` when it has none."""
        await self.start()
        if (slot := self._pipeline.trainer) is None:
            raise ConfigError("the pipeline has no [trainer]", "trainer")
        with boundary("trainer", slot.use):
            report = await self._pipeline.caller(slot, "k2_train")(session=self, tasks=tasks)
        if not isinstance(report, TrainReport):
            raise PluginError(f"k2_train must return a TrainReport, not {report!r:.80}", "trainer", slot.use)
        return report

    def tasks(self, source: str, name: str, *, split: str = "test", limit: int | None = None, seed: int = 0) -> Iterator[Task]:
        """The tasks of data set `name` from the plugin under `[tasks.<source>]`."""
        if (slot := self._pipeline.tasks.get(source)) is None:
            raise ConfigError(f"[tasks] has: {', '.join(self._pipeline.tasks) or 'none'}", f"tasks.{source}")
        with boundary("tasks", slot.use):
            yield from self._pipeline.caller(slot, "k2_tasks")(name=name, split=split, limit=limit, seed=seed)

    async def load_weights(self, decoder: str, weights: Mapping[str, Any] | str) -> None:
        """See `ports.Session.load_weights`."""
        await self.start()
        slot = self._pipeline.decoder(decoder)
        with boundary("decoder", slot.use):
            await self._pipeline.caller(slot, "k2_load_weights")(weights=weights)

    @asynccontextmanager
    async def open(self, problem: Problem | str, *, seed: int | None = None) -> AsyncIterator[Run]:
        """A bare run, for programs and trainers that call `decode` and `verify` themselves; no time limits apply."""
        await self.start()
        run = self._new_run(_problem(problem), seed, ())
        with self._recorded(run):
            yield run

    def emit(self, event: Event) -> None:
        """Tell the observers something that belongs to no run."""
        for observer in self._observers:
            observer(event)

    # one request

    def _new_run(self, problem: Problem, seed: int | None, observers: Sequence[Observer]) -> Run:
        if seed is None:
            seed = secrets.randbits(31) if self.config.seed is None else self.config.seed
        return Run(self._pipeline, problem, self.ledger, secrets.token_hex(8), seed, [*self._observers, *observers])

    async def _solve(self, problem: Problem, seed: int | None, observers: Sequence[Observer]) -> Result:
        await self.start()
        limits, run = self.config.limits, self._new_run(problem, seed, observers)
        with self._recorded(run) as outcome, run.soft_deadline(limits.soft_deadline):
            try:
                async with asyncio.timeout(limits.timeout) as timer:
                    run.deadline = timer.when()
                    outcome.append(await run.solve())
            except TimeoutError:
                if not timer.expired():
                    raise
            if timer.expired():  # also when a plugin has made something else of the cancellation
                raise LimitExceeded(f"no answer within {limits.timeout:g} s", "limits.timeout")
        return outcome[0]

    @contextmanager
    def _recorded(self, run: Run) -> Iterator[list[Result]]:
        """The events at both ends of a run; the result, if there is one, is left in the list."""
        task, outcome, error = asyncio.current_task(), list[Result](), ""
        assert task is not None
        self._running.add(task)
        if run.observed:
            run.emit(RunStarted(problem=run.problem, seed=run.seed, config=self.effective, plugins=self._origins))
        try:
            yield outcome
        except BaseException as caught:
            error = explain(caught)
            raise
        finally:
            self._running.discard(task)
            if run.observed:
                run.emit(RunEnded(result=outcome[0] if outcome else None, error=error, usage=run.usage))


def _problem(problem: Problem | str) -> Problem:
    return validated(Problem, {"prompt": problem}, "problem") if isinstance(problem, str) else problem


def solve(problem: Problem | str, config: PipelineConfig | None = None, *, seed: int | None = None) -> Result:
    """Solve one problem with a pipeline of its own, the embedded one by default; for more than one keep a `Runtime`."""
    with Runtime(config) as runtime:
        return runtime.solve_sync(problem, seed=seed)
