"""Sums, products, powers, and everything behind them: statements with their relations, units and remarks."""

from __future__ import annotations

from fractions import Fraction

from . import names
from .assemble import fraction, mixed, product, related, with_unit
from .atoms import Atoms, fused, sum_of
from .nodes import (
    Apply,
    Call,
    Const,
    Dots,
    Mod,
    Mul,
    Node,
    Noted,
    Num,
    PlusMinus,
    Pow,
    Quantity,
    Ratio,
    Rel,
    SetOp,
    Sym,
    inverse,
    negative,
)
from .tokens import Unreadable
from .units import BARE, UNITS

_SIGNS = ("+", "-", "±", "∓")
_POSTFIX = ("^", "!", "'", "°")

_REMARKS = frozenset("for where when if with such as assuming given since because provided".split())
_SEPARATORS = (",", ";", "and", "or", "quad", ")", "]", "}", "\\}", "⟩", "&", "\\\\", "|", ":")


class Expressions(Atoms):
    def expression(self) -> Node:
        terms: list[Node] = []
        while True:
            signs = ""
            while self.at(*_SIGNS):
                signs += self.take().text
            if terms and not signs:
                return sum_of(terms)
            if self.at("…"):
                self.take()
                term: Node = Dots()
            else:
                term = self.term()
            if signs.count("-") % 2:
                term = negative(term)
            if sign := next((sign for sign in signs if sign in "±∓"), ""):
                term = PlusMinus(1 if sign == "±" else -1, term)
            terms.append(term)

    def term(self) -> Node:
        factors = [self.factor()]
        while True:
            if self.accept("*"):
                factors.append(self.signed())
            elif self.at("/") and not self.unit_ahead(1):
                self.take()
                factors.append(inverse(self.denominator()))
            elif self.accept("mod"):
                factors = [Call("mod", (product(factors), self.signed()))]
            elif self.mixed(factors):
                continue
            elif self.starts() and not self.unit_ahead():
                factors.append(self.factor())
            else:
                return product(factors)

    def denominator(self) -> Node:
        """What a slash divides by: one factor, or the run of letters in t/RC."""
        if self.now.kind != "word" or not fused(self.now):
            return self.signed()
        last, factors = self.place + len(self.now.text), list[Node]()
        while self.place < last:
            factors.append(self.factor())
        return product(factors)

    def mixed(self, factors: list[Node]) -> bool:
        r"""2\frac{1}{3} and 2 1/3: an integer with a proper fraction of integers behind it is their sum."""
        last = factors[-1]
        if not (isinstance(last, Num) and last.value.denominator == 1 and last.ulp is None):
            return False
        if self.tokens[self.place - 1].kind != "num":
            return False
        if self.now.kind == "cmd" and self.now.text.endswith("frac"):
            part = self.factor()
            behind = fraction(part)
            if behind is None:
                factors.append(part)
            else:
                factors[-1] = mixed(last.value, behind)
            return True
        if self.now.kind == "num" and self.now.spaced and self.ahead().text == "/" and self.ahead(2).kind == "num":
            top, bottom = self.now.text, self.ahead(2).text
            if top.isdigit() and bottom.isdigit() and 0 < int(top[:99]) < int(bottom[:99]):
                self.place += 3
                factors[-1] = Num(last.value + Fraction(int(top[:99]), int(bottom[:99])))
                return True
        return False

    def signed(self) -> Node:
        sign = 1
        while self.at("+", "-"):
            sign *= -1 if self.take().text == "-" else 1
        found = self.factor()
        return found if sign > 0 else negative(found)

    def factor(self) -> Node:
        found = self.atom()
        count = 0
        while self.at(*_POSTFIX):
            count += 1
            if count + self.depth > 24:
                raise Unreadable("too many signs behind a factor")
            sign = self.take().text
            if sign == "^" and self.at("{") and self.ahead().text in ("°", "'") and self.ahead(2).text == "}":
                self.tokens[self.place : self.place + 3] = [self.ahead()]
            elif sign == "^" and not self.at("°", "'"):
                found = Pow(found, self.exponent())
            elif sign == "!":
                found = Call("factorial", (found,))
            elif sign == "°":
                if self.now.text in ("C", "F") and self.depth == 0:
                    return Quantity(found, "°" + self.take().text.lower())
                found = Mul((found, Const("deg")))
        return found

    def exponent(self) -> Node:
        with self.nested():
            sign = 1
            while self.at("-", "+"):
                sign *= -1 if self.take().text == "-" else 1
            if self.accept("{"):
                found = self.braces()
            elif self.now.kind == "num":
                found = self.number(self.take().text)
            else:
                found = self.argument()
            if self.accept("^"):
                found = Pow(found, self.exponent())
        return found if sign > 0 else negative(found)

    def tight(self) -> Node:
        """The argument of a function without brackets: sin 2x, ln 5, but not the cos t of sin 2x cos t."""
        sign = -1 if self.accept("-") else 1
        factors = [self.factor()]
        while self.now.kind in ("name", "const") or (self.now.kind == "cmd" and self.now.text not in ("end", "begin")):
            factors.append(self.factor())
        return product(factors) if sign > 0 else negative(product(factors))

    def unit_ahead(self, skip: int = 0) -> bool:
        """Whether words begin here that are no factors: a unit, or what was counted."""
        token = self.ahead(skip) if skip else self.now
        if token.kind == "name" and token.upright and self.depth == 0:
            return token.text in UNITS and token.text not in "ei"
        if token.kind != "word":
            return False
        before = self.tokens[self.place - 1]
        counted = token.text in BARE and (before.kind == "num" or before.text in ("}", ")", "°") or skip > 0)
        return self.depth == 0 and (token.upright or counted or not fused(token))

    def statement(self) -> Node:
        """Values with relations between them, and what is remarked on them."""
        while self.accept("=", "≈", "quad"):
            pass
        sides, ops = [self.name_before_equals() or self.side()], list[str]()
        while self.now.kind == "op" and self.now.text in names.RELATIONS | {"∉", "≢"}:
            op = self.take().text
            while self.accept("="):
                pass
            ops.append(op)
            sides.append(self.side())
        found = related(ops, sides)
        if self.accept("pmod") or (self.at("(") and self.ahead().text == "mod"):
            return self.modulus(found)
        return found

    def name_before_equals(self) -> Node | None:
        """Words, or y(x), before a sign of equality: the name of what is computed."""
        start, name = self.place, ""
        while self.now.kind == "word" and (self.now.upright or not fused(self.now)):
            name += " " + self.take().text
        if name and self.at("="):
            return Sym(name.strip().lower())
        self.place = start
        shape = [self.ahead(step).text for step in range(5)]
        if self.now.kind == "name" and shape[1] == "(" and shape[3:5] == [")", "="] and self.ahead(2).kind == "name":
            self.place += 4
            return Apply(shape[0], (Sym(shape[2]),))
        return None

    def modulus(self, value: Node) -> Node:
        if self.accept("("):
            self.expect("mod")
            modulus = self.expression()
            self.expect(")")
        else:
            modulus = self.argument()
        if isinstance(value, Rel):
            return Rel(value.ops, (*value.sides[:-1], Mod(value.sides[-1], modulus)))
        return Mod(value, modulus)

    def side(self) -> Node:
        parts, op = [self.quantity()], ""
        while self.at(names.UNION, "∩", names.WITHOUT):
            sign = self.take().text
            if op and sign != op:
                parts = [SetOp(op, tuple(parts))]
            op = sign
            parts.append(self.quantity())
        return SetOp(op, tuple(parts)) if op else parts[0]

    def quantity(self) -> Node:
        sign = self.at("-") and self.ahead().text == "money" and self.accept("-")
        money = self.accept("money")
        value = self.expression()
        if sign:
            value = negative(value)
        if self.at(":") and self.ahead().kind in ("num", "name", "op", "fn", "cmd") and not self.bars:
            value = self.ratio(value)
        note = ""
        if self.now.kind == "word" and self.now.text.lower() in _REMARKS:
            note = self.rest()
        unit = "" if note else self.words()
        if not note and self.now.kind == "word" and self.now.text.lower() in _REMARKS:
            note = self.rest()
        if self.accept("money") or money:
            unit = unit or "usd"
        if unit:
            value = with_unit(value, unit)
        return Noted(value, note) if note else value

    def ratio(self, first: Node) -> Node:
        parts = [first]
        while self.accept(":"):
            parts.append(self.expression())
        return Ratio(tuple(parts))

    def words(self) -> str:
        """The words of a unit: `km/h`, `kg·m^2`, `square units`, `%`."""
        found: list[str] = []
        while True:
            token = self.now
            if token.kind == "op" and token.text == "%":
                found.append("%")
            elif (
                (token.kind == "word" and token.text.lower() not in _REMARKS)
                or (token.kind == "name" and (token.upright or found))
                or (token.text == "}" and found.count("{") > found.count("}"))
                or (found and token.text in ("/", "*", "^", "-", "{", ".") and self.ahead().kind in ("word", "name", "num", "op"))
                or (found and token.kind == "num" and found[-1] in ("^", "-", "{"))
                or (not found and token.text in ("/", "*") and self.unit_ahead(1))
                or (token.kind == "fn" and token.text in ("min", "sec"))
            ):
                found.append(token.text)
            else:
                break
            self.take()
        return " ".join(found)

    def rest(self) -> str:
        """The words of a remark, up to the end."""
        found = []
        while self.now.kind != "end" and not self.at("\\}", ")", "]", "\\\\"):
            found.append(self.take().text)
        return " ".join(found).lower()
