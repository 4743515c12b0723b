"""Test code made to tell: which assertion failed, with which values, and how many there are."""

from __future__ import annotations

import ast
import reprlib
from dataclasses import dataclass, field
from typing import Any

from .session import described

FILE = "<test>"
_NOTE = "__k2_note"
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxdict = 12
_short.maxlong = 60


def short(value: Any) -> str:
    """A value in at most some hundred characters. Never raises."""
    try:
        return _short.repr(value)[:300]
    except Exception:
        return f"a {type(value).__name__}"


@dataclass
class Record:
    """What the assertions of one test said. In `partial` mode those that fail do not end the test."""

    partial: bool = False
    lines: dict[int, str] = field(default_factory=dict)
    """Text of each assert statement by its line."""
    seen: tuple[Any, Any] | None = None
    failed: dict[int, str] = field(default_factory=dict)
    passed: set[int] = field(default_factory=set)

    def fail(self, line: int, error: BaseException) -> None:
        self.failed.setdefault(line, self.explain(line, error))

    def succeed(self, line: int) -> None:
        self.passed.add(line)

    def explain(self, line: int | None, error: BaseException) -> str:
        """Why an assertion failed: what the program raised, or its text, and what was compared."""
        text = self.lines.get(line or 0, f"line {line}")
        if told := getattr(error, "k2_record", None):
            return f"raises {described(told)}"
        if not isinstance(error, AssertionError):
            return f"the test cannot use its value: {type(error).__name__}: {short(str(error))} at {text}"
        message = f" ({short(str(error))})" if str(error) else ""
        if self.seen is None:
            return f"failed: {text}{message}"
        return f"failed: {text}, got {short(self.seen[0])} instead of {short(self.seen[1])}{message}"


class _Asserts(ast.NodeTransformer):
    def __init__(self, record: Record, source: str) -> None:
        self._record, self._source = record, source

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from solution import f`: the names come from the program anyway."""
        return ast.copy_location(ast.Pass(), node) if node.module == "solution" else node

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        text = " ".join((ast.get_source_segment(self._source, node) or "assert").split())
        self._record.lines[node.lineno] = text if len(text) <= 240 else text[:237] + "..."
        prepared: list[ast.stmt] = [ast.Expr(ast.Call(ast.Name(_NOTE, ast.Load()), [], []))]
        if isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
            names = [ast.Name(f"__k2_{side}", ast.Load()) for side in ("left", "right")]
            sides = [node.test.left, node.test.comparators[0]]
            prepared += [ast.Assign([ast.Name(name.id, ast.Store())], side) for name, side in zip(names, sides, strict=True)]
            prepared.append(ast.Expr(ast.Call(ast.Name(_NOTE, ast.Load()), [*names], [])))
            node.test = ast.Compare(names[0], node.test.ops, [names[1]])
        return self._caught(node, [*prepared, node])

    def _caught(self, node: ast.Assert, body: list[ast.stmt]) -> list[ast.stmt]:
        if self._record.partial:
            line = ast.Constant(node.lineno)
            error = ast.Name("__k2_error", ast.Load())
            failed = ast.Expr(ast.Call(ast.Name("__k2_fail", ast.Load()), [line, error], []))
            succeed = ast.Expr(ast.Call(ast.Name("__k2_succeed", ast.Load()), [line], []))
            handler = ast.ExceptHandler(ast.Name("__k2_Exception", ast.Load()), "__k2_error", [failed])
            body = [ast.Try(body, [handler], [succeed], [])]
        return [ast.fix_missing_locations(ast.copy_location(statement, node)) for statement in body]


def instrument(source: str, record: Record) -> tuple[Any, ast.Module]:
    """The test as code that tells `record`, and its tree as it was written. Raises `SyntaxError`."""
    tree = ast.parse(source, FILE)
    plain = ast.parse(source, FILE)
    return compile(_Asserts(record, source).visit(tree), FILE, "exec", dont_inherit=True), plain


def hooks(record: Record) -> dict[str, Any]:
    """What instrumented code calls."""

    def note(*sides: Any) -> None:
        record.seen = (sides[0], sides[1]) if sides else None

    return {_NOTE: note, "__k2_fail": record.fail, "__k2_succeed": record.succeed, "__k2_Exception": Exception}
