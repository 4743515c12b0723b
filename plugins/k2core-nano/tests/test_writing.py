"""The lines of a solution lead to its answer: read off as the docstrings say, they give what Python computes."""

from __future__ import annotations

import re
from random import Random

import pytest
from k2core_nano.writing.arithmetic import (
    add_lines,
    digits,
    divide_lines,
    quotient_lines,
    running_lines,
    subtract_lines,
    times_lines,
)


def pairs(seed: int, high: int, count: int = 60) -> list[tuple[int, int]]:
    draw = Random(seed)
    return [(draw.randint(0, high), draw.randint(0, high)) for _ in range(count)]


def read_off(totals: list[str]) -> int:
    """The last total whole, then the last digits of the others, upwards."""
    return int(totals[-1] + "".join(total[-1] for total in reversed(totals[:-1])))


@pytest.mark.parametrize(("a", "b"), [(347, 586), (99, 1), *pairs(1, 999)])
def test_a_sum_is_read_off(a: int, b: int) -> None:
    assert read_off([line.split("=")[1] for line in add_lines(a, b)]) == a + b


@pytest.mark.parametrize(("a", "b"), [(523, 187), (1000, 1), (503, 187), (40, 40), *pairs(2, 999)])
def test_a_difference_is_read_off_and_each_borrow_is_known_before_it_is_taken(a: int, b: int) -> None:
    a, b = max(a, b), min(a, b)
    lines = subtract_lines(a, b)
    columns = [place for place, line in enumerate(lines) if "-" not in line]
    results = [lines[place + 1].split("=")[1] for place in columns]
    assert int("".join(reversed(results))) == a - b
    for place in columns:
        assert ("<" in lines[place]) == (lines[place + 1].startswith("1") and lines[place + 1][1] != "-")


def test_the_lines_of_the_docstrings() -> None:
    assert add_lines(347, 586) == ["7+6=13", "4+8+1=13", "3+5+1=9"]
    assert subtract_lines(523, 187) == ["3<7", "13-7=6", "2-1=1", "1<8", "11-8=3", "5-1=4", "4>1", "4-1=3"]
    assert subtract_lines(100, 1) == ["0<1", "10-1=9", "10-1=9", "9>0", "9-0=9", "1-1=0", "0=0", "0-0=0"]
    assert times_lines(46, 7) == ["7*6=42", "7*4=28", "28+4=32"]
    told = "4,16 4<8 41,6 41>8 8_16_24_32_40_48 40/8=5 41-40=1 q5 16 16>8 8_16_24 16/8=2 16-16=0 q52"
    assert divide_lines(416, 8) == [line.replace("_", " ") for line in told.split()]
    assert divide_lines(6, 3) == ["6", "6>3", "3 6 9", "6/3=2", "6-6=0", "q2"]
    assert quotient_lines(56, 8) == ["56/8=7"]
    assert running_lines(47, [35]) == (["7+5=12", "4+3+1=8", "47+35=82"], 82)
    assert running_lines(9, [6, -4]) == (["9+6=15", "15-4=11"], 11)
    assert running_lines(17, [-11])[0] == [*subtract_lines(17, 11), "17-11=6"]


@pytest.mark.parametrize(("a", "b"), [(46, 7), (100, 9), *((a, 1 + b % 9) for a, b in pairs(3, 999))])
def test_a_product_is_read_off(a: int, b: int) -> None:
    lines = times_lines(a, b)
    totals = [line.split("=")[1] for place, line in enumerate(lines) if place + 1 == len(lines) or "+" not in lines[place + 1]]
    assert len(totals) == len(digits(a))
    assert read_off(totals) == a * b


@pytest.mark.parametrize(("quotient", "by"), [(132, 7), (100, 3), *((1 + a, 2 + b % 8) for a, b in pairs(4, 998))])
def test_a_quotient_grows_digit_by_digit_and_none_is_guessed(quotient: int, by: int) -> None:
    lines = divide_lines(quotient * by, by)
    grown = [line[1:] for line in lines if line[0] == "q"]
    assert grown == [str(quotient)[: place + 1] for place in range(len(str(quotient)))]
    assert quotient_lines(quotient * by, by)[-1] == f"{quotient * by}/{by}={quotient}"
    for place, line in enumerate(lines):
        if " " in line:
            *within, beyond = map(int, line.split())
            divided = int(re.split("[>=]", lines[place - 1])[0])
            assert max(within) <= divided < beyond
            assert lines[place + 1].startswith(f"{max(within)}/{by}=")
