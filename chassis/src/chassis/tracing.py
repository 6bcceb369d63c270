"""Traces by OpenTelemetry: off, and not even imported, unless the environment names a collector.

Spans: `process` of a message, `job`, `create` and `send` of an event, `load` and `swap`. A message carries the context
in which it was created (W3C `traceparent`, CloudEvents' extension for distributed tracing). What handles it begins a
trace of its own that is *linked* to it, as OpenTelemetry's conventions for messaging say: between a drift and the swap
that it led to are hours, jobs that are taken over, and people. Streams of rows (predictions, labels) are not traced.

The variables are the standard ones, OTEL_EXPORTER_OTLP_ENDPOINT first; the SDK reads them itself. Finished spans wait
in a bounded queue for a thread that sends them: without a collector they are dropped, and no work waits for them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from contracts import Envelope

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span

STOP_SECONDS = 2.0
"""A service that ends waits no longer for its last spans to be sent."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP = "http/protobuf"

_provider: TracerProvider | None = None
_tracer: Any = None


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the standard variables turn traces on."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("", "otlp"):
        return False
    return any(environment.get(name, "").strip() for name in ENDPOINTS)


def start(service: str) -> str | None:
    """Begin to trace, if that is wanted. Return a sentence about what is not as the environment has it, if any."""
    global _provider, _tracer
    if _provider is not None or not is_wanted(os.environ):
        return None
    protocol = next((value for name in PROTOCOLS if (value := os.environ.get(name, "").strip())), HTTP)
    if protocol != HTTP:
        return f"traces are off: OTLP over {protocol} is not supported; set OTEL_EXPORTER_OTLP_PROTOCOL={HTTP}"
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.instance.id": str(uuid4()), "service.namespace": "gauntlet"}
    # Not registered as the global provider: libraries of ours would begin to trace each request of their own.
    _provider = TracerProvider(
        resource=Resource.create(own if named else {**own, "service.name": f"gauntlet-{service}"}),
        shutdown_on_exit=False,
    )
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("gauntlet")
    return None


