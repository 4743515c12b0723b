"""Whether two answers are the same: pairs of every kind of answer, through all checkers."""

from __future__ import annotations

import pytest
from k2core_verifier_math.compare import compare

KNOWN_WRONG = [
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    ("n=2, 3, 4", "n=1, 2, 3"),
    ("D = (0, 1)", "D = (0, 1.5)"),
    (r"F_n = \sum_{k=0}^{n-1} F_k F_{n-k-1}", r"F_n = \sum_{k=0}^{n-2} F_k F_{n-k-2}"),
    (r"19, 46, \text{ and } 82", "21, 36, and 82"),
    (r"\frac{2^{2005}+1}{3 \cdot 2^{2006}}", r"\frac{1}{3 \cdot 2^{2006}}"),
    (r"1 - \frac{1}{\mathrm{e}}", r"1 + \frac{1}{\mathrm{e}}"),
    (r"\pm 2021", "2021"),
    ("12:00", "1:00"),
    (r"1, 2, \ldots, n", r"1, 3, 5, \ldots, 2n-1"),
    (r"1:2:3:\ldots", r"1:4:9:\ldots"),
    ("4", r"4\sqrt(2)"),
    ("3*x-1*y+13=0", "3x + 4y + 14=0"),
]
"""Of the kinds that were reported against math-verify (its issues 14, 41, 60, 82)."""

EQUAL = """
x+1 | 1+x
(x+1)^2 | x^2+2x+1
\\frac{x^2-1}{x-1} | x+1
\\sqrt{8} | 2\\sqrt{2}
\\frac{\\sqrt3}{3} | \\frac{1}{\\sqrt3}
\\sqrt{6-2\\sqrt5} | \\sqrt5-1
\\sqrt[3]{-8} | -2
\\frac{\\pi}{2} | 1.5707963
\\frac13 | 0.3333
(\\frac35, \\frac83] | (0.6, 2.6667]
x+1.414y | x+\\sqrt2 y
10! | 3628800
\\sum_{k=1}^{10} k | 55
\\binom{5}{2} | 10
\\sin^2 x+\\cos^2 x | 1
\\sin^2 x+\\cos^2 x-1 | 0
\\frac{\\sinh 2}{2} | \\frac{e^2-e^{-2}}{4}
e^{i\\pi} | -1
\\sqrt{-4} | 2i
\\ln 2 + i\\pi/3 | \\log(2) + i\\frac{\\pi}{3}
\\log_2 8 | 3
\\sqrt{x^2} | |x|
x=5 | 5
81 | (x+y)^2=81
y = 2x+3 | f(x) = 2x+3
2x+3y=6 | 4x+6y=12
y=-\\frac12x+\\frac34 | 2x+4y-3=0
x^2+y^2=4 | 4-x^2-y^2=0
x = 1/3 | x = 5+5+1 = 1/3 \\approx 11
AB=4, CD=5 | 4, 5
a=4, -8, -10 | -10, -8, 4
1, 2, 3 | x = 1, y = 2, z = 3
p=5,q=2 and p=7,q=2 | p=5,q=2;p=7,q=2
x = 3 or x = 5 | \\{5, 3\\}
1\\pm\\sqrt5, -2 | -2, 1-\\sqrt5, 1+\\sqrt5
10^{3},10 | (1000, 10)
(1,2) | \\begin{pmatrix}1\\\\2\\end{pmatrix}
\\begin{pmatrix}1&2\\end{pmatrix} | \\begin{bmatrix}1&2\\end{bmatrix}
\\begin{pmatrix}6&8\\end{pmatrix} | \\begin{pmatrix}1&2\\end{pmatrix}+\\begin{pmatrix}5&6\\end{pmatrix}
\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix} | -2
[1,\\infty) | x \\ge 1
-2 \\le x < 1 | \\{x \\mid -2 \\leq x < 1\\}
x<1 or x>2 | (-\\infty,1)\\cup(2,\\infty)
x \\neq 0 | \\mathbb{R}\\setminus\\{0\\}
[1,3]\\cap[2,4] | [2,3]
2x > 4 | x > 2
3 > x | x < 3
f(2) < f(1) < f(4) | f(4) > f(1) > f(2)
\\{x|x=3k,k\\in\\mathbb{Z}\\} | \\{3k | k\\in\\mathbb{Z}\\}
\\frac{\\pi}{4}+k\\pi, k\\in\\mathbb{Z} | x=\\frac{5\\pi}{4}+n\\pi, n\\in\\mathbb{Z}
no solution | \\emptyset
all real numbers | (-\\infty,\\infty)
5% | 0.05
5% | 5
\\frac15 | 20\\%
\\text{1.5 h} | 90 min
1 km | 1000\\text{ m}
100\\text{ cm}^2 | 0.01\\text{ m}^2
12\\text{ inches} | 1\\text{ foot}
50 cents | \\$0.50
36 | 36 mL
5\\text{ m} | 5m
1.325e-27 | 1.325 \\times 10^{-27} \\mathrm{~kg} \\cdot \\mathrm{m} / \\mathrm{s}
1011_2 | 1011
5 am | 5\\text{ a.m.}
1:2 | 2:4
3:4 | \\frac34
45^\\circ | 45
45^\\circ | \\frac{\\pi}{4}
1000.99 | 1000,99
45, 135 | 45,135
Even | \\text{even}
C | (C)
B | B) 5 apples
D | (D) $4(x+1)=4x$
3 \\pmod 7 | 10 \\pmod 7
cx^{-2} | \\frac{C}{x^2}
frac{3}{2} | \\frac32
\\frac{5055}{2^{15} | \\frac{5055}{2^{15}}
I_0 e^{-t/RC} | I_0\\exp(-\\frac{t}{RC})
\\sum_{k=0}^{n}\\binom{n}{k} | 2^n
n! | n(n-1)!
m=n=1 | m=1, n=1
180^\\circ-\\alpha | 180-\\alpha
\\overline{AB} | AB
\\vec{a}+\\vec{b} | \\vec b+\\vec a
\\frac{dx}{dt}=kx-a | \\frac{dx}{dt} = kx(t) - a
""".strip().splitlines()

