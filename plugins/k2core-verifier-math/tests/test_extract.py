r"""Extraction: which text is the answer, and when there is none."""

from __future__ import annotations

import pytest
from k2core_verifier_math.extract import (
    ORDER,
    Found,
    boxed,
    choice,
    extract,
    finders,
    formula,
    hashes,
    letter,
    looked_for,
    number,
    reference_answer,
    stray_letter,
    tagged,
    visible,
    whole,
)
from k2core_verifier_math.sentence import sentence, unframe


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\fbox{7}", "7"),
        (r"\boxed {8}", "8"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x : x > 2\right.}", r"\left\{x : x > 2\right."),
        (r"\boxed{3} and then \boxed{4", "3"),
        (r"\boxed{} and", None),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{(1,2)}, \boxed{(2,1)}", "(1,2), (2,1)"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
        (r"\boxed{6}, \boxed{6}", "6"),
        ("\\boxed{4}\n\n\\boxed{5}", "5"),
        (r"\boxed 42", "42"),
        (r"\boxed{a} b \} c", "a"),
        ("no box", None),
        ("{" * 500 + r"\boxed{1}", "1"),
        (r"\boxed{" * 3000, None),
    ],
)
def test_boxed(text: str, answer: str | None) -> None:
    assert boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>5</answer>", "5"),
        ("<answer>1</answer> no, <answer> 2 </answer>", "2"),
        ("<answer>it is $\\boxed{3}$</answer>", "3"),
        ("<answer>$x+1$.</answer>", "x+1"),
        ("<answer>9", "9"),
        ("<answer></answer>", None),
        ("answer", None),
    ],
)
def test_tag(text: str, answer: str | None) -> None:
    assert tagged(text) == answer


def test_an_open_tag_counts_only_when_the_text_is_complete() -> None:
    assert tagged("<answer>12", open_ended=False) is None
    assert extract("<answer>12", "tag", truncated=True) is None
    assert extract("<answer>12", "tag") == Found("12", "tag")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("work\n#### 42", "42"),
        ("#### 1,234", "1,234"),
        ("#### $18", "$18"),
        ("#### -3.5", "-3.5"),
        ("#### 5 apples\n", "5"),
        ("#### Step 3: add", None),
        ("#### 1. First, add", None),
        ("### 4", None),
    ],
)
def test_hashes(text: str, answer: str | None) -> None:
    assert hashes(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 42.", "42"),
        ("The final answer is $\\frac{3}{4}$.", "\\frac{3}{4}"),
        ("**Answer:** 12", "12"),
        ("**Final Answer**: 7", "7"),
        ("Answer: x + 1", "x + 1"),
        ("The answer is 3 + 2x", "3 + 2x"),
        ("Final Answer: The final answer is 7.78. I hope it is correct.", "7.78"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        ("The answer to the problem is 125 miles.", "125"),
        ("So the answer is $1,234.50", "$1,234.50"),
        ("the answer is 25%", "25%"),
        ("the answer is 2/3.", "2/3"),
        ("The answer is: yes", "yes"),
        ("A: 18", "18"),
        ("Answer:\n", None),
        ("The answer is 1. No, the answer is 2.", "2"),
        ("nothing here", None),
    ],
)
def test_sentence(text: str, answer: str | None) -> None:
    assert sentence(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("there are 12 of them", "12"),
        ("1,234,567 people", "1,234,567"),
        ("it costs $3.50.", "$3.50"),
        ("-7 degrees", "-7"),
        ("x = 5 - 3", "3"),
        ("5-3=2", "2"),
        ("about .5", ".5"),
        ("probability 3/4", "3/4"),
        (r"so \frac{3}{4} of it", r"\frac{3}{4}"),
        ("it is 25%", "25%"),
        ("3e8 m/s", "3e8"),
        (r"32{,}349 in all", "32,349"),
        ("10 of H2O", "10"),
        ("values 1, 2, 3", "3"),
        ("€ 20", "€ 20"),
        ("no digits", None),
    ],
)
def test_last_number(text: str, answer: str | None) -> None:
    assert number(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("B", "B"),
        ("(b)", "B"),
        (r"\text{C}", "C"),
        (r"\textbf{(D) } 12", "D"),
        ("B) because it is", "B"),
        ("C Cecile", "C"),
        ("A cat", None),
        ("Banana", None),
        ("12", None),
        ("**E**", "E"),
    ],
)
def test_letter(text: str, answer: str | None) -> None:
    assert letter(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"thus \boxed{B}", "B"),
        ("<answer>(C)</answer>", "C"),
        ("The answer is (D).", "D"),
        ("The correct answer is **A**", "A"),
        ("Answer: E", "E"),
        ("I think it is option B, not A", None),
    ],
)
def test_choice(text: str, answer: str | None) -> None:
    assert choice(text) == answer