def stop() -> None:
    """Send what is left, for two seconds at most: a collector that is away delays no end."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        sending = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)


def is_on() -> bool:
    return _tracer is not None


def processing(
    envelope: Envelope[Any], topic: str, *, group: str | None = None, partition: int | None = None, offset: int = 0
) -> AbstractContextManager[None]:
    """A message is handled; `topic`: as Kafka knows it."""
    if _tracer is None:
        return nullcontext()
    attributes = _of_message(envelope, topic, "process")
    if group is not None:
        attributes["messaging.consumer.group.name"] = group
    if partition is not None:
        attributes |= {"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset}
    return _within(f"process {topic}", "CONSUMER", attributes, envelope.traceparent)


def job(kind: str, job_id: str, key: str, attempt: int, cause: Envelope[Any] | None) -> AbstractContextManager[None]:
    """A run of a job."""
    if _tracer is None:
        return nullcontext()
    attributes = {"gauntlet.job.kind": kind, "gauntlet.job.id": job_id, "gauntlet.job.attempt": attempt}
    attributes |= _about(cause) if cause is not None else {"gauntlet.model_name": key}
    return _within(f"job {kind}", "INTERNAL", attributes, cause.traceparent if cause is not None else None)


def job_ended(how: str) -> None:
    """Note on the span of the job how its run ended."""
    if _tracer is None:
        return
    from opentelemetry.trace import Status, StatusCode, get_current_span

    span = get_current_span()
    span.set_attribute("gauntlet.job.outcome", how)
    if how == "failed":
        span.set_status(Status(StatusCode.ERROR))


def created(envelope: Envelope[Any]) -> Envelope[Any]:
    """Return the event with the context in which it was created: that of what is handled now, in this thread.

    The span names its topic without TOPIC_PREFIX, which only the span of the sending has.
    """
    if _tracer is None:
        return envelope
    from opentelemetry.trace import SpanKind

    topic = envelope.data.topic
    attributes = _of_message(envelope, topic, "create")
    span = _tracer.start_span(f"create {topic}", kind=SpanKind.PRODUCER, attributes=attributes)
    span.end()
    return envelope.model_copy(update={"traceparent": _traceparent(span)})


def sending(topic: str, headers: Mapping[str, str]) -> Span | None:
    """Begin the span of a message that is sent, linked to the context in which it was created; see `sent`.

    That may have been in an earlier process: what a crash left unsent is linked, too.
    """
    if _tracer is None:
        return None
    from opentelemetry.trace import SpanKind

    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": topic,
        "messaging.message.id": headers.get("ce_id", ""),
        "messaging.message.conversation_id": headers.get("ce_correlationid", ""),
        "gauntlet.model_name": headers.get("ce_subject", ""),
        "gauntlet.correlation_id": headers.get("ce_correlationid", ""),
    }
    span: Span = _tracer.start_span(
        f"send {topic}", kind=SpanKind.CLIENT, attributes=attributes, links=_links(headers.get("traceparent"))
    )
    return span


def sent(span: Span | None, error: BaseException | None = None) -> None:
    """End a span of `sending`."""
    if span is not None:
        if error is not None:
            _failed(span, error)
        span.end()


@contextmanager
def loaded(
    cause: Envelope[Any] | None, seconds: float, attributes: Mapping[str, Any], *, error: str = ""
) -> Iterator[None]:
    """A load that took so long until now, and within the block the swap that it ended with, or the failure."""
    if _tracer is None:
        yield
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import Status, StatusCode, use_span

    now = time.time_ns()
    found = (_about(cause) if cause is not None else {}) | {
        f"gauntlet.{name}": value for name, value in attributes.items() if value is not None
    }
    links = _links(cause.traceparent if cause is not None else None)
    # Of a trace of its own: what handled the message may surround it, or have ended long ago.
    began = now - round(seconds * 1e9)
    load = _tracer.start_span("load", context=Context(), attributes=found, links=links, start_time=began)
    with use_span(load, end_on_exit=True):
        if error:
            load.set_status(Status(StatusCode.ERROR, error))
            yield
        else:
            with _tracer.start_as_current_span("swap", attributes=found):
                yield


def ids() -> dict[str, str]:
    """Return trace_id and span_id of what is done now in this thread, for the log; nothing outside of a span."""
    if _tracer is None:
        return {}
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}


@contextmanager
def _within(name: str, kind: str, attributes: Mapping[str, Any], cause: str | None) -> Iterator[None]:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind, use_span

    # Of a trace of its own, whatever surrounds it.
    span = _tracer.start_span(name, context=Context(), kind=SpanKind[kind], attributes=attributes, links=_links(cause))
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            _failed(span, error)
            raise


def _failed(span: Span, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _links(traceparent: str | None) -> list[Link]:
    """Return the link to a context, and none where there is none that can be read."""
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not traceparent:
        return []
    context = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": traceparent})).get_span_context()
    return [Link(context)] if context.is_valid and context.is_remote else []


def _traceparent(span: Any) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _of_message(envelope: Envelope[Any], topic: str, operation: str) -> dict[str, Any]:
    return _about(envelope) | {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": topic,
        "messaging.message.id": envelope.id,
        "messaging.message.conversation_id": envelope.correlation_id,
        "messaging.kafka.message.key": envelope.model_name,
    }


def _about(envelope: Envelope[Any]) -> dict[str, Any]:
    """Return what every span of an event has."""
    event = envelope.data
    tried = getattr(event, "tried", None)
    found = {
        "gauntlet.event_type": type(event).__name__,
        "gauntlet.model_name": event.model_name,
        "gauntlet.model_version": getattr(event, "model_version", None) or getattr(tried, "model_version", None),
        "gauntlet.epoch": getattr(event, "epoch", None),
        "gauntlet.correlation_id": envelope.correlation_id,
    }
    return {name: value for name, value in found.items() if value is not None}
