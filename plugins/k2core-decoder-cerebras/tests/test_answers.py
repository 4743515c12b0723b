"""What becomes of answers: text, reasoning, log-probabilities, counts, times, predictions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k2core.types import Tools


def test_a_stream_with_parsed_reasoning(kit: Any) -> None:
    last = {**kit.chunk(None, "length"), **kit.usage(7, 30)}
    out = kit.stream(
        kit.events(kit.chunk(role="assistant"), kit.chunk(reasoning="two and "), kit.chunk(reasoning="two"), kit.chunk("4"), last)
    )
    made = out.completions[0]
    assert (made.text, made.reasoning, made.tokens, made.finish, made.model) == ("4", "two and two", 30, "length", "loop")
    assert (out.streamed(), out.streamed(reasoning=True)) == ("4", "two and two")
    assert (made.timing.queue, made.timing.prompt, made.timing.completion) == (0.25, 0.125, 0.5)
    assert 0 < (made.timing.first_token or 0) <= made.timing.total
    assert out.ledger.total.completion_tokens == 30
    assert not out.ledger.total.estimated


@pytest.mark.parametrize("stream", [True, False])
def test_raw_reasoning_is_split(kit: Any, stream: bool) -> None:
    text = "<think>two and two</think>\n\n4"
    if stream:
        out = kit.stream(kit.good(*text), options={"reasoning_format": "raw"})
    else:
        options = {"reasoning_format": "raw", "stream": False}
        out = kit.ask(lambda wire: wire.answer(200, kit.whole(text)), options)
    assert (out.completions[0].text, out.completions[0].reasoning) == ("4", "two and two")
    assert out.streamed(reasoning=True) == "two and two"


def test_an_answer_in_one_piece(kit: Any) -> None:
    out = kit.ask(lambda wire: wire.answer(200, kit.whole("4", reasoning="hm")), {"stream": False})
    made = out.completions[0]
    assert (made.text, made.reasoning, made.tokens, made.timing.completion) == ("4", "hm", 3, 0.5)
    assert (out.streamed(), out.streamed(reasoning=True)) == ("4", "hm")
    assert "stream_options" not in out.server.bodies[0]


def test_hidden_reasoning_is_counted(kit: Any) -> None:
    out = kit.stream(kit.good("4", completion=900), options={"reasoning_format": "hidden"})
    assert out.completions[0].tokens == out.ledger.total.completion_tokens == 900


def test_log_probabilities_of_reasoning_and_text(kit: Any) -> None:
    def told(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -1.0}]}]}

    first, second = kit.chunk(reasoning="hm"), kit.chunk("4", "stop")
    first["choices"][0]["reasoning_logprobs"] = told("hm")
    second["choices"][0]["logprobs"] = told("4")
    made = kit.stream(kit.events(first, second), logprobs=1).completions[0]
    assert made.logprobs is not None
    assert [(t.token, t.logprob, t.top) for t in made.logprobs] == [("hm", -0.5, (("x", -1.0),)), ("4", -0.5, (("x", -1.0),))]
    assert made.tokens == 2


def test_tokens_are_estimated_where_no_count_comes(kit: Any) -> None:
    out = kit.stream(kit.events(kit.chunk("abcd" * 5), kit.chunk("e"), kit.chunk(None, "stop")))
    assert out.completions[0].tokens == out.ledger.total.completion_tokens == 6
    assert out.ledger.total.estimated
    out = kit.stream(kit.events(kit.chunk("abcd" * 5, tokens=[1, 2, 3]), kit.chunk(None, "stop")))
    assert out.completions[0].tokens == 3
    out = kit.stream(kit.events(kit.chunk("abcd" * 500), kit.chunk(None, "length")))
    assert out.completions[0].tokens == 50


def test_every_split_of_a_stream_gives_the_same(kit: Any) -> None:
    objects = [json.loads(event[6:]) for event in kit.good("räksmörgås ", "🦐🦐", " 4").split(b"\n\n")[:-2]]
    raw = b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in objects)
    pieces = [raw[i : i + 3] for i in range(0, len(raw), 3)]
    assert kit.stream(*pieces, b"data: [DONE]\n\n").text == "räksmörgås 🦐🦐 4"
    assert kit.stream(raw.replace(b"\n", b"\r\n") + b": keep alive\r\n\r\ndata: [DONE]\r\n\r\n").text == "räksmörgås 🦐🦐 4"


def test_split_surrogates_are_mended(kit: Any) -> None:
    halves = rb"\ud83e", rb"\udd90", rb"\ud83e"
    pieces = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % half for half in halves]
    out = kit.stream(*pieces, kit.events(kit.chunk(None, "stop")))
    assert out.text == out.streamed() == "🦐\ufffd"


def test_predictions_are_sent_and_counted(kit: Any) -> None:
    out = kit.stream(kit.good("4", accepted=30, rejected=12), prediction="It is 4.")
    assert out.server.bodies[0]["prediction"] == {"type": "content", "content": "It is 4."}
    assert (out.ledger.total.drafted, out.ledger.total.accepted) == (42, 30)
    out = kit.stream(kit.good("4", accepted=3, rejected=1), prediction="It is 4.", n=2)
    assert (out.ledger.total.drafted, out.ledger.total.accepted) == (8, 6)
    out = kit.stream(kit.good("4"), prediction="It is 4.", options={"predict": "off"})
    assert "prediction" not in out.server.bodies[0]
    assert out.ledger.total.drafted == 0


def test_siblings_are_predicted_from_by_role(kit: Any) -> None:
    asked = [kit.request(), kit.request(role="plan"), kit.request(), kit.request(prediction="own")]
    options = {"predict": "siblings", "predict_chars": 5}
    out = kit.several(lambda wire: wire.stream(kit.good("answer ", "4")), asked, options)
    assert [b.get("prediction", {}).get("content") for b in out.server.bodies] == [None, None, "answe", "own"]


def test_predictions_do_not_go_with_logprobs_or_tools(kit: Any) -> None:
    asked = [kit.request(prediction="x", logprobs=1)] * 2
    out = kit.several(lambda wire: wire.stream(kit.good("4")), asked)
    assert all("prediction" not in body for body in out.server.bodies)
    assert out.warnings == ["decoders.solver: prediction left out: predicted outputs do not go with logprobs"]
    out = kit.stream(kit.good("4"), prediction="x", options={"extra": {"tools": [{"type": "function"}]}})
    assert "do not go with tools" in out.warnings[0]


@pytest.mark.parametrize("stream", [True, False])
def test_tools_are_offered_and_their_calls_read(kit: Any, stream: bool) -> None:
    tools = Tools(functions=({"type": "function", "function": {"name": "add"}},), choice="required", parallel=False)
    call = {"id": "a", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"x": '}}
    if stream:
        more = {"index": 0, "function": {"arguments": "1}"}}
        data = kit.events(kit.chunk(tool_calls=[call]), kit.chunk(tool_calls=[more]), kit.chunk(None, "tool_calls"))
        out = kit.stream(data, tools=tools)
    else:
        whole = {**call, "function": {"name": "add", "arguments": '{"x": 1}'}}
        body = json.loads(kit.whole(""))
        body["choices"][0] |= {
            "message": {"role": "assistant", "content": None, "tool_calls": [whole]},
            "finish_reason": "tool_calls",
        }
        out = kit.ask(lambda wire: wire.answer(200, json.dumps(body).encode()), {"stream": False}, tools=tools)
    (made,) = out.completions
    assert [(call.id, call.name, call.arguments) for call in made.tool_calls] == [("a", "add", '{"x": 1}')]
    assert (made.text, made.finish) == ("", "tool")
    sent = out.server.bodies[0]
    assert (sent["tools"], sent["tool_choice"], sent["parallel_tool_calls"]) == (list(tools.functions), "required", False)
