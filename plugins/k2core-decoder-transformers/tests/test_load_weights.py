"""Other weights for a decoder at work: what they change, what they do not, and what is refused."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_transformers import Transformers
from k2core_decoder_transformers.engine import crew, pool
from k2core_decoder_transformers.engine.core import Engine
from k2core_decoder_transformers.engine.crew import Crew

from k2core import Completion, DecodeRequest, Message, PipelineConfig, Problem, Runtime
from k2core.errors import PluginError
from k2core.toolkit import cores

torch = pytest.importorskip("torch")


def _tiny() -> Any:
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TINY = _tiny()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one shape."""
    root = tmp_path_factory.mktemp("tiny")
    return TINY.make(root / "one", seed=0), TINY.make(root / "two", seed=1)


def runtime(folder: Path, **options: Any) -> Runtime:
    table = {"use": "transformers", "model": str(folder), "context": 128, "threads": 1, "dtype": "float32", **options}
    return Runtime(PipelineConfig.from_dict({"sampler": {"use": "single"}, "verifiers": {}, "decoders": {"solver": table}}))


def weights_of(folder: Path) -> dict[str, Any]:
    import transformers

    return dict(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).named_parameters())


ASKED = Message(role="user", content="How many plums do 7 coins buy? " * 3)
REQUEST = DecodeRequest(messages=(ASKED,), max_tokens=12, temperature=0.0)


async def decoded(made: Runtime, **changes: Any) -> Completion:
    async with made.open(Problem(prompt="any"), seed=1) as run:
        return (await run.decode(REQUEST.model_copy(update={"logprobs": 1, **changes})))[0]


def scores(completion: Completion) -> list[tuple[int | None, float]]:
    assert completion.logprobs is not None
    return [(token.id, round(token.logprob, 5)) for token in completion.logprobs]


async def fresh(folder: Path, **options: Any) -> list[tuple[int | None, float]]:
    async with runtime(folder, **options) as made:
        return scores(await decoded(made))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("given", ["arrays", "numpy", "folder"])
def test_it_decodes_as_a_model_that_was_loaded_so(folders: tuple[Path, Path], given: str, fused: bool) -> None:
    one, two = folders
    weights: Mapping[str, Any] | str = str(two) if given == "folder" else weights_of(two)
    if given == "numpy":
        weights = {name: array.detach().numpy() for name, array in weights_of(two).items()}

    async def main() -> None:
        before, expected = await fresh(one, fused=fused), await fresh(two, fused=fused)
        async with runtime(one, fused=fused) as made:
            assert scores(await decoded(made)) == before != expected
            await made.load_weights("solver", weights)
            assert scores(await decoded(made)) == expected  # the prompt's keys and values of before are not used
            await made.load_weights("solver", str(one))
            assert scores(await decoded(made)) == before

    asyncio.run(main())


def test_after_it_others_change_the_rounding_no_more(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A training ends in the same weights whoever else computes: the number of threads stays."""
    threads: list[int] = []
    look = Crew.look

    def looked(self: Crew) -> None:
        look(self)
        threads.append(torch.get_num_threads())

    monkeypatch.setattr(crew, "default_threads", lambda: 2)
    monkeypatch.setattr(Crew, "look", looked)
    monkeypatch.setattr(crew, "EVERY", 0.0)
    monkeypatch.setattr(cores, "threads_for", lambda free, cores, most: 1)  # others are busy

    async def main() -> None:
        async with runtime(folders[0], threads=0) as made:
            await decoded(made)
            assert set(threads) == {1}
            await made.load_weights("solver", str(folders[1]))
            threads.clear()
            await decoded(made)
            assert set(threads) == {2}

    asyncio.run(main())


def test_half_precision_is_the_models_own(folders: tuple[Path, Path]) -> None:
    async def main() -> None:
        expected = await fresh(folders[1], dtype="bfloat16")
        async with runtime(folders[0], dtype="bfloat16") as made:
            await made.load_weights("solver", weights_of(folders[1]))
            assert scores(await decoded(made)) == expected

    asyncio.run(main())


def test_a_merged_adapter(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The weights of a model with a LoRA adapter merged: as the decoder's own `lora` option has them."""
    peft = pytest.importorskip("peft")
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folders[0], dtype=torch.float32)
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers 5.23 in a way that it is about to forget
        adapted = peft.get_peft_model(model, config)
        adapted.save_pretrained(tmp_path / "adapter")
    merged = dict(adapted.merge_and_unload().named_parameters())

    async def main() -> None:
        expected = await fresh(folders[0], lora=[{"path": str(tmp_path / "adapter")}])
        async with runtime(folders[0]) as made:
            await made.load_weights("solver", merged)
            assert scores(await decoded(made)) == expected
            with pytest.raises(PluginError, match="holds an adapter"):
                await made.load_weights("solver", str(tmp_path / "adapter"))

    asyncio.run(main())


