"""The events of a request that is going on."""

from __future__ import annotations

from k2core_hooks.trace import Joined

from k2core.events import CallEnded, Delta, Event

from ..records import RequestRecord


class Collecting:
    """Keeps events in their record. Of text as it arrived, only what a cancelled or failed call had produced is kept, joined:
    as in trace files, and what a call that was served wrote is in its completions anyway."""

    def __init__(self, record: RequestRecord) -> None:
        self.record = record
        self._partial: dict[str, dict[tuple[int, bool], Joined]] = {}

    def add(self, event: Event) -> None:
        if isinstance(event, Delta):
            streams = self._partial.setdefault(event.call_id, {})
            key = (event.index, event.reasoning)
            if key not in streams:
                streams[key] = Joined(event)
            streams[key].add(event)
            return
        if isinstance(event, CallEnded):
            streams = self._partial.pop(event.call_id, {})
            if event.status in {"cancelled", "failed"}:
                self.record.events.extend(joined.delta for joined in streams.values())
        self.record.events.append(event)
