"""Values over the wire: what comes out is what went in, and malformed messages raise."""

from __future__ import annotations

import datetime
import json
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_verifier_code.jail.wire import Changes, Decoder, Encoder


def refuse(value: Any) -> Any:
    raise TypeError(type(value).__name__)


def through(value: Any, *, careful: bool = True) -> Any:
    encoder = Encoder(refuse, careful=careful)
    message = json.loads(json.dumps({"value": encoder.value(value), "nodes": encoder.nodes}))
    return Decoder(message["nodes"], refuse).value(message["value"])


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner), max_leaves=20)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_data_comes_out_as_it_went_in(value: Any) -> None:
    for careful in (True, False):
        assert repr(through(value, careful=careful)) == repr(value)


def test_other_types() -> None:
    values = [
        {1, 2},
        deque([1, 2]),
        Counter("aab"),
        OrderedDict([(2, 1), (1, 2)]),
        Decimal("1.50"),
        Fraction(1, 3),
        range(1, 9, 2),
        bytearray(b"x"),
        datetime.date(2024, 2, 29),
        datetime.timedelta(days=1, seconds=2),
        int,
        type(None),
        ...,
        10**5000,
        -(2**70),
        float("inf"),
    ]
    for value in values:
        found = through(value)
        assert found == value
        assert type(found) is type(value)
    assert through(float("nan")) != through(float("nan"))


def test_subclasses_come_as_their_base() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        def __int__(self) -> int:
            return 99

        __index__, __hash__ = __int__, int.__hash__

    assert type(through(Liar(3))) is int
    assert through([Liar(3)]) == [3]
    assert type(through(IntEnum("E", "a b").b)) is int
    assert type(through(type("L", (list,), {"__iter__": lambda self: iter([9])})([1]))) is list
    assert through(type("L", (list,), {"__iter__": lambda self: iter([9])})([1])) == [1]


def test_identity_and_cycles() -> None:
    row = [0]
    grid = through([row, row])
    assert grid[0] is grid[1]
    loop: list[Any] = []
    loop.append(loop)
    found = through(loop)
    assert found[0] is found


def test_changes_of_arguments_come_back() -> None:
    mine: list[Any] = [[1], {"a": 1}, {3}, (4,)]
    there = Encoder(refuse)
    message = json.loads(json.dumps([there.value(mine), there.nodes]))
    decoder = Decoder(message[1], refuse)
    theirs = decoder.value(message[0])
    changes = Changes(decoder.objects)
    assert list(changes.found()) == []
    theirs[0].append(theirs[1])
    theirs[1]["b"] = [5]
    theirs[2].clear()
    back = Encoder(refuse, decoder.objects)
    result = back.value(theirs[0])
    for number, value in changes.found():
        back.content(number, value)
    first, table, group, _ = mine
    reply = json.loads(json.dumps([result, back.nodes]))
    assert Decoder(reply[1], refuse, there.objects).value(reply[0]) is first
    assert first == [1, {"a": 1, "b": [5]}]
    assert first[1] is table
    assert group == set()


MALFORMED = [
    (["n", 5], {}),
    (["n", "x"], {}),
    (["x", "eval", []], {}),
    (["x", "type", ["eval"]], {}),
    (["q"], {}),
    ([], {}),
    ({"a": 1}, {}),
    (["n", 0], {"0": ["tuple", [["n", 0]]]}),
    (["n", 0], {"0": ["nonesuch", []]}),
    (["n", 0], {"0": ["set", [["n", 1]]], "1": ["list", []]}),
    (["i", "zz"], {}),
    (["n", 0], {"0": ["dict", [1]]}),
    (["x", "Fraction", ["0x1", "0x0"]], {}),
    (["n", 0], {"0": 3}),
]


@pytest.mark.parametrize(("value", "nodes"), MALFORMED)
def test_malformed_messages_raise(value: Any, nodes: dict[str, Any]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  # whichever: the judge takes all for the program's fault
        Decoder(nodes, refuse).value(value)
