"""The life of a runtime: start, stop, several at once, threads and loops, training and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from parts import plugin, registry, runtime

import k2core
from k2core import (
    ConfigError,
    DecodeRequest,
    K2Error,
    Message,
    PipelineConfig,
    Plugin,
    PluginConfig,
    PluginError,
    Problem,
    Runtime,
    Session,
    Task,
    TrainReport,
    hookimpl,
)
from k2core.testing import FakeDecoder, fake_decoder


class Nothing(PluginConfig):
    pass


class Lives(Plugin):
    """A hook that notes when it is started and stopped, on a list shared by all of its kind."""

    config: Nothing
    log: ClassVar[list[str]]
    fail: ClassVar[bool] = False

    @hookimpl
    async def k2_start(self) -> None:
        if self.fail:
            raise OSError("no such device")
        self.log.append("start")

    @hookimpl
    async def k2_stop(self) -> None:
        self.log.append("stop")


def lives(journal: list[str], failing: bool = False) -> tuple[str, type[Plugin]]:
    return "hook", type("Noted", (Lives,), {"log": journal, "fail": failing, "__module__": __name__, "__annotations__": {}})


def test_plugins_start_once_and_stop_once_and_can_start_again() -> None:
    journal: list[str] = []

    async def main() -> None:
        made = runtime({"hooks": {"a": {}}}, a=lives(journal))
        async with made:
            await asyncio.gather(made.start(), made.solve("x"), made.solve("y"))
        await made.stop()
        await made.solve("z")
        await made.stop()

    asyncio.run(main())
    assert journal == ["start", "stop", "start", "stop"]


def test_when_one_plugin_cannot_start_the_others_are_stopped_and_it_is_named() -> None:
    journal: list[str] = []
    made = runtime({"hooks": {"a": {}, "b": {}}}, a=lives(journal), b=lives(journal, failing=True))

    async def main() -> None:
        with pytest.raises(PluginError, match=r"b \(hook\): OSError: no such device"):
            await made.solve("x")

    asyncio.run(main())
    assert journal == ["start", "stop", "stop"]


def test_a_runtime_cancelled_while_it_starts_stops_what_had_started() -> None:
    journal: list[str] = []

    class Slow(Lives):
        log = journal

        @hookimpl
        async def k2_start(self) -> None:
            self.log.append("start")
            await asyncio.sleep(10)
            self.log.append("started")

    async def entering() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), runtime({"hooks": {"a": {}, "b": {}}}, a=lives(journal), b=("hook", Slow)):
                raise AssertionError

    async def solving() -> None:
        made = runtime({"hooks": {"a": {}, "b": {}}}, a=lives(journal), b=("hook", Slow))
        task = asyncio.ensure_future(made.solve("x"))
        await asyncio.sleep(0.05)
        await made.stop()
        with pytest.raises(asyncio.CancelledError):
            await task

    for case in (entering, solving):
        journal.clear()
        asyncio.run(case())
        assert journal == ["start", "start", "stop", "stop"]


def test_stopping_cancels_what_runs() -> None:
    async def main() -> Any:
        made = runtime({"decoders": {"solver": {"use": "fake", "delay": 10}}})
        running = asyncio.ensure_future(made.solve("x"))
        await asyncio.sleep(0.05)
        await made.stop()
        assert running.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return made

    made = asyncio.run(main())
    assert made.ledger.total.cancelled == plugin(made, "decoders.solver").cancelled == 1


def test_two_runtimes_on_two_threads_do_not_see_each_other() -> None:
    answers: dict[str, set[str | None]] = {}
    recorders = {}

    def work(name: str) -> None:
        config = PipelineConfig.from_dict(
            {"sampler": {"use": "samples"}, "decoders": {"solver": {"use": "fake"}}, "hooks": {"recorder": {}}}
        )
        with Runtime(config, registry=registry(fake=("decoder", fake_decoder(lambda r, i: name)))) as made:
            answers[name] = {made.solve_sync(f"{name} {i}").answer for i in range(50)}
            recorders[name] = plugin(made, "hooks.recorder")
            assert made.ledger.total.served == 50

    threads = [threading.Thread(target=work, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"left": {"left"}, "right": {"right"}}
    seen = {name: {e.run_id for e in recorder.events} for name, recorder in recorders.items()}
    assert len(seen["left"]) == len(seen["right"]) == 50
    assert not seen["left"] & seen["right"]


def test_solve_sync_works_inside_a_running_loop_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())

    async def notebook() -> str | None:
        with runtime() as made:
            return made.solve_sync("x").answer

    assert asyncio.run(notebook()) == "The answer is \\boxed{42}."
    assert set(threading.enumerate()) == before


def test_solve_sync_from_a_thread_reaches_the_loop_that_the_runtime_lives_in() -> None:
    async def main() -> str | None:
        async with runtime() as made:
            with pytest.raises(K2Error, match="would block the event loop"):
                made.solve_sync("x")
            return (await asyncio.to_thread(made.solve_sync, "x")).answer

    assert asyncio.run(main())


def test_another_loop_is_refused() -> None:
    made = runtime()

    async def first() -> None:
        await made.start()

    async def second() -> None:
        with pytest.raises(K2Error, match="another event loop"):
            await made.solve("x")

    asyncio.run(first())
    asyncio.run(second())


def test_the_one_liner() -> None:
    with pytest.raises(k2core.PluginNotFound, match=r"sampler.use: no sampler plugin is named 'nope'"):
        k2core.solve("x", PipelineConfig.from_dict({"sampler": {"use": "nope"}}))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "needs a prompt"), ("  \n", "is empty"), ("a\0b", "NUL character at position 1"), ("\udcff", "lone surrogate")],
)
def test_bad_problems_are_refused_before_anything_is_spent(text: str, message: str) -> None:
    made = runtime()
    with made, pytest.raises(ConfigError, match=message):
        made.solve_sync(text)
    assert made.ledger.total.started == 0


def test_a_megabyte_of_problem_passes_the_kernel() -> None:
    with runtime() as made:
        assert made.solve_sync("word " * 200_000).answer


class Trains(Plugin):
    config: Nothing

    @hookimpl
    async def k2_train(self, session: Session, tasks: Sequence[Task]) -> TrainReport:
        rewards = []
        for task in tasks:
            async with session.open(task.problem, seed=1) as run:
                [candidate] = await self.rollout(run)
                [verdict] = await run.verify([candidate], task.reference)
                rewards.append(verdict.score)
        return TrainReport(steps=len(rewards), metrics={"reward": sum(rewards) / len(rewards)})

    async def rollout(self, run: k2core.Run) -> list[k2core.Candidate]:
        messages = (k2core.Message(role="user", content=run.problem.text),)
        return [k2core.Candidate(id="0", text=c.text) for c in await run.decode(k2core.DecodeRequest(messages=messages))]


class Counts(Plugin):
    config: Nothing

    @hookimpl
    def k2_tasks(self, name: str, limit: int | None) -> Iterator[Task]:
        for i in range(limit or 3):
            yield Task(problem=Problem(id=f"{name}{i}", prompt=f"{i}"), reference=str(i % 2))


def test_a_trainer_rolls_out_and_is_rewarded_through_the_kernel() -> None:
    config = {"trainer": {"use": "trains"}, "tasks": {"counts": {}}, "verifiers": {"votes": {}}}
    parts = {"trains": ("trainer", Trains), "counts": ("tasks", Counts), "fake": ("decoder", fake_decoder(lambda r, i: "1"))}

    async def main() -> tuple[TrainReport, int]:
        async with runtime(config, **parts) as made:  # type: ignore[arg-type] # tuples of str and class
            return await made.train(list(made.tasks("counts", "c", limit=4))), made.ledger.total.served

    report, served = asyncio.run(main())
    assert (report.steps, report.metrics["reward"], served) == (4, 0.5, 4)


class Learns(FakeDecoder):
    """Says what it was last given as weights."""

    said = "nothing"

    @hookimpl
    async def k2_load_weights(self, weights: Mapping[str, Any] | str) -> None:
        if not weights:
            raise ValueError("these are no weights")
        self.said = str(weights)

    def _reply(self, request: DecodeRequest, index: int) -> str:
        return self.said


async def _decoded(made: Runtime) -> str:
    async with made.open("x") as run:
        return (await run.decode(DecodeRequest(messages=(Message(role="user", content="x"),))))[0].text


def test_a_decoder_is_given_other_weights_by_its_name() -> None:
    async def main() -> None:
        decoders = {"solver": {"use": "learns"}, "other": {"use": "learns"}, "fixed": {"use": "fake"}}
        async with runtime({"decoders": decoders}, learns=("decoder", Learns)) as made:
            await made.load_weights("solver", "/tmp/step-1")
            assert await _decoded(made) == "/tmp/step-1"
            other = next(slot.plugin for slot in made._pipeline.slots if slot.name == "other")
            assert isinstance(other, Learns)
            assert other.said == "nothing"
            with pytest.raises(ConfigError, match=r"decoders.fixed: the decoder 'fake' does not implement k2_load_weights"):
                await made.load_weights("fixed", {})
            with pytest.raises(ConfigError, match="there is no decoder 'nobody'"):
                await made.load_weights("nobody", {})
            with pytest.raises(PluginError, match=r"learns \(decoder\): ValueError: these are no weights"):
                await made.load_weights("solver", {})

    asyncio.run(main())


def test_a_pipeline_without_trainer_or_tasks_says_so() -> None:
    async def main() -> None:
        async with runtime() as made:
            with pytest.raises(ConfigError, match=r"no \[trainer\]"):
                await made.train([])
            with pytest.raises(ConfigError, match=r"tasks.gsm8k: \[tasks\] has: none"):
                next(made.tasks("gsm8k", "test"))

    asyncio.run(main())