def test_other_runtimes_keep_the_model_they_asked_for(folders: tuple[Path, Path]) -> None:
    one, two = folders

    async def main() -> None:
        before, after = await fresh(one), await fresh(two)
        async with runtime(one) as trained, runtime(one) as other:
            assert len(pool._engines) == 1
            await trained.load_weights("solver", weights_of(two))
            assert len(pool._engines) == 2
            assert (scores(await decoded(trained)), scores(await decoded(other))) == (after, before)
            async with runtime(one) as later:
                assert len(pool._engines) == 2  # shared with `other`
                assert scores(await decoded(later)) == before
        async with runtime(one) as trained:  # nobody else has it, so it is no longer offered
            await trained.load_weights("solver", weights_of(two))
            async with runtime(one) as later:
                assert scores(await decoded(later)) == before
                assert scores(await decoded(trained)) == after
        assert not pool._engines

    asyncio.run(main())


def test_requests_at_work_end_with_the_weights_they_began_with(folders: tuple[Path, Path]) -> None:
    one, two = folders
    many = REQUEST.model_copy(update={"logprobs": 1, "max_tokens": 90, "n": 4})

    async def main() -> None:
        async with runtime(one) as plain, plain.open("x") as run:
            expected = scores((await run.decode(many))[0])
        after = await fresh(two)
        async with runtime(one) as made, made.open("x") as run:
            engine = held(made)
            engine.failing = lambda: time.sleep(0.02)  # steps that are slow enough to be met at work
            first = asyncio.create_task(run.decode(many))
            await asyncio.sleep(0.02)
            assert not first.done()
            loading = asyncio.create_task(made.load_weights("solver", weights_of(two)))
            inbox = engine.inbox
            for _ in range(1000):
                if inbox._items:
                    break
                await asyncio.sleep(0.001)
            assert not first.done()
            later = asyncio.create_task(decoded(made))
            assert scores((await first)[0]) == expected
            await loading
            assert scores(await later) == after

    asyncio.run(main())


def held(made: Runtime) -> Engine:
    return made._pipeline.decoder("solver").plugin._engine  # type: ignore[attr-defined,no-any-return] # known to be Transformers


def test_requests_at_work_end_where_they_began_whatever_others_do_with_the_shared_engine(folders: tuple[Path, Path]) -> None:
    one, two = folders
    many = REQUEST.model_copy(update={"logprobs": 1, "max_tokens": 90, "n": 4})

    async def main() -> None:
        async with runtime(one) as plain, plain.open("x") as run:
            expected = scores((await run.decode(many))[0])
        after = await fresh(two)
        other = runtime(one)
        await other.start()
        async with runtime(one) as made, made.open("x") as run:
            engine, begun, go_on = held(made), asyncio.Event(), threading.Event()
            assert engine is held(other)
            loop = asyncio.get_running_loop()
            engine.failing = lambda: (loop.call_soon_threadsafe(begun.set), go_on.wait(20))[0]
            first = asyncio.create_task(run.decode(many))
            await begun.wait()
            await made.load_weights("solver", weights_of(two))
            assert scores(await decoded(made)) == after
            stopping = asyncio.create_task(other.stop())
            await asyncio.sleep(0.05)
            go_on.set()
            await stopping
            assert scores((await first)[0]) == expected
            assert [engine for engine, _ in pool._engines.values()] == [held(made)]  # the other one is freed
        assert not pool._engines

    asyncio.run(main())


