"""A trace as bytes and back: the events' JSON lines, compressed, with the configuration that most have in common kept once."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from k2core_hooks.jsonl import to_line
from pydantic_core import PydanticSerializationError, to_json

from k2core import events as kernel
from k2core.events import Event, RunStarted

LARGEST = 1 << 28
"""Bytes that a stored trace is unpacked to at most, so that a damaged one cannot take all memory."""


KERNEL = frozenset(cls for cls in vars(kernel).values() if isinstance(cls, type) and issubclass(cls, Event))


class Packed(NamedTuple):
    lines: bytes
    """Compressed."""
    size: int
    """Bytes of the lines before that."""
    config: bytes
    """JSON with `config` and `plugins` of the first run; empty where it has none."""

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.config).hexdigest() if self.config else ""


def pack(events: Iterable[Event]) -> Packed:
    """The events, run by run where there are several, each in its order."""
    runs: dict[str, list[Event]] = {}
    for event in events:
        runs.setdefault(event.run_id, []).append(event)
    common: dict[str, Any] = {}
    lines = [line_of(_without(event, common)) for run in runs.values() for event in run]
    config = json.dumps(common, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "replace") if common else b""
    body = b"".join(lines)
    return Packed(zlib.compress(body, 1), len(body), config)


def line_of(event: Event) -> bytes:
    """As `to_line`, and four times as fast for the kernel's events. Of those only log-probabilities can be numbers that JSON lacks,
    and only `to_line` keeps these and other plugins' own."""
    if type(event) in KERNEL:
        try:
            made = to_json(event, inf_nan_mode="strings")
        except (PydanticSerializationError, ValueError):  # lone surrogates, objects of plugins
            return to_line(event)
        if b'"logprobs":[' not in made:
            return b'{"kind":"' + event.kind.encode() + b'",' + made[1:] + b"\n"
    return to_line(event)


def _without(event: Event, common: dict[str, Any]) -> Event:
    """The event without the configuration, if it is the first with one or has the same."""
    if not isinstance(event, RunStarted) or not event.config:
        return event
    own = {"config": dict(event.config), "plugins": dict(event.plugins)}
    common.update({} if common else own)
    return event.model_copy(update={"config": {}, "plugins": {}}) if own == common else event


class Unpacked(NamedTuple):
    events: list[dict[str, Any]]
    """Parsed lines, the configuration put back."""
    damage: str
    """What could not be read; empty when everything could."""


def unpack(lines: bytes, config: bytes) -> Unpacked:
    """As far as it can be read. Never raises for what the bytes hold."""
    body, damage = _decompressed(lines)
    common = _object(config)
    if config and common is None:
        damage = damage or "the configuration cannot be read"
    events = []
    for number, line in enumerate(body.splitlines() if isinstance(body, bytes) else (), 1):
        data = _object(line)
        if data is None or not isinstance(data.get("kind"), str):
            damage = damage or f"line {number} is no event"
            continue
        if data["kind"] == RunStarted.kind and not data.get("config"):
            data |= common or {}
        events.append(data)
    return Unpacked(events, damage)


def _decompressed(lines: bytes) -> tuple[bytes, str]:
    if not isinstance(lines, bytes):
        return b"", "the trace is no sequence of bytes"
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(lines, LARGEST)
    except zlib.error as error:
        return b"", f"the trace cannot be unpacked: {error}"
    return body, "" if stream.eof else "the trace is incomplete"


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return None
    return data if isinstance(data, dict) else None


def to_jsonl(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Events as the trace file that `k2 replay` takes."""
    return b"".join(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for event in events)
