"""Formulas and texts of strangers: laid out where they can be, and never more than text."""

import random
import time

import pytest
from hostile_report import Tags
from k2core_eval.reporting.maths import _ELEMENTS, Maths, convert
from k2core_eval.reporting.text import clipped, line, plain, shown

# formulas


def test_formulas_become_mathml_and_the_rest_stays_text():
    made = Maths().text(r"So $x^2 < \frac{1}{2}$ & \[\sum_i a_i = \boxed{7}\] costs $5 and $6 but `$y$` is code.")
    assert made.count("<math") == 2
    assert '<math display="block">' in made
    assert "<msup><mi>x</mi><mn>2</mn></msup><mo>&lt;</mo>" in made
    assert '<mrow class="boxed"><mn>7</mn></mrow>' in made
    assert "costs $5 and $6" in made
    assert "<code>`$y$`</code>" in made
    assert " &amp; " in made


@pytest.mark.parametrize(
    "latex",
    [
        r"\text{<script>alert(1)</script>}",
        r"\href{javascript:alert(1)}{x}",
        r'\color{red"onload=alert(1)}x',
        r"\style{position:fixed}{x}",
        r"\class{skip}{x}",
        r"\hspace{9999999em}x",
        r"\rule{99999em}{99999em}",
        r"\text{&lt;img src=x onerror=alert(1)&gt;}",
        r"\unicode{x3c}script\unicode{x3e}",
    ],
)
def test_formulas_carry_no_markup_of_their_own(latex):
    tags = Tags(Maths().text(f"${latex}$"))
    assert set(tags.found) <= _ELEMENTS | {"span"}
    assert {name for name, _ in tags.attributes}.isdisjoint(
        {"href", "style", "onload", "onerror", "src", "mathcolor", "mathbackground"}
    )
    assert not any("99999" in str(value) for _, value in tags.attributes)


@pytest.mark.parametrize(
    "latex", ["{" * 900, r"\frac{" * 300, r"\begin{array}{c}", r"\newcommand{\a}{xx}\a", "x" * 3000, "x\0", "x\u202e", "^^_"]
)
def test_what_cannot_be_a_formula_stays_as_it_was_written(latex):
    assert convert(latex) is None


def test_a_formula_of_definitions_that_double_does_not_grow():
    bomb = "".join(rf"\def\{b}{{\{a}\{a}}}" for a, b in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True))
    assert convert(rf"\def\a{{x}}{bomb}\z") is None


def test_random_formulas_never_raise_and_stay_within_known_elements():
    pieces = r"\frac { } ^ _ x 1 \left ( ) \right \begin{array}{cc} \end{array} & \\ \sqrt [ ] \text{a<b} \sum".split()
    pieces += r"\over $ % ~ ' \hat \not \middle \big".split()
    luck = random.Random(1)
    for _ in range(400):
        text = "".join(luck.choice(pieces) for _ in range(luck.choice((5, 40, 200))))
        assert set(Tags(Maths().text(f"${text}$ and \\[{text}\\]")).found) <= _ELEMENTS | {"span", "code"}


@pytest.mark.parametrize(
    "text", ["$", "\\[", "\\(", "\\begin{align}", "`", "$x\\", "$a ", "$$a", "{", "\\boxed{", "\\boxed{{", "$x$", "<", "```a"]
)
def test_a_hundred_kilobytes_of_beginnings_take_seconds_at_most(text):
    start = time.process_time()
    Maths().text((text * 100_000)[:100_000])
    assert time.process_time() - start < 20


def test_the_allowance_of_formulas_is_counted_in_characters():
    maths = Maths(allowance=5)
    assert "<math" in maths.text("$a+b$")
    assert "<math" not in maths.text("$c+d$")
    assert "<math" in maths.text("$a+b$"), "a formula that is known costs nothing"
    assert maths.skipped == 1


# texts


def test_hidden_characters_are_named():
    assert plain("a\u202eb\0c\x1b\ud800") == "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩⟨U+D800⟩"
    assert shown("<a>\u2066") == '&lt;a&gt;<b class="hidden">U+2066</b>'
    shown("\ud800").encode()


def test_long_texts_keep_their_end():
    head, left_out, tail = clipped("a" * 20_000 + "the answer is 4")
    assert len(head) + len(tail) == 12_000
    assert left_out == 20_015 - 12_000
    assert tail.endswith("the answer is 4")
    assert line("a\n b " * 100).endswith("…")


def test_a_formula_on_a_line_of_its_own_takes_no_empty_lines_beside_it():
    made = Maths().text("so\n\\[x\\]\nand")
    assert made.startswith("so<math")
    assert made.endswith("</math>and")


def test_signs_and_bars_are_told_from_differences_and_quotients():
    assert '<mo form="prefix">\N{MINUS SIGN}</mo>' in convert("x = -3")
    assert "form" not in convert("(x) - 3")
    assert convert("|x|").count('lspace="0em"') == 2
