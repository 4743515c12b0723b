"""Good answers in every form that servers give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k2core import Message
from k2core.types import ToolCall, Tools


def check_deltas(out: Any) -> None:
    """The deltas concatenate to the completions, exactly."""
    for index, completion in enumerate(out.completions):
        assert out.streamed(index) == completion.text
        assert out.streamed(index, reasoning=True) == completion.reasoning


def test_a_stream_with_usage(kit: Any) -> None:
    chunks = [kit.chunk("", role="assistant"), kit.chunk("fo"), kit.chunk("ur"), kit.chunk(finish="stop"), kit.usage(9, 3)]
    out = kit.stream(kit.events(*chunks))
    assert (out.error, out.text, out.reasoning) == (None, "four", "")
    (completion,) = out.completions
    assert (completion.tokens, completion.finish, completion.model) == (3, "stop", "loop")
    assert completion.timing.first_token is not None
    assert 0 < completion.timing.first_token <= completion.timing.total
    assert [d.text for d in out.deltas] == ["fo", "ur"]
    total = out.ledger.total
    assert (total.started, total.served, total.prompt_tokens, total.completion_tokens, total.estimated) == (1, 1, 9, 3, False)


def test_without_usage_chunks_are_counted(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk("a"), kit.chunk("b"), kit.chunk("c", finish="length")))
    assert (out.completions[0].tokens, out.completions[0].finish) == (3, "length")
    assert (out.ledger.total.completion_tokens, out.ledger.total.estimated) == (3, True)


def test_counted_chunks_stay_an_estimate_when_only_the_prompt_is_reported(kit: Any) -> None:
    prompt_only = {"choices": [], "usage": {"prompt_tokens": 9}}
    out = kit.stream(kit.events(kit.chunk("a"), kit.chunk("b", finish="stop"), prompt_only))
    total = out.ledger.total
    assert (total.prompt_tokens, total.completion_tokens, total.estimated) == (9, 2, True)


def test_usage_on_every_chunk_counts_what_came_after_the_last(kit: Any) -> None:
    def with_usage(text: str, tokens: int) -> dict[str, Any]:
        return {**kit.chunk(text), "usage": {"prompt_tokens": 4, "completion_tokens": tokens}}

    out = kit.stream(kit.events(with_usage("ab", 2), with_usage("cdef", 5), kit.chunk("g"), done=False))
    assert "after 3 tokens without a finish reason" in str(out.error)
    assert (out.ledger.total.prompt_tokens, out.ledger.total.completion_tokens) == (4, 6)


def test_null_usage_and_missing_index_are_understood(kit: Any) -> None:
    first = {"usage": None, "error": None, "choices": [{"delta": {"content": "hi"}}]}
    last = {"choices": [{"delta": {}, "finish_reason": "eos"}], "usage": {"prompt_tokens": 1, "completion_tokens": 5}}
    out = kit.stream(kit.events(first, last))
    assert (out.text, out.completions[0].tokens, out.completions[0].finish) == ("hi", 5, "stop")


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_a_stream_cut_anywhere_even_inside_characters(kit: Any, piece: int) -> None:
    """Raw UTF-8, and JSON escapes whose halves of a character come in two chunks."""
    raw = "data: " + json.dumps(kit.chunk("naïve 🎉"), ensure_ascii=False) + "\r\n\r\n: keep-alive\r\n\r\n"
    halves = 'data: {"choices":[{"delta":{"content":"\\ud83c"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\udf89!"}}]}\n\n'
    stream = raw.encode() + halves.encode() + kit.events(kit.chunk(finish="stop"))
    out = kit.stream(*(stream[at : at + piece] for at in range(0, len(stream), piece)))
    assert out.text == "naïve 🎉🎉!"
    check_deltas(out)


def test_a_stream_may_end_without_done_and_without_a_newline(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk("x"), kit.chunk(finish="stop"), done=False).rstrip())
    assert out.text == "x"


def test_what_follows_done_is_ignored(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk("x", finish="stop")) + b"data: junk\n\n")
    assert out.text == "x"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_fields(kit: Any, field: str) -> None:
    chunks = [kit.chunk(**{field: "be"}), kit.chunk(**{field: "cause"}), kit.chunk("four"), kit.chunk(finish="stop")]
    out = kit.stream(kit.events(*chunks), options={"think": "open"})
    assert (out.text, out.reasoning) == ("four", "because")
    check_deltas(out)
    message = {"content": "four", field: "because"}
    out = kit.answer(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())
    assert (out.text, out.reasoning) == ("four", "because")
    check_deltas(out)


@pytest.mark.parametrize("cut", [1, 2, 5, 100])
def test_think_tags_in_a_stream(kit: Any, cut: int) -> None:
    text = "<think>two\nand two</think>\n\nfour"
    chunks = [kit.chunk(text[at : at + cut]) for at in range(0, len(text), cut)]
    out = kit.stream(kit.events(*chunks, kit.chunk(finish="stop")))
    assert (out.text, out.reasoning, out.completions[0].tokens) == ("four", "two\nand two", len(chunks))
    assert out.ledger.total.completion_tokens == sum(d.tokens for d in out.deltas) == len(chunks)
    check_deltas(out)


def test_a_template_that_opens_the_block(kit: Any) -> None:
    stream = kit.events(kit.chunk("because</th"), kit.chunk("ink>four", finish="stop"))
    out = kit.stream(stream, options={"think": "open"})
    assert (out.text, out.reasoning, out.warnings) == ("four", "because", [])
    check_deltas(out)
    out = kit.stream(stream)
    assert (out.text, out.reasoning) == ("because</think>four", "")
    assert 'set think = "open"' in out.warnings[0]
    check_deltas(out)
    out = kit.answer(kit.whole("because</think>four"))
    assert (out.text, out.reasoning) == ("four", "because")
    check_deltas(out)


def test_content_in_typed_parts_and_refusals(kit: Any) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    out = kit.stream(kit.events(kit.chunk([thinking]), kit.chunk([{"type": "text", "text": "four"}], finish="stop")))
    assert (out.text, out.reasoning) == ("four", "hm")
    out = kit.stream(kit.events(kit.chunk(refusal="I will not."), kit.chunk(finish="content_filter")))
    assert (out.text, out.completions[0].finish) == ("I will not.", "filter")


def test_choices_by_index_however_they_are_interleaved(kit: Any) -> None:
    chunks = [kit.chunk("c", 2), kit.chunk("a", 0), kit.chunk("b", 1), kit.chunk("A", 0), kit.chunk(index=1, finish="length")]
    chunks += [kit.chunk(index=0, finish="stop"), kit.chunk("C", 2), kit.chunk("!", 2, finish="content_filter"), kit.usage(5, 6)]
    out = kit.stream(kit.events(*chunks), n=3)
    assert [c.text for c in out.completions] == ["aA", "b", "cC!"]
    assert [c.finish for c in out.completions] == ["stop", "length", "filter"]
    assert [c.tokens for c in out.completions] == [2, 1, 3]
    assert out.server.bodies[0]["n"] == 3
    check_deltas(out)


def test_a_report_for_each_choice_is_added_up(kit: Any) -> None:
    """llama.cpp's way."""
    chunks = [kit.chunk("a", 0, "stop"), kit.usage(7, 10), kit.chunk("b", 1, "stop"), kit.usage(7, 30)]
    out = kit.stream(kit.events(*chunks), n=2)
    assert (out.ledger.total.prompt_tokens, out.ledger.total.completion_tokens) == (7, 40)


