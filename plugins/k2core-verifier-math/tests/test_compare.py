"""The comparison itself, in this process: what the workers answer."""

from __future__ import annotations

import pytest
from k2core_verifier_math.compare import compare


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "1+x"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("(x+1)^2", "x^2+2x+1"),
        (r"\frac{\pi}{2}", "1.5707963"),
        ("10!", "3628800"),
        ("2^{10}", "1024"),
        (r"\{1,2,3\}", r"\{3,2,1\}"),
        ("x=5", "5"),
        ("2x+3y=6", "4x+6y=12"),
        (r"[1,\infty)", r"[1,+\infty)"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{bmatrix}1&2\end{bmatrix}"),
        ("5%", "0.05"),
        ("1:2", "2:4"),
        (r"\frac{\sinh(2)}{2}", r"\frac{e^2-e^{-2}}{4}"),
        ("2.45e6", r"2.45 \times 10^{6}"),
        (r"x \geq 5", "x >= 5"),
        ("5", "x+y=5"),
        ("7", "3+4=7"),
    ],
)
def test_equal(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] == "equal"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "x-1"),
        (r"\sqrt{8}", r"2\sqrt{3}"),
        ("x^2", "y^2"),
        ("(0,9)", "[0,9)"),
        ("[1,2]", "[1,3]"),
        (r"\{1,2\}", r"\{1,3\}"),
        ("x>5", "x<5"),
        (r"1-\frac{1}{e}", r"1+\frac{1}{e}"),
        (r"\pi", "3.14"),
    ],
)
def test_different(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] == "different"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
        ("1/2^{99}", "1/2^{98}"),
        (r"\frac{1}{3^{70}}", r"\frac{1}{3^{71}}"),
        ("0.0000001x", "0.0000002x"),
        (r"\sqrt{x^2}", "x"),
        (r"1,2,\ldots,10", r"1,2,\ldots,10,"),
        ("4", r"4\sqrt(2"),
        ("4", "?!"),
        ("0", "x^2-4=0"),
    ],
)
def test_no_false_accept(gold: str, answer: str) -> None:
    """Pairs that math-verify accepts, or cannot read."""
    assert compare(gold, answer)[0] != "equal"


def test_symmetric_comparison_tries_both_directions() -> None:
    assert compare("5", "x=5", symmetric=True)[0] == compare("x=5", "5", symmetric=True)[0] == "equal"
