"""Speculation changes how fast a text comes, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from k2core_decoder_llamacpp import LlamaCppConfig, Speculation
from k2core_decoder_llamacpp.speculation import check_draft
from k2core_models import gguf
from k2core_models.testing import Tensor
from pydantic import ValidationError

from k2core import PluginError, Run

COPY = "Repeat this list exactly twice: apple banana cherry date elderberry fig grape. " * 2
STUTTER = "Count: " + "one two three " * 30
KINDS: list[dict[str, Any]] = [
    {"drafter": "ngram-simple"},
    {"drafter": "ngram-map-k"},
    {"drafter": "ngram-map-k4v"},
    {"drafter": "ngram-mod"},
    {"drafter": "draft-model", "model": "smollm2-135m-instruct", "most": 3},
]


@pytest.mark.parametrize("speculation", KINDS, ids=lambda options: options["drafter"])
def test_the_text_of_a_seed_is_the_same_and_guesses_are_counted(stand: Any, request_for: Any, speculation: dict[str, Any]) -> None:
    requests = [request_for(COPY, temperature=t, max_tokens=40, n=n) for t, n in ((0.0, 2), (1.0, 1))]

    async def work(run: Run) -> list[list[str]]:
        return [[c.text for c in await run.decode(request)] for request in requests]

    plain, guessing = stand(), stand(speculation=speculation)
    assert guessing.run(work) == plain.run(work)
    with_, without = guessing.runtime.ledger.total, plain.runtime.ledger.total
    assert (with_.completion_tokens, with_.prompt_tokens) == (without.completion_tokens, without.prompt_tokens)
    assert 0 < with_.accepted <= with_.drafted
    assert (without.drafted, without.accepted) == (0, 0)


def test_the_first_tokens_of_many_samples_are_the_same(stand: Any, request_for: Any) -> None:
    """Short samples at T = 1, the second half of each of which a guess may reach; seeds are not shared, so it is a real test."""
    from_seed = lambda seed: request_for("Say: one two one two one two one two one", temperature=1.0, max_tokens=3, seed=seed, n=4)  # noqa: E731 # short

    def words(at: Any, first: int) -> Counter[str]:
        async def work(run: Run) -> Counter[str]:
            made = [await run.decode(from_seed(seed)) for seed in range(first, first + 64, 4)]
            return Counter(c.text.split(" ")[0] for group in made for c in group)

        return at.run(work)

    one, two = words(stand(), 0), words(stand(speculation={"drafter": "ngram-mod", "match": 1}), 1000)
    likely = [word for word, count in (one + two).items() if count >= 10]
    assert likely
    for word in likely:  # six standard deviations of a difference of two binomials
        share = (one[word] + two[word]) / 128
        assert abs(one[word] - two[word]) / 64 <= 6 * (2 * share * (1 - share) / 64) ** 0.5


def test_a_cancelled_request_tells_its_guesses(stand: Any, request_for: Any) -> None:
    at = stand(speculation={"drafter": "ngram-simple"})

    async def work(run: Run) -> None:
        task = asyncio.create_task(run.decode(request_for(STUTTER, temperature=0.0, max_tokens=700)))
        while len(at.events) < 60:  # noqa: ASYNC110 # the engine has no event to set
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    at.run(work)
    usage = at.runtime.ledger.total
    assert usage.cancelled == 1
    assert 0 < usage.accepted <= min(usage.drafted, usage.completion_tokens)


def test_logprobs_have_ids_and_none_are_told_where_some_are_missing(stand: Any, request_for: Any) -> None:
    request = request_for(STUTTER, temperature=0.0, logprobs=1, max_tokens=40)
    (plain,) = stand().run(lambda run: run.decode(request))
    assert plain.logprobs is not None
    assert all(isinstance(entry.id, int) for entry in plain.logprobs)
    assert (plain.timing.prompt or 0) > 0 < (plain.timing.completion or 0)
    at = stand(speculation={"drafter": "ngram-simple"})
    (guessed,) = at.run(lambda run: run.decode(request))
    assert (guessed.text, guessed.logprobs) == (plain.text, None)
    assert any("no log-probabilities of guessed tokens" in getattr(e, "message", "") for e in at.events)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drafter": "draft-model"}, "needs `model`"),
        ({"drafter": "ngram-simple", "model": "x"}, "takes no model"),
        ({"drafter": "none", "match": 4, "most": 8}, "takes no match"),
        ({"drafter": "draft-model", "model": "x", "match": 4}, "takes no match"),
        ({"drafter": "ngram-simple", "most": 0}, "greater than or equal to 1"),
        ({"drafter": "magic"}, "Input should be 'none'"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LlamaCppConfig.model_validate({"speculation": options})


def test_draft_models_of_another_vocabulary(stand: Any, write_gguf: Callable[..., Path], tmp_path: Path) -> None:
    tensor: Tensor = ("w", (1,), b"\0" * 4)

    def write(name: str, tokens: list[str], kind: str = "gpt2") -> Path:
        return write_gguf(f"{name}.gguf", {"tokenizer.ggml.model": kind, "tokenizer.ggml.tokens": tokens}, [tensor])

    mine = write("mine", ["a", "b", "c"])
    header = gguf.read(mine)
    check_draft(mine, header, write("padded", ["a", "b", "c", "[PAD]"]))
    for other, message in (
        (write("other", ["a", "x", "c"]), "another vocabulary .* token 1 is b'x', not b'b'"),
        (write("kind", ["a", "b", "c"], "llama"), "a tokenizer of the kind 'llama', the model .* one of 'gpt2'"),
        (write("large", ["a", "b", "c", *"x" * 200]), "a vocabulary of 203 tokens, the model .* one of 3"),
    ):
        with pytest.raises(ValueError, match=message):
            check_draft(mine, header, other)
    with pytest.raises(FileNotFoundError):
        check_draft(mine, header, tmp_path / "none.gguf")

    async def start() -> None:
        async with stand(speculation={"drafter": "draft-model", "model": str(write("bad", ["a"]))}).runtime:
            pytest.fail("it started")

    with pytest.raises(PluginError, match=r"tokenizer of the kind|another vocabulary"):
        asyncio.run(start())


@pytest.mark.parametrize("options", [{"drafter": "none"}, *KINDS])
def test_what_is_written_out_can_be_read_back(options: dict[str, Any]) -> None:
    config = LlamaCppConfig.model_validate({"speculation": options})
    assert LlamaCppConfig.model_validate_json(config.model_dump_json()) == config


def test_off_is_the_default() -> None:
    assert LlamaCppConfig().speculation == Speculation(drafter="none")
