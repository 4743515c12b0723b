"""Values between judge and program, as JSON: plain data by value, keeping identity and cycles; all else by a handle.

A message is `{"nodes": {id: [kind, content]}, …}`; a value in it is a JSON scalar or a tagged list: `["n", id]` a container,
`["x", kind, arguments]` other plain data, `["i", hex]` a very long integer, anything else a handle of its sender. Subclasses
of plain types travel as the plain type, by their base's own methods. Containers keep their ids during a call, so that the
reply can say how the arguments were changed. Decoding makes only the types listed here, whatever the other side sends.
"""

from __future__ import annotations

import datetime
import operator
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

_PLAIN = frozenset({int, float, str, bool, type(None)})
_KINDS: dict[type, str] = {
    list: "list", tuple: "tuple", Counter: "Counter", OrderedDict: "OrderedDict", defaultdict: "dict", dict: "dict",
    set: "set", frozenset: "frozenset", deque: "deque", bytearray: "bytearray",
}  # fmt: skip
"""Subclasses before their bases."""
_DICTS = {"dict": dict, "Counter": Counter, "OrderedDict": OrderedDict}
_MUTABLE: dict[str, Callable[[], Any]] = {"list": list, "set": set, "deque": deque, "bytearray": bytearray, **_DICTS}
_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        bool,
        list,
        tuple,
        dict,
        set,
        frozenset,
        object,
        type,
        type(None),
        range,
    )
}
_LONG = 1 << 4000


def _kind(value: Any) -> str:
    return _KINDS.get(type(value)) or next(kind for base, kind in _KINDS.items() if isinstance(value, base))


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return OrderedDict.items(value) if isinstance(value, OrderedDict) else dict.items(value)


def _exact(value: Any) -> list[Any] | None:
    """Plain data without identity as `["x", kind, arguments]`; None for everything else."""
    found: tuple[str, list[Any]] | None = None
    if isinstance(value, complex):
        found = "complex", [value.real, value.imag]
    elif isinstance(value, bytes):
        found = "bytes", [value.hex()]
    elif isinstance(value, Decimal):
        found = "Decimal", [str(value)]
    elif isinstance(value, Fraction):
        found = "Fraction", [hex(value.numerator), hex(value.denominator)]
    elif type(value) in (datetime.date, datetime.datetime, datetime.time) and getattr(value, "tzinfo", None) is None:
        found = type(value).__name__, [value.isoformat()]
    elif type(value) is datetime.timedelta:
        found = "timedelta", [value.days, value.seconds, value.microseconds]
    elif type(value) is range:
        found = "range", [value.start, value.stop, value.step]
    elif isinstance(value, type) and _TYPES.get(value.__name__) is value:
        found = "type", [value.__name__]
    elif value is Ellipsis:
        found = "Ellipsis", []
    return ["x", *found] if found else None


_MAKE: dict[str, Callable[..., Any]] = {
    "complex": lambda real, imag: complex(real, imag),
    "bytes": lambda text: bytes.fromhex(text),
    "Decimal": lambda text: Decimal(text),
    "Fraction": lambda over, under: Fraction(int(over, 16), int(under, 16)),
    "date": lambda text: datetime.date.fromisoformat(text),
    "datetime": lambda text: datetime.datetime.fromisoformat(text),
    "time": lambda text: datetime.time.fromisoformat(text),
    "timedelta": lambda days, seconds, micros: datetime.timedelta(days, seconds, micros),
    "range": lambda start, stop, step: range(start, stop, step),
    "type": lambda name: _TYPES[name],
    "Ellipsis": lambda: Ellipsis,
}


