"""The decoder on the real model."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from k2core_decoder_llamacpp import LlamaCppConfig, engine

from k2core import Delta, Message, PluginError, Problem, Run
from k2core.toolkit import cores


def texts(events: list[Any]) -> dict[int, str]:
    """What the deltas say, by choice."""
    said: dict[int, str] = defaultdict(str)
    for event in events:
        if isinstance(event, Delta) and not event.reasoning:
            said[event.index] += event.text
    return dict(said)


def test_deltas_concatenate_to_completions_and_every_choice_is_counted(stand: Any, request_for: Any) -> None:
    at = stand()
    made = at.run(lambda run: run.decode(request_for(n=3)))
    assert texts(at.events) == {i: c.text for i, c in enumerate(made)}
    assert [(c.tokens, c.finish, c.model) for c in made] == [(12, "length", "smollm2-135m-instruct")] * 3
    usage = at.runtime.ledger.total
    assert (usage.completion_tokens, usage.prompt_tokens, usage.estimated) == (36, 37, False)
    assert sum(e.tokens for e in at.events if isinstance(e, Delta)) <= 36
    assert all(c.timing.first_token is not None and 0 < c.timing.first_token <= c.timing.total for c in made)


def test_tokens_agree_with_the_tokens_that_have_logprobs(stand: Any, request_for: Any) -> None:
    """In plain English every token has text of its own, so llama.cpp reports a log-probability for each but the end's."""
    (cut,) = stand().run(lambda run: run.decode(request_for(temperature=0.0, logprobs=2)))
    assert cut.logprobs is not None
    assert len(cut.logprobs) == cut.tokens == 12
    assert "".join(entry.token for entry in cut.logprobs) == cut.text
    assert all(entry.top[0] == (entry.token, entry.logprob) and entry.logprob <= 0 for entry in cut.logprobs)
    (whole,) = stand().run(lambda run: run.decode(request_for("Say hi.", temperature=0.0, logprobs=1, max_tokens=60)))
    assert whole.finish == "stop"
    assert whole.logprobs is not None
    assert whole.tokens - len(whole.logprobs) in (0, 1)


