"""The real engine, with a small model on the processor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from k2core_decoder_vllm import Vllm

from k2core import Completion, Message, PluginError, Run
from k2core.events import Delta
from k2core.testing import assert_conforms

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")


def test_conforms(shared: Any, request: pytest.FixtureRequest) -> None:
    options = shared.config.model_dump(exclude_defaults=True)
    assert_conforms("decoder", Vllm, options, patience=30, limit=240)


def test_choices_stream_and_are_counted(stand: Any, ask: Any) -> None:
    place = stand()
    made: Sequence[Completion] = place.run(lambda run: run.decode(ask(n=3, logprobs=2)))
    deltas = [event for event in place.events if isinstance(event, Delta)]
    for index, completion in enumerate(made):
        assert "".join(d.text for d in deltas if d.index == index) == completion.text
        assert completion.logprobs is not None
        assert len(completion.logprobs) == completion.tokens == 12
        assert all(entry.id is not None and entry.logprob <= 0 and len(entry.top) == 2 for entry in completion.logprobs)
        assert completion.finish == "length"
        assert completion.timing.prompt is not None
    total = place.runtime.ledger.total
    assert (total.served, total.completion_tokens, total.estimated) == (1, 36, False)
    assert len({completion.text for completion in made}) > 1


def test_choice_i_is_seeded_with_seed_plus_i(stand: Any, ask: Any) -> None:
    """Two requests of one choice each, side by side, share their batch as two choices of one request do."""

    async def work(run: Run) -> Any:
        both = await run.decode(ask(n=2))
        alone = await asyncio.gather(run.decode(ask(seed=5)), run.decode(ask(seed=6)))
        return [c.text for c in both], [one[0].text for one in alone]

    both, alone = stand().run(work)
    assert both == alone


def test_greedy_takes_several_choices(stand: Any, ask: Any) -> None:
    first, second = stand().run(lambda run: run.decode(ask(n=2, temperature=0)))
    assert first.text == second.text


def test_stop_strings_and_their_absence(stand: Any, ask: Any) -> None:
    async def work(run: Run) -> Any:
        whole = (await run.decode(ask(temperature=0, max_tokens=30)))[0].text
        word = whole.split()[6]
        return whole, word, (await run.decode(ask(temperature=0, max_tokens=30, stop=(word,))))[0]

    whole, word, cut = stand().run(work)
    assert (cut.finish, cut.stopped) == ("stop", word)
    assert cut.text == whole[: whole.index(word)]


def test_a_schema_is_enforced(stand: Any, ask: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"sign": {"enum": ["plus", "minus"]}},
        "required": ["sign"],
        "additionalProperties": False,
    }
    made = stand().run(lambda run: run.decode(ask(max_tokens=60, json_schema=schema, temperature=0)))
    assert json.loads(made[0].text)["sign"] in ("plus", "minus")


def test_an_unfinished_turn_is_continued(stand: Any, ask: Any) -> None:
    messages = (Message(role="user", content="Count from one to ten."), Message(role="assistant", content="one, two, three,"))
    made = stand().run(lambda run: run.decode(ask(messages=messages, continue_last=True, temperature=0)))
    assert made[0].text.strip().startswith("four")


def test_the_context_overflows_with_a_clear_error(stand: Any, ask: Any) -> None:
    with pytest.raises(PluginError, match=r"ValueError: the prompt has \d+ tokens, the context only 512"):
        stand().run(lambda run: run.decode(ask("hello " * 600)))


def test_a_full_context_is_told(stand: Any, ask: Any) -> None:
    place = stand()
    [made] = place.run(lambda run: run.decode(ask("hello " * 420, max_tokens=500, stop=("@@@",))))
    assert made.finish == "stop" or made.tokens < 500


def test_a_cancelled_call_is_gone_from_the_engine_and_counted(stand: Any, ask: Any, shared: Any) -> None:
    place = stand()

    async def work(run: Run) -> None:
        call = asyncio.create_task(run.decode(ask(n=4, max_tokens=450, temperature=1.5)))
        while not any(isinstance(event, Delta) for event in place.events):  # noqa: ASYNC110 # observers are not awaited
            await asyncio.sleep(0.01)
        assert await shared.call(shared.busy())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not await shared.call(shared.busy()), "the engine's own process still has requests"

    place.run(work)
    deltas = [event for event in place.events if isinstance(event, Delta)]
    total = place.runtime.ledger.total
    assert (total.cancelled, total.estimated) == (1, False)
    assert total.completion_tokens == sum(delta.tokens for delta in deltas) > 0


def test_cancellations_at_any_moment(stand: Any, ask: Any, shared: Any) -> None:
    async def work(run: Run) -> str:
        for step in range(12):
            call = asyncio.create_task(run.decode(ask(n=2, max_tokens=300, seed=step)))
            await asyncio.sleep(0.004 * step**2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert not await shared.call(shared.busy())
        return (await run.decode(ask(temperature=0)))[0].text

    assert stand().run(work)


def test_sixty_four_seeded_calls_at_once(stand: Any, ask: Any) -> None:
    """More tokens of prompts than vLLM takes in one step by default."""

    async def work(run: Run) -> Any:
        prompts = [f"What is {i} and {i}? " * 20 for i in range(64)]
        return await asyncio.gather(*(run.decode(ask(text, max_tokens=4, seed=i)) for i, text in enumerate(prompts)))

    assert all(made[0].tokens <= 4 for made in stand().run(work))


def test_two_decoders_share_one_engine(stand: Any, ask: Any, shared: Any) -> None:
    from k2core_decoder_vllm import engine

    async def work(run: Run) -> int:
        await run.decode(ask(max_tokens=2))
        return len(engine._engines)

    assert stand(top_k=5, think="off").run(work) == 1
    assert engine._engines[shared.config.shared()][1] == 1
