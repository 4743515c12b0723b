"""Predicted outputs and inputs as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_verifier_guru.simulation import Simulation, SimulationConfig, load

GOLD = '"output": {"total": 3, "parts": [1, 2.5]}'


def status(answer: str, gold: str, **options: Any) -> str:
    return Simulation(SimulationConfig(**options))._grade(answer, load(gold)).status


@pytest.mark.parametrize(
    "answer",
    [
        '{"output": {"parts": [1.0, 2.5], "total": 3.0}}',
        '{"parts": [1, 2.5], "total": 3}',
        '"output": {"total": 3, "parts": [1, 2.5]}',
        "{'total': 3, 'parts': (1, 2.5)}",
        r"\{\text{}\"output\": \{\"total\": 3, \"parts\": [1, 2.5]\}\}".replace(r"\"", '"').replace(r"\text{}", ""),
        '{"reasoning": "so", "output": {"total": 3, "parts": [1, 2.5]}}',
    ],
)
def test_equal_outputs(answer: str) -> None:
    assert status(answer, GOLD) == "correct"


@pytest.mark.parametrize("answer", ['{"output": {"total": 3}}', '{"input": {"total": 3, "parts": [1, 2.5]}}', "3", '"3"', "[]"])
def test_other_outputs(answer: str) -> None:
    assert status(answer, GOLD) == "incorrect"


def test_types_count_unless_lenient() -> None:
    assert status('{"output": "3"}', '"output": 3') == "incorrect"
    assert status('{"output": true}', '"output": "true"') == "incorrect"
    assert status('{"output": true}', '"output": "true"', lenient=True) == "correct"
    assert status('{"output": "[1, {\\"a\\": true}]"}', '"output": [1, {"a": true}]', lenient=True) == "correct"
    assert status('{"output": 1}', '"output": true', lenient=True) == "incorrect"
    assert status('{"output": 3.0001}', '"output": 3') == "incorrect"
    assert status('{"output": 3.0001}', '"output": 3', tolerance=1e-3) == "correct"


def test_another_input_may_be_right_too() -> None:
    gold = '"input": {"n": 5}'
    assert status('{"input": {"n": 5}}', gold) == "correct"
    assert status('{"n": 5}', gold) == "correct"
    assert status('{"input": {"n": 6}}', gold) == "undecided"
    assert status('{"input": {"n": 6}}', gold, inputs="incorrect") == "incorrect"


@pytest.mark.parametrize(
    "gold",
    ["[1, 2]", '{"output": [1, 2]}', '{"ground_truth": "\\"output\\": [1, 2]"}', '{"reward_model": {"ground_truth": "[1, 2]"}}'],
)
def test_references_in_any_form(gold: str) -> None:
    assert status('{"output": [1, 2]}', gold) == "correct"
    assert status('{"output": [2, 1]}', gold) == "incorrect"


def test_an_output_that_is_itself_an_output() -> None:
    assert status('{"output": {"output": 5}}', '"output": {"output": 5}') == "correct"
    assert status('{"output": 5}', '"output": {"output": 5}') == "correct"
    assert status("5", '"output": {"output": 5}') == "incorrect"


def test_text_is_compared_as_text_only_with_text() -> None:
    assert status("abc", "abc") == "correct"
    assert status("abd", "abc") == "unparsed"
    assert status("abc", '"output": 3') == "unparsed"


def test_the_plugin_finds_answers(verify: Any) -> None:
    texts = [
        '<think>{"output": 1}</think>So:\n```json\n{"output": 42}\n```',
        r'Thus \boxed{"output": 42}',
        r"Thus \boxed{\{\"output\": 42\}}".replace(r"\"", '"'),
        '<answer>{"output": 42}</answer>',
        'It prints 42, so the answer is {"output": 42} as shown.\nThat is all.',
        "42",
        "It prints 43.\nThat is all.",
        '```json\n{"output": 43}\n```',
    ]
    verdicts = verify(Simulation, texts, '"output": 42')
    assert [verdict.status for verdict in verdicts] == ["correct"] * 6 + ["unparsed", "incorrect"]
    assert len({verdict.key for verdict in verdicts[:6]}) == 1


def test_without_a_reference_equal_values_vote_together(verify: Any) -> None:
    texts = [
        '<answer>{"output": [1, 2.0]}</answer>',
        "<answer>[1.0, 2]</answer>",
        "<answer>[true, 2]</answer>",
        "<answer>?</answer>",
    ]
    assert [verdict.score for verdict in verify(Simulation, texts)] == [0.5, 0.5, 0.25, 0.25]


@given(st.text() | st.text('[]{},:"0truenulNaN.-'), st.text())
def test_any_text_gets_an_opinion(answer: str, reference: str) -> None:
    plugin = Simulation()
    assert 0 <= plugin._grade(answer, load(reference)).score <= 1
    assert plugin._key(answer) == plugin._key(answer)


def test_strings_in_strings_in_strings_end() -> None:
    value: Any = 1
    for _ in range(12):
        for _ in range(60):
            value = [value]
        value = json.dumps(value)
    assert len(value) > 1000
    assert status(value, value, lenient=True) == "correct"
