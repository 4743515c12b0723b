"""Expressions in a list of tokens, evaluated as they are read. What cannot be read raises `Unreadable`; nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from .tokens import LINKS, VULGAR, Token, negative
from .value import PI, Interval, Unreadable

_DEPTH = 30
Width = Callable[[Token], Fraction]
"""How far the value of a number may lie from what is written, because it was rounded."""


@dataclass(slots=True)
class Reading:
    """What was read: the value, and what it was made of."""

    value: Interval
    end: int
    operators: int = 0
    percents: int = 0
    shares: int = 0
    """How many times it says `of`."""
    ambiguous: bool = False
    """It can be read in another way: `1 / 2 / 3`, `6/2(3)`, `3^15^2`."""
    summed: bool = False
    """There is a sum or difference at some level."""
    units: list[str] = field(default_factory=list)
    literal: Token | None = None
    """The number, when there is nothing else but a sign."""
    first: Fraction | None = None
    """The first number."""


class Reader:
    """A recursive descent over `tokens[at:stop]`. Unit words after a number are collected and mean nothing; symbols have the values
    given in `symbols`, and are unreadable without."""

    def __init__(
        self,
        tokens: Sequence[Token],
        at: int,
        stop: int,
        *,
        width: Width | None = None,
        percent: bool = True,
        symbols: Mapping[str, Fraction] | None = None,
    ) -> None:
        self._tokens, self._at, self._stop, self._depth = tokens, at, stop, 0
        self._symbols = symbols
        self._width, self._percent = width, percent
        self._found = Reading(Interval.of(0), at)
        self._plain = 0

    def read(self) -> Reading:
        """The longest expression from here on. Raises `Unreadable` when there is none."""
        start = self._at
        value = self._sum()
        made = self._found
        made.value, made.end = value, self._at
        if self._plain == 1 and not made.operators and not made.percents:
            made.literal = next(token for token in self._tokens[start : self._at] if token.kind == "num")
        return made

    def _peek(self) -> Token | None:
        """The next token; a currency sign before a number, or after one inside an expression, is passed over."""
        if self._at < self._stop and self._tokens[self._at].kind == "money":
            after = self._tokens[self._at + 1] if self._at + 1 < self._stop else None
            before = self._tokens[self._at - 1] if self._at else None
            if not (_operand(before) and (after is None or _operand(after, opening=True))):
                if after is not None and after.kind == "num" and not after.spaced:
                    self._found.units.append("$")
                self._at += 1
        return self._tokens[self._at] if self._at < self._stop else None

    def _take(self, *texts: str) -> str | None:
        token = self._peek()
        if token is not None and token.kind == "op" and token.text in texts and token.value is None:
            self._at += 1
            return token.text
        return None

    def _sum(self) -> Interval:
        self._depth += 1
        if self._depth > _DEPTH:
            raise Unreadable("nested too deeply")
        value = self._product()
        while operator := self._take("+", "-"):
            self._found.operators += 1
            self._found.summed = True
            other = self._product()
            value = value + other if operator == "+" else value - other
        self._depth -= 1
        return value

    def _product(self) -> Interval:
        value, divided = self._signed(), False
        while True:
            if operator := self._take("*", "/"):
                other = self._signed()
                value = value * other if operator == "*" else value / other
                self._found.ambiguous |= divided and operator == "/"
                divided = operator == "/"
            elif self._touches():
                self._found.ambiguous |= divided
                value = value * self._power()
            elif self._is_of():
                self._found.shares += 1
                self._at += 1
                value = value * self._signed()
            else:
                return value
            self._found.operators += 1

    def _touches(self) -> bool:
        """A product without a sign: an opening bracket or a function that stands directly after an operand."""
        token = self._peek()
        if token is None or self._at == 0 or not _operand(self._tokens[self._at - 1]):
            return False
        if token.kind == "open" and token.spaced and self._tokens[self._at - 1].kind == "num":
            raise Unreadable("a bracket that may be a remark or a factor")
        if token.kind == "func" and token.text == "frac" and self._tokens[self._at - 1].kind == "num":
            raise Unreadable("a mixed number or a product")
        if token.kind == "symbol":
            return self._symbols is not None and not token.spaced
        if token.kind == "open" and self._tokens[self._at - 1].kind == "symbol":
            raise Unreadable("a function or a product")
        return token.kind == "func" or (token.kind == "open" and token.text != "[")

    def _is_of(self) -> bool:
        """`20% of 50`, `1/2 of 6`: after a percentage or a quotient, before a number."""
        token = self._peek()
        if token is None or token.kind != "word" or token.text != "of" or self._at + 1 >= self._stop:
            return False
        before, after = self._tokens[self._at - 1], self._tokens[self._at + 1]
        share = before.text in ("%", "}") or (self._at > 1 and self._tokens[self._at - 2].text == "/")
        return share and after.kind in ("num", "money")

    def _signed(self) -> Interval:
        if self._take("-"):
            return -self._signed_again()
        if self._take("+"):
            return self._signed_again()
        return self._power()

    def _signed_again(self) -> Interval:
        self._depth += 1
        if self._depth > _DEPTH:
            raise Unreadable("too many signs")
        value = self._signed()
        self._depth -= 1
        return value

    def _power(self) -> Interval:
        value = self._marked(self._atom())
        token = self._peek()
        if token is not None and token.kind == "op" and token.text == "^":
            self._at += 1
            self._found.operators += 1
            if token.value is not None:  # a raised digit
                return value.power(Interval.of(token.value))
            return value.power(self._exponent())
        return value

    def _exponent(self) -> Interval:
        if self._take("-"):
            return -self._exponent()
        token, value = self._peek(), self._power()
        self._found.ambiguous |= token is not None and token.kind == "num" and self._tokens[self._at - 1] is not token
        return value

    def _marked(self, value: Interval) -> Interval:
        """Percent signs, factorials and units behind an operand."""
        while True:
            if self._take("%"):
                self._found.percents += 1
                value = value / Interval.of(100) if self._percent else value
            elif self._take("!"):
                if self._at < self._stop and self._tokens[self._at].text == "!":
                    raise Unreadable("a double factorial")
                self._found.operators += 1
                value = value.factorial()
            elif not self._unit():
                return value

    def _unit(self) -> bool:
        """Pass over up to four words between an operand and an operator or the end of the expression."""
        last = self._at
        while last < self._stop and last - self._at < 4 and self._tokens[last].kind == "word" and self._tokens[last].text != "of":
            last += 1
        if last == self._at or (last < self._stop and self._tokens[last].kind not in ("op", "close")):
            return False
        if last < self._stop and (self._tokens[last].text in ("%", "!", "^") or negative(self._tokens, last)):
            return False
        if any(token.text.lower() in LINKS for token in self._tokens[self._at : last]):
            return False
        self._found.units += [token.text.lower() for token in self._tokens[self._at : last]]
        self._at = last
        return True

    def _atom(self) -> Interval:
        token = self._peek()
        if token is None:
            raise Unreadable("nothing where a number should be")
        if token.kind == "num":
            return self._literal(token)
        if token.kind == "symbol" and self._symbols is not None:
            self._at += 1
            self._plain += 2
            return Interval.of(self._symbols[token.text])
        if token.kind == "func":
            return self._function(token.text)
        if token.kind == "open":
            return self._group()
        raise Unreadable(f"{token.text!r} is no number")

    def _literal(self, token: Token) -> Interval:
        self._at += 1
        self._plain += 1
        assert token.value is not None
        self._found.first = token.value if self._found.first is None else self._found.first
        value = Interval.of(token.value, self._width(token) if self._width else 0)
        return self._mixed(token, value)

    def _mixed(self, token: Token, value: Interval) -> Interval:
        """`2 1/2` and `2½`: a whole number, then a fraction below one."""
        ahead = self._tokens[self._at : min(self._at + 3, self._stop)]
        if not token.places and ahead and ahead[0].kind == "num" and ahead[0].value is not None:
            if ahead[0].text in VULGAR:
                self._at += 1
                return value + Interval.of(ahead[0].value)
            slash = len(ahead) == 3 and ahead[1].text == "/" and not (ahead[1].spaced or ahead[2].spaced)
            if slash and ahead[2].value and ahead[0].value < ahead[2].value:
                self._at += 3
                self._plain += 1
                return value + Interval.of(ahead[0].value / ahead[2].value)
        return value

    def _function(self, name: str) -> Interval:
        self._at += 1
        if name == "pi":
            self._plain += 2
            return PI
        self._found.operators += 1
        if name == "sqrt":
            return self._square_root()
        top, bottom = self._digits() or (self._argument(), self._argument())
        return top / bottom if name == "frac" else top.choose(bottom)

    def _digits(self) -> tuple[Interval, Interval] | None:
        r"""`\frac12`: two digits without braces."""
        token = self._peek()
        if token is None or token.kind != "num" or len(token.text) != 2 or not token.text.isdigit():
            return None
        self._literal(token)
        return Interval.of(int(token.text[0])), Interval.of(int(token.text[1]))

    def _square_root(self) -> Interval:
        token, degree = self._peek(), 2
        if token is not None and token.text == "[":
            ahead = self._tokens[self._at + 1 : self._at + 3]
            if len(ahead) < 2 or ahead[0].kind != "num" or ahead[1].text != "]" or ahead[0].value is None:
                raise Unreadable("a root of unknown degree")
            degree, self._at = int(ahead[0].value), self._at + 3
        return self._argument().root(degree)

    def _argument(self) -> Interval:
        """A group in brackets, or one number of one digit as in `\\frac12`."""
        token = self._peek()
        if token is not None and token.kind == "num":
            if len(token.text) == 1 or self._tokens[self._at - 1].text == "sqrt":
                return self._literal(token)
            raise Unreadable("a fraction without braces")
        return self._group()

    def _group(self) -> Interval:
        token = self._peek()
        if token is None or token.kind != "open":
            raise Unreadable("no bracket where one should be")
        self._at += 1
        value = self._sum()
        closing = self._peek()
        if closing is None or closing.kind != "close" or "([{".index(token.text) != ")]}".index(closing.text):
            raise Unreadable("a bracket that does not close")
        self._at += 1
        return value


def _operand(token: Token | None, *, opening: bool = False) -> bool:
    """Whether an operand may end, or with `opening` begin, with this token."""
    if token is None:
        return False
    return token.kind in ("num", "symbol", "open" if opening else "close") or (not opening and token.text in ("%", "!"))