def test_a_letter_that_stands_alone_is_a_fall_back() -> None:
    assert stray_letter("I think it is option B, clearly") == "B"
    assert stray_letter("it's not A, therefore it's B") == "B"
    assert extract("I would take option B", "choice") == Found("B", "letter")
    assert extract("I would take option B", "choice", strict=True) is None


def test_only_text_after_the_thinking_counts() -> None:
    assert visible("<think>a</think>b") == "b"
    assert visible("a</think>b</think>c") == "c"
    assert visible("<think>still") == ""
    assert extract(r"<think>\boxed{1}</think>It is \boxed{2}") == Found("2", "boxed")
    assert extract(r"<think>\boxed{1} but wait") is None


def test_order_and_strictness() -> None:
    text = r"<answer>1</answer> \boxed{2}"
    assert extract(text, "tag") == Found("1", "tag")
    assert extract(text, "boxed") == Found("2", "boxed")
    assert extract("the answer is 3", "boxed") == Found("3", "sentence")
    assert extract("the answer is 3", "boxed", strict=True) is None
    assert extract("there are 3", "number", strict=True) == Found("3", "number")
    assert extract("Paris", "text") == Found("Paris", "whole")
    assert extract(r"so $\begin{pmatrix}1\\2\end{pmatrix}$.", "boxed") == Found(r"\begin{pmatrix}1\\2\end{pmatrix}", "formula")


def test_a_truncated_text_has_no_last_number() -> None:
    assert extract("first 3 then 4 and", "boxed", truncated=True) is None
    assert extract(r"\boxed{3} and so 4", "boxed", truncated=True) == Found("3", "boxed")
    assert extract("The answer is 12", "boxed", truncated=True) is None
    assert extract("The answer is 125.\nThis is be", "boxed", truncated=True) == Found("125", "sentence")
    assert extract("<answer>B", "choice", truncated=True) is None
    assert "number" not in finders("number", truncated=True)


def test_small_helpers() -> None:
    assert unframe(r" \( x \). ") == "x"
    assert unframe("**$5$**") == "5"
    assert whole("a\nb") == "b"
    assert whole("x" * 300) is None
    assert formula("where $n$ is odd") is None
    assert formula("$n=3$ holds for 7") is None
    assert looked_for("boxed", strict=True) == r"\boxed{}"
    assert all(first for first, _ in ORDER.values())


@pytest.mark.parametrize(
    ("reference", "answer"),
    [("42", "42"), ("work\n#### 42", "42"), (r"so \boxed{4}", "4"), ("$x$", "x"), ("<answer>b</answer>", "b")],
)
def test_references(reference: str, answer: str) -> None:
    assert reference_answer(reference) == answer


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 150_000,
        "<answer>" * 120_000,
        "answer is " * 100_000,
        "1," * 500_000,
        "$" * 1_000_000,
        "#### " * 200_000,
        "(A) " * 250_000,
        " " * 1_000_000,
        "{" * 1_000_000,
        "-" * 1_000_000,
        "\\(" * 500_000,
        "1 / " * 250_000,
        "**" * 500_000,
    ],
)
@pytest.mark.parametrize("form", ["boxed", "choice", "text"])
def test_a_megabyte_of_anything_is_searched(text: str, form: str) -> None:
    """The suite's own time limit is the check here: quadratic patterns take minutes on these."""
    extract(text, form)  # type: ignore[arg-type]  # parametrize passes plain strings
