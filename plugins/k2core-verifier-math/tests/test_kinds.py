"""Answers of different kinds, answers without a value, and numbers that can be read in two ways."""

from __future__ import annotations

import pytest
from k2core_verifier_math.compare import compare

DIFFERENT = r"""
5 | 5, 7
\frac{1}{2} | 0.5, 2
\frac{5}{2} | \frac{5}{0}
(1, \frac{5}{2}) | (1, \frac{5}{0})
\{2, \frac{7}{3}\} | \{2, \frac{7}{0}\}
[0, \frac{7}{3}) | [0, \frac{7}{0})
\frac{x^2}{3}+1 | \frac{x^2}{0}+1
5 | \ln 0
7 | \frac{1}{2-2}
(-\infty, 2] \cup [5, \infty) | \frac{1+\sqrt{7}}{2}
(-\infty, 2] \cup [5, \infty) | 1, 2, 3
[3, \infty) | 3
\frac{1}{2} | (-1, 1) \cup (3, 4)
f(n) = 3n+5 | (-\infty, 0) \cup (0, \infty)
c < \sqrt{3} | \sqrt{3}
\sqrt{3} | c < \sqrt{3}
a^3 < a < \frac{1}{a} | \sqrt{3}+2
3x - 4y + z = 9 | 12
3x - 4y + z = 9 | (1, 2, 3)
3x - 4y + z = 9 | 12\text{ ways}
2x + 1 = 11 | 6
12 | 3x - 4y + z = 9
45^\circ | 3x - 4y + z = 9
10:30\text{ am} | 7
10:30\text{ am} | \sqrt{2}
7 | 10:30\text{ am}
[0, 5] | 10:30\text{ am}
221_3 | 26
-221_3 | -220_3
221_3 | 25
221_3 | 261_3
-221_3 | -261_3
12 | 19_8
\binom{m+n}{m-1} | \ln 2 + i\pi/5
45\text{ units}^2 | 45\text{ units}^3
3\frac{9}{4} | 22
\mathbb{R} | 4
27 | \mathbb{Z}
\frac{x^2}{3} - \frac{y^2}{5} = 1 | \frac{x^2}{9} - \frac{y^2}{50}
\mathbb{Z} | 27
\{x \mid x = 5k, k \in \mathbb{Z}\} | 25
x \in [-3, 8] | -8
\{m \ge 14\} | 300
(1, 8, 30), (2, 7, 12) | 5x - 7y + 11z = 4
\frac{x^2}{3} - y^2 = 1 | \frac{x^2}{0} - y^2 = 1
35_6 | 35_0
35_6 | 35_{76}
1302_{-5} | 1303_{-5}
1302_{-5} | \frac{64}{121}
\{-2\} \cup [0, 6) | 1.50
(3, 1, 4) | (-\infty, -6] \cup [6, \infty)
70 | f(2) < f(1) < f(5)
b > a > c | \frac{36}{23}
\{k \le m \le \lceil \tfrac32 k \rceil\} | \frac{6}{23}
5x - 7y + 11z = 4 | -2, 0, 2
\frac{1}{n} | 5x - 7y + 11z = 4
0.011_{2} | 0.101_{2}
0.011_{2} | 0.021_{2}
0.011_{2} | \frac{3}{8}
""".strip().splitlines()

OPEN = r"""
\frac{5}{0} | \frac{5}{2}
2x + 1 = 11 | 5
3\frac{9}{4} | \frac{27}{4}
3\frac{9}{4} | \frac{21}{4}
\frac{27}{4} | 3\frac{9}{4}
\frac{21}{4} | 3\frac{9}{4}
""".strip().splitlines()

EQUAL = r"""
11+x | x+11, 11+x
15\frac{39}{40} | 15\frac{39}{40}, \frac{639}{40}
0.011_{2} | 0.011_2
0.011_{2} | 0.011
3\frac{9}{4} | 3 \frac{9}{4}
3\frac{1}{4} | \frac{13}{4}
-221_3 | -221_3
45\text{ units}^2 | 45\text{ square units}
""".strip().splitlines()


@pytest.mark.parametrize(
    ("outcome", "line"),
    [(o, line) for o, lines in (("different", DIFFERENT), ("undecided", OPEN), ("equal", EQUAL)) for line in lines],
)
def test_kinds(outcome: str, line: str) -> None:
    gold, _, answer = line.partition(" | ")
    opinion = compare(gold, answer)
    assert opinion[0] == outcome, opinion
