"""Numbers within a tolerance, with everything that tables hang on to them; texts; lists."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2core_verifier_guru.numbers import quantity
from k2core_verifier_guru.tabular import Tabular, TabularConfig, expected, key, matched

from k2core import Candidate, Completion


def status(answer: str, gold: str, **options: Any) -> str:
    return Tabular(TabularConfig(**options))._grade(answer, expected(gold)).status


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("12.5", "12.5"), ("$1,234.50", "1234.5"), (r"\$5", "5"), ("-$5", "-5"), ("$-5", "-5"), ("\u22125", "-5"), ("$5$", "5")),
        *(("(12.5)", "-12.5"), ("$(12.5)", "-12.5"), ("13.2%", "13.2"), (r"13.2\%", "13.2"), ("3.5 percent", "3.5"), ("+7", "7")),
        *(
            (r"\frac{3}{4}", "3/4"),
            ("3/4", "3/4"),
            ("3:4", "3/4"),
            ("1e5", "100000"),
            (r"1.2 \times 10^{5}", "120000"),
            (".5", "1/2"),
        ),
        *(
            ("about 42", "42"),
            ("x = 42", "42"),
            ("Total: 42", "42"),
            ("42 km/h", "42"),
            ("42 (approx.)", "42"),
            ("12 345", "12345"),
        ),
        *((r"\text{42}", "42"), (r"1{,}000", "1000"), (r"1\,000", "1000"), ("**7**", "7"), ("5.", "5"), ("12.5 million", "12.5")),
    ],
)
def test_numbers_are_read(text: str, value: str) -> None:
    number = quantity(text)
    assert number is not None
    assert number.value == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%",
        "1,23",
        "1.2.3",
        "42 and 43",
        "Q3 2015",
        "2015-2016",
        "1/0",
        "(5",
        "5)",
        "-(5)",
        "- -5",
        "--5",
        "x",
        "9" * 200,
        "between 3 and 4",
        "1e99999",
        "5" + "x" * 300,
    ],
)
def test_what_is_no_single_number_is_not_read(text: str) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        *(("13.2", "13.21"), ("0.333", "0.3333"), ("0.132", "13.2%"), ("13.2%", "13.2"), ("-12.5", "(12.5)"), ("42", "42.0")),
        *(("12500000", "12.5 million"), ("1234.5", "$1,234.50"), ("34", "34 employees"), ("34 employee", "34 employees")),
        *(("0.5", "1/2"), ("yes", "Yes."), ("North America", "the  north america"), ("R&D", r"\text{R\&D}"), ("0", "0.0")),
        *(("a|b", "b | A"), ("1.5|2|x", "X|2.0|1.5"), ('["12.5", "13"]', "12.5, 13"), ("[12.5]", "12.5"), ("1,234|5", "1,234, 5")),
    ],
)
def test_equal(gold: str, answer: str) -> None:
    assert status(answer, gold) == "correct"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        *(("13.2", "13.3"), ("2015", "2014"), ("1001", "1000"), ("$5", "€5"), ("0", "0.0001"), ("0.132", "13.2"), ("5", "-5")),
        *(("a|b", "a"), ("a|b", "a|b|c"), ("a|a", "a|b"), ("1|2", "1|1"), ("yes", "no"), ("yes", "yesterday")),
        *(("42", "42 and 43"), ("5%", "500%"), ("12.5", "12.6 million")),
    ],
)
def test_different(gold: str, answer: str) -> None:
    assert status(answer, gold) == "incorrect"


@pytest.mark.parametrize(("gold", "answer"), [("12.5", "12.5 million"), ("34 years", "34 employees"), ("yes", "yes and no")])
def test_undecided(gold: str, answer: str) -> None:
    assert status(answer, gold) == "undecided"


def test_as_guru_does() -> None:
    options = {"percent": "any", "exact_whole": False}
    assert status("13.2", "0.132", **options) == "correct"
    assert status("2014", "2015", **options) == "correct"
    assert status("2010", "2015", **options) == "incorrect"


@given(st.floats(1e-6, 1e9), st.floats(-0.01, 0.01))
def test_the_tolerance_is_relative(value: float, change: float) -> None:
    gold, answer = f"{value:.12f}", f"{value * (1 + change):.12f}"
    one, other = Fraction(gold), Fraction(answer)
    near = abs(one - other) <= Fraction(1e-3) * max(abs(one), abs(other))
    assert status(answer, gold) == ("correct" if near else "incorrect")


@given(st.text(), st.text())
def test_any_text_gets_an_opinion(answer: str, reference: str) -> None:
    assert status(answer, reference) in ("correct", "incorrect", "undecided")
    assert key(answer) == key(answer)
    assert status(reference, reference) in ("correct", "undecided") or "|" in reference or reference.strip()[:1] in tuple("[{(")


def test_matching_finds_what_greed_would_miss() -> None:
    yes, no = "correct", "incorrect"
    assert matched([[yes, yes], [yes, no]], lambda status: status == yes)
    assert not matched([[yes, no], [yes, no]], lambda status: status == yes)


def test_long_lists_are_undecided() -> None:
    many = "|".join(map(str, range(1000)))
    assert status(many, many) == "undecided"


def test_the_plugin_finds_answers(verify: Any) -> None:
    texts = [r"The ratio is \boxed{13.2\%}.", "<answer>0.132</answer>", "The answer is 13.2%.", "13.2 %", r"<think>\boxed{13.2\%}"]
    cut = Candidate(id="cut", text="so we divide 132 by 10", completion=Completion(text="", finish="length"))
    verdicts = verify(Tabular, [*texts, r"\boxed{14\%}", cut], "0.132")
    assert [verdict.status for verdict in verdicts] == ["correct"] * 4 + ["unparsed", "incorrect", "unparsed"]
    assert "truncated" in verdicts[-1].reason


def test_without_a_reference_equal_numbers_vote_together(verify: Any) -> None:
    texts = [r"\boxed{\$1,000}", r"\boxed{1000.0 dollars}", r"\boxed{b|a}", r"\boxed{a | b}", r"\boxed{7}"]
    verdicts = verify(Tabular, texts)
    assert [verdict.score for verdict in verdicts] == [0.4, 0.4, 0.4, 0.4, 0.2]
    assert {verdict.status for verdict in verdicts} == {"undecided"}