@pytest.mark.parametrize("late", ["detach", "_made"])
def test_stopped_while_it_gets_a_model_of_its_own_it_leaves_the_others(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """Early, when it is about to look whether others share the engine; and later, when it has begun to load another."""
    begun, work = threading.Event(), getattr(pool, late)

    def slow(*given: Any) -> Any:
        begun.set()
        time.sleep(0.2)
        return work(*given)

    async def main() -> None:
        before = await fresh(folders[0])
        async with runtime(folders[0]) as other:
            trained = runtime(folders[0])
            await trained.start()
            monkeypatch.setattr(pool, late, slow)
            loading = asyncio.create_task(trained.load_weights("solver", weights_of(folders[1])))
            assert await asyncio.to_thread(begun.wait, 10)
            await trained.stop()
            with pytest.raises(PluginError, match="stopped"):
                await loading
            monkeypatch.undo()
            assert scores(await decoded(other)) == before
            assert list(pool._engines.values()) == [(held(other), 1)]
        assert not pool._engines

    asyncio.run(main())


def test_taken_over_in_part_nothing_of_earlier_prompts_is_used(folders: tuple[Path, Path]) -> None:
    """As memory runs out, say: whatever the weights are now, keys and values are not of them."""

    def fail(arrays: Any) -> None:
        raise MemoryError("no memory")

    async def main() -> None:
        async with runtime(folders[0]) as made:
            await decoded(made)
            assert held(made).kept.nbytes > 0
            held(made).forward.take = fail  # type: ignore[method-assign] # what it would do in the middle
            with pytest.raises(PluginError, match="no memory"):
                await made.load_weights("solver", weights_of(folders[1]))
            assert held(made).kept.nbytes == 0

    asyncio.run(main())


def test_cancelled_while_it_waits_it_changes_nothing(folders: tuple[Path, Path]) -> None:
    one, two = folders

    async def main() -> None:
        before = await fresh(one)
        async with runtime(one) as made, made.open("x") as run:
            held(made).failing = lambda: time.sleep(0.02)  # steps that are slow enough to be met at work
            first = asyncio.create_task(run.decode(REQUEST.model_copy(update={"max_tokens": 90, "n": 4, "temperature": 1.0})))
            await asyncio.sleep(0.01)
            loading = asyncio.create_task(made.load_weights("solver", weights_of(two)))
            await asyncio.sleep(0.01)
            waiting = asyncio.create_task(decoded(made))
            await asyncio.sleep(0)
            assert not first.done()
            for task in (waiting, loading):
                task.cancel()
            done = await asyncio.gather(waiting, loading, return_exceptions=True)
            assert all(isinstance(item, asyncio.CancelledError) for item in done)
            assert not first.done()  # neither waited for it
            await first
            assert scores(await decoded(made)) == before

    asyncio.run(main())


def test_what_does_not_fit_is_refused_and_nothing_changes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    right = weights_of(folders[1])
    name = "model.layers.1.mlp.up_proj.weight"
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Mapping[str, Any] | str, str]] = [
        ({}, "21 missing"),
        ({**right, "extra": right[name]}, r"1 unknown \(extra\)"),
        ({k: v for k, v in right.items() if k != name}, rf"1 missing \({name}\)"),
        ({**right, name: right[name].T}, rf"{name} is \(32, 64\), it must be \(64, 32\)"),
        ({**right, name: 1.0}, f"{name} is no array"),
        ({**right, name: right[name].detach().numpy()[::-1]}, f"{name} cannot be read: .*stride"),
        ({**right, name: right[name].detach().numpy().astype(object)}, f"{name} cannot be read: .*object"),
        ({**right, name: right[name].to("meta")}, f"{name} cannot be read: it has no values"),
        ({**right, name: right[name].to_sparse()}, f"{name} cannot be read: its layout is torch.sparse_coo"),
        (str(tmp_path / "empty"), "there are no weights in"),
        (str(tmp_path / "nowhere"), "there are no weights in"),
        (str(torn), "model.safetensors cannot be read"),
    ]

    async def main() -> None:
        before = await fresh(folders[0])
        async with runtime(folders[0]) as made:
            for weights, message in cases:
                with pytest.raises(PluginError, match=message):
                    await made.load_weights("solver", weights)
            assert scores(await decoded(made)) == before

    asyncio.run(main())


def test_a_tied_weight_goes_by_either_name(tmp_path: Path) -> None:
    """Qwen's small models have one matrix for embedding and head."""
    one, two = TINY.make(tmp_path / "one", "qwen2", 0), TINY.make(tmp_path / "two", "qwen2", 1)
    weights = weights_of(two)
    assert "lm_head.weight" not in weights
    other = {{"model.embed_tokens.weight": "lm_head.weight"}.get(name, name): array for name, array in weights.items()}

    async def main() -> None:
        expected = await fresh(two)
        for given in (weights, other):
            async with runtime(one) as made:
                await made.load_weights("solver", given)
                assert scores(await decoded(made)) == expected

    asyncio.run(main())


def test_without_a_runtime() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        asyncio.run(Transformers().k2_load_weights({}))
