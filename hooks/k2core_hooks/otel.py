"""The `otel` hook: runs and calls as OpenTelemetry spans, by the semantic conventions for generative AI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from k2core.errors import explain
from k2core.events import Event, RunEnded, RunStarted
from k2core.plugin import Plugin, PluginConfig, hookimpl
from k2core.ports import UNSET, Call, Run
from k2core.types import DecodeRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer


class OtelConfig(PluginConfig):
    """What spans say. Where they go is up to OpenTelemetry's own environment variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    name: str = "k2core"
    """`gen_ai.agent.name` of the run's span."""
    content: bool = False
    """Record problems, prompts and answers, too; they may be private."""
    export: Literal["otlp", "none"] = "otlp"
    """Send spans by OTLP over HTTP, unless the program has set up a tracer provider of its own; `none` leaves it all to that."""


class Otel(Plugin):
    """One span a run, below it one for each call of a role, below that one for each call of a decoder."""

    config: OtelConfig
    rank: ClassVar[int] = 20

    def __init__(self, config: OtelConfig | None = None) -> None:
        super().__init__(config)
        self._tracer: Tracer | None = None
        self._provider: TracerProvider | None = None
        self._runs: dict[str, tuple[Span, object]] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}

    @hookimpl
    async def k2_start(self) -> None:
        """Raises `RuntimeError` saying what to install."""
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise RuntimeError("the hook otel needs OpenTelemetry: pip install 'k2core-hooks[otel]'") from error
        if self.config.export == "otlp" and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._provider = _otlp()
        provider = self._provider or trace.get_tracer_provider()
        self._tracer = provider.get_tracer("k2core")

    @hookimpl
    async def k2_stop(self) -> None:
        """Send what has not been sent."""
        self._tracer = None
        if self._provider:
            import asyncio

            await asyncio.to_thread(self._provider.shutdown)
            self._provider = None

    # runs

    @hookimpl
    def k2_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._begin(event)
        elif isinstance(event, RunEnded):
            self._end(event)

    def _begin(self, event: RunStarted) -> None:
        from opentelemetry import context, trace

        if self._tracer is None:
            return
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self.config.name,
            "gen_ai.conversation.id": event.run_id,
            "k2core.problem.id": event.problem.id,
            "k2core.seed": event.seed,
        }
        if self.config.content:
            attributes["k2core.problem"] = event.problem.text
        span = self._tracer.start_span(f"invoke_agent {self.config.name}", attributes=attributes)
        # this is the task that the run lives in: all that it starts finds the span there
        self._runs[event.run_id] = span, context.attach(trace.set_span_in_context(span))
        self._configs[event.run_id] = event.config

    def _end(self, event: RunEnded) -> None:
        from opentelemetry import context

        self._configs.pop(event.run_id, None)
        span, token = self._runs.pop(event.run_id, (None, None))
        if span is None:
            return
        context.detach(token)  # type: ignore[arg-type]
        span.set_attribute("gen_ai.usage.input_tokens", sum(usage.prompt_tokens for usage in event.usage.values()))
        span.set_attribute("gen_ai.usage.output_tokens", sum(usage.completion_tokens for usage in event.usage.values()))
        if event.result:
            span.set_attribute("k2core.candidates", len(event.result.candidates))
            if self.config.content:
                span.set_attribute("k2core.answer", event.result.answer or "")
        if event.error:
            _failed(span, event.error.partition(":")[0], event.error if self.config.content else "")
        span.end()

    # calls

    @hookimpl
    def k2_around(self, run: Run, call: Call) -> AbstractAsyncContextManager[None] | None:
        return self._spanned(self._tracer, run, call) if self._tracer else None

    @asynccontextmanager
    async def _spanned(self, tracer: Tracer, run: Run, call: Call) -> AsyncIterator[None]:
        from opentelemetry.trace import SpanKind

        decoding = call.role == "decoder"
        name, attributes = self._chat(run, call) if decoding else (f"{call.role} {call.plugin}", {"k2core.plugin": call.plugin})
        kind = SpanKind.CLIENT if decoding else SpanKind.INTERNAL
        with tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                _failed(span, type(error).__name__, explain(error) if self.config.content else "")
                raise
            finally:
                if decoding:
                    self._answered(span, call)

    def _chat(self, run: Run, call: Call) -> tuple[str, dict[str, Any]]:
        """Name and attributes of a call to a model."""
        request: DecodeRequest = call.args["request"]
        table = self._configs.get(run.id, {}).get("decoders", {}).get(request.decoder, {})
        model = str(table.get("model") or request.decoder)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": str(table.get("use", "k2core")),
            "gen_ai.request.model": model,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.top_p": request.top_p,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.output.type": "text" if request.json_schema is None else "json",
            "k2core.plugin": call.plugin,
            "k2core.role": request.role,
        }
        if request.n != 1:
            attributes["gen_ai.request.choice.count"] = request.n
        if request.seed is not None:
            attributes["gen_ai.request.seed"] = request.seed
        if request.stop:
            attributes["gen_ai.request.stop_sequences"] = request.stop
        if self.config.content:
            attributes["k2core.prompt"] = request.messages[-1].content if request.messages else ""
        return f"chat {model}", attributes

    def _answered(self, span: Span, call: Call) -> None:
        span.set_attribute("gen_ai.usage.input_tokens", call.usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", call.usage.completion_tokens)
        if call.result is UNSET:
            return
        span.set_attribute("gen_ai.response.finish_reasons", [completion.finish for completion in call.result])
        if model := next((completion.model for completion in call.result if completion.model), ""):
            span.set_attribute("gen_ai.response.model", model)
        if self.config.content:
            span.set_attribute("k2core.completions", [completion.text for completion in call.result])


def _failed(span: Span, kind: str, message: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, message or None))


def _otlp() -> TracerProvider:
    """A provider that sends in batches. Raises `RuntimeError` saying what to install."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise RuntimeError("sending spans needs the exporter: pip install 'k2core-hooks[otel]'") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "k2core"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
