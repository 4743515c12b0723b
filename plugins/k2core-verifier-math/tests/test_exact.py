"""Exact numbers, canonical forms, the guard and the checks that need no worker."""

from __future__ import annotations

from fractions import Fraction

import pytest
from k2core_verifier_math.check import letters, quick, sieve, wording
from k2core_verifier_math.exact import canonical, exact, measure, tidy
from k2core_verifier_math.guard import too_hard


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-7", -7),
        ("+7", 7),
        ("1,234", 1234),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        (r"\tfrac12", Fraction(1, 2)),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("$42$", 42),
        (r"\$42", 42),
        ("$1,000.99", Fraction(100099, 100)),
        ("-$5", -5),
        ("3e8", 300000000),
        (r"3 \times 10^{8}", 300000000),
        (r"2.5\cdot 10^{-3}", Fraction(1, 400)),
        (r"32{,}349", 32349),
        (r"32,\!349", 32349),
        ("\u22124", -4),
    ],
)
def test_numbers(text: str, value: Fraction | int) -> None:
    number = exact(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    "text", ["", "x", "1,22", "0,111", "5%", "1/0", r"\frac{1}{0}", "1e999", "9" * 400, "1 2", "2^3", "(1,2)", "--5", "1/2/3", "."]
)
def test_what_is_no_plain_number(text: str) -> None:
    assert exact(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.50", r"\frac{1}{2}"),
        (r"\text{Evelyn}", "evelyn"),
        (r"\left( 1, 2 \right)", "(1,2)"),
        (r"\dfrac{x}{2}", r"\frac{x}{2}"),
        ("x + 1", "x+1"),
        ("$x$", "x."),
    ],
)
def test_one_canonical_form(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [("1 1/2", "11/2"), ("X", "x"), ("1 2", "12"), ("(1,2)", "[1,2]"), ("ab", "ba")])
def test_canonical_forms_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)
    assert tidy(one) != tidy(other)


@pytest.mark.parametrize(
    ("gold", "answer", "outcome"),
    [
        ("1/3", "0.333333", "equal"),
        ("1/3", "0.33", "different"),
        ("0.0000001", "0.0000002", "different"),
        ("1000.99", "1000,99", "equal"),
        ("36", "36 mL", "equal"),
        (r"10\text{ cm}", "10 m", None),
        (r"10\text{ cm}", r"10\text{ km}", "undecided"),
        (r"10\text{ cm}", r"10\,\mathrm{cm}", "equal"),
        (r"10\text{ cm}", "11", "different"),
        (r"5\text{ am}", r"5\text{ pm}", "different"),
        ("D", "(D) 12", "equal"),
        ("A", "(C)", "different"),
        ("x+1", "1+x", None),
        ("50", r"50\%", None),
    ],
)
def test_quick_checks(gold: str, answer: str, outcome: str | None) -> None:
    opinion = quick(gold, answer)
    assert (opinion and opinion[0]) == outcome


def test_words_are_no_products() -> None:
    """math-verify takes "cat" and "act" for the same product of three letters."""
    verdict = sieve("cat", "act", 100)
    assert verdict is not None
    assert verdict[0] == "different"
    assert wording("New York", "new  york")[0] == "equal"
    assert letters("(A) Cecile", "C")[0] == "different"
    assert letters("Cecile", "C")[0] == "different"
    assert measure("3x") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9^9^9", "tower"),
        ("9^{9^9}", "tower"),
        ("2003^{2002^{2001}}", "tower"),
        ("9**9**9", "tower"),
        ("10^10000000", "exponent"),
        ("10^{10000000}", "exponent"),
        (r"\sum_{k=1}^{10000000} k", "exponent or bound"),
        ("10000000!", "factorial"),
        ("((9!)!)!", "factorial of a factorial"),
        (r"\binom{1000000}{500000}", "binomial"),
        ("(" * 500 + "1" + ")" * 500, "nested"),
        (r"\frac{1}{" * 2000 + "1" + "}" * 2000, "longer"),
        ("1+" * 3000 + "1", "longer"),
        ("$ " * 50, "dollar"),
        ("9" * 401, "digits"),
        ("x" * 2001, "longer"),
    ],
)
def test_the_guard_refuses(text: str, why: str) -> None:
    reason = too_hard(text, 2000)
    assert reason is not None
    assert why in reason


@pytest.mark.parametrize(
    "text",
    ["2^{10}", "x^{2021}", "2^{2^3}", "e^{x^2}", r"\frac{1}{2004!}", "10^{-27}", r"\binom{10}{5}", r"\int_0^1 x^2 dx", "x^{2^n}"],
)
def test_the_guard_lets_pass(text: str) -> None:
    assert too_hard(text, 2000) is None
