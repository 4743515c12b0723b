"""The keys under which answers vote."""

from __future__ import annotations

import pytest
from k2core_verifier_math.exact import canonical


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (["0.50", r"\frac{1}{2}", "1/2", "$.5$", "x = 1/2"], "1/2"),
        (["x+1", "1+x", r"\frac{2x+2}{2}"], "x+1"),
        ([r"\frac{\sqrt{8}}{2}", r"\sqrt 2", r"2\sin\frac{\pi}{4}"], "≈1.414213562373095048801689"),
        (["√2 x", r"\sqrt{2} \cdot x"], "√2*x"),
        ([r"\{3, 1\}", "1, 3", "x=1 or x=3"], "{1, 3}"),
        (["x > 5", r"(5,\infty)"], "(5, ∞)"),
        ([r"\pm 3", "3, -3"], "{-3, 3}"),
        ([r"90\text{ min}", r"1.5\text{ h}"], "5400 s"),
        ([r"\text{Evelyn}", "evelyn"], "evelyn"),
        (["no solution", r"\emptyset"], "∅"),
        (["(B)", "B"], "B"),
        ([r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&\sqrt{16}\end{bmatrix}"], "[1, 2; 3, 4]"),
    ],
)
def test_readable_keys(texts: list[str], key: str) -> None:
    assert {canonical(text) for text in texts} == {key}


@pytest.mark.parametrize(
    "texts",
    [
        [r"\ln 4", r"2\ln 2"],
        [r"\frac{1}{x-1}-\frac{1}{x+1}", r"\frac{2}{x^2-1}"],
        [r"\sin 2x", r"2\sin x\cos x"],
        [r"\sqrt{6-2\sqrt5}", r"\sqrt5-1"],
        ["x \\ne 0", r"(-\infty,0)\cup(0,\infty)"],
    ],
)
def test_fingerprints_agree(texts: list[str]) -> None:
    assert len({canonical(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 1/2", "11/2"),
        ("X", "x"),
        ("(1,2)", "[1,2]"),
        ("(1,2)", "(2,1)"),
        ("ab", "a+b"),
        ("5 cm", "5 m"),
        (r"1,2,\ldots", r"1,3,\ldots"),
        (r"\ln 2", r"\ln 3"),
        ("2100!", "2099!"),
        (r"\log 2", r"\ln 2"),
    ],
)
def test_keys_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_long_texts_are_their_own_key() -> None:
    assert canonical(" " + "9" * 5000) == "9" * 5000
