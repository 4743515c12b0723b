"""The process in which the model's code runs: loads it, and does what the judge asks for, until it is killed.

Nothing here is a barrier: the code may change anything in this process. It only has data to answer with.
"""

from __future__ import annotations

import ast
import asyncio
import atexit
import builtins
import inspect
import linecache
import operator
import os
import socket
import sys
import threading
import traceback
import types
from collections.abc import Callable
from typing import Any

from . import channel, normal
from .wire import Changes, Decoder, Encoder

FILE = "<program>"
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "setattr": setattr, "delattr": delattr, "len": len, "iter": iter, "next": next, "bool": bool,
    "str": str, "repr": repr, "int": int, "float": float, "index": operator.index, "isinstance": isinstance,
    "getitem": operator.getitem, "setitem": operator.setitem, "delitem": operator.delitem, "contains": operator.contains,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv, "matmul": operator.matmul,
    "floordiv": operator.floordiv, "mod": operator.mod, "and": operator.and_, "or": operator.or_, "xor": operator.xor,
    "call": lambda function, *args, **kwargs: function(*args, **kwargs),
}  # fmt: skip

Reply = channel.Message | Callable[[bool], channel.Message]
"""A message, or what makes it, with care for very long integers or without."""


class Program:
    """One program and its conversation with the judge."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._exports: list[Any] = []
        self._export_ids: dict[int, int] = {}
        self._module = types.ModuleType("solution")
        self._code: types.CodeType | None = None
        self._main = False
        self._ahead = 0
        """Lines of the prompt, ahead of the model's own."""

    def serve(self) -> None:
        """Answer until the judge hangs up."""
        while (message := channel.receive(self._link)) is not None:
            try:
                reply = self._answer(message)
                self._send(reply)
            except BaseException as error:  # SystemExit and KeyboardInterrupt are the program's, too
                reply = {"exception": self._describe(error)}
                channel.send(self._link, reply)
            if self._main and message["op"] == "run":
                os._exit(int(reply.get("exit", 1)) if isinstance(reply, dict) else 1)

    def _answer(self, message: channel.Message) -> Reply:
        answers: dict[str, Callable[[channel.Message], Reply]]
        answers = {"load": self._load, "run": self._run, "names": self._names, "do": self._do}
        return answers[message["op"]](message)

    def _send(self, reply: Reply) -> None:
        if not callable(reply):
            return channel.send(self._link, reply)
        try:
            channel.send(self._link, reply(False))
        except ValueError:
            channel.send(self._link, reply(True))

    def _load(self, message: channel.Message) -> channel.Message:
        """Compile the first of several readings of the text that is Python and defines what is asked for."""
        first: BaseException | None = None
        self._ahead = message["sources"][0][1]
        found: list[tuple[ast.Module, types.CodeType, str, int]] = []
        for source, ahead in message["sources"]:
            try:
                tree = ast.parse(source, FILE)
                found.append((tree, compile(tree, FILE, "exec", dont_inherit=True), source, ahead))
            except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
                first = first or error
                continue
            if normal.defines(tree, message["wanted"]):
                break
        if not found:
            raise first or ValueError("no source")
        tree, self._code, source, self._ahead = next((one for one in found if normal.defines(one[0], message["wanted"])), found[0])
        linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
        self._main = message["main"]
        self._prepare(message["preamble"])
        return {"key": normal.key(tree)}

    def _prepare(self, preamble: str) -> None:
        name = "__main__" if self._main else "solution"
        self._module = types.ModuleType(name)
        self._module.__dict__["__builtins__"] = builtins
        sys.modules[name] = self._module
        sys.argv = ["program"]
        if preamble:
            exec(compile(preamble, "<preamble>", "exec"), self._module.__dict__)

    def _run(self, message: channel.Message) -> channel.Message:
        assert self._code is not None
        if not self._main:
            exec(self._code, self._module.__dict__)
            return {}
        try:
            exec(self._code, self._module.__dict__)
            return {"exit": 0}
        except SystemExit as end:
            return {"exit": end.code if isinstance(end.code, int) else int(end.code is not None)}
        finally:
            threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls at its own end
            atexit._run_exitfuncs()
            _flush()

    def _names(self, message: channel.Message) -> channel.Message:
        encoder = Encoder(self._handle)
        values = {}
        for name in message["names"]:
            if name in self._module.__dict__:
                values[name] = self._global(self._module.__dict__[name], encoder)
        return {"values": values, "nodes": encoder.nodes}

    def _global(self, value: Any, encoder: Encoder) -> Any:
        if isinstance(value, types.ModuleType):
            return ["m", value.__name__]
        if isinstance(value, type) and issubclass(value, BaseException):
            return ["e", value.__name__, _builtin_base(value)]
        return encoder.value(value)

    def _do(self, message: channel.Message) -> Callable[[bool], channel.Message]:
        """Do one operation. The reply also says how the containers among its arguments have changed."""
        decoder = Decoder(message["nodes"], self._object)
        args = [decoder.value(value) for value in message["args"]]
        kwargs = {name: decoder.value(value) for name, value in message["kwargs"].items()}
        changes = Changes(decoder.objects)
        try:
            value = _OPERATIONS[message["name"]](*args, **kwargs)
            if message.get("await") and inspect.iscoroutine(value):
                value = asyncio.run(value)
            reply, ok = value, True
        except BaseException as error:
            reply, ok = self._describe(error), False
        return lambda careful: self._reply(reply, ok, decoder, changes, careful)

    def _reply(self, value: Any, ok: bool, decoder: Decoder, changes: Changes, careful: bool) -> channel.Message:
        encoder = Encoder(self._handle, decoder.objects, careful=careful)
        encoded = encoder.value(value) if ok else value
        for number, changed in changes.found():
            encoder.content(number, changed)
        return {"value" if ok else "exception": encoded, "nodes": encoder.nodes}

    def _describe(self, error: BaseException) -> dict[str, Any]:
        """An exception in words: type, builtin base, text and the last line of the model's own that it passed."""
        lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILE]
        text = str(error)
        if isinstance(error, SyntaxError) and error.filename == FILE:
            lines, text = [error.lineno or 0], error.msg
        line = max(0, lines[-1] - self._ahead) if lines else 0
        source = linecache.getline(FILE, lines[-1]).strip() if line else ""
        kind = type(error)
        return {"type": kind.__name__[:100], "base": _builtin_base(kind), "text": text[:2000], "line": line, "source": source[:200]}

    def _handle(self, value: Any) -> list[Any]:
        if isinstance(value, Callback):
            return ["c", value.number]
        number = self._export_ids.get(id(value))
        if number is None:
            number = self._export_ids[id(value)] = len(self._exports)
            self._exports.append(value)
        return ["h", number, type(value).__name__]

    def _object(self, tag: list[Any]) -> Any:
        return self._exports[tag[1]] if tag[0] == "h" else Callback(self, tag[1])

    def call_back(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Have the judge call one of the functions that the test gave us."""
        encoder = Encoder(self._handle, careful=True)
        encoded = [encoder.value(value) for value in args], {name: encoder.value(value) for name, value in kwargs.items()}
        channel.send(self._link, {"callback": number, "args": encoded[0], "kwargs": encoded[1], "nodes": encoder.nodes})
        reply = channel.receive(self._link)
        if reply is None:
            raise EOFError("the test is over")
        if "exception" in reply:
            raise RuntimeError(reply["exception"])
        return Decoder(reply["nodes"], self._object).value(reply["value"])


class Callback:
    """A function of the test's."""

    def __init__(self, program: Program, number: int) -> None:
        self._program, self.number = program, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._program.call_back(self.number, args, kwargs)


def _builtin_base(kind: type[BaseException]) -> str:
    names: list[str] = [base.__name__ for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base]
    return names[0]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
