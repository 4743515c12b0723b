"""What a family may run while it judges an answer: nothing but arithmetic on literals and symbols.

Several families hand the model's text to `eval`, or to SymPy's parser, which does. An audit hook sees every text before Python
compiles it, and refuses whatever is not inert; swallowing the exception does not help, as each refusal is kept. Runs in a process
of its own, where time and memory are limited, since arithmetic alone can take for ever.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LENGTH = 10_000
"""Characters of the longest text that may be compiled."""

_NAMES = frozenset(
    "Integer Float Rational Symbol sin cos tan sec csc cot asin acos atan sinh cosh tanh exp log ln sqrt cbrt pi E I oo Abs".split()
)
_NODES = (
    *(ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load, ast.Name, ast.Call),
    *(ast.UnaryOp, ast.UAdd, ast.USub, ast.Invert),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor),
)
_OWN = "from sympy import *"
"""What SymPy's parser itself runs."""
_OUTSIDE = ("socket.", "subprocess.", "shutil.", "ctypes.", "os.")
_READING = ("os.listdir", "os.scandir")


class Refused(Exception):
    """The text would have been run as code."""


def inert(text: str) -> bool:
    """Whether the text is arithmetic on numbers, strings, symbols and elementary functions, in lists or not."""
    if len(text) > LENGTH or not text.strip():
        return not text.strip()
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return not _compiles(text)
    return all(_harmless(node) for node in ast.walk(tree))


def _compiles(text: str) -> bool:
    """What is no expression may be statements; what is neither fails by itself."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    except (ValueError, RecursionError, MemoryError):
        return True
    return True


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and not node.keywords
    if isinstance(node, ast.Name):
        return node.id in _NAMES or len(node.id) == 1
    return isinstance(node, _NODES)


class Guard:
    """The audit hook, which cannot be removed again, and whether it is on."""

    def __init__(self) -> None:
        self._on = False
        self._refused: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Refuse within the block what is not inert; yields the list of what was refused."""
        self._refused = []
        self._on = True
        try:
            yield self._refused
        finally:
            self._on = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "compile":
            self._compile(args[0])
        elif event.startswith(_OUTSIDE) and event not in _READING:
            self._refuse(event)

    def _compile(self, source: Any) -> None:
        """A syntax tree comes from a text that has been seen before; the text of a module, from its import."""
        if not isinstance(source, str | bytes) or _importing():
            return
        text = source if isinstance(source, str) else source.decode("utf-8", "replace")
        self._on = False
        try:
            harmless = text == _OWN or inert(text)
        finally:
            self._on = True
        if not harmless:
            self._refuse(text)

    def _refuse(self, what: str) -> None:
        self._refused.append(what[:80])
        raise Refused(what[:80])


def _importing() -> bool:
    frame = sys._getframe(3)
    for _ in range(12):
        if frame.f_back is None:
            return False
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
