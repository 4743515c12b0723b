"""Numbers, symbols and everything else that an expression is put together from."""

from __future__ import annotations

from fractions import Fraction

from .functions import Functions
from .nodes import (
    Add,
    Apply,
    Based,
    Bracket,
    Call,
    Const,
    Dots,
    Node,
    Num,
    Sym,
)
from .tokens import Token, Unreadable

_CLOSING = {"(": ")", "[": "]", "⟨": "⟩"}
_FUNCTION_NAMES = frozenset("f g h F G H P phi Phi psi Psi Gamma zeta".split())
LONGEST_NUMBER = 400
"""Longest number, in digits; the largest power of ten of one."""
PROSE = frozenset(
    "am pm the for all is no yes not none any real even odd true only when then with each where if such of per pct percent "
    "both".split()
)


def number(text: str) -> Num:
    """The number that a token spells: digits, perhaps a point, perhaps an exponent. Raises `Unreadable` if it is too long."""
    mantissa, _, exponent = text.partition("e")
    if len(mantissa) > LONGEST_NUMBER or abs(int(exponent or 0)) > LONGEST_NUMBER:
        raise Unreadable(f"a number of more than {LONGEST_NUMBER} digits")
    whole, point, decimals = mantissa.partition(".")
    scale = Fraction(10) ** (int(exponent or 0) - len(decimals))
    value = int(whole + decimals or "0") * scale
    if (point and decimals) or exponent:
        return Num(value, scale, len((whole + decimals).lstrip("0")))
    return Num(value)


def fused(token: Token) -> bool:
    """Whether a run of letters reads as a product of symbols: short, and neither upright nor a common word."""
    run = token.text
    return not token.upright and run.isascii() and len(run) <= 4 and run.lower() not in PROSE


class Atoms(Functions):
    def unit_ahead(self, skip: int = 0) -> bool:
        """Whether words begin here that are no factors. Defined with the expressions."""
        raise NotImplementedError

    def starts(self) -> bool:
        """Whether the next token can begin a factor that follows another without a sign."""
        kind, text, _, upright = self.now
        if kind in ("name", "fn", "const", "set"):
            return True
        if kind == "num":
            return self.place > 0 and self.tokens[self.place - 1].kind != "num"
        if kind == "word":
            return fused(self.now) or (self.depth > 0 and upright and text.lower() not in PROSE and not self.unit_ahead())
        if kind == "cmd":
            return text not in ("end", "choose", "over", "not")
        return kind == "op" and (text in ("(", "[", "{", "sqrt", "cbrt", "⌊", "⌈") or (text == "|" and not self.bars))

    def atom(self) -> Node:
        token = self.take()
        kind, text = token.kind, token.text
        if kind == "num":
            return self.number(text)
        if kind == "name":
            return self.symbol(text)
        if kind in ("const", "set"):
            return Const(text)
        if kind == "fn":
            return self.function(text)
        if kind == "word":
            return self.letters(token)
        if kind == "cmd":
            return self.structure(text)
        return self.sign(text)

    def number(self, text: str) -> Node:
        if self.at("_"):
            base = self.subscript()
            if not (base.lstrip("-").isdigit() and text.replace(".", "", 1).isdigit() and len(base) <= 4):
                raise Unreadable("a number with an index")
            return Based(text, int(base))
        value = number(text)
        if self.now[:2] == ("cmd", "overline") and "." in text:
            return self.repeating(text)
        return value

    def repeating(self, text: str) -> Node:
        r"""0.1\overline{6}."""
        self.take()
        with self.nested():
            self.expect("{")
            digits = self.take()
            self.expect("}")
        if digits.kind != "num" or not digits.text.isdigit() or len(digits.text + text) > LONGEST_NUMBER:
            raise Unreadable("a repeating decimal")
        decimals = len(text.partition(".")[2])
        repeated = Fraction(int(digits.text), (10 ** len(digits.text) - 1) * 10**decimals)
        return Num(Fraction(text if text[-1] != "." else text + "0") + repeated)

    def symbol(self, name: str) -> Node:
        if self.at("_"):
            name += "_" + self.subscript()
        while self.accept("'"):
            name += "'"
        if name in ("e", "i"):
            return Const(name)
        if self.at("(") and not self.now.spaced and (name.partition("_")[0].rstrip("'") in _FUNCTION_NAMES or self.several()):
            group = self.group()
            return Apply(name, group.items if isinstance(group, Bracket) else (group,))
        if name in self.dependents and self.at("(") and self.ahead().kind == "name" and self.ahead(2).text == ")":
            self.place += 3
        return Sym(name)

    def several(self) -> bool:
        """A symbol before (a, b): a function of two, or a named point."""
        return self.ahead().kind == "name" and self.ahead(2).text == "," and self.ahead(3).kind == "name"

    def letters(self, token: Token) -> Node:
        if token.upright and self.depth and not (self.at("=") or token.text.lower() in PROSE):
            return Sym(token.text)
        if len(token.text) == 1:
            return self.symbol(token.text)
        if not fused(token):
            raise Unreadable(f"the word {token.text!r}")
        self.tokens[self.place : self.place] = [Token("name", letter) for letter in token.text[1:]]
        return self.symbol(token.text[0])

    def sign(self, text: str) -> Node:
        if text in _CLOSING:
            self.place -= 1
            return self.group()
        if text == "{":
            return self.braces()
        if text == "\\{":
            return self.set()
        if text == "|":
            with self.nested(bars=1):
                double = self.accept("|")
                inside = self.expression()
                self.expect("|")
                if double:
                    self.expect("|")
            return Call("abs", (inside,))
        if text in ("⌊", "⌈"):
            with self.nested():
                inside = self.expression()
                self.expect("⌋" if text == "⌊" else "⌉")
            return Call("floor" if text == "⌊" else "ceil", (inside,))
        if text in ("sqrt", "cbrt"):
            return self.root(3 if text == "cbrt" else 2)
        if text == "…":
            return Dots()
        raise Unreadable(f"unexpected {text or 'end'!r}")


def sum_of(terms: list[Node]) -> Node:
    return terms[0] if len(terms) == 1 else Add(tuple(terms))
