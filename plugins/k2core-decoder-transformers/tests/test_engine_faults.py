"""What goes wrong for one request, or for the engine: who is told, who goes on, and what is left behind."""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_transformers import TransformersConfig

from k2core import DecodeRequest, Message
from k2core.types import TokenLogprob

torch = pytest.importorskip("torch")

from k2core_decoder_transformers.engine.core import Engine  # noqa: E402 # it imports torch
from k2core_decoder_transformers.engine.job import Job  # noqa: E402
from k2core_decoder_transformers.loading import load  # noqa: E402
from k2core_decoder_transformers.model.cache import Cache  # noqa: E402
from k2core_decoder_transformers.sampling.constraint import Constraint  # noqa: E402
from k2core_decoder_transformers.speculation.lookup import PromptLookup  # noqa: E402
from k2core_decoder_transformers.speculation.speculation import Speculation  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    return tiny.make(tmp_path_factory.mktemp("tiny"), context=1024)  # type: ignore[no-any-return] # loaded by path


class Asked:
    """A request at an engine, and what it was told."""

    def __init__(self, engine: Engine, text: str, **options: Any) -> None:
        self.told: list[str] = []
        self.errors: list[Exception | None] = []
        self._done = threading.Event()
        request = DecodeRequest(
            **{"messages": (Message(role="user", content=text),), "max_tokens": 40, "seed": 5, "logprobs": 1, **options}
        )
        self.job = Job(engine.next_id(), request, 0, 0.0, self._tell, self._ended)

    def _tell(self, index: int, text: str, tokens: int) -> None:
        self.told.append(f"{index} after its end" if self.errors else str(index))

    def _ended(self, error: Exception | None) -> None:
        self.errors.append(error)
        self._done.set()

    def result(self) -> list[list[TokenLogprob]] | str:
        """The tokens of each choice, or the error."""
        assert self._done.wait(20), "nobody told it"
        assert len(self.errors) == 1
        return [list(choice.logprobs) for choice in self.job.choices] if self.errors[0] is None else str(self.errors[0])


Make = Callable[..., Engine]


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    made: list[Engine] = []

    def engine(speculation: Speculation | None = None, **options: Any) -> Engine:
        table = {"model": str(folder), "context": 1024, "threads": 1, "dtype": "float32", "device": "cpu", **options}
        config = TransformersConfig.model_validate(table)
        made.append(Engine(config, load(config), speculation))
        return made[-1]

    yield engine
    for one in made:
        one.close()
        assert (one.slots.owners, one.cache.nbytes, one._running, len(one._waiting)) == ([], 0, [], 0), "it still holds something"


def together(engine: Engine, *asked: Asked) -> list[list[list[TokenLogprob]] | str]:
    engine.inbox.put(*(one.job for one in asked))
    return [one.result() for one in asked]


def drafting() -> Speculation:
    return Speculation(PromptLookup(1, 8), 10_000, adaptive=False)


def test_a_cache_that_cannot_grow_fails_the_requests_at_work_and_the_engine_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, resize = make(), Cache._resize

    def scarce(self: Cache, slots: int, capacity: int) -> None:
        if slots > 2:
            self.slots, self.capacity = slots, capacity  # as far as it comes before the memory is asked for
            raise MemoryError("no room for so many slots")
        resize(self, slots, capacity)

    before = together(engine, Asked(engine, "plums"))
    monkeypatch.setattr(Cache, "_resize", scarce)
    requests = [Asked(engine, "one", n=2), Asked(engine, "two", n=2)]
    assert together(engine, *requests) == ["no room for so many slots"] * 2
    monkeypatch.undo()
    assert together(engine, Asked(engine, "plums")) == before


def test_when_the_thread_ends_unforeseen_all_are_told_and_so_is_whoever_comes_later(make: Make) -> None:
    engine = make(parallel=1)
    running, waiting, behind = (Asked(engine, text, max_tokens=500) for text in ("one", "two", "three"))
    passes = 0

    def fail() -> None:
        nonlocal passes
        passes += 1
        if passes == 3:
            engine.submit(behind.job)
            raise SystemExit("a bug")

    engine.failing = fail
    for said in together(engine, running, waiting):
        assert "the engine's thread has ended, the decoder must be started anew: SystemExit('a bug')" in said
    assert "the engine's thread has ended" in behind.result()
    with pytest.raises(RuntimeError, match="the engine's thread has ended"):
        engine.submit(Asked(engine, "later").job)


@pytest.mark.parametrize("temperature", [1e-38, 2.2250738585072014e-308, 5e-324])
def test_next_to_no_temperature_is_none(make: Make, temperature: float) -> None:
    engine = make()
    expected = together(engine, Asked(engine, "plums", temperature=0.0), Asked(engine, "coins"))
    assert together(engine, Asked(engine, "plums", temperature=temperature), Asked(engine, "coins")) == expected


