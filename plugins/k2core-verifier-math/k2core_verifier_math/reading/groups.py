"""What stands between signs that open and close: groups, tuples, sets, environments, arguments of commands."""

from __future__ import annotations

from .cursor import Cursor
from .nodes import (
    Bracket,
    Builder,
    Call,
    Dots,
    Items,
    Matrix,
    Node,
    Sym,
)
from .tokens import Token, Unreadable

_CLOSING = {"(": ")", "[": "]", "⟨": "⟩"}
_MATRICES = frozenset("matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array".split())


class Groups(Cursor):
    def expression(self) -> Node:
        """A sum. Defined with the expressions, as what follows."""
        raise NotImplementedError

    def statement(self) -> Node:
        """A value with its unit and relations."""
        raise NotImplementedError

    def atom(self) -> Node:
        """The smallest whole thing."""
        raise NotImplementedError

    def subscript(self) -> str:
        self.expect("_")
        if not self.at("{"):
            return self.take().text
        depth, text = 0, ""
        while True:
            token = self.take()
            if token.kind == "end":
                raise Unreadable("an index without an end")
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 0:
                return text
            text += token.text if token.text not in "{}" else ""

    def group(self) -> Node:
        opening = self.take().text
        with self.nested():
            items = self.listed()
            closing = self.take().text
        if closing not in (")", "]", "⟩"):
            raise Unreadable(f"{opening!r} is closed by {closing or 'the end'!r}")
        if len(items) == 1 and _CLOSING[opening] == closing and not isinstance(items[0], Dots) and opening != "⟨":
            return items[0]
        return Bracket(opening, closing, items)

    def listed(self) -> tuple[Node, ...]:
        if self.at(")", "]", "}", "\\}", "⟩"):
            return ()
        items = [self.statement()]
        while self.accept(",", ";"):
            items.append(self.statement())
        return tuple(items)

    def braces(self) -> Node:
        with self.nested():
            if self.accept("}"):
                raise Unreadable("an empty group")
            items = self.listed()
            if self.now[:2] == ("cmd", "choose") and len(items) == 1:
                self.take()
                items = (Call("binom", (items[0], self.expression())),)
            self.expect("}")
        return items[0] if len(items) == 1 else Items("list", items)

    def set(self) -> Node:
        with self.nested(bars=1):
            items = self.listed()
            if self.accept("|", ":") and len(items) == 1:
                conditions = [self.statement()]
                while self.accept(",", ";", "and"):
                    conditions.append(self.statement())
                self.expect("\\}")
                return Builder(items[0], tuple(conditions))
            self.expect("\\}")
        return Items("set", items)

    def argument(self) -> Node:
        """What a command applies to: a group, or a single digit or letter."""
        if self.accept("{"):
            return self.braces()
        token = self.now
        if token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
            self.tokens[self.place : self.place + 1] = [Token("num", token.text[:1]), Token("num", token.text[1:])]
        if token.kind == "word" and not token.upright and len(token.text) > 1:
            self.tokens[self.place : self.place + 1] = [Token("name", letter) for letter in token.text]
        with self.nested():
            return self.atom()

    def accent(self, name: str) -> Node:
        """A decorated symbol. An arrow, or a line over several letters, says nothing that the letters do not."""
        with self.nested():
            start = self.place
            inside = self.argument()
            content = "".join(token.text for token in self.tokens[start : self.place] if token.text not in ("{", "}"))
        if name == "vec" or "arrow" in name or (len(content) > 1 and content.isupper()):
            return inside
        return Sym(f"{name} {content}")

    def environment(self) -> Node:
        name = self.take().text
        rows: list[list[Node]] = [[]]
        with self.nested():
            while not (self.now.kind == "cmd" and self.now.text == "end"):
                if self.now.kind == "end":
                    raise Unreadable("an environment without an end")
                if self.accept("\\\\"):
                    rows.append([])
                elif not self.accept("&", ",", ";") or name in _MATRICES:
                    rows[-1].append(self.statement())
        self.place += 2
        kept = [tuple(row) for row in rows if row]
        if name in _MATRICES:
            if len({len(row) for row in kept}) != 1:
                raise Unreadable("a matrix with rows of different lengths")
            matrix = Matrix(tuple(kept))
            return Call("det", (matrix,)) if name in ("vmatrix", "Vmatrix") else matrix
        if name not in ("cases", "aligned", "align", "gathered", "array"):
            raise Unreadable(f"the environment {name}")
        return Items("list", tuple(row[0] if len(row) == 1 else Bracket("(", ")", row) for row in kept))
