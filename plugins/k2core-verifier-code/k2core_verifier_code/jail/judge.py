"""Runs the tests of one job. This process holds the expected values and never executes the program."""

from __future__ import annotations

import ast
import builtins
import importlib
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import asserts, calls, stdio
from .asserts import Record
from .remote import Proxy, Remote
from .session import Session, Stopped

Outcome = dict[str, Any]
"""`passed`, `total`, the first failure's `test` (from 0), `kind` and `text`; `error` instead when it is not the program's fault."""


def judge(job: dict[str, Any], orders: socket.socket) -> Outcome:
    """Run a job's suite. Never raises on account of the program or the tests."""
    session = Session(job, orders)
    kind: Callable[[dict[str, Any], Session], Outcome]
    kind = {"code": _code, "calls": calls.run, "stdio": stdio.run, "none": _compile}[job["suite"]["kind"]]
    try:
        outcome = kind(job, session)
    except Stopped as stop:
        outcome = {"passed": 0, "total": max(1, job["suite"]["size"]), "test": None, "kind": stop.kind, "text": stop.text}
    except BaseException as error:
        outcome = {"error": f"the tests cannot be run: {type(error).__name__}: {error}"[:500]}
    return {**outcome, "key": session.key}


def _compile(job: dict[str, Any], session: Session) -> Outcome:
    session.start()
    return {"passed": 0, "total": 0}


def _code(job: dict[str, Any], session: Session) -> Outcome:
    """Tests as code: every unit is executed in one namespace, where the program's names stand for its objects."""
    suite, partial = job["suite"], job["partial"]
    test = _Tests(suite, partial, session)
    passed = total = 0
    first: Outcome = {}
    for index in range(len(test.units)):
        good, count, failure = test.run(index)
        passed, total = passed + good, total + count
        if failure and not first:
            first = {"test": index, **failure}
        if failure and "error" in failure:
            return failure
        if failure and not partial:
            break
    total = total if partial else max(1, len(test.units))
    return {"passed": passed, "total": total, **first}


class _Tests:
    def __init__(self, suite: dict[str, Any], partial: bool, session: Session) -> None:
        self._suite, self._session, self._entry = suite, session, suite["entry"]
        self._records = [Record(partial) for _ in suite["tests"]]
        self.units = [asserts.instrument(text, record) for text, record in zip(suite["tests"], self._records, strict=True)]
        self._setup = asserts.instrument(suite["setup"], Record())
        self._namespace: dict[str, Any] | None = None
        self._unusable: Outcome | None = None

    def _trusted(self) -> dict[str, Any]:
        """Helpers that the prompt defines: the tests use those, not what the program made of them."""
        found: dict[str, Any] = {"__name__": "test"}
        try:
            exec(compile(self._suite["prompt"], "<prompt>", "exec", dont_inherit=True), found)
        except Exception:  # a prompt may break off anywhere
            return {"__name__": "test"}
        return {name: value for name, value in found.items() if name != self._entry and not isinstance(value, type)}

    def _start(self) -> dict[str, Any]:
        """Load the program, and make the namespace in which the tests run."""
        self._session.start()
        self._session.run()
        namespace = self._trusted()
        trees = [self._setup[1], *(tree for _, tree in self.units)]
        proxy = Proxy(self._session)
        wanted = _free_names(trees, {self._entry} - {None})
        found = proxy.names(sorted(wanted - namespace.keys()))
        own = [name for name in found if not hasattr(builtins, name) or name == self._entry]
        for name, value in found.items():
            if name in own or not own:
                namespace[name] = value
        for name in _attribute_bases(trees):
            if name in sys.stdlib_module_names and not (isinstance(namespace.get(name), Remote) and name == self._entry):
                namespace[name] = importlib.import_module(name)
        for name, value in namespace.items():
            if isinstance(value, tuple) and value[:1] == ("module",):
                namespace[name] = _module(value[1])
        if self._entry and self._entry not in namespace:
            raise Stopped("missing", f"does not define {self._entry}")
        exec(self._setup[0], _with(namespace, Record()))
        return namespace

    def _load(self) -> None:
        try:
            self._namespace = self._start()
        except BaseException as error:
            self._unusable = self._failure(error, Record())

    def run(self, index: int) -> tuple[int, int, Outcome | None]:
        """Passed assertions or tests, how many there are, and the first failure of one unit."""
        record = self._records[index]
        try:
            if self._unusable is None and (self._namespace is None or self._session.link is None):
                self._load()
            if self._unusable is not None or self._namespace is None:
                return 0, len(record.lines) or 1, self._unusable
            self._session.clock.begin()
            exec(self.units[index][0], _with(self._namespace, record))
            self._call_tests(index)
            failure = None
        except BaseException as error:
            failure = self._failure(error, record)
        if not record.partial or not record.lines:
            return int(failure is None), 1, failure
        if record.failed and failure is None:
            failure = {"kind": "failed", "text": record.failed[min(record.failed)]}
        return len(record.passed - record.failed.keys()), len(record.lines), failure

    def _call_tests(self, index: int) -> None:
        """`check(candidate)`, or every `test_…` function, if the unit defines such."""
        assert self._namespace is not None
        body = self.units[index][1].body
        functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
        calls = {ast.unparse(node.value.func) for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)}
        if "check" in functions and self._entry and "check" not in calls:
            self._namespace["check"](self._namespace[self._entry])
        for name in functions:
            if name.startswith("test_") and name not in calls:
                self._namespace[name]()

    def _failure(self, error: BaseException, record: Record) -> Outcome:
        if isinstance(error, Stopped):
            self._session.close()
            return {"kind": error.kind, "text": error.text}
        if isinstance(error, NameError) and error.name and not hasattr(error, "k2_record"):
            return {"kind": "missing", "text": f"does not define {error.name}"}
        if not isinstance(error, AssertionError) and not self._session.requests:
            return {"error": f"the test itself fails: {type(error).__name__}: {error}"[:500]}
        return {"kind": "failed", "text": record.explain(_line(error), error)}


def _with(namespace: dict[str, Any], record: Record) -> dict[str, Any]:
    namespace.update(asserts.hooks(record))
    return namespace


def _free_names(trees: list[ast.Module], more: set[Any]) -> set[str]:
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    imported = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "solution"]
    return names | more | {alias.name for node in imported for alias in node.names}


def _attribute_bases(trees: list[ast.Module]) -> set[str]:
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}


def _module(name: str) -> Any:
    """A module that the program imported, imported by us."""
    return importlib.import_module(name) if name.partition(".")[0] in sys.stdlib_module_names else None


def _line(error: BaseException) -> int | None:
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == asserts.FILE]
    return lines[-1] if lines else None
