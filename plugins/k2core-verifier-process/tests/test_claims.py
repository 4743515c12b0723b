"""What counts as an arithmetic claim, and when one is false."""

from __future__ import annotations

import random
import time

import pytest
from k2core_verifier_process.claims import Claim
from k2core_verifier_process.examine import Progress, examine


def found(text: str, problem: str = "") -> list[Claim]:
    return [claim for _, claims in examine(text, problem) for claim in claims]


def verdicts(text: str, problem: str = "") -> list[bool | None]:
    return [claim.holds for claim in found(text, problem)]


TRUE = [
    "So 3 + 4 = 7 apples.",
    "12 \u00d7 5 = 60 dollars",
    r"$\frac{1}{2}\cdot 8 = 4$",
    r"\(\dfrac{3}{4} + \tfrac14 = 1\)",
    "20% of 50 is 10.",
    "3 apples + 4 apples = 7 apples",
    "$5 x 3 = $15",
    "5 x $3 = $15 in all",
    "50km/hr * 3 days = 150 km",
    "1,250 + 2,750 = 4,000",
    r"28{,}000 + 1,\!672 = 29672",
    "(3 + 4)(2) = 14",
    "2(3) + 1 = 7",
    "2^10 = 1024",
    "2^{10} = 1024",
    "5! = 120",
    r"\binom{5}{2} = 10",
    r"\sqrt{16} + 1 = 5",
    r"$\sqrt{2} \cdot \sqrt{8} = 4$",
    "10/3 = 3.33",
    "10/3 = 3",
    "7/2 = 3 full boxes",
    "100/6 = 16.67",
    "2.5 \u00d7 4 = 10.0",
    "210 + 91 is 301, so we go on",
    "And $(14-1)*7$ is 91.",
    "3 times 4, which is 12",
    "2 1/2 + 1/2 = 3",
    "2½ \u00d7 2 = 5",
    "100% - 20% = 80%",
    "1/4 * 100 = 25%",
    "11/18*162 = 99.00000000000001",
    "-3 + 5 = 2",
    "3 - (-2) = 5",
    "4 + 5 = <<4+5=9>>9",
    r"\boxed{3 + 4} = 7",
    r"$2\pi \approx 6.28$",
    "The total of 70 + 420 + 210 = 700 animals.",
]

FALSE = [
    ("So 3 + 4 = 8 apples.", "7"),
    ("70 + 420 + 210 = 680 animals on the farm", "700"),
    ("16 * (5 + 3) = 16 * 8 = 135 tablespoons of flour", "128"),
    ("So it took (30 + 50)/2 = 45 minutes to cook.", "40"),
    ("150/6000 = <<150/6000=0.25>>0.25", "0.025"),
    (r"$\frac{1}{2} + \frac{1}{3} = \frac{2}{5}$", "5/6 (about 0.833333)"),
    ("$650*90=585000$.", "58500"),
    ("20% of 50 is 12.", "10"),
    (r"\sqrt{16} + 1 = 6", "5"),
    (r"\binom{5}{2} = 11", "10"),
    ("And 7 + 301 is 2107.", "308"),
    ("He sold 5 x 12 = 62 eggs and 3 x 12 = 36 cakes", "60"),
    ("8 - 5.5 = 3.5", "2.5"),
    ("4.83 times 8, which is 42.64 dollars per day.", "38.64"),
    ("x = 3 * 4 = 13", "12"),
    ("1/3 of 12 is 5", "4"),
]