def test_same_seed_same_text_and_choice_i_has_seed_plus_i(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> None:
        together = [c.text for c in await run.decode(request_for(n=3))]
        again = [c.text for c in await run.decode(request_for(n=3))]
        alone = [(await run.decode(request_for(seed=5 + i)))[0].text for i in range(3)]
        assert together == again == alone
        assert len(set(together)) == 3

    stand().run(work)


def test_more_choices_than_slots(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> None:
        many = await run.decode(request_for(n=6, max_tokens=4))
        assert [c.tokens for c in many] == [4] * 6
        assert many[5].text == (await run.decode(request_for(max_tokens=4, seed=10)))[0].text

    at = stand()
    at.run(work)
    assert set(texts(at.events)) == set(range(6))


def test_concurrent_requests_share_the_slots(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> list[int]:
        made = await asyncio.gather(*(run.decode(request_for(n=1 + i % 3, seed=i, max_tokens=4)) for i in range(9)))
        return [len(m) for m in made]

    at = stand()
    assert at.run(work) == [1, 2, 3] * 3
    assert at.runtime.ledger.total.completion_tokens == 4 * 18


def test_unicode_split_across_tokens(stand: Any, request_for: Any) -> None:
    wanted = "naïve 日本語 🦊👩‍🚀 Ω"
    at = stand()
    (made,) = at.run(lambda run: run.decode(request_for(json_schema={"const": wanted}, max_tokens=80)))
    assert json.loads(made.text) == wanted
    assert texts(at.events)[0] == made.text
    assert made.tokens > len([e for e in at.events if isinstance(e, Delta)])  # some characters took several tokens


def test_json_schema(stand: Any, request_for: Any, capfd: pytest.CaptureFixture[str]) -> None:
    schema = {
        "type": "object",
        "properties": {"topic": {"type": "string", "pattern": "fox", "maxLength": 20}, "hard": {"type": "boolean"}},
        "required": ["topic", "hard"],
        "additionalProperties": False,
    }

    async def work(run: Run) -> None:
        (made,) = await run.decode(request_for(json_schema=schema, max_tokens=60))
        answer = json.loads(made.text)
        assert set(answer) == {"topic", "hard"}
        assert isinstance(answer["hard"], bool)
        with pytest.raises(PluginError, match="unrecognized type nonsense"):
            await run.decode(request_for(json_schema={"type": "nonsense"}))

    at = stand()
    at.run(work)
    assert capfd.readouterr() == ("", "")
    assert any("'fox'" in getattr(e, "message", "") for e in at.events)


def test_stop_strings_and_finish_reasons(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> None:
        (whole,) = await run.decode(request_for(temperature=0.0, max_tokens=30))
        word = whole.text.split()[3]
        (cut,) = await run.decode(request_for(temperature=0.0, max_tokens=30, stop=(word,)))
        assert (whole.finish, cut.finish) == ("length", "stop")
        assert cut.text == whole.text[: whole.text.index(word)]

    stand().run(work)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "long " * 4000}, r"the prompt has 4,\d+ tokens, the context only 1,024"),
        ({"text": "x y " * (1 << 18)}, r"the prompt has at least \d+,\d+ tokens, the context only 1,024"),
        ({"text": "a\0b"}, "the user message contains a NUL character at position 1"),
        ({"text": "\ud800"}, "lone surrogate"),
        ({"stop": ("\0",)}, "a stop string contains a NUL"),
        ({"stop": ("",)}, "a stop string is empty"),
        ({"json_schema": {"const": "\0"}}, "schema contains a NUL"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 2.0}, "top_p is 2"),
        ({"n": 0}, "n is 0"),
        ({"logprobs": 1000}, "logprobs is 1000"),
    ],
)
def test_bad_requests(stand: Any, request_for: Any, options: dict[str, Any], message: str) -> None:
    async def work(run: Run) -> None:
        with pytest.raises(PluginError, match=message):
            await run.decode(request_for(**options))
        (fine,) = await run.decode(request_for(max_tokens=2))
        assert fine.tokens == 2

    stand().run(work)


def test_a_full_context_is_told(stand: Any, request_for: Any) -> None:
    at = stand(context=64)
    (made,) = at.run(lambda run: run.decode(request_for("Count: " + "one two " * 80, temperature=0.0, max_tokens=500)))
    assert made.finish == "length"
    assert made.tokens + at.runtime.ledger.total.prompt_tokens == 256
    assert any("context of 256 tokens was full" in getattr(e, "message", "") for e in at.events)


async def _until(when: Callable[[], Any]) -> None:
    while not when():  # noqa: ASYNC110 # what is waited for happens in the engine, which has no event to set
        await asyncio.sleep(0.002)


async def _cancel(run: Run, request: Any, when: Callable[[], bool]) -> None:
    task = asyncio.create_task(run.decode(request))
    await _until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancelled_while_decoding(stand: Any, request_for: Any, shared: engine.Engine) -> None:
    at = stand()

    async def work(run: Run) -> None:
        await _cancel(run, request_for(n=2, max_tokens=900), lambda: len(at.events) > 12)
        assert shared._running == 0
        usage = at.runtime.ledger.total
        assert (usage.cancelled, usage.prompt_tokens, usage.estimated) == (1, 37, False)
        assert 4 <= usage.completion_tokens < 400
        (fine,) = await run.decode(request_for(max_tokens=2))
        assert fine.tokens == 2

    at.run(work)


def test_cancelled_while_the_prompt_is_processed(stand: Any, request_for: Any, shared: engine.Engine) -> None:
    at = stand(reuse_prompts=False)

    async def work(run: Run) -> None:
        await _cancel(run, request_for("count " * 900), lambda: shared._running == 1)
        assert shared._running == 0
        assert at.runtime.ledger.total.completion_tokens == 0

    at.run(work)


