"""Functions, roots, fractions, sums: commands and names with arguments."""

from __future__ import annotations

from fractions import Fraction

from . import names
from .groups import Groups
from .nodes import (
    MINUS_ONE,
    ONE,
    Big,
    Bracket,
    Call,
    Const,
    Items,
    Mul,
    Node,
    Num,
    Pow,
    Rel,
    Sym,
    inverse,
)
from .tokens import Unreadable

_OF_SEVERAL = ("gcd", "lcm", "max", "min", "log")


class Functions(Groups):
    def exponent(self) -> Node:
        """What is raised. Defined with the expressions, as what follows."""
        raise NotImplementedError

    def tight(self) -> Node:
        """The argument of a function without brackets."""
        raise NotImplementedError

    def term(self) -> Node:
        """A product."""
        raise NotImplementedError

    def number(self, text: str) -> Node:
        """A number with what belongs to it."""
        raise NotImplementedError

    def root(self, degree: int) -> Node:
        exponent: Node = Num(Fraction(1, degree))
        if self.at("[") and degree == 2:
            exponent = inverse(self.group())
        if self.at("{", "("):
            with self.nested():
                inside = self.braces() if self.accept("{") else self.group()
        else:
            with self.nested():
                inside = self.atom()
        return Pow(inside, exponent)

    def function(self, name: str) -> Node:
        base: Node | None = None
        exponent: Node | None = None
        while self.at("_", "^"):
            if self.accept("_"):
                base = self.number(self.take().text) if self.now.kind == "num" else self.argument()
            else:
                self.take()
                exponent = self.exponent()
        args = self.arguments()
        if not args or (len(args) > 1 and name not in _OF_SEVERAL):
            raise Unreadable(f"{name} of {len(args)} arguments")
        if exponent == MINUS_ONE and name in names.INVERSE:
            name, exponent = names.INVERSE[name], None
        if name == "exp":
            found: Node = Pow(Const("e"), args[0])
        elif name == "lg":
            found = Call("log", (args[0], Num(Fraction(10))))
        else:
            found = Call(name, args if base is None else (*args, base))
        return found if exponent is None else Pow(found, exponent)

    def arguments(self) -> tuple[Node, ...]:
        if self.at("(", "[", "{"):
            with self.nested():
                group = self.braces() if self.accept("{") else self.group()
            return group.items if isinstance(group, Bracket | Items) else (group,)
        with self.nested():
            return (self.tight(),)

    def structure(self, name: str) -> Node:
        if name.endswith("frac"):
            if derivative := self.derivative():
                return derivative
            top, bottom = self.argument(), self.argument()
            return Mul((top, inverse(bottom))) if top != ONE else inverse(bottom)
        if name.endswith("binom"):
            return Call("binom", (self.argument(), self.argument()))
        if name in ("sum", "prod"):
            return self.big("sum" if name == "sum" else "prod")
        if name == "begin":
            return self.environment()
        if name in names.ACCENTS:
            return self.accent(name)
        if name in ("angle", "triangle"):
            return Sym(name + "".join(self.take().text for _ in range(3) if self.now.kind in ("name", "word")))
        raise Unreadable(f"\\{name}")

    def derivative(self) -> Sym | None:
        r"""\frac{dx}{dt} is a name: nothing in it may cancel."""
        text, place = "", self.place
        for _ in range(2):
            if self.tokens[place][:2] != ("op", "{"):
                return None
            text, place = text + "{", place + 1
            while self.tokens[place].kind in ("name", "word", "num") or self.tokens[place].text in ("^", "partial"):
                text, place = text + self.tokens[place].text, place + 1
            if self.tokens[place].text != "}":
                return None
            place += 1
        top, bottom = text[1:].split("{")
        if top in ("d", "partial"):
            raise Unreadable("a derivative that is not carried out")
        if not (top[:1] == "d" and bottom[:1] == "d" and len(bottom) > 1) and not (top[:7] == bottom[:7] == "partial"):
            return None
        self.place = place
        return Sym(f"{top}/{bottom}")

    def big(self, kind: str) -> Node:
        low: Node | None = None
        high: Node | None = None
        while self.at("_", "^"):
            if self.accept("_"):
                self.expect("{")
                with self.nested():
                    low = self.statement()
                self.expect("}")
            else:
                self.take()
                high = self.argument()
        with self.nested():
            body = self.term()
        if not (isinstance(low, Rel) and low.ops == ("=",) and isinstance(low.sides[0], Sym | Const)) or high is None:
            raise Unreadable("a sum without bounds")
        return Big("sum" if kind == "sum" else "prod", low.sides[0].name, low.sides[1], high, body)
