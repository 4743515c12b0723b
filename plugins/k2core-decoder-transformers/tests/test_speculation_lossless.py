"""With every drafter, good or broken, the same tokens as a plain loop that recomputes everything at each step."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from k2core_decoder_transformers.config import TransformersConfig
from k2core_decoder_transformers.engine.core import Engine
from k2core_decoder_transformers.engine.job import Job
from k2core_decoder_transformers.loading import load
from k2core_decoder_transformers.sampling.drawing import draw_together
from k2core_decoder_transformers.sampling.noise import Noise
from k2core_decoder_transformers.sampling.warp import Warp
from k2core_decoder_transformers.speculation import Draft, Speculation, SpeculationConfig, View
from k2core_decoder_transformers.speculation.draft_model import DraftModel, check_vocabulary
from k2core_decoder_transformers.speculation.drafters import maker, speculation_for

from k2core.types import DecodeRequest, Message

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
assert spec is not None
assert spec.loader is not None
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

TOKENS = 40
SEED = 11


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny.make(tmp_path_factory.mktemp("target"), "llama", seed=1, spread=0.2)
    return made


@pytest.fixture(scope="module")
def target(folder: Path) -> Any:
    return load(TransformersConfig(model=str(folder), dtype="float32", device="cpu"))


def request(temperature: float, top_p: float, n: int = 3, text: str = "one two one two one two") -> DecodeRequest:
    messages = (Message(role="user", content=text),)
    return DecodeRequest(
        messages=messages, n=n, max_tokens=TOKENS, temperature=temperature, top_p=top_p, seed=SEED, prediction="one two three one"
    )


def decode(target: Any, speculation: Speculation | None, asked: Sequence[DecodeRequest]) -> tuple[list[list[list[int]]], list[Job]]:
    """Through the engine, all requests at once: token ids of each choice of each request, and the jobs."""
    engine = Engine(TransformersConfig(dtype="float32", device="cpu", threads=1), target, speculation)
    try:
        jobs, ends = [], []
        for each in asked:
            done, errors = threading.Event(), []

            def ended(error: Exception | None, done: threading.Event = done, errors: list[Any] = errors) -> None:
                errors.append(error)
                done.set()

            jobs.append(Job(engine.next_id(), each, 0, 0.0, lambda index, text, tokens: None, ended))
            ends.append((done, errors))
            engine.submit(jobs[-1])
        for done, errors in ends:
            assert done.wait(60)
            assert errors == [None]
        return [[choice.ids for choice in job.choices] for job in jobs], jobs
    finally:
        engine.close()


@torch.inference_mode()
def reference(target: Any, asked: DecodeRequest) -> list[list[int]]:
    """Transformers' own forward over the whole text for every token; the definition of what must come out."""
    prompt, texts = target.prompt_ids(asked), []
    for index in range(asked.n):
        noise, ids = Noise((asked.seed or 0) + index), []
        while len(ids) < asked.max_tokens and not (ids and ids[-1] in target.eos):
            logits = target.model(torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, -1:].float()
            ids += draw_together(logits, [Warp(asked.temperature, asked.top_p)], [noise.key(len(ids))])
        texts.append(ids)
    return texts


class Oracle:
    """Knows the answers; with `wrong` it spoils every so many tokens, so that all lengths of acceptance occur."""

    passes = False

    def __init__(self, answers: list[list[int]], wrong: int) -> None:
        self.answers, self.wrong = answers, wrong

    def open(self, view: View) -> None: ...
    def grew(self, view: View, new: Sequence[int]) -> None: ...
    def close(self, view: View) -> None: ...

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        found = []
        for view, limit in zip(views, most, strict=True):
            answer = next((a for a in self.answers if a[: len(view.ids)] == list(view.ids)), [])
            tokens = answer[len(view.ids) : len(view.ids) + limit]
            found.append(Draft([(t + 1) % 50 if (len(view.ids) + i) % self.wrong == 0 else t for i, t in enumerate(tokens)], 4))
        return found


def made(name: str, target: Any, folder: Path, adaptive: bool) -> Speculation:
    options = {"drafter": name, "most": 5, "shortest": 1, "adaptive": adaptive}
    if name == "draft-model":
        options["model"] = str(folder)
    speculation = speculation_for(SpeculationConfig.model_validate(options), target, threading.Event())
    assert speculation is not None
    return speculation


