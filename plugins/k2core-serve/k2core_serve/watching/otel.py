"""The span of a request, below the client's own where it sends one. The hook `otel` makes the spans of runs and calls below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from k2core.errors import ConfigError


@contextmanager
def server_span(wanted: bool, scope: Scope, name: str) -> Iterator[None]:
    """A span around the block, by OpenTelemetry's conventions for HTTP servers; nothing unless it is wanted."""
    if not wanted:
        yield
        return
    from opentelemetry import propagate, trace

    carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"] if key in _PASSED}
    attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "http.route": scope["path"]}
    tracer = trace.get_tracer("k2core_serve")
    with tracer.start_as_current_span(
        f"{scope['method']} {scope['path']}", propagate.extract(carrier), trace.SpanKind.SERVER, attributes
    ):
        yield


_PASSED = (b"traceparent", b"tracestate", b"baggage")


def check_installed() -> None:
    """Raises `ConfigError` saying what to install."""
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise ConfigError("otel = true needs OpenTelemetry: pip install 'k2core-serve[otel]'", "otel") from error
