"""Answers that were made to hurt, by families; and decent pairs with their labels, to see that these do not suffer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple


class Hostile(NamedTuple):
    """A text, and another one of a different value that looks much like it."""

    family: str
    text: str
    other: str


def hostile(scale: int = 1_000_000) -> list[Hostile]:
    """All of them, in a fixed order. `scale` is the length in characters of the longest."""
    makers = (powers, factorials, sums, moduli, nests, terms, unbalanced, unicode, patterns, code, chokers, containers)
    found = [Hostile(maker.__name__, text, other) for maker in makers for text, other in maker()]
    return found + [Hostile("megabytes", text, other) for text, other in megabytes(scale)]


Pair = tuple[str, str]


def powers() -> Iterator[Pair]:
    for hat in ("^", "**"):  # fmt: skip
        for height in (3, 4, 6, 12):
            yield hat.join(["9"] * height), hat.join(["9"] * (height - 1) + ["8"])
    bases, exponents = ("2", "10", "9.9", r"\frac{3}{2}", "(1+1)"), ("10000000", "99999999999", "9" * 30)
    for base, exponent in itertools.product(bases, exponents):
        yield f"{base}^{{{exponent}}}", f"{base}^{{{exponent[:-1]}8}}"
    for depth in (3, 5, 40):
        tower = "9^{" * depth + "9" + "}" * depth
        yield tower, tower.replace("9}", "8}", 1)
    for form in (
        "e^{e^{e^{e^{5}}}}", r"\pi^{\pi^{\pi^{\pi^{5}}}}", "2^{3^{4^{5}}}", "x^{x^{x^{x^{x^{5}}}}}",
        "(((5^9)^9)^9)^9", "5^{-9^{9^9}}",
    ):  # fmt: skip
        yield form, form.replace("5", "6")
    for form in (
        "1e99999999", "1E-99999999", r"5\times10^{99999999}", r"10^{-10^{10^{5}}}", "0.5^{99999999}",
        r"\exp(\exp(\exp(\exp(5))))",
    ):  # fmt: skip
        yield form, form.replace("5", "7") if "5" in form else "2" + form[1:]
    for form in (
        r"\sqrt[99999999]{5}", r"\log(\log(9^{9^{5}}))", r"9^{\frac{99999999}{5}}", r"(9^9)^{(9^9)^{5}}",
        r"i^{i^{i^{9^{9^{5}}}}}",
    ):  # fmt: skip
        yield form, form.replace("5", "7")


def factorials() -> Iterator[Pair]:
    for number in ("10000000", "99999999", "123456789012", "9" * 40):  # fmt: skip
        for form in (
            "{}!",
            "({})!",
            r"\frac{{{}!}}{{3}}",
            r"{}!!",
            r"\Gamma({})",
            r"\text{{factorial}}({})",
        ):
            yield form.format(number), form.format(number[:-1] + "7")
    for form in (
        "((9!)!)!", "(((3!)!)!)!", "9!!!!", "((5!)!)^{(5!)!}", r"\binom{(9!)!}{5}", "5!^{5!^{5!}}",
        r"\sqrt{((5!)!)!}", "-((5!)!)!",
    ):  # fmt: skip
        yield form, form.replace("9", "8") if "9" in form else form.replace("5", "6").replace("3", "4")
    for top, bottom in (("1000000", "500000"), ("99999999", "5000000"), ("9" * 20, "9" * 10), ("2^{50}", "2^{25}")):  # fmt: skip
        for form in (r"\binom{{{}}}{{{}}}", r"{{{} \choose {}}}", "C({},{})"):
            yield form.format(top, bottom), form.format(top, "4" + bottom[1:])


def sums() -> Iterator[Pair]:
    for bound in ("9999", "10000000", "10^{100}", r"\infty"):  # fmt: skip
        for term in (
            r"\frac{1}{k}",
            "k^k",
            "k!",
            r"\sin(k^{k})",
            r"\frac{1}{k^{3}+k^{2}+7}",
            r"\sqrt{k}^{\sqrt{k}}",
        ):
            yield rf"\sum_{{k=1}}^{{{bound}}} {term}", rf"\sum_{{k=2}}^{{{bound}}} {term}"
            if bound != r"\infty":
                yield rf"\prod_{{k=2}}^{{{bound}}} {term}", rf"\prod_{{k=3}}^{{{bound}}} {term}"
    nested = "".join(rf"\sum_{{{v}=1}}^{{999}} " for v in "abcd")
    yield nested + "abcd", nested + "abcd^2"


def moduli() -> Iterator[Pair]:
    for tower in ("2003^{2002^{2001}}", "3^{9999^{99}}", "7^{7^{7^{7^7}}}", "(10^{100})!", "2^{10^{18}}", "9^{9^{9^{9}}}+1"):
        for form in (r"{} \mod 7", r"{} \pmod{{11}}", r"{} \bmod 1000", r"\sqrt{{{}}}"):
            yield form.format(tower), form.format("1+" + tower)
        yield rf"{tower} \equiv 3 \pmod 5", rf"{tower} \equiv 4 \pmod 5"


def nests() -> Iterator[Pair]:
    for before, after in (
        (r"\frac{1}{", "}"), ("(", ")"), (r"\left(", r"\right)"), (r"\sqrt{", "}"), ("{", "}"), ("[", "]"),
        (r"\{", r"\}"), ("|", "|"), ("x_{", "}"), ("-(", ")"), (r"\sin(", ")"), (r"\text{", "}"), (r"\boxed{", "}"),
        (r"1+\frac{1}{", "}"), ("2^{", "}"),
    ):  # fmt: skip
        for depth in (38, 500, 2000):
            yield before * depth + "5" + after * depth, before * depth + "6" + after * (depth - 1)


def terms() -> Iterator[Pair]:
    for joint in (
        "+", "*", "-", "/", ",", ";", "=", "<", r"\cdot ", r"\cup ", " ", r" \text{ or } ",
    ):  # fmt: skip
        yield joint.join(["1"] * 3000), joint.join(["1"] * 2999 + ["2"])
    yield "+".join(f"x^{{{n}}}" for n in range(300)), "+".join(f"x^{{{n}}}" for n in range(299))
    yield "*".join(f"(x+{n})" for n in range(200)), "*".join(f"(x+{n})" for n in range(199))
    yield "+".join(rf"\sqrt{{{n}}}" for n in range(2, 200)), "+".join(rf"\sqrt{{{n}}}" for n in range(2, 199))
    yield "+".join(rf"\frac{{1}}{{x+{n}}}" for n in range(120)), "+".join(rf"\frac{{1}}{{x+{n}}}" for n in range(119))
    yield "".join(rf"\frac{{{n}}}{{{n + 1}}}" for n in range(1, 100)), "".join(rf"\frac{{{n}}}{{{n + 1}}}" for n in range(1, 99))


def unbalanced() -> Iterator[Pair]:
    for text in (
        "((((5", "5))))", "{5", "5}", "[5)", r"\frac{5}{", r"\frac5", r"\left(5", r"\right)5", r"\sqrt{5", "$5",
        r"\(5", r"\[5", "$$5$", r"\begin{pmatrix} 5", r"5 \end{cases}", r"\{5", "|5", r"\boxed{5", "5^", "5_", "^5",
        "5^{", r"\frac", "5\\", "5&", "#5", "~5", "5%%",
    ):  # fmt: skip
        yield text * 20, (text * 20).replace("5", "6", 1) if "5" in text else text * 19


def unicode() -> Iterator[Pair]:
    for text in (
        "\uff11\uff18", "\u0661\u0668", "\u096c", "1\u20dd7", "1\u03017\u0301", "\u202e71", "1\u200b6", "1\u20616",
        "\u2460", "\u00b9\u2077", "\U0001d7cf\U0001d7d6", "\u2168", "\u4e00\u516b", "1\x006", "\x00\x01\x02",
        "\ufeff16", "\ufffd", "\ud800", "1\udfff6", "\ud7ff\ue000", "\u0445 + 1", "\u03c7", "16\u00ad0",
        "1\u066c6", "1\u00a06", "\u221217", "\u2013" + "17", "\u200f17\u200e0", "e\u0301" * 900,
        "a" + "\u0301" * 1900, "\U0001f600" * 500, "\u202e" * 900 + "5", "\u2066" * 900, "\ufdfa" * 100, "1\r6",
        "1\u20286", "1\x0b6", "1\x1b[2K6",
    ):  # fmt: skip
        yield text, text + "9"


def patterns() -> Iterator[Pair]:
    for unit in (
        "1,", ",1", "1.", ".", "-", "+-", " ", "\n", "\t ", "1 ", "1/", r"\text{", r"\text{a} ", "\\", r"\,", "$",
        "$ ", "$5", "%", "a_", "^", r"\frac", r"\frac1", "{}", "()", "and ", "or ", "e5", "1e5", "#### ", "####",
        "A)", "answer is ", "= ", "\u0301", "'", '"', "&", r"\\",
    ):  # fmt: skip
        text = (unit * 2000)[:1990]
        yield text, "!" + text
    for unit in (
        "a", "1", " ", "(", "$", "1,", r"\text{a}",
    ):  # fmt: skip
        text = unit * (1900 // len(unit)) + "!"
        yield text, text + "?"


def code() -> Iterator[Pair]:
    for text in (
        "__import__('os').system('touch OWNED')", r"\text{__import__('os').system('touch OWNED')}",
        "exec(open('/etc/passwd').read())", "().__class__.__bases__[0].__subclasses__()",
        "lambda: open('OWNED','w')", "open('OWNED','w')", "eval('open(\"OWNED\",\"w\")')", "sympify('1')",
        r"\input{/etc/passwd}", r"\write18{touch OWNED}", r"\immediate\write18{touch OWNED}", r"\def\a{\a\a}\a",
        r"\newcommand{\x}{\x\x}\x", r"\include{OWNED}", r"\openout5=OWNED", r"\catcode`\@=11", "x.__class__",
        "x.func.__globals__", r"\operatorname{__import__}(os)", "f'{open(\"OWNED\",\"w\")}'", "{{7*7}}", "${7*7}",
        "`touch OWNED`", "$(touch OWNED)", "; touch OWNED;", "'; DROP TABLE x; --", "<script>5</script>",
        "[x for x in ().__class__.__base__.__subclasses__()]", "(lambda f: f(f))(lambda f: f(f))", "x = exit()",
        "quit()", "import os", "globals()", "Integer(5).__class__", "Symbol('x').name.__class__",
        "S('open(\"OWNED\",\"w\")')", "parse_expr('1')", "printf('OWNED')", "%s%s%s%n", "\\x41\\x42",
    ):  # fmt: skip
        yield text, text + "+1"


def chokers() -> Iterator[Pair]:
    for text in (
        r"\int_0^1 \sin(x^{x^{x}}) dx", r"\int e^{x^{5}} \sin(x^{7}) \cos(\log x) dx",
        r"\int_0^{\infty} \frac{\sin(x^{5})}{x^{5}+\log(x+2)} dx", r"\iiint_0^1 e^{xyz\sin(xyz)^{5}} dx dy dz",
        r"\lim_{x \to 0} \frac{\sin(\tan x)-\tan(\sin x)}{x^{75}}", r"\lim_{n \to \infty} (1+\frac{5}{n})^{n^{n}}",
        r"(x+1)^{9995}", r"(x+y+z+w)^{95}", r"(x+1)^{1500}(x-1)^{1500}+5", r"((((x^2+1)^2+1)^2+1)^2+1)^2+5",
        r"\sin(\cos(\tan(\sin(\cos(\tan(\sin(5x)))))))", r"\sin^{95}(x)\cos^{95}(x)", r"\sin(99999995 x)",
        r"\tan(\tan(\tan(\tan(\tan(5)))))", r"x^{55} - x + 1 = 0", r"x^5 - x + 1 = 0", r"x^{999}-5=0",
        r"\sqrt{2}^{\sqrt{2}^{\sqrt{2}^{\sqrt{5}}}}",
        r"\sqrt{1+\sqrt{2+\sqrt{3+\sqrt{4+\sqrt{5+\sqrt{6+\sqrt{7+x}}}}}}}", r"\zeta(\zeta(\zeta(5)))",
        r"\sqrt[3]{2+\sqrt{5}}+\sqrt[5]{7+\sqrt[7]{x+\sqrt[11]{x}}}", r"|||||x-1|-2|-3|-4|-5|",
        r"\lfloor\lfloor\lfloor x^{5}\rfloor^{5}\rfloor^{5}\rfloor", r"\frac{d^{95}}{dx^{95}} e^{\sin(x)\cos(x)}",
        r"\log_{\log_{\log_{5}{7}}{9}}{\log{11}}", r"\max(\min(x,5),\min(y,\max(z,7)))", r"e^{i\pi\sqrt{163}}+5",
        r"\arcsin(\arccos(\arctan(\arcsin(5))))", r"\cos\frac{\pi}{65537}+5",
        r"\cos\frac{2\pi}{257}\cos\frac{4\pi}{257}\cos\frac{8\pi}{257}+5", r"\gcd(9^{9999},5^{9999})",
        r"\frac{x^{500}-1}{x-1}+5", r"\frac{1}{0}+5", r"\infty-\infty+5", "0^0^0^0+5", r"\frac{0}{0}+5",
        r"\sin(10^{10^{5}})", r"\begin{cases} x+y=5 \\ x^{9}+y^{9}=7 \\ x^{11}-y=3 \end{cases}",
        r"x>5 \land x<7 \lor x^{9}>11", r"\{x^{5}+y : x \in \mathbb{R}, y^{9} < x\}",
    ):  # fmt: skip
        yield text, text.replace("5", "3") if "5" in text else text + "+1"


def containers() -> Iterator[Pair]:
    for size in (10, 40, 200):
        rows = r" \\ ".join(" & ".join(str(r * size + c) for c in range(min(size, 12))) for r in range(size))
        for kind in ("pmatrix", "vmatrix", "bmatrix"):
            yield rf"\begin{{{kind}}}{rows}\end{{{kind}}}", rf"\begin{{{kind}}}1 & {rows}\end{{{kind}}}"
    for size in (50, 300):
        roots = [rf"\sqrt{{{n}}}" for n in range(2, size)]
        for left, right in ((r"\{", r"\}"), ("(", ")"), ("[", "]"), ("", "")):
            yield left + ",".join(roots) + right, left + ",".join([*roots[:-1], "1"]) + right
    yield r"\cup".join(f"({n},{n + 1})" for n in range(0, 400, 2)), r"\cup".join(f"({n},{n + 1})" for n in range(2, 400, 2))
    yield r"\{" * 30 + "5" + r"\}" * 30, r"\{" * 29 + "5" + r"\}" * 29
    yield (
        r"\begin{pmatrix}" + r"1 & 2 \\ " * 200 + r"\end{pmatrix}^{95}",
        r"\begin{pmatrix}" + r"1 & 2 \\ " * 200 + r"\end{pmatrix}^{97}",
    )


def megabytes(scale: int) -> Iterator[Pair]:
    for unit in (
        "x", "9", "{", "}", "(", "$ ", "1+", " ", "\n", "\\", r"\frac{1}{", "word ", "1,", "<think>", "</think>",
        "<answer>", r"\boxed{", r"\boxed{}", "#### ", "The answer is ", "\u0301", "**", "|", "=", "e", r"\text{",
        ". ", "A) ", "-", "0.",
    ):  # fmt: skip
        text = unit * (scale // len(unit))
        yield text, text + "1"
    yield "$ " * 50_000, "$ " * 50_000 + "1"
    yield "1" + "0" * (scale - 1), "1" + "0" * (scale - 2) + "1"


def decent(count: int) -> list[tuple[str, str, bool]]:
    """Pairs that any checker should decide, with their labels; about half need computer algebra."""
    makers = (
        lambda n: (str(n), f"{n}.0", True),
        lambda n: (str(n), str(n + 1), False),
        lambda n: (rf"\frac{{{n}}}{{7}}", rf"\frac{{{3 * n}}}{{21}}", True),
        lambda n: (f"x+{n}", f"{n}+x", True),
        lambda n: (f"x+{n}", f"x-{n}", False),
        lambda n: (rf"\sqrt{{{n * n * 2}}}", rf"{n}\sqrt{{2}}", True),
        lambda n: (rf"{n}\sqrt{{2}}", rf"{n}\sqrt{{3}}", False),
        lambda n: (f"({n}, {n + 1})", f"({n},{n + 1})", True),
        lambda n: (f"(x+{n})^2", f"x^2+{2 * n}x+{n * n}", True),
        lambda n: (rf"\frac{{{n}}}{{x+1}}", rf"\frac{{{n + 1}}}{{x+1}}", False),
        lambda n: (rf"\{{{n}, {n + 2}\}}", rf"\{{{n + 2}, {n}\}}", True),
        lambda n: (rf"{n}\pi", rf"{n + 1}\pi", False),
    )
    return [makers[place % len(makers)](place // len(makers) + 2) for place in range(count)]
