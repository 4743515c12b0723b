"""The engine end to end, on a tiny random model at fp32: batches, speculation, cancellation, faults, memory."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_transformers import Transformers, TransformersConfig

from k2core import Completion, DecodeRequest, Delta, Message, PipelineConfig, Plugin, Problem, Registry, Run, Runtime, hookimpl
from k2core.errors import PluginError
from k2core.plugin import PluginConfig

pytest.importorskip("torch")


def _tiny() -> Any:
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny().make(tmp_path_factory.mktemp("tiny"), context=512)  # type: ignore[no-any-return] # loaded by path


class Recorder(Plugin):
    """Keeps every event."""

    config: PluginConfig
    events: list[Any]

    @hookimpl
    def k2_event(self, event: Any) -> None:
        type(self).events.append(event)


class Stand:
    """A runtime with the decoder in it; `engine` is the one it uses."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.events: list[Any] = []
        self.decoders: list[Transformers] = []
        outer = self

        class Known(Transformers):
            def __init__(self, config: TransformersConfig | None = None) -> None:
                super().__init__(config)
                outer.decoders.append(self)

        registry = Registry()
        registry.add("hook", "recorder", type("Recorder", (Recorder,), {"events": self.events, "__module__": __name__}))
        registry.add("decoder", "known", Known)
        table = {"use": "known", "model": str(folder), "context": 256, "threads": 1, "dtype": "float32", **options}
        self.runtime = Runtime(
            PipelineConfig.from_dict(
                {"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": table}, "hooks": {"recorder": {}}}
            ),
            registry=registry,
        )

    @property
    def engine(self) -> Any:
        return self.decoders[0]._engine

    def run(self, work: Callable[[Run], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            async with self.runtime, self.runtime.open(Problem(prompt="any"), seed=1) as run:
                result = await work(run)
                held = self.engine.slots.owners, self.engine.cache.nbytes, self.engine._running, len(self.engine._waiting)
                assert held == ([], 0, [], 0), "the engine still holds something"
                return result

        before = threading.active_count()
        result = asyncio.run(main())
        assert threading.active_count() == before
        return result


@pytest.fixture
def stand(folder: Path) -> Callable[..., Stand]:
    return lambda **options: Stand(folder, **options)


NO_DRAFTS = {"drafter": "none"}
PLAIN: dict[str, Any] = {"speculation": NO_DRAFTS}


def ask(text: str = "How many plums?", **options: Any) -> DecodeRequest:
    return DecodeRequest(**{"messages": (Message(role="user", content=text),), "max_tokens": 24, "seed": 5, **options})


MIXED = [
    ask("one two three", seed=1),
    ask("one two three four", seed=2, temperature=0.0),
    ask("a quick brown fox " * 10, seed=3, top_p=0.8),
    ask("x", seed=4, max_tokens=60),
    ask("12 plums", seed=5, temperature=0.5),
    ask("the same", seed=6, n=3),
]


def texts(completions: Any) -> list[tuple[str, int]]:
    return [(completion.text, completion.tokens) for completion in completions]


SPECULATIONS = [
    NO_DRAFTS,
    {"drafter": "sibling", "adaptive": False, "shortest": 1, "most": 6},
    {"drafter": "prompt-lookup", "adaptive": False, "shortest": 1},
]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("speculation", SPECULATIONS, ids=lambda item: item["drafter"])
def test_a_choice_has_the_same_text_alone_and_in_company(stand: Callable[..., Stand], speculation: Any, fused: bool) -> None:
    async def alone(run: Run) -> Any:
        return [texts(await run.decode(request)) for request in MIXED]

    async def together(run: Run) -> Any:
        return [texts(done) for done in await asyncio.gather(*(run.decode(request) for request in MIXED))]

    expected = stand(**PLAIN).run(alone)
    other = stand(speculation=speculation, fused=fused, chunk=16)
    assert other.run(together) == expected
    total = other.runtime.ledger.total
    assert 0 <= total.accepted <= total.drafted
    assert (total.drafted > 0) == (speculation is not NO_DRAFTS)


def test_choice_i_is_the_single_completion_with_seed_plus_i(stand: Callable[..., Stand]) -> None:
    async def work(run: Run) -> Any:
        many = await run.decode(ask(n=4, seed=10))
        return texts(many), [texts(await run.decode(ask(seed=10 + i)))[0] for i in range(4)]

    many, single = stand(**PLAIN).run(work)
    assert many == single
    assert len(set(many)) > 1


def test_deltas_make_the_text_and_counts_are_exact(stand: Callable[..., Stand]) -> None:
    it = stand()

    async def work(run: Run) -> Any:
        return await run.decode(ask(n=3, max_tokens=40))

    made: list[Completion] = it.run(work)
    deltas = [event for event in it.events if isinstance(event, Delta)]
    for index, completion in enumerate(made):
        assert "".join(delta.text for delta in deltas if delta.index == index) == completion.text
    assert it.runtime.ledger.total.completion_tokens == sum(completion.tokens for completion in made)


def test_logprobs_belong_to_the_tokens(stand: Callable[..., Stand]) -> None:
    async def work(run: Run) -> Any:
        return (await run.decode(ask(logprobs=3, temperature=0.0)))[0]

    made: Completion = stand().run(work)
    assert made.logprobs is not None
    assert len(made.logprobs) == made.tokens
    assert all(abs(entry.logprob - entry.top[0][1]) < 1e-5 and entry.id is not None for entry in made.logprobs)


def joined_at(it: Stand, at: int, first: DecodeRequest, *others: DecodeRequest) -> list[list[float]]:
    """Log-probabilities of the tokens of each request's first choice. The others arrive together, and are let in after the step in
    which the first has `at` tokens in the cache, or more."""

    async def work(run: Run) -> Any:
        loop, due = asyncio.get_running_loop(), asyncio.Event()
        forward, waited = it.engine.forward, False

        def held(batch: Any) -> Any:
            nonlocal waited
            if not waited and int(batch.positions.max()) + 1 >= at:
                waited = True
                loop.call_soon_threadsafe(due.set)
                until = time.monotonic() + 30
                while len(it.engine.inbox._items) < len(others) and time.monotonic() < until:
                    time.sleep(0.001)
            return forward(batch)

        it.engine.forward = held

        async def later(request: DecodeRequest) -> Any:
            await due.wait()
            return await run.decode(request)

        made = await asyncio.gather(run.decode(first), *map(later, others))
        assert waited
        return [[entry.logprob for entry in one[0].logprobs or ()] for one in made]

    return it.run(work)  # type: ignore[no-any-return] # what `work` returns


def logprobs_alone(it: Stand, *requests: DecodeRequest) -> list[list[float]]:
    async def work(run: Run) -> Any:
        return [[entry.logprob for entry in (await run.decode(request))[0].logprobs or ()] for request in requests]

    return it.run(work)  # type: ignore[no-any-return] # what `work` returns


@pytest.mark.parametrize("speculation", SPECULATIONS, ids=lambda item: item["drafter"])
def test_a_prompt_that_ends_where_the_cache_grows_takes_nothing_from_others(stand: Callable[..., Stand], speculation: Any) -> None:
    """Choices that join then make more slots, in a step in which another has written its first tokens of a new block."""
    from k2core_decoder_transformers.model.cache import BLOCK

    first = ask("a lazy dog " * 8, seed=3, max_tokens=80, logprobs=1)
    other = ask("seven plums", n=4, max_tokens=3, seed=7, logprobs=1)
    expected = logprobs_alone(stand(**PLAIN), first, other)
    for at in range(BLOCK - 7, BLOCK + 2):
        found = joined_at(stand(speculation=speculation), at, first, other)
        for mine, alone in zip(found, expected, strict=True):
            assert mine == pytest.approx(alone, abs=1e-4), f"joined at {at}"


def test_a_prompt_that_ends_takes_nothing_from_one_of_the_same_step(stand: Callable[..., Stand]) -> None:
    """The longer one's tokens are in the cache as well, though it is not yet looked at."""
    first = ask("x", seed=3, max_tokens=8, logprobs=1)
    others = ask("seven plums", n=4, max_tokens=3, seed=7, logprobs=1), ask("a lazy dog " * 24, seed=8, max_tokens=9, logprobs=1)
    expected = logprobs_alone(stand(**PLAIN), first, *others)
    for mine, alone in zip(joined_at(stand(**PLAIN), 1, first, *others), expected, strict=True):
        assert mine == pytest.approx(alone, abs=1e-4)


def test_a_schema_is_kept_with_and_without_drafts(stand: Callable[..., Stand]) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}

    async def work(run: Run) -> Any:
        return texts(await run.decode(ask(json_schema=schema, n=3, max_tokens=60, seed=7)))

    import json

    plain = stand(**PLAIN).run(work)
    assert plain == stand(speculation=SPECULATIONS[1]).run(work)
    ended = [json.loads(text) for text, tokens in plain if tokens < 60]
    assert ended
    assert all(isinstance(value["ok"], bool) for value in ended)


def test_more_choices_than_places_are_made_all_the_same(stand: Callable[..., Stand]) -> None:
    async def work(run: Run) -> Any:
        return texts(await run.decode(ask(n=9, seed=20)))

    assert stand(parallel=2, **PLAIN).run(work) == stand(**PLAIN).run(work)


def test_64_requests_at_once_are_the_64_requests_one_by_one(stand: Callable[..., Stand]) -> None:
    requests = [ask(f"{i} plums", seed=i, max_tokens=6 + i % 5) for i in range(64)]

    async def together(run: Run) -> Any:
        return [texts(done) for done in await asyncio.gather(*(run.decode(request) for request in requests))]

    async def alone(run: Run) -> Any:
        return [texts(await run.decode(request)) for request in requests]

    assert stand(parallel=16, **PLAIN).run(together) == stand(**PLAIN).run(alone)


LONG = "a lazy dog and seven plums, " * 5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_prompts_that_were_seen_before_are_not_processed_again_and_change_no_bit(stand: Callable[..., Stand], dtype: str) -> None:
    """A prompt that equals one before costs no row, one that begins alike the rows of its end; logits are the same to the bit."""
    requests = [ask(LONG + end, n=2, logprobs=2, seed=3) for end in ("one?", "one?", "two, or rather three?", "one?")]

    async def work(run: Run, engine: Callable[[], Any]) -> Any:
        found, rows = [], []
        forward = engine().forward

        def counted(batch: Any) -> Any:
            rows.append(batch.size if batch.size > 2 else 0)
            return forward(batch)

        for request in requests:
            engine().forward = counted
            found.append([(made.text, made.logprobs) for made in await run.decode(request)])
        return found, sum(rows)

    it, fresh = (stand(chunk=64, dtype=dtype, prefix_mb=most, **PLAIN) for most in (1, 0))
    kept, some = it.run(lambda run: work(run, lambda: it.engine))
    made, all_rows = fresh.run(lambda run: work(run, lambda: fresh.engine))
    assert kept == made
    assert some < 0.6 * all_rows


def test_memory_of_kept_prompts_is_bounded_and_their_beginnings_stay_longest(stand: Callable[..., Stand]) -> None:
    it = stand(chunk=32, prefix_mb=1, **PLAIN)

    async def work(run: Run) -> Any:
        kept = it.engine.kept
        kept._most = 100_000
        for i in range(30):
            await run.decode(ask(f"{LONG}{i}", max_tokens=1))
            assert kept.nbytes == sum(piece.nbytes for piece in kept._pieces.values()) <= 100_000
        first, new = (list(it.engine.loaded.prompt_ids(ask(LONG + end))) for end in ("0", "new"))
        alike = next(i for i in range(len(first)) if first[i] != new[i])
        assert len(kept.find(new)) == alike // 32 > 1
        kept.clear()
        return kept.nbytes, len(kept._pieces)

    assert it.run(work) == (0, 0)


def test_a_prompt_that_does_not_fit_is_an_error_with_both_numbers(stand: Callable[..., Stand]) -> None:
    async def work(run: Run) -> Any:
        with pytest.raises(PluginError, match=r"the prompt has [\d,]+ tokens, the context only 256"):
            await run.decode(ask("plums " * 300))
        return texts(await run.decode(ask()))

    assert stand().run(work)


def test_a_failing_pass_fails_its_requests_and_no_other(stand: Callable[..., Stand]) -> None:
    it = stand()

    def fail() -> None:
        raise MemoryError("no memory for this pass")

    async def work(run: Run) -> Any:
        before = texts(await run.decode(ask()))
        it.engine.failing = fail
        with pytest.raises(PluginError, match="no memory for this pass"):
            await run.decode(ask())
        it.engine.failing = None
        return before, texts(await run.decode(ask()))

    before, after = it.run(work)
    assert before == after


def test_cancelled_in_mid_stream_it_frees_everything_and_counts_what_was_made(stand: Callable[..., Stand]) -> None:
    it = stand()

    async def work(run: Run) -> Any:
        task = asyncio.ensure_future(run.decode(ask(n=4, max_tokens=200)))
        while not any(isinstance(event, Delta) for event in it.events):  # noqa: ASYNC110 # events come without a signal
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert it.engine.slots.owners == []

    it.run(work)
    total = it.runtime.ledger.total
    assert total.cancelled == 1
    assert 0 < total.completion_tokens < 800
    assert total.prompt_tokens > 0


def test_engines_are_shared_and_freed(folder: Path) -> None:
    from k2core_decoder_transformers.engine import pool

    one, two = (Transformers(TransformersConfig(model=str(folder), threads=1, top_k=k)) for k in (0, 5))

    async def main() -> None:
        await one.k2_start()
        await two.k2_start()
        assert one._engine is two._engine
        await one.k2_stop()
        await two.k2_stop()

    asyncio.run(main())
    assert not pool._engines


def test_hundreds_of_random_cancellations_and_faults_leave_nothing(stand: Callable[..., Stand]) -> None:
    import gc

    import psutil

    it, rng, process = stand(parallel=8), random.Random(3), psutil.Process()

    def sometimes() -> None:
        if rng.random() < 0.03:
            raise RuntimeError("planted")

    async def one(run: Run, i: int) -> None:
        work = run.decode(ask(f"{i} plums " * (1 + i % 20), n=1 + i % 4, max_tokens=30, seed=i))
        try:
            await asyncio.wait_for(work, rng.choice([0.0, 0.01, 0.05, 0.3, 5.0]))
        except TimeoutError:
            pass
        except PluginError as error:
            if "planted" not in str(error):
                raise

    async def rounds(run: Run) -> Any:
        before = texts(await run.decode(ask()))
        sizes = []
        it.engine.failing = sometimes
        for start in range(0, 320, 40):
            await asyncio.gather(*(one(run, i) for i in range(start, start + 40)))
            it.events.clear()
            gc.collect()
            sizes.append(process.memory_info().rss)
        it.engine.failing = None
        assert texts(await run.decode(ask())) == before
        return sizes

    sizes = it.run(rounds)
    assert max(sizes[4:]) - max(sizes[:4]) < 16 * 2**20, [size >> 20 for size in sizes]
    total = it.runtime.ledger.total
    assert total.started == total.served + total.cancelled + total.failed
    assert total.cancelled > 20
    assert total.failed > 0


def test_a_program_that_stops_nothing_ends_well(folder: Path) -> None:
    """A runtime that is left as it is, with a call at work: the interpreter ends without a word."""
    program = f"""
import asyncio
from k2core import DecodeRequest, Message, PipelineConfig, Problem, Runtime

async def main():
    solver = {{"use": "transformers", "model": {str(folder)!r}, "dtype": "float32"}}
    tables = {{"sampler": {{"use": "single"}}, "verifiers": {{}}, "decoders": {{"solver": solver}}}}
    runtime = Runtime(PipelineConfig.from_dict(tables))
    await runtime.start()
    async with runtime.open(Problem(prompt="x")) as run:
        request = DecodeRequest(messages=(Message(role="user", content="x"),), max_tokens=200)
        print((await run.decode(request))[0].tokens > 0)
        asyncio.ensure_future(run.decode(request))
        await asyncio.sleep(0.01)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
