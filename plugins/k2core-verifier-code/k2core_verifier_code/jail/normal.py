"""Programs in normal form, so that those which differ in layout, comments and names of variables alone have the same key."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence


def defines(tree: ast.Module, names: Sequence[str]) -> bool:
    """Whether the module's top level binds one of `names`; True when none are asked for."""
    return not names or any(name in names for statement in tree.body for name in _bound(statement))


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    elif isinstance(statement, (ast.If, ast.Try)):
        for child in statement.body:
            yield from _bound(child)


def key(tree: ast.Module) -> str | None:
    """16 hex digits of the SHA-256 of the normal form; None for a program nested too deep. Changes `tree`."""
    try:
        names = _Names()
        names.visit(tree)
        _Normal(names).visit(tree)
        return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode("utf-8", "replace")).hexdigest()[:16]
    except (RecursionError, MemoryError):
        return None


class _Names(ast.NodeVisitor):
    """Finds the variables that may be renamed: parameters and what is assigned, but for keywords of calls and globals."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.fixed: set[str] = set()

    def _add(self, name: str) -> None:
        self.variables.setdefault(name, f"v{len(self.variables)}")

    def visit_arg(self, node: ast.arg) -> None:
        self._add(node.arg)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._add(node.id)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg:
            self.fixed.add(node.arg)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.fixed.update(name for statement in node.body for name in _bound(statement))
        self.generic_visit(node)


class _Normal(ast.NodeTransformer):
    def __init__(self, names: _Names) -> None:
        self._names = {old: new for old, new in names.variables.items() if old not in names.fixed}

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg, node.annotation = self._names.get(node.arg, node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        return super().generic_visit(node)