def test_a_report_of_one_choice_for_all_is_not_believed(kit: Any) -> None:
    """llama.cpp's way when it does not stream."""
    body = kit.whole("x" * 40, "y" * 80, usage={"prompt_tokens": 3, "completion_tokens": 9}, timings={})
    out = kit.answer(body, {"stream": False}, n=2)
    assert [c.tokens for c in out.completions] == [10, 20]
    assert (out.ledger.total.prompt_tokens, out.ledger.total.completion_tokens) == (3, 30)


def test_reported_tokens_are_spread_over_the_choices(kit: Any) -> None:
    chunks = [kit.chunk("a", 0), kit.chunk("b", 0, "stop"), kit.chunk("c", 1, "stop"), kit.usage(7, 31)]
    out = kit.stream(kit.events(*chunks), n=2)
    assert [c.tokens for c in out.completions] == [21, 10]


def test_log_probabilities_are_kept_and_count_the_tokens(kit: Any) -> None:
    def scored(text: str, *tokens: str) -> dict[str, Any]:
        made = kit.chunk(text)
        top = [{"token": "x", "logprob": -1}, {"token": "y", "logprob": -2.5}]
        made["choices"][0]["logprobs"] = {"content": [{"token": t, "logprob": -0.5, "top_logprobs": top} for t in tokens]}
        return dict(made)

    out = kit.stream(kit.events(scored("four!", "fo", "ur", "!"), scored("", "<eos>"), kit.chunk(finish="stop")), logprobs=2)
    (completion,) = out.completions
    assert [t.token for t in completion.logprobs] == ["fo", "ur", "!", "<eos>"]
    assert (completion.logprobs[0].logprob, completion.logprobs[0].top) == (-0.5, (("x", -1.0), ("y", -2.5)))
    assert completion.tokens == 4
    assert out.server.bodies[0]["top_logprobs"] == 2


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
def test_plain_json_is_understood_whatever_was_asked(kit: Any, kind: str) -> None:
    body = kit.whole("four", "five", usage={"prompt_tokens": 3, "completion_tokens": 10})
    out = kit.ask(lambda wire: wire.answer(200, body, kind), n=2)
    assert [c.text for c in out.completions] == ["four", "five"]
    assert [c.tokens for c in out.completions] == [5, 5]
    assert out.ledger.total.completion_tokens == 10
    check_deltas(out)