def test_cancelled_while_queued(stand: Any, request_for: Any, shared: engine.Engine) -> None:
    async def work(run: Run) -> None:
        first = asyncio.create_task(run.decode(request_for(n=4, max_tokens=10)))
        await _until(lambda: shared._running)
        await _cancel(run, request_for(), lambda: len(shared.slots._waiting) == 1)
        assert not shared.slots._waiting
        assert [c.tokens for c in await first] == [10] * 4

    stand().run(work)


def test_runtimes_on_two_threads_share_one_model(stand: Any, request_for: Any, shared: engine.Engine) -> None:
    loads, made = shared.loads, {}

    def solve(seed: int) -> None:
        made[seed] = _decode(stand, request_for(seed=seed, max_tokens=6))

    threads = [threading.Thread(target=solve, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(texts) for texts in made.values()}) == 3
    assert shared.loads == loads
    assert engine._engines[shared.key][1] == 1


def _decode(stand: Any, request: Any) -> list[str]:
    async def main() -> list[str]:
        at = stand()
        async with at.runtime, at.runtime.open(Problem(prompt="any"), seed=1) as run:
            return [c.text for c in await run.decode(request)]

    return asyncio.run(main())


def test_load_and_free_leave_no_port_no_thread_no_output(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Loading and freeing leaves no thread but llama.cpp's one logger, and opens no port in between."""
    config = LlamaCppConfig(context=64, parallel=1, threads=2)
    process, counts = psutil.Process(), []
    for _ in range(2):
        loaded = engine.acquire(model, config)
        assert process.net_connections("inet") == []
        sockets = [c.laddr for c in process.net_connections("unix") if "k2-" in str(c.laddr)]
        assert sockets
        assert not any(os.path.exists(str(path)) for path in sockets)
        assert any(str(model) in m.path for m in process.memory_maps())
        engine.release(loaded)
        assert not any(str(model) in m.path for m in process.memory_maps()) or engine._engines
        counts.append((len(os.listdir("/proc/self/task")), process.num_fds()))
    assert all(before == after for before, after in pairwise(counts))
    assert capfd.readouterr() == ("", "")


def test_threads_follow_the_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next idle moment, the model is loaded again for the number of cores that are free by then."""
    wanted = iter([1, 2, 2])
    monkeypatch.setattr(cores, "measure", lambda: next(wanted))
    monkeypatch.setattr(cores, "threads_for", lambda free, cores: next(wanted))
    monkeypatch.setattr(engine, "RECHECK_AFTER", 0.0)
    monkeypatch.setattr(engine, "RELOAD_AFTER", 0.0)
    monkeypatch.setattr(cores, "logical_cores", lambda: 2)
    loaded = engine.acquire(model, LlamaCppConfig(context=64, parallel=1))
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 1}
    seen = [loaded.threads]
    for _ in range(2):
        time.sleep(0.01)
        loaded.generate(body, lambda chunk: False)
        seen.append(loaded.threads)
    engine.release(loaded)
    assert (seen, loaded.loads) == ([1, 2, 2], 2)
    with pytest.raises(RuntimeError, match="unloaded"):
        loaded.generate(body, lambda chunk: False)


def test_models_loaded_together_share_the_cores(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more threads than cores in a process they wait asleep; so the first gives some up at its next request, for a time."""
    monkeypatch.setattr(cores, "measure", lambda: 4)
    monkeypatch.setattr(cores, "threads_for", lambda free, cores: 4)
    monkeypatch.setattr(cores, "logical_cores", lambda: 4)
    monkeypatch.setattr(engine, "RECHECK_AFTER", 0.0)
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 1}

    def asked(loaded: engine.Engine) -> int:
        time.sleep(0.01)
        loaded.generate(body, lambda chunk: False)
        return loaded.threads

    first = engine.acquire(model, LlamaCppConfig(context=64, parallel=1))
    assert asked(first) == 4
    second = engine.acquire(model, LlamaCppConfig(context=128, parallel=1))
    monkeypatch.setattr(engine, "RECHECK_AFTER", 10.0)  # a look at others is not due
    assert (second.threads, asked(first), asked(second)) == (2, 2, 2)
    assert (first.prompt_threads, second.prompt_threads) == (4, 4)
    monkeypatch.setattr(engine, "RECHECK_AFTER", 0.0)
    chosen = engine.acquire(model, LlamaCppConfig(context=192, parallel=1, threads=3))
    assert (chosen.threads, asked(first), asked(second)) == (3, 1, 1)
    engine.release(chosen)
    engine.release(second)
    assert asked(first) == 1  # for a while
    monkeypatch.setattr(engine, "RELOAD_AFTER", 0.0)
    assert asked(first) == 4
    engine.release(first)