class Encoder:
    """Encodes the values of one message. `handle` makes the tagged list of what is no plain data, or raises."""

    def __init__(self, handle: Callable[[Any], list[Any]], known: dict[int, Any] | None = None, *, careful: bool = False) -> None:
        self._handle, self._careful = handle, careful
        self.objects: dict[int, Any] = dict(known or {})
        """Containers by id, those of the message before included."""
        self._ids = {id(value): number for number, value in self.objects.items()}
        self._next = max(self.objects, default=-1) + 1
        self.nodes: dict[int, list[Any]] = {}

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            long = self._careful and kind is int and not -_LONG < value < _LONG
            return ["i", hex(value)] if long else value
        if kind in _KINDS:
            return ["n", self._node(value)]
        return self._subclass(value)

    def _subclass(self, value: Any) -> Any:
        readers: tuple[tuple[type, Any], ...] = ((int, int.__int__), (float, float.__float__), (str, str.__str__))
        for base, read in readers:
            if isinstance(value, base):
                return self.value(read(value))
        for base in _KINDS:
            if isinstance(value, base):
                return ["n", self._node(value)]
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.value(value.tolist())
        exact = _exact(value)
        return self._handle(value) if exact is None else exact

    def _node(self, value: Any) -> int:
        number = self._ids.get(id(value))
        if number is None:
            number, self._next = self._next, self._next + 1
            self._ids[id(value)], self.objects[number] = number, value
            self.content(number, value)
        return number

    def content(self, number: int, value: Any) -> None:
        """Put the container's present content into the message, under its id."""
        kind = _kind(value)
        node: list[Any] = [kind, None]
        self.nodes[number] = node
        if kind == "bytearray":
            node[1] = bytes(value).hex()
        elif kind in _DICTS:
            node[1] = [[self.value(key), self.value(item)] for key, item in _items(value)]
        else:
            node[1] = self._parts(value)

    def _parts(self, value: Any) -> list[Any]:
        base: Any = next(base for base in _KINDS if isinstance(value, base))
        items = list(base.__iter__(value))
        if not self._careful and _PLAIN.issuperset(map(type, items)):
            return items
        return [self.value(item) for item in items]


class Decoder:
    """Decodes one message. `known` are the containers that it may refer to or change. Raises on anything malformed."""

    def __init__(self, nodes: dict[str, Any], handle: Callable[[list[Any]], Any], known: dict[int, Any] | None = None) -> None:
        self._nodes, self._handle = nodes, handle
        self.objects: dict[int, Any] = dict(known or {})
        for number in [int(name) for name in nodes if int(name) in self.objects]:
            self._fill(self.objects[number], *nodes[str(number)])

    def value(self, value: Any) -> Any:
        if not isinstance(value, list):
            if type(value) not in _PLAIN:
                raise ValueError("malformed value")
            return value
        tag = value[0]
        if tag == "n":
            return self._container(value[1])
        if tag == "x":
            return _MAKE[value[1]](*value[2])
        return int(value[1], 16) if tag == "i" else self._handle(value)

    def _container(self, number: int) -> Any:
        if number in self.objects:
            return self.objects[number]
        kind, content = self._nodes[str(number)]
        if kind in _MUTABLE:
            self.objects[number] = made = _MUTABLE[kind]()
            self._fill(made, kind, content)
            return made
        made = {"tuple": tuple, "frozenset": frozenset}[kind](self._values(content))
        return self.objects.setdefault(number, made)

    def _values(self, content: list[Any]) -> list[Any]:
        return content if _PLAIN.issuperset(map(type, content)) else [self.value(item) for item in content]

    def _fill(self, made: Any, kind: str, content: Any) -> None:
        """Give a container, new or known, its content."""
        if kind == "bytearray":
            made[:] = bytes.fromhex(content)
        elif kind in _DICTS:
            items = [(self.value(key), self.value(item)) for key, item in content]
            made.clear()
            for key, item in items:
                made[key] = item
        else:
            items = self._values(content)
            made.clear()
            (made.update if kind == "set" else made.extend)(items)


class Changes:
    """Notices which mutable containers were changed, without copying what is in them."""

    def __init__(self, objects: dict[int, Any]) -> None:
        self._objects = objects
        self._before = {number: _parts(value) for number, value in objects.items() if not isinstance(value, (tuple, frozenset))}

    def found(self) -> Iterable[tuple[int, Any]]:
        """Id and container of each that is not as it was."""
        for number, before in self._before.items():
            value = self._objects[number]
            now = _parts(value)
            if len(now) != len(before) or not all(map(operator.is_, now, before)):
                yield number, value


def _parts(value: Any) -> list[Any]:
    return [part for item in _items(value) for part in item] if isinstance(value, dict) else list(value)
