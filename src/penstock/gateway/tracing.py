"""Spans by OpenTelemetry: `orchestration` over `inference` and `tool`, or one `inference`.

Names of attributes are those of the semantic conventions for generative AI where there are some.
Spans are sent by a thread of the SDK, in batches; one that cannot be sent is dropped.
"""

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock.chat.events import Step, ToolFinished, ToolStarted
from penstock.gateway.spans import About
from penstock.registry.entries import OUTCOMES, End

_W3C = TraceContextTextMapPropagator()
_CARRIED = (b"traceparent", b"tracestate")
_FINE = ("complete", "from_cache")
_NO_FAULT = (*_FINE, "client_gone", "denied", "refused")


class Tracing:
    """Satisfies `spans.Tracer`, and `server.Background`: what is left is sent at the end."""

    def __init__(self, endpoint: str | None, share: float) -> None:
        """Send to the OTLP/HTTP receiver at `endpoint`, or where OpenTelemetry's variables say.

        `share` is the share of traces kept that begin here; others are kept as their caller has
        decided.
        """
        # Its complaints come with whole tracebacks, one for each batch.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: "penstock-gateway"}
        self._provider = TracerProvider(
            resource=Resource.create(named),
            sampler=ParentBasedTraceIdRatio(share),
            shutdown_on_exit=False,
        )
        address = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
        self._tracer = self._provider.get_tracer("penstock")

    def begin(self, about: About) -> "OtelSpan":
        """Begin the span of a request, in the trace that its headers name."""
        carried = {
            name.decode(): value.decode("latin-1")
            for name, value in about.headers
            if name in _CARRIED
        }
        attributes: dict[str, str | bool] = {
            "gen_ai.operation.name": about.operation,
            "gen_ai.provider.name": "penstock",
            "gen_ai.request.stream": about.streams,
            "penstock.tenant": about.tenant,
            "penstock.request_id": about.request_id.decode(),
        }
        if about.model:
            attributes["gen_ai.request.model"] = about.model
        span = self._tracer.start_span(
            "inference",
            context=_W3C.extract(carried, context=Context()),
            kind=SpanKind.SERVER,
            attributes=attributes,
        )
        begun = OtelSpan(self._tracer, span, about.model)
        if about.answering and about.answering != about.model:
            begun.rerouted(about.answering)
        return begun

    async def start(self) -> None:
        """Background: nothing to prepare."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: the SDK has a thread of its own."""
        return ()

    async def stop(self) -> None:
        """Background: send what is left."""
        await asyncio.to_thread(self._provider.shutdown)


class OtelSpan:
    """Satisfies `spans.RequestSpan`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span, model: str) -> None:
        self._tracer, self._span, self._model = tracer, span, model
        self._context = trace.set_span_in_context(span, Context())
        self._round: OtelRound | None = None
        self._tools: dict[str, trace.Span] = {}
        self._used = (0, 0)
        self.header = _lines(_carrier(span))

    def first_byte(self, seconds: float) -> None:
        """See `spans.RequestSpan`."""
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def ended(self, end: End) -> None:
        """See `spans.RequestSpan`."""
        if not self._span.is_recording():
            return
        outcome = OUTCOMES[end.outcome]
        _note_usage(self._span, end.prompt, end.completion)
        self._span.set_attributes(
            {
                "gen_ai.usage.cache_read.input_tokens": end.cached,
                "penstock.usage.estimated": end.estimated,
                "penstock.outcome": outcome,
            }
        )
        if outcome not in _NO_FAULT:
            _mark(self._span, outcome)
        self.used(end.prompt, end.completion)
        for left in self._tools.values():
            left.set_attribute("penstock.outcome", outcome)
            left.end()
        self._span.end()

    def turn(self) -> None:
        """See `spans.RequestSpan`."""
        self._span.update_name("orchestration")
        self._span.set_attribute("gen_ai.operation.name", "invoke_agent")

    def rerouted(self, model: str) -> None:
        """See `spans.RequestSpan`."""
        self._model = model
        self._span.set_attribute("gen_ai.response.model", model)

    def round(self) -> "OtelRound":
        """See `spans.RequestSpan`."""
        self.used(*self._used)
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._model}
        span = self._child("inference", attributes)
        self._round = OtelRound(span)
        return self._round

    def used(self, prompt: int, completion: int) -> None:
        """See `spans.RequestSpan`: the round before gets what is new."""
        if self._round is not None:
            self._round.close(prompt - self._used[0], completion - self._used[1])
            self._round = None
        self._used = prompt, completion

    def tool(self, step: Step) -> None:
        """See `spans.RequestSpan`."""
        if isinstance(step, ToolStarted):
            attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.type": "function"}
            self._tools[step.call_id] = self._child("tool", attributes)
        elif isinstance(step, ToolFinished):
            self._end_tool(self._tools.pop(step.call_id, None), step)

    def _end_tool(self, span: trace.Span | None, step: ToolFinished) -> None:
        if span is None:
            return
        # A tool that does not exist has a name that the model made up, out of anything.
        name = "unknown" if step.outcome == "unknown" else step.name
        span.set_attributes({"gen_ai.tool.name": name, "penstock.outcome": step.outcome})
        if step.outcome != "ok":
            _mark(span, step.outcome)
        span.end()

    def headers_of(self, call_id: str) -> Mapping[str, str]:
        """See `spans.RequestSpan`."""
        return _carrier(self._tools.get(call_id, self._span))

    def _child(self, name: str, attributes: dict[str, str]) -> trace.Span:
        kind = SpanKind.CLIENT if name == "inference" else SpanKind.INTERNAL
        return self._tracer.start_span(
            name, context=self._context, kind=kind, attributes=attributes
        )


class OtelRound:
    """Satisfies `spans.Round`; it is closed when what it used is known."""

    def __init__(self, span: trace.Span) -> None:
        self._span, self._began_s = span, time.perf_counter()
        self._end_ns: int | None = None
        self.header = _lines(_carrier(span))

    def first_byte(self) -> None:
        """See `spans.Round`."""
        seconds = time.perf_counter() - self._began_s
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def ended(self, error: BaseException | None) -> None:
        """See `spans.Round`."""
        self._end_ns = time.time_ns()
        if error is not None:
            _mark(self._span, type(error).__name__)

    def close(self, prompt: int, completion: int) -> None:
        """It has used so much."""
        _note_usage(self._span, prompt, completion)
        self._span.end(self._end_ns)


def _note_usage(span: trace.Span, prompt: int, completion: int) -> None:
    span.set_attribute("gen_ai.usage.input_tokens", prompt)
    span.set_attribute("gen_ai.usage.output_tokens", completion)


def _mark(span: trace.Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _carrier(span: trace.Span) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=trace.set_span_in_context(span, Context()))
    return carrier


def _lines(carrier: Mapping[str, str]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in carrier.items())