def test_a_template_that_opens_the_reasoning(stand: Any, request_for: Any) -> None:
    """The completion then begins within the reasoning, with no tag of its own."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    at = stand(chat_template=template, context=256)
    (made,) = at.run(lambda run: run.decode(request_for(temperature=0.0, max_tokens=12)))
    assert (made.text, made.tokens) == ("", 12)
    assert made.reasoning
    assert "".join(e.text for e in at.events if isinstance(e, Delta) and e.reasoning) == made.reasoning


def unfinished(text: str, said: str) -> tuple[Message, ...]:
    return Message(role="user", content=text), Message(role="assistant", content=said)


STORY = "Write a story about a fox."


def test_an_unfinished_turn_is_continued_and_not_repeated(stand: Any, request_for: Any) -> None:
    """Greedy: the continuation of a completion's beginning is the rest of it, when the cut is between two words."""

    async def work(run: Run) -> None:
        (whole,) = await run.decode(request_for(temperature=0.0, max_tokens=24))
        cut = whole.text.index(" ", len(whole.text) // 2)
        messages = unfinished(STORY, whole.text[:cut])
        made = await run.decode(request_for(messages=messages, continue_last=True, temperature=0.0, max_tokens=30, n=2))
        assert [c.text[: len(whole.text) - cut] for c in made] == [whole.text[cut:]] * 2

    stand().run(work)


def test_blank_space_at_the_end_of_an_unfinished_turn_is_kept(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> int:
        counts = []
        for said in ("Once upon a time.", "Once upon a time.\n\n"):
            before = at.runtime.ledger.total.prompt_tokens
            await run.decode(request_for(messages=unfinished(STORY, said), continue_last=True, max_tokens=2))
            counts.append(at.runtime.ledger.total.prompt_tokens - before)
        return counts[1] - counts[0]

    at = stand()
    assert at.run(work) == 1  # a token for the empty line


def test_nothing_to_continue_is_an_ordinary_request(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> None:
        (plain,) = await run.decode(request_for())
        (empty,) = await run.decode(request_for(messages=unfinished(STORY, ""), continue_last=True))
        (finished,) = await run.decode(request_for(messages=unfinished(STORY, "Once upon a"), temperature=0.0))
        (open_,) = await run.decode(request_for(messages=unfinished(STORY, "Once upon a"), temperature=0.0, continue_last=True))
        assert plain.text == empty.text
        assert open_.text.startswith(" time")
        assert not finished.text.startswith(" time")
        with pytest.raises(PluginError, match="only an assistant's turn can be continued; the last message is of the user"):
            await run.decode(request_for(continue_last=True))

    stand().run(work)


def test_a_continued_turn_tells_whether_it_is_within_its_reasoning(stand: Any, request_for: Any) -> None:
    async def work(run: Run) -> None:
        (inside,) = await run.decode(request_for(messages=unfinished(STORY, "<think>\nThe fox"), continue_last=True))
        (after,) = await run.decode(request_for(messages=unfinished(STORY, "<think>\nA fox.</think>\nOnce"), continue_last=True))
        assert (inside.text, bool(inside.reasoning)) == ("", True)
        assert (bool(after.text), after.reasoning) == (True, "")

    stand().run(work)
