"""Texts that break off or end, short texts that are answers, and words that look like answers."""

from __future__ import annotations

import pytest
from k2core_verifier_math.extract import Found, bare, extract, number, reference_answer, stray_letter
from k2core_verifier_math.sentence import breaks_off, sentence, unframe

LONG = "We look at the problem step by step and compute what is asked for. " * 8


@pytest.mark.parametrize(
    "ending",
    [
        "We find that x = 12.\nHowever, this is not",
        "We find that $x = 12$, so $y = \\frac{3",
        "Then (13, 41), (16, 38), and (17, 37",
        "# Rearranging",
        "which leads to the value 12\nand then we must",
    ],
)
def test_a_text_that_breaks_off_has_no_last_number(ending: str) -> None:
    assert breaks_off(LONG + ending)
    assert extract(LONG + ending, "boxed") is None
    assert extract(LONG + r"\boxed{5} " + ending, "boxed") == Found("5", "boxed")


@pytest.mark.parametrize(
    "ending", ["So she has 12 apples.", "12", "That makes 12 apples", "$x = 12$", "The answer: 12", "= 12 m^2 ✓"]
)
def test_a_text_that_ends_does_not_break_off(ending: str) -> None:
    assert not breaks_off(LONG + ending)
    found = extract(LONG + ending, "boxed")
    assert found is not None
    assert "12" in found.text


def test_a_short_text_or_a_name_does_not_break_off() -> None:
    assert not breaks_off("nothing here")
    assert extract(LONG + "\nAda Lovelace", "text") == Found("Ada Lovelace", "whole")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("(2,12)", "(2,12)"),
        ("36 mL", "36 mL"),
        (r"\frac{x}{7}+\frac{2}{7}", r"\frac{x}{7}+\frac{2}{7}"),
        ("$odd$", "odd"),
        ("$5$ or $6$", "$5$ or $6$"),
    ],
)
def test_a_text_that_is_nothing_but_an_answer(text: str, answer: str) -> None:
    found = extract(text, "boxed")
    assert found is not None
    assert (found.text, found.how) == (answer, "bare")


def test_prose_is_no_bare_answer() -> None:
    assert bare("there are 3 of them and 4 of those") is None
    assert extract("so $x=5$ holds", "boxed") == Found("x=5", "formula")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("16 people think that horse #12 will win the race.", "16"),
        ("It costs 2,74 $ a piece", "2,74"),
        ("about 1,234,567 of them", "1,234,567"),
        ("3,4,5", "5"),
    ],
)
def test_numbers_in_running_text(text: str, answer: str) -> None:
    assert number(text) is not None
    assert str(number(text)).strip(" $") == answer


def test_a_result_counts_near_the_end_and_denials_never() -> None:
    assert sentence("The result is 5.\n" + LONG) is None
    assert sentence(LONG + "The result is 5.") == "5"
    assert sentence("The answer is 5.\n" + LONG) == "5"
    assert sentence("The answer is 5. But the solution is not in this form.") == "5"
    assert sentence("The solution is not correct.") is None


def test_all_boxes_of_a_reference_count() -> None:
    assert reference_answer(r"\boxed{1} papers and \boxed{2} bins") == "1, 2"
    assert reference_answer(r"so \boxed{3}, again \boxed{3}") == "3"


def test_short_texts_that_start_with_a_letter() -> None:
    assert stray_letter("B。不是 A") == "B"
    assert stray_letter("D) $4x$") == "D"


def test_frames_are_taken_off_in_linear_time() -> None:
    deep = r"\(" * 100_000 + "5" + r"\)" * 100_000
    assert "5" in unframe(deep)