DIFFERENT = """
x+1 | x-1
\\sqrt{8} | 2\\sqrt{3}
x^2 | y^2
\\ddot{x} | x
1.2345x+2 | 1.2346x+2
e^{-200t} | e^{-300t}
e^{-200t} | 0
\\binom{n}{2} | \\frac{n^2}{2}
\\sin 30^\\circ | \\sin 30
\\bar{x} | \\hat{x}
\\pi | 3.14
\\frac13 | 0.33
0.333 | \\frac13
3 | 3.0001
\\frac12 | 0.4999
10^{100} | 10^{101}
e^{-1000} | e^{-1001}
e^{-1000} | 0
\\frac{1}{3^{70}} | \\frac{1}{3^{71}}
0.0000001x | 0.0000002x
\\sin 1 | \\sin 1^\\circ
\\sqrt{67}, -\\sqrt{85} | \\sqrt{67}
-3,0 | -3
(1,2) | (2,1)
(0,9) | [0,9)
[1,2) | (1,2]
(3,1) | \\{1,3\\}
[x, y) | [1, 2)
\\{1,2\\} | \\{1,3\\}
x>5 | x<5
x>5 | x \\ge 5
x<1 or x>2 | x<1
1 < x < 2 | 1 < x < 3
y=2x+1 | y=2x+3
\\frac{x^2}{2}-\\frac{y^2}{4}=1 | x^2-y^2=2
f(n)=n^2 | f(m)=m
x+y=5 | x+y=6
p=5,q=2;p=7,q=3 | p=5,q=3;p=7,q=2
1:2 | 1:4
5\\text{ cm} | 5\\text{ m}
5\\text{ kg} | 5\\text{ m}
5am | 5pm
5% | 6%
1011_2 | 1101_2
204_5 | 204_6
cat | act
Evelyn | 5
A | (C)
d | \\text{E}
3 \\pmod 7 | 4 \\pmod 7
i | -i
17 | 1/0
2 | 
\\begin{pmatrix}1&2\\end{pmatrix} | \\begin{pmatrix}1&3\\end{pmatrix}
""".strip().splitlines()

OPEN = """
\\sqrt{x^2} | x
1,2,\\ldots,10 | 1,2,\\ldots,10,11
2 | \\log 100
x=5 | y=5
1:58 am | 1:58
7 | 111_2
C | 39
4 | ?!
1 | \\tan\\frac{\\pi}{2}
0.192 | 0.1918
""".strip().splitlines()


def pair(line: str) -> tuple[str, str]:
    one, _, other = line.partition(" | ")
    return one, other


@pytest.mark.parametrize("line", EQUAL)
def test_equal(line: str) -> None:
    gold, answer = pair(line)
    opinion = compare(gold, answer)
    assert opinion[0] == "equal", opinion
    assert opinion[1]


@pytest.mark.parametrize("line", DIFFERENT)
def test_different(line: str) -> None:
    gold, answer = pair(line)
    opinion = compare(gold, answer)
    assert opinion[0] == "different", opinion
    assert compare(answer, gold)[0] != "equal" or not answer


@pytest.mark.parametrize("line", OPEN)
def test_undecided(line: str) -> None:
    opinion = compare(*pair(line))
    assert opinion[0] == "undecided", opinion


@pytest.mark.parametrize(("gold", "answer"), KNOWN_WRONG)
def test_no_known_wrong_pair_is_accepted(gold: str, answer: str) -> None:
    for one, other in ((gold, answer), (answer, gold), (f"${gold}$", f"${answer}$")):
        assert compare(one, other, symmetric=True)[0] != "equal"


def test_the_reason_names_the_checker() -> None:
    assert compare("1/2", "0.5")[1] == "exact arithmetic"
    assert compare(r"\ln 2", r"\ln 3")[1] == "interval arithmetic"
    assert compare(r"\sin 2x", r"2\sin x\cos x")[1] == "evaluation at random points"
    assert compare(r"\frac{1}{x-1}-\frac{1}{x+1}", r"\frac{2}{x^2-1}")[1] == "identity modulo a prime"
    assert "SymPy" in compare(r"\sum_{k=1}^{500} k", "125250")[1]
    assert compare(r"\sum_{k=1}^{500} k", "125251")[0] == "different"
    assert compare(r"\sum_{k=1}^{500} \ln k", r"\ln(500!)")[0] != "different"
    assert "cannot be read" in compare(r"\int_0^1 2x dx", "1")[1]
