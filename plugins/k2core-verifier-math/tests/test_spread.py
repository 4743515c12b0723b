"""Functions with steps and corners, and of integers: compared where their pieces differ. Values of any magnitude."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2core_verifier_math.check import quick
from k2core_verifier_math.compare import compare
from k2core_verifier_math.exact import canonical

SHAPES = [
    r"\lfloor \frac{n+1}{@} \rfloor",
    r"3+\lceil n/@ \rceil",
    r"ab-\lfloor a/@ \rfloor",
    r"|x-@|+2",
    r"\max(\min(u,@),\min(v,\max(w,40)))",
    r"\lfloor\lfloor x^{@}\rfloor^{@}\rfloor",
    r"\gcd(n,@)",
    r"\operatorname{lcm}(n,@)",
    r"(-@)^n+n",
    r"(-1)^n @^{n-1}",
    r"\binom{n}{@}-n",
    r"\binom{m+n}{m-@}",
    r"\frac{a!}{@ b (a-b)!}",
    r"@^k",
    r"\lfloor n\sqrt{@} \rfloor",
    r"\sqrt{x-@}+1",
    r"\arcsin(\frac{@}{20}\sin t)",
    r"\max(x,@)",
]
LIMIT = settings(max_examples=40, deadline=None)


@LIMIT
@given(st.sampled_from(SHAPES), st.integers(2, 17), st.integers(2, 17))
def test_another_constant_is_another_function(shape: str, one: int, other: int) -> None:
    gold, answer = shape.replace("@", str(one)), shape.replace("@", str(other))
    opinion = quick(gold, answer)
    assert opinion is not None
    assert opinion[0] == ("equal" if one == other else "different"), (gold, answer, opinion)
    assert (canonical(gold) == canonical(answer)) == (one == other)


@LIMIT
@given(st.integers(2, 90), st.integers(1, 90))
def test_a_step_written_in_another_way(c: int, d: int) -> None:
    for gold, answer in (
        (rf"\lfloor \frac{{n}}{{{c}}} \rfloor + {d}", rf"\lfloor \frac{{n+{c * d}}}{{{c}}} \rfloor"),
        (rf"-\lceil \frac{{x-{d}}}{{{c}}} \rceil", rf"\lfloor \frac{{{d}-x}}{{{c}}} \rfloor"),
        (rf"|{c}-x|", rf"\sqrt{{(x-{c})^2}}"),
        (rf"\max(x,{c})", rf"\frac{{x+{c}+|x-{c}|}}{{2}}"),
        (rf"\binom{{n}}{{2}}+{d}", rf"\frac{{n(n-1)}}{{2}}+{d}"),
    ):
        opinion = quick(gold, answer)
        assert opinion is not None
        assert opinion[0] == "equal", (gold, answer, opinion)


@LIMIT
@given(st.integers(20, 500))
def test_a_corner_far_away_is_seen(c: int) -> None:
    for gold, answer in (
        (f"|x-{c}|", f"{c}-x"),
        (rf"\sqrt{{(x-{c})^2}}", f"{c}-x"),
        (rf"\max(x,{c})", f"{c}"),
        (rf"\lfloor n/{c} \rfloor", "0"),
    ):
        for pair in ((gold, answer), (answer, gold)):
            assert compare(*pair)[0] != "equal", pair
        assert canonical(gold) != canonical(answer)


def test_what_holds_for_integers_only() -> None:
    assert compare(r"\lceil \frac{n}{2} \rceil", r"\lfloor \frac{n+1}{2} \rfloor")[0] == "equal"
    assert compare(r"\lceil \frac{x}{2} \rceil", r"\lfloor \frac{x+1}{2} \rfloor")[0] != "equal"
    assert compare(r"\lfloor \frac{n}{2} \rfloor", r"\frac{2n-1+(-1)^n}{4}")[0] == "equal"
    assert compare(r"\lfloor \frac{n}{2} \rfloor", r"\frac{2n+1-(-1)^n}{4}")[0] == "different"


@LIMIT
@given(st.integers(300, 9000), st.integers(1, 9), st.integers(1, 9))
def test_a_small_change_beside_a_large_power(n: int, one: int, other: int) -> None:
    gold, answer = (rf"\sqrt{{\frac{{2^{{{n}}}-{digit}}}{{3 \cdot 2^{{{n - 1}}}+{digit}}}}}" for digit in (one, other))
    opinion = compare(gold, answer)
    assert (opinion[0] == "equal") == (one == other), opinion
    assert one == other or canonical(gold) != canonical(answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\binom{4025}{2012}", "1+2i"),
        (r"\frac{3^{40000}}{\binom{9000}{4000}}-2", r"\sqrt{6}"),
        ("2^{3^{8}}", "2^{5^{8}}"),
        ("7^{200000}", "7^{200001}"),
        ("30000!", "30001!"),
        (r"\frac{1}{\binom{8000}{4000}}", r"\frac{1}{\binom{8000}{4001}}"),
        ("0^k", "2^k"),
        ("|V|^{3010}", "|V|^{5012}"),
        (r"\frac15+\frac{3}{5 \cdot 7^{2011}}", r"\frac15+\frac{3}{5 \cdot 7^{9011}}"),
        (r"\frac13+\frac{1}{3 \cdot 2^{2013}}", r"\binom{m+n}{m-1}"),
        (r"2^{1206}\sqrt{2^{2410}+2}-2^{2411}", r"2^{1206}\sqrt{2^{2410}+3}-2^{2411}"),
    ],
)
def test_large_magnitudes_are_told_apart(gold: str, answer: str) -> None:
    for pair in ((gold, answer), (answer, gold)):
        opinion = quick(*pair)
        assert opinion is not None
        assert opinion[0] == "different", (pair, opinion)


def test_a_term_that_drowns_is_no_equality() -> None:
    for gold, answer in (("30000!+1", "30000!"), ("2^{90000}+x", "2^{90000}+y"), (r"\sqrt{10^{20000}+1}", r"\sqrt{10^{20000}+2}")):
        assert compare(gold, answer)[0] != "equal"


def test_spread_points_are_cheap() -> None:
    pairs = [(shape.replace("@", "7"), f"({shape.replace('@', '7')})+0") for shape in SHAPES]
    for pair in pairs:
        quick(*pair)
    started = time.thread_time()
    for gold, answer in pairs:
        quick(gold.replace("7", "11"), answer.replace("7", "11"))
    assert time.thread_time() - started < 0.02 * len(pairs)
