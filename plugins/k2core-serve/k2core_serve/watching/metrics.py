"""Figures for Prometheus. Labels are configured names only, so that no client can make more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from ..pipelines.version import Version
    from ..records import RequestRecord
    from ..services import Services

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
CALLS = ("started", "served", "cancelled", "failed", "unsent", "cached")


class Metrics:
    """One server's, in a registry of its own, so that several servers can be in one process."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.requests = Counter("k2core_requests", "Requests answered.", ["model", "endpoint", "status"], registry=own)
        self.seconds = Histogram("k2core_request_seconds", "Their time.", ["endpoint"], buckets=SECONDS, registry=own)
        first = "Until the first event of a stream."
        self.first_event = Histogram("k2core_first_event_seconds", first, ["endpoint"], buckets=SECONDS, registry=own)
        self.in_flight = Gauge("k2core_requests_in_flight", "Requests being served, waiting ones included.", registry=own)
        self.running = Gauge("k2core_requests_running", "Requests at work.", registry=own)
        self.queued = Gauge("k2core_requests_queued", "Requests that wait.", registry=own)
        self.retiring = Gauge("k2core_versions_retiring", "Old versions that still serve.", registry=own)
        self.gone = Counter("k2core_clients_gone", "Clients that left before their answer.", ["endpoint"], registry=own)
        self.runs = Counter("k2core_runs", "Runs ended.", ["model", "outcome"], registry=own)
        self.tokens = Counter("k2core_tokens", "Tokens spent.", ["model", "role", "kind"], registry=own)
        self.calls = Counter("k2core_calls", "Calls to decoders.", ["model", "role", "outcome"], registry=own)
        self.store = Gauge("k2core_store", "Figures of the store of finished requests.", ["figure"], registry=own)
        self.swaps = Gauge("k2core_swaps", "Pipelines swapped or refused until now.", ["model", "outcome"], registry=own)
        self.shadow = Gauge("k2core_shadow", "Figures of shadows.", ["model", "figure"], registry=own)

    def look(self, services: Services) -> None:
        """What is not counted as it happens."""
        self.running.set(services.gate.places.running)
        self.queued.set(services.gate.places.waiting)
        self.retiring.set(services.pipelines.retiring)
        for name in services.pipelines.names():
            live = services.pipelines.live(name)
            self.swaps.labels(name, "taken").set(live.swaps)
            self.swaps.labels(name, "refused").set(live.refused)
        for report in services.shadows.reports():
            for name, count in report["counts"].items():
                self.shadow.labels(report["model"], name.replace(" ", "_")).set(count)
        counters = getattr(services.recorder, "counters", None)
        for name, value in (counters() if counters else {}).items():
            self.store.labels(name).set(value)
        if counters:
            self.store.labels("trouble").set(bool(services.trouble))

    def request(self, model: str, endpoint: str, status: int, seconds: float) -> None:
        self._child(self.requests, model, endpoint, str(status)).inc()
        self._child(self.seconds, endpoint).observe(seconds)

    def heard(self, record: RequestRecord, version: Version, seed: int) -> None:
        """A run has ended."""
        name, child = record.pipeline, self._child
        child(self.runs, name, "failed" if record.error else "served").inc()
        for role, usage in record.usage.items():
            child(self.tokens, name, role, "prompt").inc(usage.prompt_tokens)
            child(self.tokens, name, role, "completion").inc(usage.completion_tokens)
            for outcome in CALLS:
                if count := getattr(usage, outcome):
                    child(self.calls, name, role, outcome).inc(count)

    def _child(self, metric: Any, *labels: str) -> Any:
        """The metric of these labels; the library's own look-up takes a lock and a while."""
        found = self._children.get((metric, labels))
        if found is None:
            found = self._children[metric, labels] = metric.labels(*labels)
        return found

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)
