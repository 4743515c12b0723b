"""Reading JSON and Python literals without evaluating them, and when two values are the same."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_verifier_guru.equality import canonical, key, same
from k2core_verifier_guru.literals import Unreadable, read

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(VALUES)
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    assert same(read(json.dumps(value)), value)


@given(PLAIN)
def test_python_is_read_as_python_reads_it(value: Any) -> None:
    text = repr(value)
    assert same(read(text), json.loads(json.dumps(value))), ast.dump(ast.parse(text))


@given(st.text() | st.text("[](){},:'\"\\01.eE+-_TrueNonalsif "))
def test_any_text_is_read_or_unreadable(text: str) -> None:
    with contextlib.suppress(Unreadable):
        canonical(read(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': (1, 2,), 'b': None,}", {"a": [1, 2], "b": None}),
        ("[True, False, nan, -inf]", [True, False, math.nan, -math.inf]),
        ("{1: 'x', None: 2}", {"1": "x", "null": 2}),
        ("[+1, .5, 5., 007, 1_000]", [1, 0.5, 5.0, 7, 1000]),
        (r"'it\'s \x41 \u00e9 \n'", "it's A é \n"),
        ('"line\nbreak"', "line\nbreak"),
        ("()", []),
    ],
)
def test_python_notation(text: str, value: Any) -> None:
    assert same(read(text), value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "1+1",
        "[x for x in y]",
        "9**9**9",
        "f'{1}'",
        "b'x'",
        "{1, 2}",
        "1 2",
        "'a' 'b'",
        "[",
        "",
        "1,",
        "- 1",
        "'unclosed",
        "{'a' 1}",
        "lambda: 0",
        "a.b",
        "[1]()",
        "--1",
        "not True",
        "1 if 1 else 2",
        "...",
        "0x10",
        "1j",
        "Trueish",
    ],
)
def test_what_is_no_literal_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 100000,
        "[" * 500 + "]" * 500,
        "{'a':" * 10000,
        "(" * 90000 + ")" * 90000,
        "-" * 100000 + "1",
        "9" * 100000,
        "1" + "-1" * 50000,
        "'" * 100001,
        '"' + "\\" * 99999,
        "[1," * 60000,
        " " * 10**6 + "1" * 10**6,
    ],
)
def test_bombs_are_refused_in_time(bomb: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(Unreadable):
        read(bomb)
    assert time.perf_counter() - begun < 5


def test_a_large_document_is_read() -> None:
    value = [{"name": f"n{i}", "value": i / 7} for i in range(4000)]
    assert read(json.dumps(value)) == value


def test_numbers_are_equal_by_value_and_nothing_else_is() -> None:
    assert same(1, 1.0)
    assert same({"a": [1.0, -0.0]}, {"a": [1, 0]})
    assert same(math.nan, math.nan)
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    for one, other in [(1, True), (0, False), (0, None), (1, "1"), ([1, 2], [2, 1]), ([], {}), (2**53, 2**53 + 1), ("a", "A")]:
        assert not same(one, other)
    assert not same(float(2**53), 2**53 + 1)


def test_tolerance_is_relative_and_for_numbers_only() -> None:
    assert same({"a": [1.0, "x"]}, {"a": [1.0001, "x"]}, 1e-3)
    assert not same([1.0], [1.01], 1e-3)
    assert not same([True], [1], 0.5)
    assert not same(0.0, 1e-9, 1e-3)


@given(VALUES)
def test_equality_is_reflexive(value: Any) -> None:
    assert same(value, value)
    assert same(value, json.loads(json.dumps(value)))


@given(VALUES, VALUES)
def test_equality_is_symmetric_and_keys_follow_it(one: Any, other: Any) -> None:
    assert same(one, other) == same(other, one) == (key(one) == key(other))


@given(st.lists(st.sampled_from([1, 1.0, True, "1", None, 0, -0.0, False, math.nan, [1], [1.0], {"a": 1}]), min_size=3, max_size=3))
def test_equality_is_transitive(values: list[Any]) -> None:
    one, two, three = values
    if same(one, two) and same(two, three):
        assert same(one, three)