@pytest.mark.parametrize("speculation", [None, drafting], ids=["plain", "drafts"])
def test_a_schema_that_cannot_be_followed_any_further_fails_its_request_and_no_other(
    make: Make, monkeypatch: pytest.MonkeyPatch, speculation: Callable[[], Speculation] | None
) -> None:
    engine, looked, allowed = make(speculation() if speculation else None), 0, Constraint.allowed

    def limited(self: Constraint, draft: Any = ()) -> Any:
        nonlocal looked
        looked += 1
        if looked > 7:
            raise ValueError("the schema has outgrown its limits")
        return allowed(self, draft)

    alone = together(engine, Asked(engine, "one two one two", n=2))
    monkeypatch.setattr(Constraint, "allowed", limited)
    schema = Asked(engine, "three", n=3, json_schema={"type": "string", "minLength": 9})
    others = Asked(engine, "one two one two", n=2)
    found = together(engine, schema, others)
    assert found[0] == "the schema has outgrown its limits"
    assert [[token.id for token in choice] for choice in found[1]] == [[token.id for token in choice] for choice in alone[0]]


def test_after_a_choice_has_failed_nothing_is_told_of_the_others_of_its_request(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, advanced, advance = make(), 0, Constraint.advance

    def limited(self: Constraint, token: int) -> None:
        nonlocal advanced
        advanced += 1
        if advanced == 7:  # the first of three in their third step
            raise ValueError("the schema has outgrown its limits")
        advance(self, token)

    monkeypatch.setattr(Constraint, "advance", limited)
    schema, other = Asked(engine, "three", n=3, json_schema={"type": "string", "minLength": 9}), Asked(engine, "plums")
    assert together(engine, schema, other)[0] == "the schema has outgrown its limits"
    assert schema.told == ["0", "1", "2"] * 2


def infinite(engine: Engine, text: str) -> None:
    """Make a prompt with `text` in it one whose keys and values are no numbers."""
    model, (token, *_) = engine.loaded.model, engine.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.model.embed_tokens.weight[token] = math.inf


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"temperature": 0.0}], ids=str)
def test_scores_that_are_no_numbers_fail_their_request_and_no_other(make: Make, options: dict[str, Any]) -> None:
    engine = make()
    infinite(engine, "@")
    expected = together(engine, Asked(engine, "plums", n=2))
    found = together(engine, Asked(engine, "coins @", n=2, **options), Asked(engine, "plums", n=2))
    assert found[0] == "the model's scores of the next token are no numbers"
    assert found[1:] == expected


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("unfinished", [True, False], ids=["cancelled", "failed"])
def test_a_slot_does_not_keep_what_is_no_number(make: Make, fused: bool, unfinished: bool) -> None:
    """The next holder's tokens would be multiplied with it, by zero."""
    engine = make(fused=fused, prefix_mb=0, chunk=16, parallel=2)
    infinite(engine, "@")
    expected = together(engine, Asked(engine, "plums"))[0]
    long, bad, next_holder = Asked(engine, "first", max_tokens=150, seed=0), Asked(engine, "@ bad " * 20), Asked(engine, "plums")

    def cancel() -> None:
        if unfinished and bad.job.filled > 32:
            engine.cancel(bad.job)

    engine.failing = cancel
    _, failed, found = together(engine, long, bad, next_holder)
    assert failed == ([[]] if unfinished else "the model's scores of the next token are no numbers")
    assert next_holder.job.choices[0].last < long.job.choices[0].last, "it was not beside a longer one"
    for mine, alone in zip(found[0], expected[0], strict=True):
        assert mine.id == alone.id  # type: ignore[union-attr] # no error
        assert mine.logprob == pytest.approx(alone.logprob, abs=1e-4)  # type: ignore[union-attr] # as above


def resizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    made, resize = list[tuple[int, int]](), Cache._resize

    def counted(self: Cache, slots: int, capacity: int) -> None:
        made.append((slots, capacity))
        resize(self, slots, capacity)

    monkeypatch.setattr(Cache, "_resize", counted)
    return made


def test_a_prompts_copies_get_their_slots_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, made = make(), resizes(monkeypatch)
    together(engine, Asked(engine, "plums and coins", n=24, max_tokens=1))
    assert made == [(1, 128), (24, 128)]


def test_the_cache_grows_once_for_a_prompt_that_is_read_in_chunks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, made = make(chunk=32), resizes(monkeypatch)
    long = Asked(engine, "a lazy dog " * 110, max_tokens=1)
    together(engine, long)
    assert len(made) == 1
    assert made[0][1] >= len(long.job.prompt) > 4 * 128
