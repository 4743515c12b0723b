"""Numbers of tokens, and predicted outputs."""

from __future__ import annotations

import json
from typing import Any

import pytest


def entry(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "top_logprobs": [{"token": token, "logprob": -0.5}]}


def test_vllm_tells_the_numbers_of_tokens(kit: Any) -> None:
    """The first chunk has a token and no text, as a character may need several tokens."""
    first, last = kit.chunk(""), kit.chunk("🔡", finish="length")
    first["choices"][0] |= {"token_ids": [10813], "logprobs": {"content": [entry("")]}}
    last["choices"][0] |= {"token_ids": [238, 111], "logprobs": {"content": [entry(""), entry("🔡")]}}
    out = kit.stream(kit.events(first, last), options={"token_ids": True}, logprobs=1)
    assert out.server.bodies[0]["return_token_ids"] is True
    assert [token.id for token in out.completions[0].logprobs] == [10813, 238, 111]
    assert out.completions[0].tokens == 3


def test_numbers_that_do_not_match_the_log_probabilities_are_left_out(kit: Any) -> None:
    only = kit.chunk("ab", finish="stop")
    only["choices"][0] |= {"token_ids": [1, 2], "logprobs": {"content": [entry("ab")]}}
    out = kit.stream(kit.events(only), options={"token_ids": True}, logprobs=1)
    assert [token.id for token in out.completions[0].logprobs] == [None]
    assert out.completions[0].tokens == 2


def test_choices_in_one_piece_have_their_own_counts(kit: Any) -> None:
    choices = [
        {"index": 0, "message": {"content": "a long word"}, "token_ids": [7], "finish_reason": "stop"},
        {"index": 1, "message": {"content": "a b"}, "token_ids": [1, 2, 3], "finish_reason": "stop"},
    ]
    answer = {"model": "loop", "choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 4}}
    out = kit.answer(json.dumps(answer).encode(), options={"stream": False, "token_ids": True}, n=2)
    assert [completion.tokens for completion in out.completions] == [1, 3]
    assert out.ledger.total.completion_tokens == 4


@pytest.mark.parametrize(("option", "text", "sent"), [(True, "maybe", True), (False, "maybe", False), (True, "", False)])
def test_predictions_are_sent_where_the_option_allows(kit: Any, option: bool, text: str, sent: bool) -> None:
    out = kit.stream(kit.events(kit.chunk("x", finish="stop")), options={"prediction": option}, prediction=text)
    assert out.server.bodies[0].get("prediction") == ({"type": "content", "content": "maybe"} if sent else None)


def test_accepted_and_rejected_predictions_are_counted(kit: Any) -> None:
    end = kit.usage(9, 12)
    end["usage"]["completion_tokens_details"] = {"accepted_prediction_tokens": 7, "rejected_prediction_tokens": 4}
    out = kit.stream(kit.events(kit.chunk("x", finish="stop"), end), options={"prediction": True}, prediction="xy")
    assert (out.ledger.total.drafted, out.ledger.total.accepted, out.ledger.total.completion_tokens) == (11, 7, 12)
