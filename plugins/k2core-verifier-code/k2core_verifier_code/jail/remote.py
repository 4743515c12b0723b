"""What the test holds in place of the program's functions, classes and objects.

Every operation on one is done in the program and comes back as data. What would let an object decide its own case is not done:
it never equals plain data, and it cannot be compared or calculated with it.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from . import channel
from .session import Session, Stopped
from .wire import Decoder, Encoder


class Unsendable(TypeError):
    """The test hands the program something that has no form as data."""


class Proxy:
    """Turns operations into requests, and replies into values or exceptions."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._given: list[Callable[..., Any]] = []
        self._exceptions: dict[str, type[BaseException]] = {}

    def names(self, names: list[str]) -> dict[str, Any]:
        """The program's globals of these names, where it has them. Modules come as `("module", name)`."""
        reply = self._session.ask({"op": "names", "names": names})
        with _readable():
            decoder = Decoder(_nodes(reply), self.native)
            return {name: self._global(reply["values"][name], decoder) for name in names if name in reply["values"]}

    def _global(self, value: Any, decoder: Decoder) -> Any:
        if isinstance(value, list) and value[0] == "m":
            return ("module", str(value[1]))
        if isinstance(value, list) and value[0] == "e":
            return self.exception(str(value[1]), str(value[2]))
        return decoder.value(value)

    def do(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """One operation in the program; arguments that it changes are changed here, too. Raises what it raises."""
        return self.request({"name": operation}, args, kwargs)

    def request(self, extra: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._session.requests += 1
        known, message = self._encode(args, kwargs)
        try:
            reply = self._session.ask({"op": "do", **extra, **message})
        except ValueError:
            known, message = self._encode(args, kwargs, careful=True)
            reply = self._session.ask({"op": "do", **extra, **message})
        while "callback" in reply:
            reply = self._session.ask(self._called(reply))
        with _readable():
            decoder = Decoder(_nodes(reply), self.native, known)
            if "exception" not in reply:
                return decoder.value(reply["value"])
            error = self._raised(reply["exception"])
        raise error

    def _encode(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, careful: bool = False
    ) -> tuple[dict[int, Any], channel.Message]:
        encoder = Encoder(self._foreign, careful=careful)
        values = [encoder.value(value) for value in args], {name: encoder.value(value) for name, value in kwargs.items()}
        return encoder.objects, {"args": values[0], "kwargs": values[1], "nodes": encoder.nodes}

    def _called(self, reply: channel.Message) -> channel.Message:
        """The program calls a function that the test gave it."""
        try:
            decoder = Decoder(_nodes(reply), self.native)
            args = [decoder.value(value) for value in reply["args"]]
            kwargs = {str(name): decoder.value(value) for name, value in reply["kwargs"].items()}
            value = self._given[reply["callback"]](*args, **kwargs)
            encoder = Encoder(self._foreign, careful=True)
            return {"value": encoder.value(value), "nodes": encoder.nodes}
        except Exception as error:
            return {"exception": f"{type(error).__name__}: {error}"[:500]}

    def _foreign(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["h", value._k2_number]
        if callable(value) and not isinstance(value, type):
            self._given.append(value)
            return ["c", len(self._given) - 1]
        raise Unsendable(f"the test passes a {type(value).__name__}, which cannot be sent to the program")

    def native(self, tag: list[Any]) -> Any:
        """A handle as the object it stands for."""
        if tag[0] == "c":
            return self._given[tag[1]]
        return Remote(self, int(tag[1]), str(tag[2])[:60])

    def exception(self, name: str, base: str) -> type[BaseException]:
        """The program's exception class of that name, or one like it."""
        kind = getattr(builtins, base, None)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            kind = Exception
        if name == kind.__name__:
            return kind
        return self._exceptions.setdefault(name, type(name[:60] or "Error", (kind,), {}))

    def _raised(self, record: Any) -> BaseException:
        if not isinstance(record, dict):
            raise ValueError("malformed exception")
        kind = self.exception(str(record.get("type")), str(record.get("base")))
        try:
            error = kind(str(record.get("text", "")))
        except Exception:  # some builtin ones take several arguments
            error = RuntimeError(str(record.get("text", "")))
        error.k2_record = record  # type: ignore[attr-defined] # carried along on the exception itself
        return error


def _nodes(reply: channel.Message) -> dict[str, Any]:
    found = reply.get("nodes", {})
    if not isinstance(found, dict):
        raise ValueError("malformed message")
    return found


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Whatever goes wrong with what the program sent is the program's fault."""
    try:
        yield
    except Exception as error:
        raise Stopped("output", f"its value cannot be read ({type(error).__name__})") from None


class Remote:
    """An object of the program."""

    __slots__ = ("_k2_name", "_k2_number", "_k2_proxy")

    def __init__(self, proxy: Proxy, number: int, name: str) -> None:
        object.__setattr__(self, "_k2_proxy", proxy)
        object.__setattr__(self, "_k2_number", number)
        object.__setattr__(self, "_k2_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_k2"):
            raise AttributeError(name)
        return self._k2_proxy.do("getattr", self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._k2_proxy.do("call", self, *args, **kwargs)

    def __eq__(self, other: object) -> Any:
        return self._k2_proxy.do("eq", self, other) if isinstance(other, Remote) else False

    def __ne__(self, other: object) -> Any:
        return self._k2_proxy.do("ne", self, other) if isinstance(other, Remote) else True

    def __hash__(self) -> int:
        return hash(self._k2_number)

    def __instancecheck__(self, other: object) -> bool:
        return isinstance(other, Remote) and bool(self._k2_proxy.do("isinstance", other, self))


def _unary(operation: str) -> Callable[..., Any]:
    def method(self: Remote, *args: Any) -> Any:
        return self._k2_proxy.do(operation, self, *args)

    return method


def _binary(operation: str) -> Callable[..., Any]:
    def method(self: Remote, other: Any) -> Any:
        return self._k2_proxy.do(operation, self, other) if isinstance(other, Remote) else NotImplemented

    return method


for _name in "setattr delattr len iter next bool str repr int float index getitem setitem delitem contains".split():
    setattr(Remote, f"__{_name}__", _unary(_name))
for _name in "lt le gt ge add sub mul truediv floordiv mod matmul and or xor".split():
    setattr(Remote, f"__{_name}__", _binary(_name))