OPEN = [
    "x + 3 = 7",
    "2x = 6",
    "2 x + 1 = 9 has to be solved",
    "f(3) = 4 + 5",
    "P(2) = 10 - 6",
    "3 feet = 36 inches",
    "2 hours + 30 minutes = 150 minutes",
    "Half of 30 + 5 = 20",
    "5 less than 9 + 3 = 7",
    "3 + 4 = 7 + 5 = 12",
    "Suppose 2 + 2 = 5.",
    "10 + 81 = 272, which is not true.",
    r"$17 = 2 \pmod{5}$ and $3 + 4 = 2 \pmod 5$",
    "1 + 2 + ... + 10 = 55",
    r"1 + 2 + \ldots + 10 = 50",
    "3:45 + 2 = 5:45",
    "Total in 2008 = 1,000 + 1,900",
    "Day 2 = 5 + 3",
    "The hypotenuse of the 3-4-5 triangle is 5.",
    "Multiply 3 by -2, which is -6.",
    "25 / 1/3 = 75",
    "3 - 1 = 2/3 of the cake",
    "5 + 1 = 3 dozen",
    "980 pencils * 10 cents = $98",
    "1 parsec = 3.0857 \u00d7 10^13 km",
    "1/2 a cup = 4 ounces",
    "0900-0130 = 0730 hours",
    r"$\frac{1}{3}Bh = 60$",
    r"$2 DZ = \frac{190}{49}$",
    r"$V\left(\frac{1}{2}\right)^3 = 5$",
    r"\begin{pmatrix} 1-1 \\ -2-0 \end{pmatrix} = \begin{pmatrix} 0 \\ -2 \end{pmatrix}",
    r"3.\overline{3} - 0.\overline{3} = 3",
    "$1^2, 2^2, 10^2 = 1, 4, 100$",
    r"$3^25^2 = 225$",
    "9^9^9^9 = 7",
    "The circle of area 4 * 3 is 2",
    "42/5 + 42/25 = 8 + 1",
    "80 + 20% = 96",
    "3!! + 1 = 4",
    "a * b = 7 and 3 @ 4 = 5",
    "Weeks 1-2 = 96 - 70",
    "113 = 110 + 3 and 110 + 3 is 3 more than a multiple of 11",
    r"the fractions $\frac 26, \frac 28 = \frac 13, \frac 14$",
    r"$\frac{225}{676}$ which is $901$ in all",
    r"$2.46 \times 10^{-6} \text{ radians} = 0.49 \text{ arcseconds}$",
    "29 + 24 more to the 3 + 4 = 60",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    assert verdicts(text)
    assert all(verdicts(text))


@pytest.mark.parametrize(("text", "value"), FALSE)
def test_false(text: str, value: str) -> None:
    wrong = [claim for claim in found(text) if claim.holds is False]
    assert wrong
    assert wrong[0].value == value
    assert wrong[0].left in text
    assert text[wrong[0].start : wrong[0].end].startswith(wrong[0].left)


@pytest.mark.parametrize("text", OPEN)
def test_never_false(text: str) -> None:
    assert False not in verdicts(text)


def test_a_rounded_value_may_go_on_unrounded() -> None:
    """10/3 has become 3.3: three of them are 10, as they were before the rounding. Nothing rounded before, nothing to allow."""
    assert verdicts("10/3 = 3.3\n3.3 * 3 = 10") == [True, True]
    assert verdicts("3.3 * 3 = 10.5") == [False]
    assert verdicts("10/3 = 3.3\n3.3 * 3 = 11") == [True, False]


def test_problems_with_other_operations_leave_what_is_false_open() -> None:
    assert verdicts("5 + 4 = 10", "Compute $5_9 + 4_9$ in base 9.") == [None]
    assert verdicts("(1*2)*3 = (1^2+2)*3", "The operation * is defined by a * b = a^b + b.") == [None]
    assert verdicts("5 + 4 = 9", "Compute $5_9 + 4_9$ in base 9.") == [True]


def test_a_line_that_goes_on_with_a_formula_is_left_open() -> None:
    assert verdicts("The product is 3 *\n4 + 1 = 13.") == [None]


def test_a_slip_of_the_pen_beside_a_right_computation() -> None:
    assert verdicts("24 eggs in 1 tray x 2 trays = <<24*2=48>>48 eggs") == [True, None]
    assert verdicts("He has 5 + 4 = <<5+4=9>>8 left") == [True, False]


EQUATIONS_WRONG = [
    ("2C + 30 = 70\nSubtracting 30 from both sides, we get 2C = 50", "follows C = 20"),
    ("4S = 70\nDividing both sides by 4, we get S = 15.", "follows S = 17.5"),
    ("We add them: x + 10 + 66 + 10 = x + 88.", "minus 2"),
    (r"\[2x + 1 = 7 \Rightarrow 2x = 8\]", "follows x = 3"),
    ("3 + 2x = 21\n3 + 2x - 3 = 15", "follows x = 9"),
]
EQUATIONS_FINE = [
    "2x + 30 = 70\nSubtracting 30 from both sides, we get 2x = 40\nDividing by 2 we get x = 20",
    "2x + 3 = 7, and for another number 2x + 3 = 9",
    "x - 2 = 0 or x - 3 = 0",
    "(A) x + 1 = 3\n(B) x + 2 = 3",
    r"x^2 = 4, so x = 2. \[x = -2\]",
    "3x = 10, so x = 3.33",
    "3x = 1 hour. Thus 3x = 60 minutes",
    "2x = 18 so x = 18 : 2",
    "x - y = 3",
    "4(x + 1) = 4x has no solution",
    "If n = 3k, then",
    r"$|x - 1| + |x - 3| = x - 1 + 3 - x = 4$",
    "x = 6(-2) = -12 so y = 1. Then x = 6(-1) = -6",
    "j - 5 = 3(b - 5)",
]


@pytest.mark.parametrize(("text", "reason"), EQUATIONS_WRONG)
def test_equations_that_do_not_follow(text: str, reason: str) -> None:
    wrong = [claim for claim in found(text) if claim.holds is False]
    assert wrong
    assert reason in wrong[0].value


@pytest.mark.parametrize("text", EQUATIONS_FINE)
def test_equations_that_may_be_right(text: str) -> None:
    assert False not in verdicts(text)


HOSTILE = {
    "a tower": "9^9^9^9^9 = 1 and 2^99999999 = 3",
    "factorials": "99999! = 1 and (((9!)!)!) = 2",
    "deep brackets": "(" * 5000 + "1" + ")" * 5000 + " = 2",
    "deep fractions": r"\frac{1}{" * 2000 + "1" + "}" * 2000 + " = 2",
    "signs": "-" * 20_000 + "1 = 2",
    "equals": "1 = " * 5000,
    "relations": "1+1=" * 5000,
    "dollars": "$ " * 10_000,
    "openers": r"\( \[ $" * 6000,
    "annotations": "<<1=" * 5000,
    "units": "3 " + "apples " * 5000 + "= 4",
    "long number": "1" * 100_000 + " + 1 = 2",
    "decimals": "0." + "3" * 55 + " * 3 = 1\n" * 200,
    "NUL and friends": "\0\x01\u202e 3 + 4 = 7 \ud800",
    "other digits": "\u0663 + \u0664 = \u0667 and \U0001d7d1 + \U0001d7d2 = \U0001d7d6",
    "roots": r"\sqrt[20]{" * 15 + "2" + "}" * 15 + " = 1",
    "symbols": "x" * 20_000 + " = 1",
    "a rounded zero": "1/(0.334 - 0.333) = 5",
    "sums": "1 + " * 5000 + "1 = 5001",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    assert False not in verdicts(text)
    assert time.process_time() - began < 5


def test_no_text_is_too_odd() -> None:
    """Random rows of everything that the reader knows: never an error."""
    pieces = "3|0|0.333|1,000|1/2|½|x|y|of|is|which|and|apples|cents|$|%|!|^|_|=|≈|+|-|*|/|\\u00d7|(|)|[|]|{|}|,|.|...|:|\n|<<|>>"
    pieces += "|\\frac|\\sqrt|\\binom|\\pi|\\cdot|\\left|\\text{ cm}|\\boxed{|\\begin{align}|\\\\|&|\\implies|2x + 1 = 5|10/3 = 3.3"
    words, chance = pieces.split("|"), random.Random(0)
    for _ in range(400):
        examine("".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(40)))


def test_time_grows_with_the_length_only() -> None:
    """Ten times the text takes about ten times as long; a hundred times would be quadratic."""
    took = []
    for lines in (30, 300):
        began = time.process_time()
        examine("He has 3 + 4 = 7 apples and 2x + 3 = 9, so he sells them for $5 x 3 = $15.\n" * lines)
        took.append(time.process_time() - began)
    assert took[1] < 40 * took[0] + 0.5


def test_progress_is_not_changed_by_going_on() -> None:
    """Several candidates may go on from the same step."""
    start = Progress().after("10/3 = 3.3")[0]
    before = repr(start)
    assert start.after("3.3 * 3 = 10")[1][0].holds is True
    assert start.after("2C + 30 = 70")[0] is not start
    assert repr(start) == before