@pytest.mark.parametrize("top_p", [1.0, 0.9])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1.5])
def test_same_tokens_with_every_drafter(temperature: float, top_p: float, target: Any, folder: Path) -> None:
    asked = request(temperature, top_p)
    expected = reference(target, asked)
    assert decode(target, None, [asked])[0] == [expected]
    for name in ("prompt-lookup", "sibling", "draft-model"):
        for adaptive in (False, True):
            ids, jobs = decode(target, made(name, target, folder, adaptive), [asked])
            assert ids == [expected], name
            assert 0 <= jobs[0].accepted <= jobs[0].drafted
            assert adaptive or jobs[0].drafted > 0
    ids, jobs = decode(target, Speculation(Oracle(expected, 7), target.vocab, adaptive=False), [asked])
    assert ids == [expected]
    assert jobs[0].accepted > 0


def test_an_equal_draft_model_is_right_at_every_temperature(target: Any, folder: Path) -> None:
    for temperature in (0.0, 1.0):
        _, jobs = decode(target, made("draft-model", target, folder, False), [request(temperature, 0.9)])
        assert jobs[0].accepted > 0.95 * jobs[0].drafted - 5 * 3  # the last drafts may be cut by the end of the text


def test_requests_that_join_and_leave(target: Any, folder: Path) -> None:
    asked = [request(1.0, 1.0, n, text) for n, text in ((4, "a b a b"), (1, "c d c d c"), (2, "a b a b a"))]
    expected = [reference(target, each) for each in asked]
    for name in ("prompt-lookup", "sibling", "draft-model"):
        speculation = made(name, target, folder, False)
        assert decode(target, speculation, asked)[0] == expected, name
        drafter = speculation._drafter
        for kept in ("_own", "_shared", "_groups", "_held", "_of", "_open"):
            assert not getattr(drafter, kept, None), (name, kept)
        assert not speculation._told
        assert not speculation._shadows


class Rubbish:
    """A drafter that does what it should not."""

    passes = False

    def __init__(self, how: str) -> None:
        self.how = how

    def open(self, view: View) -> None: ...

    def grew(self, view: View, new: Sequence[int]) -> None:
        if self.how == "raises in grew":
            raise RuntimeError("no")

    def close(self, view: View) -> None:
        if self.how == "raises in close":
            raise RuntimeError("no")

    def draft(self, views: Sequence[View], most: Sequence[int]) -> list[Draft]:
        if self.how == "raises":
            raise RuntimeError("no")
        answers: dict[str, Any] = {
            "wrong": [3] * 4,
            "empty": [],
            "too long": [5] * 1000,
            "out of vocabulary": [10**9, 3],
            "negative": [-1],
            "not a number": ["x"],
            "too few": [1],
        }
        drafts = [Draft(answers.get(self.how, [])) for _ in views]
        return drafts[1:] if self.how == "too few" else drafts


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    ("how", "off"),
    [
        ("wrong", False),
        ("empty", False),
        ("too long", False),
        ("out of vocabulary", False),
        ("negative", False),
        ("not a number", False),
        ("too few", True),
        ("raises", True),
        ("raises in grew", True),
        ("raises in close", True),
    ],
)
def test_a_broken_drafter_costs_no_token(
    how: str, off: bool, adaptive: bool, target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = request(1.0, 1.0, 2)
    speculation = Speculation(Rubbish(how), target.vocab, most=5, adaptive=adaptive)
    with caplog.at_level(logging.WARNING):
        ids, _ = decode(target, speculation, [asked])
    assert ids == [reference(target, asked)]
    assert speculation.active != off
    assert ("speculation is switched off" in caplog.text) == off


def test_another_vocabulary_is_refused(target: Any, tmp_path: Path) -> None:
    other = tiny.tokenizer(vocabulary=300)
    with pytest.raises(ValueError, match=r"the draft model small has another vocabulary: token \d+ is None there and '"):
        check_vocabulary(target.tokenizer, other, "small")
    check_vocabulary(target.tokenizer, target.tokenizer, "same")


def test_an_unknown_drafter_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match="there is no drafter 'nope'; known are draft-model, none, prompt-lookup, sibling"):
        maker("nope")
    assert speculation_for(SpeculationConfig(drafter="none"), target, threading.Event()) is None


def test_the_draft_model_reads_long_prompts_in_chunks(target: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from k2core_decoder_transformers.speculation import draft_model

    monkeypatch.setattr(draft_model, "CHUNK", 8)
    asked = request(1.0, 1.0, 3)
    speculation = made("draft-model", target, folder, False)
    ids, jobs = decode(target, speculation, [asked])
    assert ids == [reference(target, asked)]
    assert jobs[0].accepted > jobs[0].drafted / 2
    assert isinstance(speculation._drafter, DraftModel)
