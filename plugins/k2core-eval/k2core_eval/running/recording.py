"""What a run did and spent, collected from its events as they happen."""

from __future__ import annotations

import re
from collections import defaultdict
from contextvars import ContextVar, Token
from typing import Any

from k2core_hooks.jsonl import to_line

from k2core.config import PipelineConfig, PluginTable
from k2core.events import CallEnded, CandidateFailed, Delta, Event, RunEnded, RunStarted, Warned
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.registry import Registry
from k2core.types import Usage

from ..records import Spent

HOOK = "evaluation"
"""Name of the observer in the pipeline; no part of the configuration that is recorded."""
_CALLS = ("started", "served", "cancelled", "failed", "cached")
_COUNTS = (*_CALLS, "prompt_tokens", "completion_tokens", "drafted", "accepted", "cost", "seconds")
_GIVEN_UP = re.compile(r"\(\d+ attempts\)")
_recording: ContextVar[Recorder] = ContextVar("recording")


class Recorder:
    """The events of the run that is started within its block."""

    def __init__(self, *, trace: bool = True) -> None:
        self._trace = trace
        self._lines: list[bytes] = []
        self._sums: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(lambda: dict.fromkeys(_COUNTS, 0))
        self._estimated: set[tuple[str, str, str]] = set()
        self._streams: dict[str, dict[tuple[int, bool], _Stream]] = {}
        self._failures: list[str] = []
        self.lost = ""
        """What kept a call from being answered at all though it might pass: the run went on without it, if it could."""
        self.first_token: float | None = None
        self.run_id = ""

    def __enter__(self) -> Recorder:
        self._token: Token[Recorder] = _recording.set(self)
        return self

    def forgive(self) -> None:
        """Forget what was lost: the run is made again, and what it spent is added."""
        self.lost = ""

    def __exit__(self, *_: object) -> None:
        _recording.reset(self._token)

    def trace(self) -> bytes:
        """The events, a line each."""
        return b"".join(self._lines)

    def spent(self) -> tuple[Spent, ...]:
        """Every call by role, decoder and model, sorted by those, with the seconds it took."""
        return tuple(
            Spent(role=key[0], decoder=key[1], model=key[2], usage=_usage(sums, key in self._estimated))
            for key, sums in sorted(self._sums.items())
        )

    def take(self, event: Event) -> None:
        """Keep what there is to keep of an event."""
        if isinstance(event, Delta):
            self._stream(event)
            return
        if isinstance(event, CallEnded):
            self._close(event)
        elif isinstance(event, Warned):
            self._hear(event.message)
        elif isinstance(event, CandidateFailed):
            self._hear(event.error)
        if self._trace:
            self._lines.append(line_of(event))

    def _stream(self, delta: Delta) -> None:
        if self.first_token is None and delta.text and delta.role == "solve":
            self.first_token = delta.at
        if self._trace:
            streams = self._streams.setdefault(delta.call_id, {})
            key = (delta.index, delta.reasoning)
            if key not in streams:
                streams[key] = _Stream()
            streams[key].add(delta)

    def _close(self, event: CallEnded) -> None:
        streams = self._streams.pop(event.call_id, {})
        if event.status in ("cancelled", "failed"):
            self._lines += [line_of(stream.joined()) for stream in streams.values()]
        key = (event.role, event.plugin.removeprefix("decoders."), event.completions[0].model if event.completions else "")
        sums, used = self._sums[key], event.usage.__dict__
        for name in _COUNTS:
            sums[name] += used[name]
        if event.usage.estimated:
            self._estimated.add(key)
        if event.status == "failed":
            self._failures.append(event.error)

    def _hear(self, text: str) -> None:
        """The kernel says how often it tried where it gave up on what may pass; other failures it does not try again."""
        if not self.lost and _GIVEN_UP.search(text):
            self.lost = next((error for error in self._failures if error in text), "")


def _usage(sums: dict[str, Any], estimated: bool) -> Usage:
    cost = round(sums["cost"], 12)  # calls end in any order, and so are added up
    return Usage(**{**sums, "cost": cost}, estimated=estimated)


class _Stream:
    """The text of one choice so far, for calls that do not end well."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens = 0

    def add(self, delta: Delta) -> None:
        self._last = delta
        self._texts.append(delta.text)
        self._tokens += delta.tokens

    def joined(self) -> Delta:
        return self._last.model_copy(update={"text": "".join(self._texts), "tokens": self._tokens})


_EXCLUDED: dict[type[Event], Any] = {
    RunStarted: {"config", "plugins"},
    RunEnded: {"result": {"candidate": {"completion"}, "candidates": {"__all__": {"completion"}}}},
}
"""What an evaluation's trace has in other places: the pipeline in its first line, completions where their calls ended."""


def line_of(event: Event) -> bytes:
    """As `to_line`, several times as fast, and without what is excluded."""
    excluded = _EXCLUDED.get(type(event))
    if isinstance(event, CallEnded) and any(made.logprobs for made in event.completions):
        return to_line(event)  # infinities, which JSON has not
    try:
        text = event.model_dump_json(exclude=excluded)
    except ValueError:  # lone surrogates
        return to_line(_without(event))
    return b'{"kind":"%s",%s\n' % (event.kind.encode(), text[1:].encode())


def _without(event: Event) -> Event:
    if isinstance(event, RunStarted):
        return event.model_copy(update={"config": {}, "plugins": {}})
    if isinstance(event, RunEnded) and event.result:
        return event.model_copy(update={"result": event.result.model_copy(update=_bare(event.result))})
    return event


def _bare(result: Any) -> dict[str, Any]:
    bare = [candidate.model_copy(update={"completion": None}) for candidate in (result.candidate, *result.candidates)]
    return {"candidate": bare[0], "candidates": tuple(bare[1:])}


class RecordingConfig(PluginConfig):
    """There is nothing to set."""


class Recording(Plugin):
    """Hands every event to the recorder of its run."""

    config: RecordingConfig

    def __init__(self, config: RecordingConfig | None = None) -> None:
        super().__init__(config)
        self._recorders: dict[str, Recorder] = {}

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            if recorder := _recording.get(None):
                recorder.run_id = event.run_id
                self._recorders[event.run_id] = recorder
                recorder.take(event)
        elif recorder := self._recorders.get(event.run_id):
            recorder.take(event)
            if isinstance(event, RunEnded):
                del self._recorders[event.run_id]


def add_recorder(config: PipelineConfig, registry: Registry) -> PipelineConfig:
    """The pipeline with the observer in it, which is also offered by the registry."""
    registry.add("hook", HOOK, Recording)
    return config.model_copy(update={"hooks": {**config.hooks, HOOK: PluginTable(use=HOOK)}})