@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "text/plain", "application/octet-stream", ""])
def test_a_stream_is_understood_whatever_was_asked(kit: Any, kind: str) -> None:
    body = b": hello\n\n" + kit.events(kit.chunk("four", finish="stop"))
    out = kit.ask(lambda wire: wire.answer(200, body, kind), {"stream": False})
    assert out.text == "four"
    assert out.server.bodies[0]["stream"] is False


def test_an_answer_in_one_piece_without_usage_is_estimated(kit: Any) -> None:
    out = kit.answer(kit.whole("x" * 40, finish="max_tokens"), {"stream": False})
    assert (out.completions[0].tokens, out.completions[0].finish) == (10, "length")


def test_a_large_prompt_passes(kit: Any) -> None:
    from k2core import Message

    out = kit.stream(kit.events(kit.chunk("ok", finish="stop")), messages=(Message(role="user", content="x" * 3_000_000),))
    assert out.text == "ok"
    assert len(out.server.bodies[0]["messages"][0]["content"]) == 3_000_000


@pytest.mark.parametrize(
    ("prefix", "text", "reasoning"),
    [
        ("<think>So", " it is 4", " I add"),
        ("<think>So</think>It", " I add</think> it is 4", ""),
        ("It", " I add</think> it is 4", ""),
    ],
)
def test_a_continued_turn_tells_whether_it_is_within_its_reasoning(kit: Any, prefix: str, text: str, reasoning: str) -> None:
    messages = (Message(role="user", content="2+2?"), Message(role="assistant", content=prefix))
    stream = kit.events(kit.chunk(" I add</think>"), kit.chunk(" it is 4", finish="stop"), kit.usage(9, 6))
    out = kit.stream(stream, options={"continue_last": "vllm"}, messages=messages, continue_last=True)
    assert (out.completions[0].text.strip(), out.completions[0].reasoning) == (text.strip(), reasoning)
    assert out.server.bodies[0]["messages"][-1] == {"role": "assistant", "content": prefix}


