"""What answers are read as, and that reading any text is bounded and never raises."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from k2core_verifier_math.reading.answer import is_answer, read
from k2core_verifier_math.reading.nodes import (
    Based,
    Bracket,
    Builder,
    Choice,
    Clock,
    Const,
    Items,
    Matrix,
    Num,
    Quantity,
    Ratio,
    Rel,
    Sym,
    Text,
    walk,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-7", -7),
        ("1,234", 1234),
        ("1,234,567.5", Fraction(2469135, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        (r"6\frac23", Fraction(20, 3)),
        ("1 1/2", Fraction(3, 2)),
        ("$42$", 42),
        (r"\[ 42 \]", 42),
        (r"\boxed{42}", 42),
        ("3e8", 300000000),
        (r"2.5\cdot 10^{-3}", Fraction(1, 400)),
        (r"32{,}349", 32349),
        (r"32,\!349", 32349),
        ("1 000 000", 1000000),
        ("\u22124", -4),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        ("\uff14\uff12", 42),
        ("twelve", 12),
    ],
)
def test_numbers(text: str, value: Fraction | int) -> None:
    node = read(text)
    assert isinstance(node, Num)
    assert node.value == value


def test_decimals_keep_their_last_place() -> None:
    assert read("2.50") == Num(Fraction(5, 2), Fraction(1, 100), 3)
    assert read("1.5e-3") == Num(Fraction(3, 2000), Fraction(1, 10000), 2)
    assert read("0.0012") == Num(Fraction(12, 10000), Fraction(1, 10000), 2)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("(1,2)", Bracket),
        (r"[1,\infty)", Bracket),
        (r"\{1,2\}", Items),
        ("1, 2 and 3", Items),
        ("x = 3 or x = 5", Items),
        (r"\{x \mid x > 2\}", Builder),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", Matrix),
        ("x > 5", Rel),
        ("1011_2", Based),
        ("5:30 pm", Clock),
        ("3:4", Ratio),
        (r"36\text{ mL}", Quantity),
        ("20%", Quantity),
        (r"\$5", Quantity),
        ("(B)", Choice),
        (r"\textbf{(B)}", Choice),
        ("Evelyn", Text),
        ("no real solutions", Const),
        ("x", Sym),
    ],
)
def test_kinds(text: str, kind: type) -> None:
    assert isinstance(read(text), kind)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\dfrac{x}{2}", r"\frac x2"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"x \cdot y", "xy"),
        ("x²", "x^2"),
        ("x₁", "x_1"),
        ("√2", r"\sqrt{2}"),
        ("½", r"\frac12"),
        (r"\pit", r"\pi t"),
        (r"4\piG", r"4 \pi G"),
        (r"\\frac{1}{2}", r"\frac{1}{2}"),
        ("x <= 3", r"x \leq 3"),
        (r"\mathrm{e}^2", "e^2"),
        (r"\sin^{-1} x", r"\arcsin x"),
        (r"The answer is $x^2$", "x^2"),
    ],
)
def test_the_same_record(one: str, other: str) -> None:
    assert read(one) == read(other) is not None


@pytest.mark.parametrize(
    "text", ["", " ", r"\frac{1}", "(1", "1)", "{", "x +", "2 + two apples and", r"\int_0^1 x dx", "@", "a" * 2001]
)
def test_what_is_not_read(text: str) -> None:
    assert read(text) is None


def test_whole_answers() -> None:
    assert is_answer("(2,12)")
    assert is_answer(r"$\text{Even}$")
    assert not is_answer("who knows")
    assert not is_answer("The answer is 5.")


NESTED = [
    "(" * 1999,
    "{" * 1999,
    r"\frac{1}{" * 200,
    r"\sqrt" * 300,
    "-" * 1999,
    "!" * 1999,
    "^" * 1999,
    "x^" * 900,
    "|" * 1999,
    "$" * 1999,
]
NESTED += [
    "(" * 999 + "1" + ")" * 999,
    r"\sum_{k=1}^{" * 150,
    "1/" * 999,
    "x!" * 900,
    "2^" * 900 + "2",
    "\\" * 1999,
    r"\text{" * 300,
    "±" * 1999,
]


@pytest.mark.parametrize("text", NESTED, ids=range(len(NESTED)))
def test_nested_text_neither_raises_nor_takes_long(text: str) -> None:
    node, spent = read(text), []
    for _ in range(3):  # of which the quickest counts: whatever else the interpreter does in between is not the reader's
        read.cache_clear()
        started = time.thread_time()
        read(text)
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.5
    assert node is None or len(walk(node)) < 5000
