"""Reading replies of models that cannot produce JSON, or do it badly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_planner_think import Reply, read_reply

WHOLE = {"topics": ["algebra", "ratios"], "hard": True, "plan": "1. Write an equation.\n2. Don't guess."}
WANTED = Reply(True, ("algebra", "ratios"), "1. Write an equation.\n2. Don't guess.", True)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE),
        json.dumps(WHOLE, indent=2),
        f"```json\n{json.dumps(WHOLE)}\n```",
        f"Sure! Here is the JSON:\n\n{json.dumps(WHOLE)}\n\nLet me know if {{you}} need more.",
        f"{{nonsense}} {json.dumps(WHOLE)}",
        repr(WHOLE),
        json.dumps(WHOLE)[:-1],
        json.dumps(WHOLE)[:-2],
        '{topics: ["algebra", "ratios"], hard: true, plan: "1. Write an equation.\n2. Don\'t guess."}',
        '{"Topics": ["algebra", "ratios"], "Hard": "yes", "Plan": "1. Write an equation.\\n2. Don\'t guess."}',
        '{"topics": ["algebra", "ratios",], "hard": True, "plan": "1. Write an equation.\\n2. Don\'t guess.",}',
        '{"topics": "algebra, ratios", "hard": 1, "plan": ["1. Write an equation.", "2. Don\'t guess."]}',
        '{"topics": ["algebra", "ratios"], "hard": true, "plan": {"a": "1. Write an equation.", "b": "2. Don\'t guess."}}',
        json.dumps(WHOLE) + json.dumps({"hard": False}),
    ],
)
def test_every_shape_of_json_is_understood(text: str) -> None:
    assert read_reply(text) == WANTED


@pytest.mark.parametrize("value", ["false", '"no"', "0", '"easy"', "False", "null", "'no'"])
def test_easy(value: str) -> None:
    assert read_reply(f'{{"hard": {value}, "topics": []}}').hard is False


@pytest.mark.parametrize("text", ['{"topics": ["a"]}', '{"topics": ["a", "b'])
def test_what_is_missing_means_hard(text: str) -> None:
    reply = read_reply(text)
    assert (reply.hard, reply.topics[:1], reply.plan, reply.structured) == (True, ("a",), "", True)


def test_prose_is_the_plan_of_a_hard_problem() -> None:
    assert read_reply("First add.\nThen check.") == Reply(True, (), "First add.\nThen check.", False)
    assert read_reply("```\nFirst add.\n```").plan == "First add."


@pytest.mark.parametrize("text", ["", "   ", "{", '{"a": 1}', "[1, 2]", "{{{{"])
def test_garbage_is_no_plan(text: str) -> None:
    assert read_reply(text) == Reply()


def test_truncated_plan_keeps_what_came() -> None:
    assert read_reply('{"hard": true, "topics": [], "plan": "1. Add.\\n2. Subt').plan == "1. Add.\n2. Subt"


def test_unescaped_quotes_do_not_end_the_plan() -> None:
    assert read_reply('{"hard": true, "plan": "Use the "rule of three" here."}').plan == 'Use the "rule of three" here.'


def test_topics_are_few_short_and_different() -> None:
    topics = read_reply(json.dumps({"topics": ["a", "a", " b \n c ", 3, "x" * 500, *map(str, range(20))]})).topics
    assert topics[:2] == ("a", "b c")
    assert len(topics) == 8
    assert max(map(len, topics)) == 80


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"{}[]\"':,\\`\n ", "hard", "topics", "plan", "true", "no", "```json", "Infinity", "1e999", "\\u00"])
        | st.text(max_size=4),
        max_size=40,
    ).map("".join)
)
def test_no_text_raises(text: str) -> None:
    reply = read_reply(text)
    assert all(reply.topics)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "{" * 100_000, '"' * 50_000, '{"hard": ' + "9" * 10_000 + "}"])
def test_deep_and_long_texts_do_not_raise(text: str) -> None:
    assert read_reply(text).topics == ()