@pytest.mark.parametrize(
    ("end", "stopped"),
    [
        ({"stop_reason": "\n\n"}, "\n\n"),
        ({"stop_reason": None}, ""),
        ({"stop_reason": 2}, ""),
        ({"matched_stop": "\n\n"}, "\n\n"),
        ({"matched_stop": 2}, ""),
        ({}, None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_stopped_a_choice_where_the_server_says(kit: Any, end: dict[str, Any], stopped: str | None, stream: bool) -> None:
    part = {"content": "One."}
    choice = {"index": 0, "delta" if stream else "message": part, "finish_reason": "stop", **end}
    body = json.dumps({"model": "loop", "choices": [choice]}).encode()
    out = kit.stream(kit.events(json.loads(body))) if stream else kit.answer(body, {"stream": False})
    assert out.completions[0].stopped == stopped


TOOLS = Tools(
    functions=({"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}},),
    choice={"type": "function", "function": {"name": "add"}},
    parallel=False,
)


def piece(index: int, arguments: str | None, **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    return {"index": index, "function": {"arguments": arguments} | ({"name": name} if name else {}), **more}


def test_tools_are_offered_and_their_calls_come_in_pieces_by_number(kit: Any) -> None:
    pieces = [
        piece(0, "", id="a", name="add"),
        piece(0, '{"x"'),
        piece(1, None, id="b", name="add"),
        piece(0, ': "\ud83c'),
        piece(0, '\udf89"}'),
        piece(1, "{}"),
    ]
    chunks = [kit.chunk("I add.")] + [kit.chunk(tool_calls=[one]) for one in pieces] + [kit.chunk(finish="tool_calls")]
    out = kit.stream(kit.events(*chunks), tools=TOOLS)
    (made,) = out.completions
    calls = [(call.id, call.name, call.arguments) for call in made.tool_calls]
    assert calls == [("a", "add", '{"x": "🎉"}'), ("b", "add", "{}")]
    assert (made.text, made.finish, made.tokens) == ("I add.", "tool", 7)
    check_deltas(out)
    (sent,) = out.server.bodies
    assert sent["tools"] == list(TOOLS.functions)
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (TOOLS.choice, False)


def test_a_choice_of_auto_is_left_to_the_server(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk("4", finish="stop")), tools=TOOLS.model_copy(update={"choice": "auto", "parallel": None}))
    assert not {"tool_choice", "parallel_tool_calls"} & set(out.server.bodies[0])


def test_a_whole_answer_with_a_call(kit: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    data = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    (made,) = kit.answer(json.dumps(data).encode(), tools=TOOLS).completions
    assert (made.text, made.finish, made.tool_calls[0].arguments) == ("", "tool", '{"x": 1}')
    assert made.tokens > 0


def test_a_finish_by_calls_without_any_is_a_stop_and_one_by_length_stays_one(kit: Any) -> None:
    assert kit.stream(kit.events(kit.chunk("4", finish="tool_calls"))).completions[0].finish == "stop"
    cut = kit.stream(
        kit.events(kit.chunk(tool_calls=[piece(0, '{"x', id="a", name="add")]), kit.chunk(finish="length")), tools=TOOLS
    )
    assert cut.completions[0].finish == "length"
    assert cut.completions[0].tool_calls[0].arguments == '{"x'


def test_a_piece_that_belongs_to_no_call_is_a_broken_answer(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk(tool_calls=[piece(0, "{}")]), kit.chunk(finish="tool_calls")), tools=TOOLS)
    assert "broken answer" in str(out.error)


def test_calls_and_their_outcomes_are_sent_back(kit: Any) -> None:
    call = ToolCall(id="a", name="add", arguments="{}")
    history = (
        Message(role="user", content="1+1?"),
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="2", tool_call_id="a"),
    )
    out = kit.stream(kit.events(kit.chunk("2", finish="stop")), messages=history)
    said = {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assert out.server.bodies[0]["messages"] == [
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": None, "tool_calls": [said]},
        {"role": "tool", "content": "2", "tool_call_id": "a"},
    ]
