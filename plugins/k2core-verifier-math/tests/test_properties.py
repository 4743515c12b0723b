"""Properties on generated expressions and arbitrary text."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from k2core_verifier_math.check import quick
from k2core_verifier_math.exact import canonical
from k2core_verifier_math.reading.answer import read

Tree = Any
MINUS = "\u2212"
LIMIT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

leaves = st.one_of(st.integers(0, 20).map(str), st.sampled_from(["x", "y", "p"]))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-*/"), inner, inner),
        st.tuples(st.just("^"), inner, st.integers(0, 3).map(str)),
        st.tuples(st.just("r"), st.integers(1, 50).map(str)),
    ),
    max_leaves=6,
)


def latex(tree: Tree) -> str:
    if isinstance(tree, str):
        return r"\pi" if tree == "p" else tree
    if tree[0] == "r":
        return rf"\sqrt{{{tree[1]}}}"
    a, b = latex(tree[1]), latex(tree[2])
    return {
        "+": rf"\left({a}+{b}\right)",
        "-": rf"({a}-{b})",
        "*": rf"{a} \cdot {b}",
        "/": rf"\frac{{{a}}}{{{b}}}",
        "^": rf"\left({a}\right)^{{{b}}}",
    }[tree[0]]


def plain(tree: Tree) -> str:
    if isinstance(tree, str):
        return "pi" if tree == "p" else tree
    if tree[0] == "r":
        return f"sqrt({tree[1]})"
    a, b = plain(tree[1]), plain(tree[2])
    return f"(({a}){'**' if tree[0] == '^' else tree[0]}({b}))"


def unicode(tree: Tree) -> str:
    if isinstance(tree, str):
        return "π" if tree == "p" else tree
    if tree[0] == "r":
        return f"√({tree[1]})"
    a, b = unicode(tree[1]), unicode(tree[2])
    if tree[0] == "^":
        return f"({a}){'⁰¹²³'[int(b)]}"
    return f"(({b}){'+' if tree[0] == '+' else '·'}({a}))" if tree[0] in "+*" else f"(({a}){MINUS if tree[0] == '-' else '÷'}({b}))"


def defined(tree: Tree) -> bool:
    """Whether no denominator vanishes, as far as a random point tells; 0^0 is left out."""
    return value(tree) is not None


def value(tree: Tree) -> float | None:
    if isinstance(tree, str):
        return {"x": 1.3718281, "y": 0.7320508, "p": 3.14159265}.get(tree) or float(tree) if tree != "0" else 0.0
    if tree[0] == "r":
        return float(tree[1]) ** 0.5
    a, b = value(tree[1]), value(tree[2])
    if a is None or b is None or max(abs(a), abs(b)) > 1e6:
        return None
    if tree[0] == "/":
        return a / b if abs(b) > 1e-6 else None
    if tree[0] == "^":
        return a**b if abs(a) > 1e-6 else None
    return a + b if tree[0] == "+" else a - b if tree[0] == "-" else a * b


@LIMIT
@given(trees)
def test_one_expression_in_three_notations(tree: Tree) -> None:
    assume(defined(tree))
    texts = latex(tree), plain(tree), unicode(tree)
    for other in texts[1:]:
        opinion = quick(texts[0], other)
        assert opinion is None or opinion[0] == "equal", (texts[0], other, opinion)


@LIMIT
@given(trees, st.sampled_from(["+1", "-1", "+x", "+\\sqrt{2}", "+\\frac{1}{1000}"]))
def test_another_value_is_never_equal(tree: Tree, change: str) -> None:
    assume(defined(tree))
    for text in (latex(tree), plain(tree)):
        opinion = quick(text, f"({text}){change}")
        assert opinion is None or opinion[0] != "equal", (text, change, opinion)
        assert canonical(text) != canonical(f"({text}){change}")


@LIMIT
@given(trees)
def test_the_same_key_in_three_notations(tree: Tree) -> None:
    assume(defined(tree))
    keys = {canonical(text) for text in (latex(tree), plain(tree), unicode(tree))}
    assert len(keys) == 1, keys


@LIMIT
@given(st.fractions(max_denominator=500), st.fractions(max_denominator=500))
def test_fractions_are_exact(a: Fraction, b: Fraction) -> None:
    one, other = rf"\frac{{{a.numerator}}}{{{a.denominator}}}", f"{b}"
    opinion = quick(one, other)
    assert opinion is not None
    assert (opinion[0] == "equal") == (a == b)


@LIMIT
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=6, unique=True), st.randoms())
def test_sets_have_no_order_and_tuples_have(items: list[int], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    texts = ", ".join(map(str, items)), ", ".join(map(str, shuffled))
    sets = quick(rf"\{{{texts[0]}\}}", rf"\{{{texts[1]}\}}")
    assert sets is not None
    assert sets[0] == "equal"
    tuples = quick(f"({texts[0]})", f"({texts[1]})")
    assert tuples is not None
    assert (tuples[0] == "equal") == (items == shuffled)


SCRAPS = r"""
\frac \sqrt { } ( ) [ ] ^ _ ! | , ; \{ \} \text{ and or = < > \pm 
\sum_{k=1}^{9} 1 23 4.5 x y e i \pi \sin \ln % $ \$ ° … ² √ cm 5am
""".split()


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.text(max_size=120), st.lists(st.sampled_from(SCRAPS), max_size=40).map(" ".join)),
    st.sampled_from(["7", r"x^2+\sqrt2", "(1,2)"]),
)
def test_any_text_is_answered_soon(text: str, gold: str) -> None:
    read.cache_clear()
    started = time.thread_time()
    opinion = quick(gold, text)
    key = canonical(text)
    assert time.thread_time() - started < 0.25
    assert opinion is None or opinion[0] in ("equal", "different", "undecided")
    assert isinstance(key, str)
    same = quick(text, text)
    assert not text.strip() or (same is not None and same[0] == "equal")
